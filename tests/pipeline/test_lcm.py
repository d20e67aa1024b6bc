"""scheduler=lcm: an LCM's numbers where one draws, a word where none is known to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from comfyui_astria.nodes.families.few_steps import is_named_lcm
from comfyui_astria.nodes.pipeline.build.sources import Options
from comfyui_astria.nodes.pipeline.compiling import CompileOptions, compile_request
from comfyui_astria.nodes.pipeline.plan import Plan, plan
from comfyui_astria.nodes.prompt import PromptRequest
from comfyui_astria.nodes.tunes.bindings import Bindings
from comfyui_astria.nodes.tunes.resolve import Resolver
from comfyui_astria.tests.regions.comfy_inprocess import load, tiny_model

from .support import EQUIPPED, FILES, TestFiles, sources

LCM = "a cat <lora:LCM_LoRA_Weights:1>{}\nscheduler=lcm"
CANVAS = " --outpaint center --outpaint_width 768 --outpaint_height 768"
OWN = f'{CANVAS} --outpaint_prompt "a field{{}}"'


def made(text: str, family: str = "sd15", model: str = "", **sockets: bool) -> Plan:
    files = {**FILES, "loras": [*FILES["loras"], "speed/LCM_LoRA_Weights.safetensors"]}
    bindings = EQUIPPED.replace("[tunes]", "[tunes]\n77 = speed/LCM_LoRA_Weights.safetensors")
    found = Resolver(Bindings.parse(bindings, "test"), None, TestFiles(files))
    given = replace(sources(family, **sockets), lcm=model)
    return plan(PromptRequest.require(text), given, found, Options())


def drawn(planned: Plan, stage: str = "base") -> tuple[Any, Any]:
    nodes = planned.graph.nodes
    return nodes[f"{stage}.sigmas"].inputs["steps"], nodes[f"{stage}.guider"].inputs.get("cfg")


def warned(planned: Plan) -> list[str]:
    return [one.render() for one in planned.problems if one.code == "no-lcm"]


@pytest.mark.parametrize(
    ("file", "is_lcm"),
    [
        ("lcm-lora-sdv1-5.safetensors", True),
        ("LCM_LoRA_Weights.safetensors", True),
        ("dreamshaper_8LCM.safetensors", True),
        ("sd/sdxlLCM.safetensors", True),
        ("sd\\lcmv2.safetensors", True),
        ("lcm/detail.safetensors", False),
        ("volcmask.safetensors", False),
        ("VOLCMASK.safetensors", False),
        ("calcman.safetensors", False),
        ("rv51.safetensors", False),
    ],
)
def test_names_of_lcm_files(file: str, is_lcm: bool) -> None:
    assert is_named_lcm(file) is is_lcm


@pytest.mark.parametrize("family", ["sd15", "sdxl", "sd15_inpaint"])
def test_an_lcm_lora_or_model_brings_its_steps_and_cfg(family: str) -> None:
    for planned in (
        made(LCM.format(""), family),
        made("a cat <lora:77:0.8>\nscheduler=lcm", family),
        made("a cat\nscheduler=lcm", family, model="dreamshaper_8LCM.safetensors"),
    ):
        assert drawn(planned) == (8, 1.5) and not warned(planned)
        told = {one.key: one for one in planned.settings.explained}
        assert told["steps"].reason.startswith("default with an LCM: ")
        assert told["steps"].reason == told["cfg_scale"].reason
    face = made("a cat <lora:77:1> --tiled_upscale_v2\nscheduler=lcm", family)
    assert drawn(face, "hires_fix") == (8, 1.5)


def test_what_is_set_wins_and_other_schedulers_keep_theirs() -> None:
    assert drawn(made(LCM.format("") + "\nsteps=5\ncfg_scale=2")) == (5, 2.0)
    assert drawn(made(LCM.format(" --hires_cfg_scale 2 --tiled_upscale_v2")), "hires_fix") == (8, 2)
    euler = made("a cat <lora:77:1>\nscheduler=euler", model="an_lcm.safetensors")
    assert drawn(euler) == (30, 7.0) and not warned(euler)


def test_without_a_known_lcm_the_numbers_stay_and_what_is_needed_is_told() -> None:
    for text in ("a cat\nscheduler=lcm", "a cat <lora:77:-1>\nscheduler=lcm"):
        planned = made(text)
        assert drawn(planned) == (30, 7.0)
        [warning] = warned(planned)
        assert "for the picture no model or LoRA is named as one" in warning
        assert "lcm-lora" in warning and "steps=8 and cfg_scale=1.5" in warning
    people = "a street <lora:77:1> BREAK {} BREAK ohwx woman BREAK ohwx man\nscheduler=lcm"
    assert warned(made(people.format(""))), "the scene's LoRA does not draw the persons"
    assert not warned(made(people.format("<lora:77:1>")))


def test_the_new_area_goes_by_the_loras_that_draw_it() -> None:
    both = made(LCM.format(CANVAS))
    assert drawn(both, "outpaint") == drawn(both) == (8, 1.5) and not warned(both)
    apart = made(LCM.format(OWN.format("")))
    assert (drawn(apart), drawn(apart, "outpaint")) == ((8, 1.5), (30, 7.0))
    [warning] = warned(apart)
    assert "for the new area no model" in warning
    told = {one.key: one.value for one in apart.settings.explained}
    assert (told["outpaint.steps"], told["outpaint.cfg_scale"]) == (30, 7.0)
    own = made(LCM.format(OWN.format(" <lora:77:1>")))
    assert drawn(own, "outpaint") == (8, 1.5) and not warned(own)


def test_flux_keeps_its_numbers_and_that_is_told() -> None:
    planned = made(LCM.format(""), "flux")
    assert drawn(planned)[0] == 28
    [warning] = warned(planned)
    assert "made for LCMs of Stable Diffusion" in warning


def test_a_bound_base_is_known_by_its_file() -> None:
    files = {**FILES, "checkpoints": [*FILES["checkpoints"], "dreamshaper_8LCM.safetensors"]}
    bindings = Bindings.parse(EQUIPPED.replace("rv51", "dreamshaper_8LCM"), "test")
    compiled = compile_request(
        PromptRequest.require("a cat\nscheduler=lcm"),
        Resolver(bindings, None, TestFiles(files)),
        CompileOptions("690204"),
    )
    assert drawn(compiled.plan) == (8, 1.5)


def test_a_loaded_model_is_known_by_its_file_or_by_the_sampling_set_for_it(tmp_path: Path) -> None:
    models = load("comfyui_astria.nodes.host.models")
    lcm_of, file_of = models.lcm_of, models.file_of
    model = tiny_model("sd15")
    assert lcm_of(model) == file_of(model) == ""
    sampling = load("comfy_extras.nodes_model_advanced").ModelSamplingDiscrete()
    assert lcm_of(sampling.patch(model, "lcm", False)[0]) == "the model's sampling is set to lcm"
    assert lcm_of(sampling.patch(model, "eps", False)[0]) == ""
    utils, sd = load("comfy.utils"), load("comfy.sd")
    # Of Flux, which the host knows however narrow it is.
    state = tiny_model("flux").model.diffusion_model.state_dict()
    for name, sign in (("tiny_LCM.safetensors", "tiny_LCM.safetensors"), ("tiny.safetensors", "")):
        path = tmp_path / name
        utils.save_torch_file(state, str(path))
        loaded = sd.load_diffusion_model(str(path))
        assert lcm_of(loaded) == lcm_of(loaded.clone()) == sign
        assert file_of(loaded) == file_of(loaded.clone()) == name
