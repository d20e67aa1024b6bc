"""What a prompt masks, as a graph without what paints."""

from __future__ import annotations

import pytest
from comfyui_astria.nodes.errors import MissingModelError, PlanError
from comfyui_astria.nodes.graph.graph import Graph
from comfyui_astria.nodes.pipeline.build.sources import Options
from comfyui_astria.nodes.pipeline.mask_graph import MASKS, drawn_told, with_mask_shown
from comfyui_astria.nodes.prompt import PromptRequest

from .support import draft_text, equipped, plan_text

PAINTING = {"SamplerCustomAdvanced", "CLIPTextEncode", "VAEDecode", "VAEEncode"}


def classes(graph: Graph) -> set[str]:
    return {call.class_type for call in graph.nodes.values()}


@pytest.mark.parametrize(
    ("text", "given", "wanted"),
    [
        ("a cat --mask_prompt face", {}, "AstriaPromptMask"),
        ("a cat --mask_dilate 10", {"mask": True}, "AstriaAdjustMask"),
        ("a cat", {"mask": True}, "ImageCompositeMasked"),
        ("BREAK BREAK a man BREAK a woman", {}, "AstriaRegions"),
    ],
)
def test_it_holds_what_the_mask_needs_and_nothing_that_paints(
    text: str, given: dict[str, bool], wanted: str
) -> None:
    planned = equipped(text, image=True, **given)
    graph, shown = with_mask_shown(PromptRequest.require(text), planned)
    assert wanted in classes(graph)
    assert shown.node in graph.nodes
    assert not classes(graph) & PAINTING
    assert len(graph.nodes) < len(planned.graph.nodes)


def test_a_prompt_without_a_mask_is_told_so() -> None:
    with pytest.raises(PlanError, match="masks nothing"):
        with_mask_shown(PromptRequest.require("a cat"), plan_text("a cat", image=True))


def test_a_segmenter_that_is_missing_is_named() -> None:
    text = "a cat --mask_prompt face"
    with pytest.raises(MissingModelError, match="turns words into masks"):
        with_mask_shown(PromptRequest.require(text), draft_text(text, image=True))


DRAWN = "+ 0.1 0.1 0.2 0.2"


@pytest.mark.parametrize(
    ("text", "given", "name"),
    [
        ("a cat --mask_prompt face", {}, "base.mask"),
        ("a cat", {"mask": True}, "base.adjust_mask"),
        ("a cat --mask_invert", {"mask": True}, "base.adjust_mask"),
    ],
)
def test_what_is_drawn_goes_to_the_node_of_the_mask(
    text: str, given: dict[str, bool], name: str
) -> None:
    planned = equipped(text, options=Options(drawn_mask=DRAWN), image=True, **given)
    assert planned.graph.nodes[name].inputs["drawn_mask"] == DRAWN
    assert drawn_told(DRAWN, planned.graph) == ""
    assert name in MASKS


def test_a_drawing_without_a_mask_is_told() -> None:
    planned = plan_text("a cat", options=Options(drawn_mask=DRAWN), image=True)
    assert "drawn_mask has no effect" in drawn_told(DRAWN, planned.graph)
    assert drawn_told(" ", planned.graph) == ""
