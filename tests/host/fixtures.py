"""The live hosts of a test run.

Started when the first test asks, one base directory each, stopped at the end.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ...devtools.client import Client
from ...devtools.environment import current
from ...devtools.host import Host, HostOptions
from ...nodes.tunes.store import TuneStore

_LOG_LINES = 80
_running: list[LiveHost] = []


@dataclass(eq=False)
class LiveHost:
    """A running ComfyUI with the pack and the test pack.

    `client` speaks to it, `base` holds its models, input and output.

    `fresh` are the models and settings that `clean` leaves in place.
    """

    process: Host
    fresh: set[Path]
    # How much of the log the modules before have printed, runs that fail on purpose among them.
    printed: int = 0

    @property
    def client(self) -> Client:
        return self.process.client

    @property
    def url(self) -> str:
        return self.process.url

    @property
    def base(self) -> Path:
        return self.process.base

    @property
    def loras(self) -> Path:
        return self.base / "models" / "loras"

    def object_info(self) -> dict[str, Any]:
        """All node definitions, asked once per host."""
        return _object_info(self.client)

    @property
    def state(self) -> Path:
        """The folder of the pack's own files."""
        return self.base / "user" / "__astria"

    def clean(self) -> None:
        """Take away the models, settings and tunes that tests have put there, so that the next
        module finds the host as it was started.
        """
        for path in _own_files(self.base) - self.fresh:
            path.unlink()
        for folder in sorted(self.base.glob("models/*/**/"), reverse=True):
            if folder.parent.parent != self.base and not any(folder.iterdir()):
                folder.rmdir()
        store = TuneStore(self.state)
        while found := store.list():
            for tune in found:
                store.delete(tune.id)
        self.printed = len(self.log_text())

    def log_of_module(self) -> str:
        return self.log_text()[self.printed :]

    def log_text(self) -> str:
        return self.process.log_text()


@functools.cache
def _object_info(client: Client) -> dict[str, Any]:
    return client.object_info()


@pytest.fixture(scope="module", autouse=True)
def clean_hosts() -> Iterator[None]:
    """Clean the running hosts after each test module: most modules share them."""
    yield
    for live in _running:
        live.clean()


@pytest.fixture(scope="session")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveHost]:
    """ComfyUI as people start it, with the default cache."""
    yield from live_host(tmp_path_factory.mktemp("host"))


@pytest.fixture(scope="session")
def classic_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveHost]:
    """ComfyUI with another cache and half-precision pictures, for the tests whose result may depend
    on either.
    """
    yield from live_host(
        tmp_path_factory.mktemp("classic_host"), "--cache-classic", "--fp16-intermediates"
    )


@pytest.fixture(params=["host", "classic_host"])
def each_host(request: pytest.FixtureRequest) -> LiveHost:
    """Run the test on both hosts."""
    return request.getfixturevalue(request.param)


def log_section(item: pytest.Item) -> str | None:
    """The end of the log of each host that a test used, for its failure report."""
    hosts = {
        id(value): value
        for value in getattr(item, "funcargs", {}).values()
        if isinstance(value, LiveHost)
    }
    return (
        "\n".join("\n".join(live.log_text().splitlines()[-_LOG_LINES:]) for live in hosts.values())
        or None
    )


def live_host(base: Path, *extra_args: str) -> Iterator[LiveHost]:
    """Run a ComfyUI with the pack and the test pack on a base directory."""
    # On a GPU the same tests run with ASTRIA_TEST_DEVICE=gpu.
    cpu = os.environ.get("ASTRIA_TEST_DEVICE", "cpu") == "cpu"
    options = HostOptions(
        base, test_pack=True, cpu=cpu, extra_args=("--preview-method", "latent2rgb", *extra_args)
    )
    with Host(current(), options) as process:
        live = LiveHost(process, _own_files(base))
        _running.append(live)
        yield live
        _running.remove(live)


def _own_files(base: Path) -> set[Path]:
    """Return what stands in the model folders, and the settings of the pack."""
    return {
        path
        for path in (*base.glob("models/**/*"), *base.glob("user/__astria/*.ini"))
        if path.is_file()
    }
