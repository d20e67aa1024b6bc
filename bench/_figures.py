"""What measurements share: a row of figures, times taken in turn, a process of its own."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_LOADER = Path(__file__).resolve().parents[1] / "pack_loader.py"
_PROGRAM = """
import importlib, runpy, sys
loader, module, function, *arguments = sys.argv[1:]
sys.argv[1:] = []
runpy.run_path(loader)["load"]()
print(getattr(importlib.import_module(module), function)(*arguments))
"""


def figure(name: str, value: float, unit: str, ok: bool | None = None) -> dict[str, Any]:
    """Return one row of what a measurement found; `ok` is None where nothing is held against it."""
    return {"name": name, "value": value, "unit": unit, "ok": ok}


def interleaved_medians_ms(runs: int, *works: Callable[[], object]) -> list[float]:
    """Return each work's median time; one run of each in turn, so that other load falls on all."""
    taken: list[list[float]] = [[] for _ in works]
    for _ in range(runs):
        for times, work in zip(taken, works, strict=True):
            start = time.perf_counter()
            work()
            times.append((time.perf_counter() - start) * 1000.0)
    return [statistics.median(times) for times in taken]


def in_own_process(
    measurement: str, function: str, *arguments: object, env: dict[str, str] | None = None
) -> float:
    """Return what a measurement's function gives in a new process that has the pack loaded.

    The arguments reach it as text.
    """
    module = f"comfyui_astria.bench.{measurement}"
    command = [sys.executable, "-c", _PROGRAM, str(_LOADER), module, function, *map(str, arguments)]
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout.splitlines()[-1])
