"""Texts written so that the editor's dynamic prompts give them back; tests/web holds them against the editor itself."""

from __future__ import annotations

import pytest
from comfyui_astria.nodes.errors import PlanError
from comfyui_astria.nodes.pipeline.dynamic_prompts import escaped


@pytest.mark.parametrize(("text", "written"), [
    ("a cat, (red:1.2), 50 / 50", "a cat, (red:1.2), 50 / 50"),
    ("{a|b}", r"\{a\|b\}"),
    ("// a", "/{}/ a"),
    ("/* a */", "/{}* a */"),
    ("///", "/{}/{}/"),
    (r"\(a\)", r"\(a\)"),
    (r"\{a", r"\\{\{}a"),
    (r"\\{a", r"\\\{a"),
])
def test_a_text_and_how_it_is_written(text: str, written: str) -> None:
    assert escaped(text) == written


def test_a_text_ending_in_a_pair_of_backslashes_is_left_alone() -> None:
    assert escaped("a\\\\") == "a\\\\"


def test_a_text_that_the_editor_cannot_hold_is_an_error() -> None:
    with pytest.raises(PlanError, match=r"'a cat\\' ends in a single backslash.*\nTake the backslash out") as caught:
        escaped("a cat\\")
    assert caught.value.code == "trailing-backslash"
