"""The live hosts of a test run.

Started when the first test asks, one base directory each, stopped at the end.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ...devtools.environment import current
from ...devtools.host import Host, HostOptions
from .running import LiveHost, own_files

_LOG_LINES = 80
_running: list[LiveHost] = []


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


def live_host(
    base: Path, *extra_args: str, variables: tuple[tuple[str, str], ...] = ()
) -> Iterator[LiveHost]:
    """Run a ComfyUI with the pack and the test pack on a base directory."""
    # On a GPU the same tests run with ASTRIA_TEST_DEVICE=gpu.
    cpu = os.environ.get("ASTRIA_TEST_DEVICE", "cpu") == "cpu"
    exact = () if cpu else ("--fp32-unet", "--fp32-vae")  # there the host would choose halves
    arguments = ("--preview-method", "latent2rgb", *exact, *extra_args)
    options = HostOptions(base, test_pack=True, cpu=cpu, extra_args=arguments, variables=variables)
    with Host(current(), options) as process:
        live = LiveHost(process, own_files(base))
        _running.append(live)
        yield live
        _running.remove(live)
