"""`python dev.py bench gpu`: what the pack does and takes on a GPU, in a few minutes, without a
network.

Each part runs in a process of its own and stops at its share of the time; this one counts it, shows
every row as it is found, and writes them all as JSON and as a table for docs/benchmarks.md.
"""

from __future__ import annotations

import json
import os
import queue
import re
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from . import comfyui, gpu_bundle, gpu_report
from .console import DevError, say
from .environment import Environment, prepare
from .paths import DEV, ROOT

LOADER = ROOT / "pack_loader.py"
MARK = "astria-gpu: "  # of bench/_gpu_part.py
# Part and its share of the time; the last one has what is left.
PARTS = (
    ("sdxl", 0.18),
    ("flux", 0.22),
    ("flux_fp8", 0.1),
    ("flux2", 0.16),
    ("zimage", 0.09),
    ("krea2", 0.1),
    ("workflows", 1.0),
)
CLOSING_S = 12.0  # kept for ending a part's processes
LEAST_TORCH = (2, 5)
_PROGRAM = """
import importlib, runpy, sys
loader, options = sys.argv[1:]
sys.argv[1:] = []
runpy.run_path(loader)["load"]()
importlib.import_module("comfyui_astria.bench._gpu_part").main(options)
"""
_PROBE = """
import json, platform
try:
    import torch
except ImportError as error:
    print(json.dumps({"error": str(error)}))
    raise SystemExit
there = torch.cuda.is_available()
print(json.dumps({
    "python": platform.python_version(),
    "torch": torch.__version__,
    "cuda": torch.version.cuda or torch.version.hip or "none",
    "gpu": torch.cuda.get_device_name(0) if there else "none",
    "memory_gb": round(torch.cuda.get_device_properties(0).total_memory / 2**30, 1)
    if there else 0,
}))
"""
_PATH = re.compile(r"(?<![\w<>.])(?:/[\w.+@~-]+){2,}|[A-Za-z]:\\[^\s'\",;]+")
HELP = """\
python dev.py bench gpu [--dry] [--output FOLDER] [--minutes N]
python dev.py bench gpu --pack FILE [--there LIST]
python dev.py bench gpu --bundle FILE --python PYTHON [--dry] [--output FOLDER] [--minutes N]
"""


@dataclass
class Options:
    """What the command was asked for."""

    dry: bool = False
    minutes: float = 5.0
    output: Path = DEV / "gpu"
    pack: Path | None = None
    there: Path | None = None
    bundle: Path | None = None
    python: Path | None = None


@dataclass
class Found:
    """What was found so far, and the machine that it was found on."""

    machine: dict[str, Any]
    rows: list[dict[str, Any]] = field(default_factory=list)


# (part, seconds, dry) -> rows; a part that is cut off ends with a row that says so
RunPart = Callable[[str, float, bool], Iterator[dict[str, Any]]]


def run(argv: Sequence[str]) -> int:
    """Run the command and return its exit code: 1 when a row is not ok."""
    begun_s = time.monotonic()
    options = options_of(argv)
    if options.pack is not None:
        return _pack(options)
    with tempfile.TemporaryDirectory(prefix="astria-gpu-") as folder:
        environment, path = _environment(options, Path(folder))
        machine = machine_of(environment, path, dry=options.dry)
        logs = DEV / "gpu-logs"
        return measure(options, machine, Processes(environment, path, logs).rows, begun_s)


def options_of(argv: Sequence[str]) -> Options:
    """Read the arguments. Raises: DevError for one that is unknown or lacks its value."""
    options, rest = Options(), list(argv)
    while rest:
        name = rest.pop(0)
        if name == "--dry":
            options.dry = True
            continue
        if name not in ("--minutes", "--output", "--pack", "--there", "--bundle", "--python"):
            raise DevError(f"bench gpu does not know {name!r}.", HELP)
        if not rest:
            raise DevError(f"{name} lacks its value.", HELP)
        value = rest.pop(0)
        if name == "--minutes":
            options.minutes = _minutes(value)
        else:
            setattr(options, name[2:], Path(value).expanduser())
    if (options.bundle is None) != (options.python is None):
        raise DevError("--bundle and --python go together.", HELP)
    return options


