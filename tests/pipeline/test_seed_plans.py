"""Every seed prompt's plan against the pipeline.

Stages in order, their sizes, what is said of each, and what is not built yet.
"""

from __future__ import annotations

import json

import pytest
from comfyui_astria.nodes.families.family import FAMILIES
from comfyui_astria.nodes.graph.graph import Link
from comfyui_astria.nodes.pipeline.build.sources import Options
from comfyui_astria.nodes.pipeline.plan import draft, plan
from comfyui_astria.nodes.prompt import PromptRequest

from .support import ROOT, draft_text, plan_text, resolver, seed_prompt, sources

OWN = "the input image's size"

# name, image connected -> (stage, kind, size) in order
STAGES = {
    ("outpaint_only", True): [
        ("outpaint", "outpaint", "864x1296"),
        ("super_resolution", "upscale model", "3456x5184"),
    ],
    ("outpaint_text_to_image", False): [
        ("base", "txt2img", "1024x1024"),
        ("outpaint", "outpaint", "1792x1024"),
    ],
    ("outpaint_second_person", False): [
        ("base", "txt2img", "1024x1024"),
        ("outpaint", "outpaint", "1792x1024"),
    ],
    ("multi_person", False): [("base", "txt2img", "1024x576")],
    ("multi_person_background", True): [
        ("base", "inpaint", OWN),
        ("hires_fix", "hires fix", f"2x {OWN}"),
        ("super_resolution", "upscale model", f"4x {OWN}"),
        ("inpaint_faces", "inpaint faces", f"4x {OWN}"),
        ("face_swap", "face swap", f"4x {OWN}"),
    ],
    ("masked_portrait", True): [
        ("base", "inpaint", OWN),
        ("hires_fix", "hires fix", f"2x {OWN}"),
        ("super_resolution", "upscale model", f"4x {OWN}"),
        ("face_correct", "face correct", f"4x {OWN}"),
    ],
}


@pytest.mark.parametrize(("name", "image"), STAGES)
@pytest.mark.parametrize("family", FAMILIES)
def test_stages_of_each_seed_prompt(name: str, image: bool, family: str) -> None:
    drafted = draft_text(seed_prompt(name), family, image=image)
    assert [(stage.name, stage.kind, stage.size) for stage in drafted.stages] == STAGES[name, image]


# What each seed prompt needs beside MODEL, CLIP, VAE and the files bound in these tests.
NEEDED = {
    "multi_person_background": ["749152", "749183", "face_analysis", "photos", "face_swapper"],
    "masked_portrait": ["pose_estimator", "segmenter", "face_restorer"],
}


@pytest.mark.parametrize("name", NEEDED)
def test_every_file_that_a_seed_prompt_lacks_is_told_at_once(name: str) -> None:
    drafted = draft_text(seed_prompt(name), image=True)
    assert not drafted.errors
    assert {one.key if one.what != "photos" else "photos" for one in drafted.missing} == set(
        NEEDED[name]
    )


@pytest.mark.parametrize(
    ("file", "stages"),
    [
        ("face_inpainting", ["base", "super_resolution", "inpaint_faces"]),
        ("faceid", ["base", "super_resolution", "face_swap", "face_correct"]),
    ],
)
def test_requests_sent_as_fields(file: str, stages: list[str]) -> None:
    request, _ = PromptRequest.from_fields(
        json.loads((ROOT / f"tests/seeds/{file}.json").read_text(encoding="utf-8"))
    )
    drafted = draft(request, sources("flux"), resolver(), Options())
    assert not drafted.errors
    assert [stage.name for stage in drafted.stages] == stages


