"""Load the pack as `comfyui_astria`, as ComfyUI would, and give the tests their live hosts."""

from __future__ import annotations

import gc
import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# No test depends on how fast the machine is, or how busy. The same examples in every run, so that
# what fails is the change at hand; new ones, and more of them, with --long.
settings.register_profile(
    "calm", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
settings.register_profile(
    "long", settings.get_profile("calm"), derandomize=False, max_examples=1000
)
settings.load_profile("calm")

# Tiny models gain nothing from threads, and threads that wait for each other on a busy machine cost
# tenfold. The hosts inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# By its path: the checkout must not stand on sys.path, where its nodes/ would hide the host's
# nodes.py.
_spec = importlib.util.spec_from_file_location(
    "pack_loader", Path(__file__).resolve().parent.parent / "pack_loader.py"
)
assert _spec is not None and _spec.loader is not None
_pack_loader = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_pack_loader)
_pack_loader.load()

from comfyui_astria.tests.host.fixtures import (
    classic_host,
    clean_hosts,
    each_host,
    host,
    log_section,
)
from comfyui_astria.tests.scheduling import HostScheduling, place_of

__all__ = ["classic_host", "clean_hosts", "each_host", "host"]


@pytest.fixture(autouse=True)
def no_models_left() -> Iterator[None]:
    """No test finds the models of another in the host's memory management."""
    yield
    # Not imported here: pure tests go without torch.
    in_process = sys.modules.get("comfyui_astria.tests.regions.comfy_inprocess")
    if in_process is not None:
        in_process.forget_models()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the tests that take minutes too")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--long"):
        settings.load_profile("long")


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> HostScheduling | None:
    if config.getvalue("dist") != "loadfile":
        return None
    config.option.loadscopereorder = False
    return HostScheduling(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the long tests unless they are asked for: pytest counts them as deselected."""
    items.sort(key=lambda item: place_of(item.nodeid))
    if not config.getoption("--long"):
        long = [item for item in items if item.get_closest_marker("long")]
        items[:] = [item for item in items if item not in long]
        config.hook.pytest_deselected(items=long)


def pytest_collection_finish() -> None:
    gc.freeze()  # what was collected stays to the end: the garbage collector need not look at it


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Show the end of the host's log with a failure."""
    report = yield
    if report.failed and (log := log_section(item)):
        report.sections.append(("ComfyUI log", log))
    return report
