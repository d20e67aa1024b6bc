"""Texts that the editor's dynamic prompts would change stand in a box of their own.

tests/web holds them against the editor itself.
"""

from __future__ import annotations

import pytest
from comfyui_astria.nodes.graph.dynamic_prompts import words_apart
from comfyui_astria.nodes.graph.graph import Graph, Link
from comfyui_astria.nodes.pipeline.compiling import CompileOptions, compile_request
from comfyui_astria.nodes.prompt import PromptRequest

from ..pipeline.support import resolver


def with_text(text: str) -> Graph:
    graph = Graph()
    clip = graph.add(
        "models.text_encoders",
        "CLIPLoader",
        clip_name="clip_l.safetensors",
        type="flux",
        device="default",
    )
    graph.add("base.positive", "CLIPTextEncode", clip=clip, text=text)
    return graph


@pytest.mark.parametrize("text", ["{a|b}", "a }", "// a", "/* a */", r"a \| b", "a cat\\"])
def test_a_text_that_the_editor_would_change_comes_over_a_link(text: str) -> None:
    nodes = words_apart(with_text(text)).nodes
    assert nodes["base.positive"].inputs["text"] == Link("base.positive_words")
    assert nodes["base.positive_words"].inputs == {"value": text}
    assert list(nodes) == ["models.text_encoders", "base.positive_words", "base.positive"]


@pytest.mark.parametrize(
    "text", ["a cat, (red:1.2), 50 / 50", r"\(a\)", "a | b", "1 / 2 * 3", "a\\b"]
)
def test_a_text_that_it_leaves_alone_stays_in_its_node(text: str) -> None:
    assert words_apart(with_text(text)).nodes == with_text(text).nodes


def test_compiling_sets_such_words_apart() -> None:
    made = compile_request(
        PromptRequest.require("a {red|blue} car"), resolver(), CompileOptions("690204")
    ).graph.nodes
    assert made["base.positive"].inputs["text"] == Link("base.positive_words")
    assert "{red|blue}" in made["base.positive_words"].inputs["value"]
