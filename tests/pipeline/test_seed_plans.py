"""Every seed prompt's plan against the pipeline: stages in order, their sizes, what is said of each, and what is not built yet."""

from __future__ import annotations

import json

import pytest
from comfyui_astria.nodes.pipeline.family import FAMILIES
from comfyui_astria.nodes.pipeline.graph import Link
from comfyui_astria.nodes.pipeline.plan import Options, draft, plan
from comfyui_astria.nodes.prompt import PromptRequest

from .support import ROOT, draft_text, plan_text, resolver, seed_prompt, sources

OWN = "the input image's size"

# name, image connected -> (stage, kind, size, built) in order
STAGES = {
    ("outpaint_only", True): [("outpaint", "outpaint", "864x1296", True), ("super_resolution", "upscale model", "3456x5184", True)],
    ("outpaint_text_to_image", False): [("base", "txt2img", "1024x1024", True), ("outpaint", "outpaint", "1792x1024", True)],
    ("outpaint_second_person", False): [("base", "txt2img", "1024x1024", True), ("outpaint", "outpaint", "1792x1024", True)],
    ("multi_person", False): [("base", "txt2img", "1024x576", True)],
    ("multi_person_background", True): [
        ("base", "inpaint", OWN, True),
        ("hires_fix", "hires fix", f"2x {OWN}", False),
        ("super_resolution", "upscale model", f"4x {OWN}", True),
        ("inpaint_faces", "inpaint faces", f"4x {OWN}", False),
        ("face_swap", "face swap", f"4x {OWN}", False),
    ],
    ("masked_portrait", True): [
        ("base", "img2img", OWN, True),
        ("hires_fix", "hires fix", f"2x {OWN}", False),
        ("super_resolution", "upscale model", f"4x {OWN}", True),
        ("face_correct", "face correct", f"4x {OWN}", False),
    ],
}

NOT_BUILT = {
    "multi_person_background": ["hires_fix=true", "inpaint_faces=true", "face_swap=true"],
    "masked_portrait": ["controlnet=pose", "--mask_prompt", "hires_fix=true", "face_correct=true"],
}


@pytest.mark.parametrize(("name", "image"), STAGES)
@pytest.mark.parametrize("family", FAMILIES)
def test_stages_of_each_seed_prompt(name: str, image: bool, family: str) -> None:
    drafted = draft_text(seed_prompt(name), family, image=image)
    assert [(stage.name, stage.kind, stage.size, stage.built) for stage in drafted.stages] == STAGES[name, image]


@pytest.mark.parametrize("name", NOT_BUILT)
def test_what_is_not_built_is_an_error_naming_each_part(name: str) -> None:
    drafted = draft_text(seed_prompt(name), image=True)
    said = [problem.message for problem in drafted.errors if problem.code == "not-built"]
    assert len(said) == len(NOT_BUILT[name])
    for message, part in zip(said, NOT_BUILT[name], strict=True):
        assert message.startswith(part)
    assert not drafted.graph.nodes, "nothing is planned for a request that cannot be run whole"


FIELDS = [("face_inpainting", ["inpaint_faces=true"]), ("faceid", ["<faceid:...>", "face_swap=true", "face_correct=true"])]


@pytest.mark.parametrize(("file", "expected"), FIELDS)
def test_requests_sent_as_fields(file: str, expected: list[str]) -> None:
    request, _ = PromptRequest.from_fields(json.loads((ROOT / f"tests/seeds/{file}.json").read_text(encoding="utf-8")))
    drafted = draft(request, sources("flux"), resolver(), Options())
    assert [problem.message.split(":")[0].removesuffix("...>") for problem in drafted.errors] == [one.split(":")[0] for one in expected]
    assert [stage.name for stage in drafted.stages if stage.built] == ["base", "super_resolution"]


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
    assert nodes["base.positive"].inputs["text"] == "ohwx woman, dressed in cozy peach sweater, shoulders up, depth of field"
    assert nodes["outpaint.positive"].inputs["text"] == "president Trump the middle of the field"
    assert "outpaint.lora_1" not in nodes
    assert nodes["outpaint.canvas"].inputs["image"] == Link("base.decode")
    assert nodes["outpaint.canvas"].inputs["anchor"] == "left-center"


def test_without_outpaint_prompt_the_prompts_own_words_and_loras_paint_the_new_area() -> None:
    text = "<lora:1533312:0.8> ohwx woman, fields --outpaint center --outpaint_width 512 --outpaint_height 512"
    nodes = plan_text(text).graph.nodes
    assert nodes["outpaint.positive"].inputs["text"] == nodes["base.positive"].inputs["text"] == "ohwx woman, fields"
    assert nodes["outpaint.lora_1"].inputs["strength_model"] == nodes["base.lora_1"].inputs["strength_clip"] == 0.8


FAMILY_MEANS = {
    "sd15": ("SetLatentNoiseMask", "edge", 8, 0.95, "CFGGuider"),
    "sdxl": ("SetLatentNoiseMask", "edge", 8, 0.95, "CFGGuider"),
    "flux": ("SetLatentNoiseMask", "edge", 16, 0.95, "BasicGuider"),
    "sd15_inpaint": ("InpaintModelConditioning", "neutral", 8, 1.0, "CFGGuider"),
    "sdxl_inpaint": ("InpaintModelConditioning", "neutral", 8, 1.0, "CFGGuider"),
    "flux_fill": ("InpaintModelConditioning", "neutral", 16, 1.0, "BasicGuider"),
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
    assert plan_text("a cat\ncfg_scale=4.5", family).graph.nodes["base.guidance"].inputs["guidance"] == 4.5


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
    ],
)
def test_scheduler_names(scheduler: str, sampler: str, sd_schedule: str) -> None:
    for family, schedule in (("sd15", sd_schedule), ("sdxl", sd_schedule), ("flux", "simple")):
        nodes = plan_text(f"a cat\nscheduler={scheduler}", family).graph.nodes
        assert nodes["base.method"].inputs["sampler_name"] == sampler
        assert nodes["base.sigmas"].inputs["scheduler"] == schedule


def test_every_seed_prompt_that_is_built_plans_for_every_family() -> None:
    for name in ("outpaint_only", "outpaint_text_to_image", "outpaint_second_person", "multi_person"):
        for family in FAMILIES:
            request = PromptRequest.require(seed_prompt(name))
            assert plan(request, sources(family, image=name == "outpaint_only"), resolver(), Options()).output is not None
