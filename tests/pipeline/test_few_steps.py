"""What was made for few steps is told where it is painted as ordinary models are."""

from __future__ import annotations

from dataclasses import replace

import pytest
from comfyui_astria.nodes.families.family import FAMILIES
from comfyui_astria.nodes.families.few_steps import few_steps_of
from comfyui_astria.nodes.pipeline.build.sources import Options
from comfyui_astria.nodes.pipeline.compiling import CompileOptions, compile_request
from comfyui_astria.nodes.pipeline.explain import explain
from comfyui_astria.nodes.pipeline.plan import Plan, draft
from comfyui_astria.nodes.prompt import PromptRequest
from comfyui_astria.nodes.tunes.bindings import Bindings
from comfyui_astria.nodes.tunes.resolve import Resolver

from .support import EQUIPPED, FILES, TestFiles, sources

LIGHTNING = "sdxl_lightning_4step_lora.safetensors"
GUIDED = "Hyper-SDXL-8steps-CFG-lora.safetensors"
OF_FLUX = "Hyper-FLUX.1-dev-8steps-lora.safetensors"
LCM = "lcm-lora-sdxl.safetensors"
CHECKPOINT = "juggernautXL_lightning.safetensors"
FEW = {
    **FILES,
    "loras": [*FILES["loras"], LIGHTNING, GUIDED, OF_FLUX, LCM],
    "checkpoints": [*FILES["checkpoints"], CHECKPOINT],
}
BY_LORA = "a cat <lora:sdxl_lightning_4step_lora:1>"


def resolver(bindings: str = EQUIPPED) -> Resolver:
    return Resolver(Bindings.parse(bindings, "test"), None, TestFiles(FEW))


def made(text: str, family: str = "sdxl", model: str = "", **sockets: bool) -> Plan:
    given = replace(sources(family, **sockets), model_file=model)
    return draft(PromptRequest.require(text), given, resolver(), Options())


def warned(planned: Plan) -> str:
    return " ".join(one.render() for one in planned.problems if one.code == "few-steps")


@pytest.mark.parametrize(
    ("file", "steps"),
    [
        ("sd_xl_turbo_1.0_fp16.safetensors", 0),
        ("juggernautXL_v9Rdphoto2Lightning.safetensors", 0),
        ("sdxl_lightning_8step.safetensors", 8),
        ("Hyper-SDXL-1step-Unet.safetensors", 1),
        ("models/dmd2_sdxl_4step_unet.safetensors", 4),
        ("dreamshaper_8LCM.safetensors", 0),
        ("z_image_deturbo.safetensors", None),
        ("undistilled_de-turbo.safetensors", None),
        ("hyperrealism_v3.safetensors", None),
        ("turbo/rv51.safetensors", None),
        ("anna_1500steps.safetensors", None),
        ("anna-step00001600.safetensors", None),
        ("rv51.safetensors", None),
    ],
)
def test_names_of_models_for_few_steps(file: str, steps: int | None) -> None:
    found = few_steps_of(file)
    assert (found and found.steps) == steps


@pytest.mark.parametrize(
    ("file", "is_one"),
    [
        (LIGHTNING, True),
        ("sd_xl_turbo_lora_v1.safetensors", True),
        ("FLUX.1-Turbo-Alpha.safetensors", True),
        ("flux1-dev-turbo.safetensors", True),
        ("pcm_sdxl_smallcfg_2step.safetensors", True),
        ("TCD-SDXL-LoRA.safetensors", True),
        ("dreamshaperXL_turbo_lora.safetensors", True),
        ("porsche_turbo.safetensors", False),
        ("pixel-turbo-style.safetensors", False),
        ("lightning_over_the_sea.safetensors", False),
        ("anna-000012.safetensors", False),
        ("anna_2000_steps.safetensors", False),
    ],
)
def test_a_lora_is_one_beside_the_name_of_a_model_alone(file: str, is_one: bool) -> None:
    assert (few_steps_of(file, is_lora=True) is not None) is is_one