def test_outpaint_only_leaves_the_picture_to_the_outpaint_stage() -> None:
    planned = plan_text(seed_prompt("outpaint_only"), "flux_fill", image=True)
    assert planned.sampler_calls == 1
    fit = planned.graph.nodes["input.fit"]
    assert (fit.inputs["width"], fit.inputs["height"]) == (576, 864)
    canvas = planned.graph.nodes["outpaint.canvas"].inputs
    assert canvas["image"] == Link("input.fit")
    assert (canvas["anchor"], canvas["width"], canvas["height"]) == ("top-center", 864, 1296)
    assert planned.graph.nodes["super_resolution.upscale"].inputs["factor"] == 4.0
    assert planned.graph.nodes["outpaint.method"].inputs["sampler_name"] == "euler_ancestral"


def test_outpaint_prompt_leaves_the_first_persons_lora_out_of_the_new_area() -> None:
    nodes = plan_text(seed_prompt("outpaint_second_person"), "flux").graph.nodes
    assert nodes["base.lora_1"].inputs["lora_name"] == "my_wife.safetensors"
    assert (
        nodes["base.positive"].inputs["text"]
        == "ohwx woman, dressed in cozy peach sweater, shoulders up, depth of field"
    )
    assert nodes["outpaint.positive"].inputs["text"] == "president Trump the middle of the field"
    assert "outpaint.lora_1" not in nodes
    assert nodes["outpaint.canvas"].inputs["image"] == Link("base.decode")
    assert nodes["outpaint.canvas"].inputs["anchor"] == "left-center"


@pytest.mark.parametrize(
    ("family", "is_told"),
    [(family, True) for family in ("flux", "flux2", "zimage", "krea2")]
    + [(family, False) for family in ("sd15", "sdxl", "flux_fill")],
)
def test_a_text_that_speaks_of_the_whole_picture_is_told_to_name_its_source_too(
    family: str, is_told: bool
) -> None:
    canvas = "a woman --outpaint center --outpaint_width 512 --outpaint_height 512"
    planned = plan_text(f"{canvas} --outpaint_prompt 'a man'", family, image=family == "flux_fill")
    told = [one for one in planned.problems if one.code == "outpaint-prompt-whole"]
    assert len(told) == is_told
    assert all("say in outpaint_prompt all that the new picture shows" in one.hint for one in told)
    alone = plan_text(canvas, family, image=family == "flux_fill")
    assert "outpaint-prompt-whole" not in [one.code for one in alone.problems]


@pytest.mark.parametrize("family", ["sd15", "flux", "flux_fill"])
def test_words_that_paint_the_new_area_as_well_are_told(family: str) -> None:
    canvas = "--outpaint center --outpaint_width 512 --outpaint_height 512"

    def told(text: str) -> list[str]:
        planned = plan_text(f"{text} {canvas}", family, image=family == "flux_fill")
        found = [one for one in planned.problems if one.code == "outpaint-prompt-own"]
        assert all('--outpaint_prompt "fields"' in one.hint for one in found)
        return [one.severity for one in found]

    assert told("a woman") == ["info"]
    assert told("a woman --outpaint_prompt 'fields'") == []
    assert told("") == []
    assert told("<lora:1533312:1>") == []


def test_without_outpaint_prompt_the_prompts_own_words_and_loras_paint_the_new_area() -> None:
    text = (
        "<lora:1533312:0.8> ohwx woman, fields --outpaint center --outpaint_width 512"
        " --outpaint_height 512"
    )
    nodes = plan_text(text).graph.nodes
    assert (
        nodes["outpaint.positive"].inputs["text"]
        == nodes["base.positive"].inputs["text"]
        == "ohwx woman, fields"
    )
    assert (
        nodes["outpaint.lora_1"].inputs["strength_model"]
        == nodes["base.lora_1"].inputs["strength_clip"]
        == 0.8
    )


