"""A ComfyUI of our own: start it on a private base directory, wait until it answers, stop it."""

from __future__ import annotations

import functools
import os
import socket
import subprocess
import time
import urllib.error
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO

from .base import (
    SMALL_WORLD_FOLDER,
    TEST_PACK_FOLDER,
    link_folder,
    make_base,
    write_models_config,
)
from .client import Client
from .console import DevError
from .environment import Environment
from .lock import try_lock
from .paths import ROOT

_STOP_S = 20
# Without a GPU the host falls back to an attention in small pieces that saves memory and takes far
# longer.
_ON_CPU = ("--cpu", "--use-pytorch-cross-attention")
_ACCELERATOR_PROGRAM = """
import torch
xpu = getattr(torch, "xpu", None)
print(
    torch.cuda.is_available()
    or torch.backends.mps.is_available()
    or bool(xpu and xpu.is_available())
)
"""


@dataclass(frozen=True)
class HostOptions:
    """How to start a host.

    In which base directory, with or without the test pack and the small world, and what else to
    tell main.py.
    """

    base: Path
    test_pack: bool = False
    small_world: bool = False
    cpu: bool = True
    port: int | None = None  # None: any free one
    extra_args: tuple[str, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()  # added to the environment of the host's process
    start_timeout_s: float = 300
    packs: tuple[Path, ...] = ()  # folders of other node packs


class Host:
    """A running ComfyUI; use it as a context manager.

    `client` speaks to it, `base` is its base directory, `log` its output.
    """

    def __init__(self, environment: Environment, options: HostOptions) -> None:
        self.environment = environment
        self.options = options
        self.base = options.base.resolve()
        self.log = self.base / "comfyui.log"
        self.port = options.port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.client = Client(self.url)
        self.process: subprocess.Popen[bytes] | None = None
        self._lock: IO[bytes] | None = None

    def start(self) -> Host:
        """Start and return once it answers.

        Raises: DevError with the end of the log when it does not, or a pack failed to import.
        """
        self._lock = try_lock(self.base / ".lock")
        if self._lock is None:
            raise DevError(
                f"Another ComfyUI already runs in {self.base}.",
                "Stop it first: two on one base directory wipe each other's files.",
            )
        try:
            command = self._command()
            self._compile_pack()
            with self.log.open("wb") as log:
                self.process = subprocess.Popen(
                    command,
                    cwd=self.environment.comfyui,
                    env=self._variables(),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    pass_fds=self._inherited(),
                )
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End the process and give the base directory free. Does nothing on a stopped host."""
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def log_text(self) -> str:
        """Return all that the host has printed so far."""
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""

    def __enter__(self) -> Host:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _command(self) -> list[str]:
        options = self.options
        packs = make_base(self.base, test_pack=options.test_pack, small_world=options.small_world)
        packs += tuple(one.name for one in options.packs)
        for one in options.packs:
            link_folder(self.base / "custom_nodes" / one.name, one)
        command = [
            str(self.environment.python),
            "main.py",
            "--port",
            str(self.port),
            "--base-directory",
            str(self.base),
            "--database-url",
            "sqlite:///:memory:",
            "--disable-api-nodes",
            "--disable-all-custom-nodes",
            "--whitelist-custom-nodes",
            *packs,
        ]
        if self.environment.models is not None:
            command += [
                "--extra-model-paths-config",
                str(write_models_config(self.base, self.environment.models)),
            ]
        if options.small_world:
            models = write_models_config(self.base, SMALL_WORLD_FOLDER / "models", "small_world")
            command += ["--extra-model-paths-config", str(models)]
        return [*command, *(_ON_CPU if options.cpu else []), *options.extra_args]

    def _inherited(self) -> tuple[int, ...]:
        # The host holds the lock too, so that one left over from a killed parent still keeps others
        # out. Windows has no such means.
        return () if os.name == "nt" or self._lock is None else (self._lock.fileno(),)

    def _compile_pack(self) -> None:
        # That host writes no bytecode, see _variables, and would compile our own modules at every
        # start.
        if self.environment.models is not None:
            subprocess.run(
                [
                    str(self.environment.python),
                    "-m",
                    "compileall",
                    "-q",
                    str(ROOT / "nodes"),
                    str(TEST_PACK_FOLDER),
                ],
                check=False,
            )

    def _variables(self) -> dict[str, str]:
        variables = {
            # Those of Ray, where an actor of it starts us, hold the token of a cluster.
            **{name: value for name, value in os.environ.items() if not name.startswith("RAY_")},
            "PYTHONUNBUFFERED": "1",
            "PYTHONIOENCODING": "utf-8",
            **dict(self.options.variables),
        }
        if self.environment.models is not None:
            # somebody's own installation: nothing is written to it.
            variables["PYTHONDONTWRITEBYTECODE"] = "1"
        return variables

    def _wait_until_ready(self) -> None:
        assert self.process is not None
        deadline = time.monotonic() + self.options.start_timeout_s
        while True:
            if self.process.poll() is not None:
                raise DevError(
                    f"ComfyUI ended with exit code {self.process.returncode} while starting.",
                    self._log_end(),
                )
            if time.monotonic() > deadline:
                raise DevError(
                    f"ComfyUI did not answer at {self.url} within"
                    f" {self.options.start_timeout_s:g} s.",
                    self._log_end(),
                )
            try:
                self.client.system_stats()
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
                continue
            break
        if "(IMPORT FAILED)" in self.log_text():  # without brackets: nodes of ComfyUI itself
            raise DevError("A custom node pack failed to import.", self._log_end())

    def _log_end(self) -> str:
        lines = self.log_text().splitlines()[-60:]
        return "\n  ".join([f"The end of its log, {self.log}:", *lines])


def free_port() -> int:
    """Return a TCP port of this machine that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@functools.cache
def has_accelerator(python: Path) -> bool:
    """Whether the torch of that interpreter finds a GPU.

    Asked anew in each run: a machine's devices may change.
    """
    answer = subprocess.run(
        [str(python), "-c", _ACCELERATOR_PROGRAM], capture_output=True, text=True, check=False
    )
    if answer.returncode != 0:
        reason = answer.stderr.strip().rpartition("\n")[2]
        raise DevError(
            f"torch cannot be imported by {python}: {reason}",
            "Delete .venv and run `python dev.py setup` again.",
        )
    return answer.stdout.strip() == "True"