def _minutes(value: str) -> float:
    try:
        minutes = float(value)
    except ValueError:
        minutes = 0.0
    if not 0.0 < minutes <= 60.0:
        raise DevError(f"--minutes is {value!r}.", "Give a number above 0, at most 60.")
    return minutes


def measure(options: Options, machine: dict[str, Any], run_part: RunPart, begun_s: float) -> int:
    """Run every part within the time, which began at `begun_s`; write what was found after each
    row, and show the table.
    """
    seconds = options.minutes * 60.0
    found = Found(machine)
    options.output.mkdir(parents=True, exist_ok=True)
    for part, share in PARTS:
        left_s = seconds - (time.monotonic() - begun_s)
        part_s = min(share * seconds, left_s) - CLOSING_S
        say(f"- {part}: at most {max(part_s, 0):.0f} s")
        for told in run_part(part, part_s, options.dry):
            row = {"part": part, **private(told)}
            found.rows.append(row)
            say(f"  {time.monotonic() - begun_s:5.0f} s  {gpu_report.line(row)}")
            gpu_report.write(options.output, found.machine, found.rows)
    say("")
    say(gpu_report.table(found.rows))
    wrong = [row["name"] for row in found.rows if row["ok"] is False]
    left_out = sum(row["value"] is None and row["ok"] is None for row in found.rows)
    say(f"{len(found.rows)} rows in {time.monotonic() - begun_s:.0f} s, {left_out} not run")
    say(f"written: gpu.json and gpu.md in {options.output}")
    if wrong:
        say("NOT OK: " + "; ".join(wrong))
    return int(bool(wrong))


@dataclass
class Processes:
    """Runs each part in a process of the environment's Python; `path` is its PYTHONPATH."""

    environment: Environment
    path: Sequence[Path]
    logs: Path

    def rows(self, part: str, seconds: float, dry: bool) -> Iterator[dict[str, Any]]:
        """Yield a part's rows as it tells them."""
        given = {
            "part": part,
            "seconds": seconds,
            "dry": dry,
            "comfyui": str(self.environment.comfyui),
        }
        program = ["-c", _PROGRAM, str(LOADER), json.dumps(given)]
        yield from told_rows(
            [str(self.environment.python), *program],
            part,
            seconds,
            self._log(part),
            self._env(part, dry),
        )

    def _log(self, part: str) -> Path:
        self.logs.mkdir(parents=True, exist_ok=True)
        return self.logs / f"{part}.log"

    def _env(self, part: str, dry: bool) -> dict[str, str]:
        given = [*map(str, self.path), *filter(None, [os.environ.get("PYTHONPATH")])]
        return {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(given),
            "PYTHONUNBUFFERED": "1",
            # Tiny models gain nothing from threads.
            **({"OMP_NUM_THREADS": "1"} if dry or part == "workflows" else {}),
        }


def told_rows(
    command: Sequence[str], part: str, seconds: float, log: Path, env: dict[str, str] | None = None
) -> Iterator[dict[str, Any]]:
    """Run a process and yield the rows that it tells; its standard error goes to `log`.

    It is ended when it has run for so many seconds and a little more. One that ends before its time
    with an error, or has to be ended, has a last row that says so.
    """
    if seconds <= 0:
        yield _cut(part, "no time was left for it")
        return
    end_s = time.monotonic() + seconds + CLOSING_S / 2
    with log.open("w", encoding="utf-8") as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, encoding="utf-8", env=env
        )
        assert process.stdout is not None
        lines: queue.Queue[str | None] = queue.Queue()
        reader = threading.Thread(target=_read, args=(process.stdout, lines), daemon=True)
        reader.start()
        in_time, is_whole = True, False
        try:
            while not is_whole:
                line = lines.get(timeout=max(0.0, end_s - time.monotonic()))
                if line is None:
                    break
                if line.startswith(MARK):
                    row = json.loads(line.removeprefix(MARK))
                    is_whole = row is None
                    if row is not None:
                        yield row
        except queue.Empty:
            in_time = False
        finally:
            _end(process)
            reader.join(1.0)
            process.stdout.close()
    if is_whole:
        return
    if not in_time:
        yield _cut(part, f"it was ended, {seconds:.0f} s were over and a case still ran")
    else:
        tail = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
        why = f"its process ended with {process.returncode}: {' '.join(tail)[:600]}"
        yield {**_cut(part, why), "ok": False, "note": f"failed: {why}"}


