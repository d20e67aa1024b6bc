"""Who starts what in a run over several processes."""

from __future__ import annotations

import re

from comfyui_astria.devtools.paths import ROOT
from comfyui_astria.tests.scheduling import CLASSIC, WEB, group_of, place_of

FILES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("test_*.py"))


def test_whoever_starts_the_classic_host_is_in_its_group() -> None:
    asking = {
        file
        for file in FILES
        if re.search(r"\b(each_host|classic_host)\b", (ROOT / file).read_text(encoding="utf-8"))
    }
    assert asking - {"tests/devtools/test_scheduling.py"} == CLASSIC


def test_a_group_stands_together_and_the_long_ones_come_first() -> None:
    nodeids = [f"{file}::test_x[a::b]" for file in FILES]
    groups = [group_of(nodeid) for nodeid in sorted(nodeids, key=place_of)]
    borders = [
        group for before, group in zip([None, *groups], groups, strict=False) if before != group
    ]
    assert len(borders) == len(set(borders))
    assert borders[:2] == [WEB, "classic"]
    assert set(borders[2:]) == {
        file for file in FILES if file not in CLASSIC and not file.startswith(WEB)
    }
