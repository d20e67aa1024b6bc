"""This machine's part of a fleet: Ray's head or a node, as a child that ends with us.

`ray stop` is never called: it ends whatever is Ray's on the machine.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..devtools.console import DevError
from ..devtools.paths import DEV, FLEET_VENV, venv_python
from .environment import NOWHERE, head_variables, variables, worker_variables

STORE_MB = 80  # of Ray's object store, through which pictures travel
MACHINE = "astria_machine:"  # a resource that names a node's machine
SLOT = "astria_slot:"  # and one for each of its workers
_STOP_S = 20.0
_START_S = 60.0
_STARTED = "Ray runtime started"
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_QUIET = ("--include-log-monitor", "false")  # the dispatcher takes no logs
_RAY = venv_python(FLEET_VENV).with_name("ray")


@dataclass(frozen=True)
class MachineOptions:
    """A machine with workers: its name, a slot for each, and what ComfyUI is started with.

    A slot is the number of a GPU, or cpu-1, cpu-2 ...; `base` has a folder for each. `packs` are
    folders of other node packs that the workers load.
    """

    name: str
    slots: Sequence[str]
    python: Path
    comfyui: Path
    models: Path | None
    base: Path
    packs: Sequence[Path] = ()


def gpus_here() -> list[str]:
    """Return the numbers of this machine's GPUs, as NVIDIA's driver lists them."""
    try:
        listed = subprocess.run(
            ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return []
    return listed.stdout.split()


def own_address() -> str:
    """Return the address of this machine in its network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("10.255.255.255", 1))  # sends nothing
            return probe.getsockname()[0]
        except OSError:
            return "127.0.0.2"  # Ray replaces 127.0.0.1 by another


def node_command(address: str, options: MachineOptions) -> list[str]:
    """Return the command of a node with workers, which runs until it is ended."""
    offered = {f"{MACHINE}{options.name}": 1, **{f"{SLOT}{one}": 1 for one in options.slots}}
    return [
        *(str(_RAY), "start", "--block", "--disable-usage-stats", *_QUIET),
        *("--address", address, "--num-cpus", "1", "--num-gpus", "0"),
        *("--object-store-memory", str(STORE_MB * 1_000_000), "--resources", json.dumps(offered)),
    ]


def head_command(host: str, port: int) -> list[str]:
    """Return the command of the head, which has no workers."""
    return [
        *(str(_RAY), "start", "--head", "--block", "--disable-usage-stats", *_QUIET),
        *("--node-ip-address", host, "--port", str(port), "--include-dashboard", "false"),
        *("--num-cpus", "0", "--num-gpus", "0"),
        *("--object-store-memory", str(STORE_MB * 1_000_000)),
    ]


@contextmanager
def head(
    host: str, port: int, token: Path, log: Path, sink: str = NOWHERE
) -> Iterator[subprocess.Popen[bytes]]:
    """Run the head of a cluster; what Ray would tell the world goes to `sink`."""
    command = head_command(host, port)
    with _child(command, head_variables(token, sink), log) as process:
        yield process


@contextmanager
def node(
    address: str, options: MachineOptions, token: Path, log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a node with workers."""
    command = node_command(address, options)
    told = worker_variables(options.base, options.python, options.comfyui, options.models)
    packs = {"ASTRIA_FLEET_PACKS": os.pathsep.join(str(one) for one in options.packs)}
    with _child(command, {**variables(token), **told, **packs}, log) as process:
        yield process


@contextmanager
def _child(
    command: Sequence[str], given: Mapping[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as file:
        process = subprocess.Popen(
            command,
            env=dict(given),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for us, who then end it
            preexec_fn=_end_with_parent,
        )
    try:
        yield process
    finally:
        end(process)


def _end_with_parent() -> None:
    """Have the system end this process when its parent is gone, however that ended (Linux)."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a node and all that it started."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_started(process: subprocess.Popen[bytes], what: str, log: Path) -> None:
    """Return when a child has joined. Raises: DevError where it ended, or hangs."""
    deadline = time.monotonic() + _START_S
    while _STARTED not in log.read_text(encoding="utf-8", errors="replace"):
        check_running(process, what, log)
        if time.monotonic() > deadline:
            raise DevError(
                f"{what} has not started within {_START_S:g} s.", f"Its log: {log}. It is ended."
            )
        time.sleep(0.2)


def check_running(process: subprocess.Popen[bytes], what: str, log: Path) -> None:
    """Raises: DevError with the end of its log where a child has ended by itself."""
    if process.poll() is None:
        return
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:]
    raise DevError(
        f"{what} ended with exit code {process.returncode}.",
        "\n  ".join([f"The end of its log, {log}:", *lines]),
    )


def is_listening(address: str, wait_s: float = 0.0) -> bool:
    """Say whether somebody listens at HOST:PORT, waiting for it at most that long."""
    host, _, port = address.rpartition(":")
    deadline = time.monotonic() + wait_s
    while True:
        try:
            with socket.create_connection((host, int(port)), timeout=2):
                return True
        except OSError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.5)


def log_of(name: str) -> Path:
    """Return where a child of this machine writes."""
    return DEV / "fleet" / f"{name}.log"
