"""What the plan tells of the numbers that stages have of their own.

What is told is what the graph holds.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from comfyui_astria.nodes.families.family import FAMILIES
from comfyui_astria.nodes.graph.graph import Socket
from comfyui_astria.nodes.pipeline.build.settings import default_cfg
from comfyui_astria.nodes.pipeline.build.sources import Options
from comfyui_astria.nodes.pipeline.build.text import Models
from comfyui_astria.nodes.pipeline.compiling import CompileOptions
from comfyui_astria.nodes.pipeline.explain import explain
from comfyui_astria.nodes.pipeline.plan import Plan, plan
from comfyui_astria.nodes.prompt import PromptRequest

from .support import EQUIPPED, draft_text, equipped, plan_text, resolver, sources, store_with_photos

CANVAS = "--outpaint center --outpaint_width 1280 --outpaint_height 1280"
SET = "set in the prompt"
DEFAULTS = [
    "default weight of the tile ControlNet",
    "default of --tiled_upscale_v2",
    "default of the second sampling",
]


def told(planned: Plan) -> dict[str, tuple[object, str]]:
    return {one.key: (one.value, one.reason) for one in planned.settings.explained}


def values(planned: Plan) -> dict[str, object]:
    return {key: value for key, (value, _) in told(planned).items()}


@pytest.mark.parametrize(("flags", "family", "reasons"), [
    ("", "sd15", DEFAULTS),
    ("--hires_denoising_strength 0.2 --resemblance 0.9 --hires_cfg_scale 4", "sd15", [SET] * 3),
    ("", "flux", DEFAULTS),
])  # fmt: skip
def test_the_second_samplings_own_numbers(flags: str, family: str, reasons: list[str]) -> None:
    planned = equipped(f"a cat --tiled_upscale_v2 {flags}", family)
    nodes, found = planned.graph.nodes, told(planned)
    keys = ("resemblance", "hires_cfg_scale", "hires_denoising_strength")
    assert [found[key][1] for key in keys] == reasons
    cfg = (
        nodes["hires_fix.tile_guidance"].inputs["guidance"]
        if family == "flux"
        else nodes["hires_fix.guider"].inputs["cfg"]
    )
    drawn = (
        nodes["hires_fix.control_tile"].inputs["strength"],
        cfg,
        nodes["hires_fix.sigmas"].inputs["denoise"],
    )
    assert tuple(found[key][0] for key in keys) == drawn


def test_numbers_are_told_only_where_they_count() -> None:
    own = set(told(plan_text("a cat")))
    assert set(told(plan_text("a cat\nhires_fix=true"))) - own == {"hires_denoising_strength"}
    assert set(told(plan_text("a cat --tiled_upscale"))) - own == {"hires_denoising_strength"}
    assert "hires_cfg_scale" not in told(equipped("a cat --tiled_upscale_v2", "flux_schnell"))
    zero = equipped("a cat --tiled_upscale_v2 --hires_denoising_strength 0")
    assert set(told(zero)) - own == {"hires_denoising_strength"}
    skipped = plan_text(
        "a cat\nhires_fix=true", bindings="", options=Options(missing_models="skip")
    )
    assert set(told(skipped)) == own
    assert "canny.weight" not in told(
        draft_text("a cat\ncontrolnet=canny\ndenoising_strength=0", image=True)
    )


def test_the_controlnets_numbers() -> None:
    planned = equipped("a room --controlnets canny tile --controlnet_weights 0.8", image=True)
    found, nodes = told(planned), planned.graph.nodes
    assert (
        found["canny.weight"] == (nodes["base.control_canny"].inputs["strength"], SET) == (0.8, SET)
    )
    assert (
        found["tile.weight"]
        == (nodes["base.control_tile"].inputs["strength"], "default")
        == (1.0, "default")
    )
    assert found["control_guidance_end"] == (1.0, "default: ControlNets steer to the end")
    scaled = told(
        equipped(
            "a room --control_guidance_end"
            " 0.5\ncontrolnet=canny\ncontrolnet_conditioning_scale=0.4",
            image=True,
        )
    )
    assert (scaled["canny.weight"], scaled["control_guidance_end"]) == ((0.4, SET), (0.5, SET))


def test_the_numbers_of_a_union_controlnet_are_told_with_their_reason() -> None:
    union = EQUIPPED.replace("controlnet_canny = canny", "controlnet_union = union").replace(
        "controlnet_pose = pose.safetensors\n", ""
    )
    text = "a room --controlnets pose hed tile"
    both = {"bindings": union, "image": True, "control_image": True}
    flux = told(plan_text(text, "flux", **both))
    advised = "default: advised by the authors of Flux's Union-Pro-2.0"
    assert flux["pose.weight"] == (0.9, advised)
    assert flux["pose.control_guidance_end"] == (0.65, advised)
    weight, why = flux["tile.weight"]
    assert (weight, why.startswith("default; of a union of Flux its authors advise 0.8")) == (
        1,
        True,
    )
    assert flux["control_guidance_end"] == (1.0, "default: ControlNets steer to the end")
    assert flux["pose.mode"][0] == 4
    value, reason = flux["hed.mode"]
    assert value == "none"
    assert "have no mode for it" in reason and "controlnet_hed" in reason
    sdxl = told(plan_text(text, "sdxl", **both))
    assert (sdxl["pose.mode"][0], sdxl["hed.mode"][0]) == (0, 2)
    assert sdxl["pose.weight"] == (1.0, "default")
    ended = told(plan_text(f"{text} --control_guidance_end 1", "flux", **both))
    assert ended["control_guidance_end"] == (1.0, SET)
    assert "pose.control_guidance_end" not in ended
    assert "canny.mode" not in told(equipped("a room\ncontrolnet=canny", image=True))


def test_the_constant_pose_is_told_where_it_steers() -> None:
    people = "a street BREAK BREAK ohwx woman"
    assert told(plan_text(people, pose_controlnet=True))["pose.weight"] == (1.0, "default")
    assert "pose.weight" not in told(plan_text(people)), "without a ControlNet it does not"


@pytest.mark.parametrize("name", FAMILIES)
def test_the_outpaintings_own_numbers(name: str) -> None:
    planned = plan_text(f"a cat {CANVAS}", name)
    nodes, found = planned.graph.nodes, values(planned)
    sigmas = nodes["outpaint.sigmas"].inputs
    assert (found["outpaint.steps"], found["outpaint.strength"]) == (
        sigmas["steps"],
        sigmas["denoise"],
    )
    guided = nodes.get("outpaint.guidance") or nodes["outpaint.guider"]
    assert found["outpaint.cfg_scale"] == guided.inputs.get(
        "guidance", guided.inputs.get("cfg", 1.0)
    )


def test_an_outpainting_model_of_its_own_is_the_one_told_of() -> None:
    given = replace(
        sources("flux_schnell"),
        outpaint_models=Models(Socket("outpaint_model"), Socket("clip"), Socket("vae")),
        outpaint_family=FAMILIES["flux_fill"],
    )
    found = told(plan(PromptRequest.require(f"a cat {CANVAS}"), given, resolver(), Options()))
    assert found["outpaint.steps"] == (28, "default of Flux.1 Fill")
    assert found["outpaint.cfg_scale"][0] == 30.0
    assert found["outpaint.strength"] == (1.0, "Flux.1 Fill is shown the source beside the noise")
    assert told(plan_text(f"a cat {CANVAS}\nsteps=9\ncfg_scale=2"))["outpaint.cfg_scale"] == (
        2.0,
        SET,
    )


def test_a_face_in_the_new_area_has_the_guidance_of_faces(tmp_path: Path) -> None:
    assert (
        default_cfg(FAMILIES["sd15"], has_faceids=True)[0]
        == default_cfg(FAMILIES["sdxl_inpaint"], has_faceids=True)[0]
        == 3.0
    )
    assert default_cfg(FAMILIES["sd15"], has_faceids=False)[0] == 7.0
    assert default_cfg(FAMILIES["flux_fill"], has_faceids=True)[0] == 30.0
    store = store_with_photos(tmp_path, 7)
    face = equipped(f"<faceid:7:1> woman {CANVAS}", store=store)
    assert told(face)["outpaint.cfg_scale"] == (3.0, "default with FaceID")
    assert face.graph.nodes["outpaint.guider"].inputs["cfg"] == 3.0
    assert (
        told(equipped(f"<faceid:7:1> woman {CANVAS} --outpaint_prompt fields", store=store))[
            "outpaint.cfg_scale"
        ][0]
        == 7.0
    )


def test_the_report_shows_them() -> None:
    text = f"a cat {CANVAS}\nhires_fix=true"
    report = explain(
        PromptRequest.require(text), resolver(), CompileOptions(), FAMILIES["sd15"]
    ).text
    assert (
        "hires_denoising_strength 0.4                      default of the second sampling" in report
    )
    assert "outpaint.steps           30                       default of SD1.5" in report


def test_faces_are_counted_where_their_stage_runs() -> None:
    def calls(bindings: str) -> str:
        request = PromptRequest.require("a cat\ninpaint_faces=true")
        options = CompileOptions(options=Options(missing_models="skip"))
        report = explain(request, resolver(bindings), options, FAMILIES["sd15"]).text
        return next(line for line in report.splitlines() if line.startswith("Sampler calls"))

    assert (
        calls(EQUIPPED)
        == "Sampler calls: 2 for 1 image(s); the faces take one each as many as fit the memory"
    )
    assert calls("") == "Sampler calls: 1 for 1 image(s)"


def test_a_model_that_two_stages_lack_is_told_once_and_their_sampling_is_not_ruled_out() -> None:
    request = PromptRequest.require(
        "a cat\nsuper_resolution=true\nhires_fix=true\ninpaint_faces=true"
    )
    report = explain(request, resolver(""), CompileOptions(), FAMILIES["sd15"]).text
    assert report.count("no upscaler is bound") == 1
    assert "Or set missing_models to skip: faces are then drawn" in report
    assert "Sampler calls: at least 1 for 1 image(s)" in report
    nothing = PromptRequest.require("a cat\ndenoising_strength=0\ninput_image=cat.png")
    options = CompileOptions(image="cat.png")
    assert "Sampler calls: 0 for" in explain(nothing, resolver(""), options, FAMILIES["sd15"]).text
