"""The styles' templates: one for each name of the language, fit for any text and for the weight
syntax.
"""

from __future__ import annotations

import re

import pytest
from comfyui_astria.nodes.errors import PlanError
from comfyui_astria.nodes.pipeline.build.styles import STYLES, Style, styled
from comfyui_astria.nodes.prompt.catalog import STYLES as NAMES


def test_there_is_one_for_each_name_of_the_language() -> None:
    assert tuple(STYLES) == NAMES
    assert (
        len({style.prompt for style in STYLES.values()})
        == len({style.negative for style in STYLES.values()})
        == len(NAMES)
    )


@pytest.mark.parametrize("style", STYLES.values(), ids=STYLES)
def test_templates_hold_the_text_once_and_nothing_that_is_syntax(style: Style) -> None:
    assert style.prompt.count("{prompt}") == 1
    words = style.prompt.replace("{prompt}", "") + style.negative
    assert words.isascii()
    assert not re.search(r"[()\[\]{}<>:|\\\n]|BREAK|--|=", words)


@pytest.mark.parametrize("style", STYLES.values(), ids=STYLES)
@pytest.mark.parametrize("text", ["a cat", "a cat,", "a cat.", "a cat in {braces}"])
def test_any_text_fits(style: Style, text: str) -> None:
    said = style.prompt.format(prompt=text)
    assert text in said
    assert not re.search(r"[,.]\s*[,.]|\s{2}|\s,", said)


@pytest.mark.parametrize("style", STYLES.values(), ids=STYLES)
def test_a_style_does_not_ask_for_what_it_rules_out(style: Style) -> None:
    wanted = style.prompt.replace("{prompt}", ",")
    assert [
        phrase for phrase in style.negative.split(", ") if re.search(rf"\b{phrase}\b", wanted)
    ] == []


def test_an_unknown_style_is_named() -> None:
    assert styled("Cinematic") is STYLES["Cinematic"]
    with pytest.raises(PlanError, match="Style 'Baroque' is not one of Cinematic, Animated"):
        styled("Baroque")