FAMILY_MEANS = {
    "sd15": ("SetLatentNoiseMask", "edge", 8, 0.95, "CFGGuider"),
    "sdxl": ("SetLatentNoiseMask", "edge", 8, 0.95, "CFGGuider"),
    "flux": ("SetLatentNoiseMask", "edge", 16, 0.95, "BasicGuider"),
    "flux_schnell": ("SetLatentNoiseMask", "edge", 16, 0.95, "BasicGuider"),
    "zimage_turbo": ("SetLatentNoiseMask", "edge", 16, 0.95, "BasicGuider"),
    "zimage": ("SetLatentNoiseMask", "edge", 16, 0.95, "CFGGuider"),
    "sd15_inpaint": ("InpaintModelConditioning", "neutral", 8, 1.0, "CFGGuider"),
    "sdxl_inpaint": ("InpaintModelConditioning", "neutral", 8, 1.0, "CFGGuider"),
    "flux_fill": ("InpaintModelConditioning", "neutral", 16, 1.0, "BasicGuider"),
    "flux2": ("SetLatentNoiseMask", "edge", 16, 0.95, "BasicGuider"),
    "flux2_klein_4b": ("SetLatentNoiseMask", "edge", 16, 0.95, "BasicGuider"),
    "flux2_klein_9b": ("SetLatentNoiseMask", "edge", 16, 0.95, "BasicGuider"),
    "flux2_klein_4b_base": ("SetLatentNoiseMask", "edge", 16, 0.95, "CFGGuider"),
    "flux2_klein_9b_base": ("SetLatentNoiseMask", "edge", 16, 0.95, "CFGGuider"),
    "krea2_turbo": ("AstriaEncodeImages", "edge", 16, 0.95, "BasicGuider"),
    "krea2": ("AstriaEncodeImages", "edge", 16, 0.95, "CFGGuider"),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_outpaints_by_its_own_means(family: str) -> None:
    nodes = plan_text(seed_prompt("outpaint_only"), family, image=True).graph.nodes
    mask_class, fill, multiple, denoise, guider = FAMILY_MEANS[family]
    classes = {call.class_type for call in nodes.values()}
    assert mask_class in classes
    assert "DifferentialDiffusion" in classes
    assert nodes["outpaint.canvas"].inputs["fill"] == fill
    assert nodes["outpaint.canvas"].inputs["multiple"] == multiple
    assert nodes["outpaint.sigmas"].inputs["denoise"] == denoise
    assert nodes["outpaint.guider"].class_type == guider


@pytest.mark.parametrize(("family", "guidance"), [("flux", 3.5), ("flux_fill", 30.0)])
def test_flux_takes_cfg_scale_as_distilled_guidance(family: str, guidance: float) -> None:
    assert plan_text("a cat", family).graph.nodes["base.guidance"].inputs["guidance"] == guidance
    assert (
        plan_text("a cat\ncfg_scale=4.5", family).graph.nodes["base.guidance"].inputs["guidance"]
        == 4.5
    )


@pytest.mark.parametrize(
    ("scheduler", "sampler", "sd_schedule"),
    [
        ("euler", "euler", "normal"),
        ("euler_a", "euler_ancestral", "normal"),
        ("dpm++2m_karras", "dpmpp_2m", "karras"),
        ("dpm++sde_karras", "dpmpp_sde", "karras"),
        ("dpm++2m", "dpmpp_2m", "normal"),
        ("dpm++sde", "dpmpp_sde", "normal"),
        ("lcm", "lcm", "sgm_uniform"),
        ("res_multistep", "res_multistep", "simple"),
    ],
)
def test_scheduler_names(scheduler: str, sampler: str, sd_schedule: str) -> None:
    for family, schedule in (("sd15", sd_schedule), ("sdxl", sd_schedule), ("flux", "simple")):
        nodes = plan_text(f"a cat\nscheduler={scheduler}", family).graph.nodes
        assert nodes["base.method"].inputs["sampler_name"] == sampler
        assert nodes["base.sigmas"].inputs["scheduler"] == schedule


def test_every_seed_prompt_that_is_built_plans_for_every_family() -> None:
    for name in (
        "outpaint_only",
        "outpaint_text_to_image",
        "outpaint_second_person",
        "multi_person",
    ):
        for family in FAMILIES:
            request = PromptRequest.require(seed_prompt(name))
            assert (
                plan(
                    request, sources(family, image=name == "outpaint_only"), resolver(), Options()
                ).output
                is not None
            )