def _read(stream: IO[str], lines: queue.Queue[str | None]) -> None:
    for line in stream:
        lines.put(line)
    lines.put(None)


def _end(process: subprocess.Popen[str]) -> None:
    """Wait for a process that has closed its output; end one that has not."""
    try:
        process.wait(1.0)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(CLOSING_S / 3)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _cut(part: str, why: str) -> dict[str, Any]:
    note = f"not run: {why}"
    return {"name": f"{part}: the rest", "value": None, "unit": "", "ok": None, "note": note}


def private(row: dict[str, Any]) -> dict[str, Any]:
    """Return the row without the machine's folders, which an error's text may name."""
    return {**row, "note": _PATH.sub("<path>", row["note"])}


def machine_of(environment: Environment, path: Sequence[Path], *, dry: bool) -> dict[str, Any]:
    """Return what the figures are of: torch, CUDA, GPU, versions of host and pack.

    Raises: DevError for a Python without torch, with an old one, or without a GPU.
    """
    answer = subprocess.run(
        [str(environment.python), "-c", _PROBE],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))},
    )
    if answer.returncode != 0:
        reason = answer.stderr.strip().rpartition("\n")[2]
        raise DevError(
            f"torch does not start with {environment.python}: {reason}",
            "Name a Python whose torch works: --python PYTHON.",
        )
    facts = json.loads(answer.stdout)
    check_machine(facts, environment.python, dry=dry)
    version = (environment.comfyui / "comfyui_version.py").read_text(encoding="utf-8")
    return {
        **facts,
        "host": f"ComfyUI {version.rpartition('=')[2].strip().strip(chr(34))}",
        "pack": gpu_report.pack_version(),
        "dry": dry,
    }


def check_machine(facts: dict[str, Any], python: Path, *, dry: bool) -> None:
    """Raises: DevError that says what is missing and what to do."""
    if "error" in facts:
        raise DevError(
            f"{python} has no torch: {facts['error']}", "Name a Python that has: --python PYTHON."
        )
    numbers = tuple(int(one) for one in facts["torch"].split("+")[0].split(".")[:2])
    if numbers < LEAST_TORCH:
        wanted = ".".join(map(str, LEAST_TORCH))
        raise DevError(
            f"torch is {facts['torch']}; this needs {wanted} or newer.", "Update torch there."
        )
    if facts["gpu"] == "none" and not dry:
        raise DevError(
            f"torch {facts['torch']} of {python} finds no CUDA device (built for CUDA:"
            f" {facts['cuda']}).",
            "Check `nvidia-smi` and the driver; with --dry the same runs tiny on the CPU.",
        )


def _environment(options: Options, folder: Path) -> tuple[Environment, list[Path]]:
    """Return Python, ComfyUI, and the folders that the Python needs beside its own packages."""
    if options.bundle is not None and options.python is not None:
        unpacked = gpu_bundle.unpack(options.bundle, folder)
        return Environment(options.python, unpacked.comfyui, None), unpacked.path(options.python)
    return prepare(), []


def _pack(options: Options) -> int:
    assert options.pack is not None
    environment = prepare()
    source = comfyui.own_path() or comfyui.SOURCE
    there = gpu_bundle.names_in(options.there) if options.there else frozenset()
    gpu_bundle.pack(options.pack, environment.python, source, there)
    return 0
