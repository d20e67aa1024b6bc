"""Plans of Flux.2: its latent, its guidance, and noise levels by size and steps in every stage."""

from __future__ import annotations

import pytest
from comfyui_astria.nodes.graph.graph import Link, Socket
from comfyui_astria.nodes.pipeline.build.sources import Options
from comfyui_astria.nodes.pipeline.plan import draft, encode_request
from comfyui_astria.nodes.prompt import PromptRequest
from comfyui_astria.tests.pipeline.support import (
    EQUIPPED,
    plan_text,
    resolver,
    sources,
)

KLEIN = "flux2_klein_4b"


def test_dev_is_guided_by_its_text_on_its_own_latent() -> None:
    nodes = plan_text("a cat\nw=1000\nh=768", "flux2").graph.nodes
    assert nodes["base.latent"].class_type == "EmptyFlux2LatentImage"
    assert nodes["base.latent"].inputs["width"] == 1008, "sizes go by 16"
    assert nodes["base.guidance"].inputs["guidance"] == 4.0
    assert nodes["base.guider"].class_type == "BasicGuider"
    assert nodes["base.sigmas"].inputs | {"model": None} == {
        "model": None,
        "scheduler": "simple",
        "steps": 20,
        "denoise": 1.0,
    }
    shift = nodes["base.shift"].inputs
    assert (shift["width"], shift["height"], shift["steps"]) == (1008, 768, 20)
    assert nodes["base.guider"].inputs["model"] == nodes["base.sigmas"].inputs["model"]
    assert nodes["base.guider"].inputs["model"] == Link("base.shift")


@pytest.mark.parametrize("family", [KLEIN, "flux2_klein_9b"])
def test_distilled_klein_takes_four_steps_and_no_guidance(family: str) -> None:
    planned = plan_text("a cat\ncfg_scale=5\nnegative_prompt=dog", family)
    nodes = planned.graph.nodes
    assert "base.guidance" not in nodes
    assert nodes["base.guider"].class_type == "BasicGuider"
    assert nodes["base.sigmas"].inputs["steps"] == 4
    told = {problem.code for problem in planned.problems}
    assert told >= {"negative-without-effect", "no-effect"}


STAGES = {
    "base": ("a cat", {"image": True}, Link("base.fit")),
    "outpaint": (
        "a cat --outpaint top-left --outpaint_width 1200 --outpaint_height 900",
        {"image": True},
        Link("outpaint.canvas"),
    ),
    "hires_fix": (
        "a cat\nhires_fix=true\nsuper_resolution=true",
        {"upscale_model": True},
        Link("hires_fix.fit"),
    ),
}


@pytest.mark.parametrize("stage", STAGES)
def test_noise_levels_go_by_the_picture_that_is_sampled(stage: str) -> None:
    text, sockets, picture = STAGES[stage]
    nodes = plan_text(text, "flux2", **sockets).graph.nodes
    assert nodes[f"{stage}.sampled_size"].inputs["image"] == picture
    shift = nodes[f"{stage}.shift"].inputs
    assert (shift["width"], shift["height"]) == (
        Link(f"{stage}.sampled_size", 0),
        Link(f"{stage}.sampled_size", 1),
    )
    assert nodes[f"{stage}.sigmas"].inputs["model"] == Link(f"{stage}.shift")


def test_tiles_and_faces_have_noise_levels_of_their_own_size() -> None:
    text = "a cat BREAK {} BREAK woman BREAK man --tiled_upscale\ninpaint_faces=true"
    text += "\nsuper_resolution=true"
    planned = draft(PromptRequest.require(text), sources("flux2"), resolver(EQUIPPED), Options())
    nodes = planned.graph.nodes
    for stage in ("hires_fix", "inpaint_faces"):
        shift = nodes[f"{stage}.shift"].inputs
        assert (shift["width"], shift["height"]) == (1024, 1024)
    assert nodes["inpaint_faces.faces"].inputs["model"] == Link("inpaint_faces.shift")
    assert nodes["hires_fix.shift"].inputs["model"] == Link("hires_fix.tiles")


def test_other_families_have_no_shift() -> None:
    assert not [name for name in plan_text("a cat", "flux").graph.nodes if "shift" in name]


def test_outpainting_is_a_noise_mask_with_differential_diffusion() -> None:
    nodes = plan_text(STAGES["outpaint"][0], "flux2", image=True).graph.nodes
    assert nodes["outpaint.noise_mask"].class_type == "SetLatentNoiseMask"
    assert nodes["outpaint.differential"].class_type == "DifferentialDiffusion"
    assert nodes["outpaint.canvas"].inputs["multiple"] == 16


def test_the_report_names_the_shift_and_your_own_sampler_is_told_of_it() -> None:
    [shift] = [one for one in plan_text("a cat", "flux2").settings.explained if one.key == "shift"]
    assert "Flux2Scheduler" in shift.reason
    request = PromptRequest.require("a cat")
    _, problems = encode_request(request, sources("flux2"), resolver(), Link("none"))
    assert "Astria Flux.2 Shift" in next(p.hint for p in problems if p.code == "shift-by-size")
    _, problems = encode_request(request, sources("flux"), resolver(), Link("none"))
    assert not problems


def test_people_for_an_own_sampler_are_told_what_composes_them() -> None:
    request = PromptRequest.require("a street BREAK BREAK a man BREAK a woman")
    of_family = {
        family: [
            one.hint
            for one in encode_request(request, sources(family), resolver(), Socket("regions"))[1]
            if one.code == "own-composition"
        ]
        for family in ("flux", "flux2", "sd15")
    }
    assert of_family["sd15"] == []
    assert [len(of_family[family]) for family in ("flux", "flux2")] == [1, 1]
    assert "how many there are" in of_family["flux"][0]
