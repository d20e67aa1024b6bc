"""cfg_scale at 1 and below, where nothing reads a negative prompt."""

from __future__ import annotations

import pytest
from comfyui_astria.nodes.families.family import FAMILIES
from comfyui_astria.nodes.pipeline.build.sources import Options
from comfyui_astria.nodes.pipeline.plan import Plan, draft
from comfyui_astria.nodes.prompt import PromptRequest

from .support import resolver, sources

CODES = ("without-guidance", "negative-without-effect")
TILED = "a cat --tiled_upscale_v2 --hires_cfg_scale {}\ncfg_scale=1\nnegative_prompt=dog"
OUTPAINTED = "a cat --outpaint center --outpaint_width 768 --outpaint_height 768\ncfg_scale=0"


def made(text: str, family: str = "sd15") -> Plan:
    return draft(PromptRequest.require(text), sources(family), resolver(), Options())


def told(planned: Plan) -> list[str]:
    return [one.code for one in planned.problems if one.code in CODES]


@pytest.mark.parametrize("family", ["sd15", "sdxl", "zimage", "krea2", "flux2_klein_4b_base"])
def test_without_guidance_a_picture_is_painted_by_its_text(family: str) -> None:
    for number in (0, 0.5):
        planned = made(f"a cat\ncfg_scale={number}", family)
        assert planned.graph.nodes["base.guider"].inputs["cfg"] == 1.0
        assert told(planned) == ["without-guidance"]
    for number in (1, 1.5):
        planned = made(f"a cat\ncfg_scale={number}", family)
        assert planned.graph.nodes["base.guider"].inputs["cfg"] == number
        assert told(planned) == []


@pytest.mark.parametrize("family", ["flux", "flux2", "flux_schnell"])
def test_other_kinds_of_guidance_are_left_as_they_are(family: str) -> None:
    planned = made("a cat\ncfg_scale=0.5", family)
    assert told(planned) == []
    assert FAMILIES[family].true_cfg(0.5) == 1.0
    guidance = [
        call.inputs["guidance"]
        for call in planned.graph.nodes.values()
        if call.class_type == "FluxGuidance"
    ]
    assert guidance == ([0.5] if FAMILIES[family].is_distilled else [])


def test_every_stage_is_painted_so() -> None:
    nodes = made(OUTPAINTED).graph.nodes
    assert [nodes[f"{stage}.guider"].inputs["cfg"] for stage in ("base", "outpaint")] == [1.0] * 2
    nodes = made(TILED.format(0)).graph.nodes
    assert nodes["hires_fix.guider"].inputs["cfg"] == 1.0


def test_a_negative_prompt_that_nothing_reads_is_told() -> None:
    assert told(made("a cat\nnegative_prompt=dog")) == []
    assert told(made("a cat\ncfg_scale=1.2\nnegative_prompt=dog")) == []
    assert told(made("a cat\ncfg_scale=1\nnegative_prompt=dog")) == ["negative-without-effect"]
    assert told(made("a cat\ncfg_scale=0\nnegative_prompt=dog")) == list(CODES)
    people = "a street BREAK BREAK woman BREAK man\ncfg_scale=1\nnegative_prompt=a BREAK BREAK b"
    assert told(made(people)) == ["negative-without-effect"]
    assert told(made(TILED.format(3))) == [], "the tiles read it"
    assert told(made(TILED.format(1))) == ["negative-without-effect"]