def test_ordinary_numbers_are_told_and_what_to_set() -> None:
    told = warned(made(BY_LORA))
    assert LIGHTNING in told
    assert "steps=30 and cfg_scale=7" in told
    assert "Set steps=4 and cfg_scale=1 to 2" in told
    assert "steps=" not in warned(made(f"{BY_LORA}\nsteps=4")).partition("Set")[0]
    assert "cfg_scale=7" in warned(made(f"{BY_LORA}\nsteps=4"))
    assert not warned(made(f"{BY_LORA}\nsteps=4\ncfg_scale=1"))


@pytest.mark.parametrize(
    "text",
    [
        "a street BREAK BREAK <lora:sdxl_lightning_4step_lora:1> woman BREAK man",
        "a street BREAK <lora:sdxl_lightning_4step_lora:1> BREAK woman BREAK man",
        "a street BREAK BREAK woman BREAK <lora:juggernautXL_lightning:1> man",
        "a cat --outpaint center --outpaint_width 1280 --outpaint_height 1280"
        ' --outpaint_prompt "a field <lora:sdxl_lightning_4step_lora:1>"',
    ],
)
def test_whoever_wears_it_it_is_told_once(text: str) -> None:
    assert warned(made(text)).count("By the name, ") == 1


def test_a_weight_of_nothing_an_unknown_name_and_a_plain_model_are_not_told() -> None:
    assert not warned(made("a cat <lora:sdxl_lightning_4step_lora:0>"))
    assert not warned(made("a cat <lora:sdxl_lightning_8step_lora:1>"))
    assert not warned(made("a cat", model="rv51.safetensors"))
    assert not warned(made("a cat"))


def test_the_connected_model_and_the_base_of_the_bindings_are_looked_at() -> None:
    assert CHECKPOINT in warned(made("a cat", model=CHECKPOINT))
    request = PromptRequest.require("a cat")
    bound = resolver(EQUIPPED.replace("rv51", "juggernautXL_lightning"))
    assert CHECKPOINT in warned(compile_request(request, bound, CompileOptions("690204")).plan)
    known = CompileOptions(model_file=CHECKPOINT)
    assert CHECKPOINT in explain(request, resolver(), known, FAMILIES["sdxl"]).text


def test_what_takes_ordinary_guidance_is_told_of_steps_alone() -> None:
    told = warned(made("a cat <lora:Hyper-SDXL-8steps-CFG-lora:1>"))
    assert "steps=30" in told
    assert "cfg_scale" not in told
    told = warned(made("a cat <lora:Hyper-FLUX.1-dev-8steps-lora:1>", "flux"))
    assert "steps=28" in told
    assert "cfg_scale" not in told


def test_an_lcm_is_offered_its_scheduler_and_by_it_has_its_numbers() -> None:
    text = "a cat <lora:lcm-lora-sdxl:1>"
    assert "scheduler=lcm brings its own, 8 steps at 1.5" in warned(made(text))
    assert not warned(made(f"{text}\nscheduler=lcm"))
    assert "scheduler=lcm" not in warned(made(BY_LORA))


def test_the_guidance_of_tiles_counts_and_a_picture_that_nothing_paints_does_not() -> None:
    tiled = f"{BY_LORA} --tiled_upscale_v2{{}}\nsteps=4\ncfg_scale=1"
    assert "--hires_cfg_scale 5.5" in warned(made(tiled.format("")))
    assert not warned(made(tiled.format(" --hires_cfg_scale 1")))
    assert not warned(made(f"{BY_LORA} --only_upscale", image=True))


@pytest.mark.parametrize("family", ["zimage_turbo", "krea2_turbo", "flux_schnell"])
def test_a_family_of_few_steps_has_its_own_numbers(family: str) -> None:
    assert not warned(made("a cat", family, model=f"{family}_8steps.safetensors"))
