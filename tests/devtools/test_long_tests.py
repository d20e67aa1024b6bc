"""Tests that take minutes: left out of a run, and counted, unless they are asked for."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from comfyui_astria.devtools import commands
from comfyui_astria.devtools.commands import USAGE
from comfyui_astria.devtools.environment import current

CONFTEST = Path(__file__).resolve().parents[1] / "conftest.py"


@pytest.mark.parametrize("is_asked_for", [True, False])
def test_long_tests_are_deselected_unless_they_are_asked_for(
    request: pytest.FixtureRequest, is_asked_for: bool
) -> None:
    [plugin] = [
        one
        for one in request.config.pluginmanager.get_plugins()
        if getattr(one, "__file__", None) == str(CONFTEST)
    ]
    deselected: list[Any] = []
    config = SimpleNamespace(
        getoption={"--long": is_asked_for}.__getitem__,
        hook=SimpleNamespace(pytest_deselected=lambda items: deselected.extend(items)),
    )
    plain, long = (
        SimpleNamespace(nodeid="test_x.py::test_y", get_closest_marker={"long": mark}.__getitem__)
        for mark in (None, "marked")
    )
    items = [plain, long]
    plugin.pytest_collection_modifyitems(config, items)
    assert (items, deselected) == (([plain, long], []) if is_asked_for else ([plain], [long]))


def test_the_whole_run_takes_them_too_and_stays_spread_over_processes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines: list[list[str]] = []

    def run(line: list[str], **_: Any) -> subprocess.CompletedProcess[bytes]:
        lines.append(line)
        return subprocess.CompletedProcess(line, 0)

    monkeypatch.setattr(commands.subprocess, "run", run)
    monkeypatch.setattr("comfyui_astria.fleet.cli.setup", lambda: None)  # it would run pip
    assert commands._test(current(), ["--no-browser", "--long"]) == 0
    assert {"--long", "--numprocesses", "loadfile"} <= set(lines[0])
    assert "--long" in USAGE
