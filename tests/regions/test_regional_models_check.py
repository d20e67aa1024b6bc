"""Which checkpoints cannot draw a person of a picture, and what is said."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from comfyui_astria.nodes.errors import PlanError
from comfyui_astria.nodes.regions.person import Person
from comfyui_astria.tests.regions.comfy_inprocess import load, text, tiny_model
from comfyui_astria.tests.regions.regional_support import denoised, model_of, soft_people


def draw(base: Any, *models: Any) -> Any:
    """Return the base with one person for each model."""
    apply = load("comfyui_astria.nodes.regions.host.checkpoints").apply_person_models
    masks = soft_people()[: len(models) + 1]
    return apply(
        base,
        masks,
        [Person(text("sd15", 5), model=model) for model in models],
        lambda model, *_: model,
    )


def test_people_without_a_model_leave_the_given_one_as_it_is() -> None:
    assert draw(model_of("sd15"), None, None) is model_of("sd15")


@pytest.mark.parametrize(
    ("base", "own", "says"),
    [
        ("sd15", "sdxl", "person 2 is SDXL, and the picture's is SD1.5"),
        ("flux", "sd15", "person 2 is SD1.5, and the picture's is Flux.1 dev"),
        ("sdxl", "sd15_inpaint", "person 2 is SD1.5 inpaint, and the picture's is SDXL"),
    ],
)
def test_a_checkpoint_of_another_family_is_refused(base: str, own: str, says: str) -> None:
    with pytest.raises(PlanError, match=f"(?s){re.escape(says)}.*picture's family"):
        draw(model_of(base), None, model_of(own))


def test_a_checkpoint_with_other_latents_is_refused() -> None:
    own = tiny_model("sdxl", seed=7)
    own.model.latent_format = load("comfy.latent_formats").SDXL_Playground_2_5()
    with pytest.raises(
        PlanError,
        match=r"(?s)latents of the kind SDXL_Playground_2_5, the picture's on SDXL;.*picture's VAE",
    ):
        draw(model_of("sdxl"), own)


def test_flow_beside_diffusion_is_refused() -> None:
    own = model_of("sd15", seed=7).clone()
    sampling = load("comfy.model_sampling")
    own.add_object_patch(
        "model_sampling", type("Flow", (sampling.ModelSamplingDiscreteFlow, sampling.CONST), {})()
    )
    with pytest.raises(PlanError, match=r"(?s)person 1 adds noise.*ModelSampling node"):
        draw(model_of("sd15"), own)
    velocity = (
        load("comfy_extras.nodes_model_advanced")
        .ModelSamplingDiscrete()
        .patch(model_of("sd15", seed=7), "v_prediction", True)[0]
    )
    draw(model_of("sd15"), velocity)


def test_weights_shared_with_another_model_of_the_run_are_refused() -> None:
    base, own = model_of("sd15"), model_of("sd15", seed=7)
    with pytest.raises(
        PlanError,
        match=(
            r"(?s)person 1 shares its weights with the picture's.*Leave `model` of this person"
            r" unconnected"
        ),
    ):
        draw(base, base.clone())
    with pytest.raises(
        PlanError,
        match=r"(?s)models of persons 1 and 2 are one set of weights.*one and the same MODEL",
    ):
        draw(base, own, own.clone())


@pytest.mark.parametrize(
    ("what", "name"),
    [
        (
            lambda model: model.set_model_sampler_cfg_function(lambda args: args["cond"]),
            "sampler_cfg_function",
        ),
        (
            lambda model: model.set_model_sampler_post_cfg_function(lambda args: args["denoised"]),
            "sampler_post_cfg_function",
        ),
        (
            lambda model: model.set_model_sampler_pre_cfg_function(lambda args: args["conds_out"]),
            "sampler_pre_cfg_function",
        ),
        (
            lambda model: model.set_model_denoise_mask_function(lambda *_, **__: None),
            "denoise_mask_function",
        ),
        (
            lambda model: model.add_wrapper(
                "predict_noise", lambda executor, *args: executor(*args)
            ),
            "predict_noise",
        ),
        (
            lambda model: model.add_wrapper(
                "outer_sample", lambda executor, *args: executor(*args)
            ),
            "outer_sample",
        ),
    ],
)
def test_a_model_that_changes_the_sampling_is_refused(what: Any, name: str) -> None:
    own = model_of("sd15", seed=7).clone()
    what(own)
    with pytest.raises(
        PlanError,
        match=(
            f"(?s)person 2 carries {name}, a change of guidance or sampling.*chain of the picture's"
            " model"
        ),
    ):
        draw(model_of("sd15"), None, own)


def test_a_person_cannot_be_drawn_by_a_model_that_has_persons_models() -> None:
    nested = draw(model_of("sd15", seed=7), model_of("sd15", seed=8))
    with pytest.raises(PlanError, match="person 1 carries sampler_sample"):
        draw(model_of("sd15"), nested)


def test_a_sampling_loop_that_is_not_the_hosts_is_refused() -> None:
    patched = draw(model_of("sd15"), model_of("sd15", seed=7))
    [denoise] = patched.get_wrappers("calc_cond_batch", "astria_person_models")
    x = torch.zeros(1, 4, 8, 12)
    with pytest.raises(PlanError, match="by a loop of its own"):
        denoise(lambda model, conds, *_: [x for _ in conds], None, [[], []], x, torch.ones(1), {})
    denoised(patched, "sd15", text("sd15", 1))
    with pytest.raises(PlanError, match="by a loop of its own"):
        denoise(lambda model, conds, *_: [x for _ in conds], None, [[], []], x, torch.ones(1), {})


def test_a_checkpoint_of_other_steps_or_guidance_is_told() -> None:
    """A MODEL of Z-Image does not say whether it is turbo; the name of its file does."""
    told_of = load("comfyui_astria.nodes.people.host.draw").of_another_variant
    models = {name: tiny_model("zimage", seed) for seed, name in enumerate(("base", "turbo", "x"))}
    for name, model in models.items():
        model.cached_patcher_init = (None, (f"models/z_image_{name}.safetensors",))
    people = [Person(text("zimage", 5), model=model) for model in (models["turbo"], None)]
    [line] = told_of(models["base"], people, ["Anna", ""])
    assert line.startswith(
        "Anna is drawn by a checkpoint of Z-Image Turbo (by the name of its file"
    )
    assert "the picture by Z-Image: steps and guidance are the picture's" in line
    assert told_of(models["turbo"], people, ["Anna", ""]) == []
    assert told_of(model_of("sd15"), [Person(text("sd15", 5), model=model_of("sd15"))], [""]) == []
    dev, schnell = tiny_model("flux"), tiny_model("flux_schnell")
    [line] = told_of(dev, [Person(text("flux", 5), model=schnell)], [""])
    assert line.startswith("A person is drawn by a checkpoint of Flux.1 schnell, and the picture")
