"""Run the measurements of bench/: each is a module with `run() -> list[Figure]`.

`run` takes ten minutes at most on two cores; what takes longer has a `run_long` too, for --long.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from .console import DevError, say
from .environment import Environment
from .host import has_accelerator
from .paths import ROOT
from .report import Figure

BENCH = ROOT / "bench"


def run_benchmarks(environment: Environment, argv: Sequence[str]) -> list[Figure]:
    """Return the figures of the named measurements, `all` for every one, with `--long` all cases
    and rounds of them.

    Without a name print which there are.
    """
    is_long = "--long" in argv
    argv = [one for one in argv if one != "--long"]
    names = sorted(path.stem for path in BENCH.glob("*.py") if not path.stem.startswith("_"))
    if not argv:
        say(
            "Measurements: "
            + ", ".join(names)
            + "\nRun one: python dev.py bench NAME; all of them: python dev.py bench all; with more"
            + " rounds and cases: --long"
            + "\nOn a GPU: python dev.py bench gpu"
        )
        return []
    unknown = [name for name in argv if name not in (*names, "all")]
    if unknown:
        raise DevError(
            f"There is no measurement {unknown[0]!r} in {BENCH}.",
            f"There are: {', '.join(names)}, all.",
        )
    open_comfyui(environment)
    figures: list[Figure] = []
    for name in names if "all" in argv else argv:
        say(f"- measuring {name}")
        figures += [
            {**figure, "name": f"{name}: {figure['name']}"}
            for figure in _load(BENCH / f"{name}.py", is_long)()
        ]
    return figures


def open_comfyui(environment: Environment) -> None:
    """Let this process import ComfyUI's modules.

    They read sys.argv at their first import, so the device is chosen here.
    """
    # With the attention that every GPU runs; left to itself the host takes another on a CPU.
    on_cpu = ["--cpu", "--use-pytorch-cross-attention"]
    sys.argv = ["main.py", *([] if has_accelerator(environment.python) else on_cpu)]
    sys.path.insert(0, str(environment.comfyui))
    import comfy.options

    comfy.options.enable_args_parsing()


def _load(path: Path, is_long: bool = False) -> Callable[[], list[Figure]]:
    spec = importlib.util.spec_from_file_location(f"astria_bench_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return getattr(module, "run_long", module.run) if is_long else module.run
