"""scene_strength for a part of the steps: the same as two samplings, one after the other."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from comfyui_astria.nodes.regions.person import Person
from comfyui_astria.tests.regions.comfy_inprocess import load, text
from comfyui_astria.tests.regions.regional_support import (
    difference,
    model_of,
    noise_of,
    one_thread,
    sampled,
    soft_people,
    with_regions,
)
from torch import Tensor

STEPS = 6
STRENGTH = 0.4
FAMILIES = ("sd15", "sdxl", "flux")


def regional(family: str, strength: float, until: float = 1.0) -> tuple[Any, list, list]:
    """Return a model with two persons, and what its sampler takes."""
    texts = [text(family, seed) for seed in (1, 5, 6)]
    negative = text(family, 2)
    model = with_regions(
        model_of(family),
        soft_people(),
        texts,
        [negative],
        scene_strength=strength,
        scene_until=until,
    )
    return model, texts[0], negative


def run(family: str, strength: float, until: float = 1.0, **named: Any) -> Tensor:
    """Return the latent after all steps, or those that `named` tells."""
    model, positive, negative = regional(family, strength, until)
    noise = noise_of(family)
    latent = named.pop("latent", torch.zeros_like(noise))
    if "start_step" in named:
        noise = torch.zeros_like(noise)
    with one_thread():
        return load("comfy.sample").sample(
            model,
            noise,
            STEPS,
            4.0,
            "euler",
            "simple",
            positive,
            negative,
            latent,
            disable_pbar=True,
            seed=0,
            **named,
        )


def steps_before(family: str, until: float) -> int:
    """Return how many of the steps begin at more noise than there is at that part of them."""
    sampling = model_of(family).get_model_object("model_sampling")
    sigmas = load("comfy.samplers").calculate_sigmas(sampling, "simple", STEPS)
    return int((sigmas[:-1] > sampling.percent_to_sigma(until)).sum())


@pytest.mark.parametrize("family", FAMILIES)
def test_after_its_part_of_the_steps_the_scene_counts_no_more(family: str) -> None:
    count = steps_before(family, 0.4)
    assert 0 < count < STEPS
    first = run(family, STRENGTH, last_step=count)
    both = run(family, 0.0, latent=first, start_step=count)
    spanned = run(family, STRENGTH, until=0.4)
    assert difference(spanned, both) < 1e-5
    assert difference(spanned, run(family, STRENGTH)) > 1e-3
    assert difference(spanned, run(family, 0.0)) > 1e-3


@pytest.mark.parametrize("family", ["sd15", "flux"])
def test_no_part_of_the_steps_is_no_strength(family: str) -> None:
    assert torch.equal(run(family, STRENGTH, until=0.0), run(family, 0.0))


def test_the_scene_reaches_a_person_with_a_checkpoint_of_their_own_too() -> None:
    draw = load("comfyui_astria.nodes.people.host.draw")
    own = load("comfyui_astria.tests.regions.comfy_inprocess").tiny_model("sd15")
    people = [Person(text("sd15", 5)), Person(text("sd15", 6))]
    scene = draw.Scene(text("sd15", 1), text("sd15", 2))
    half = draw.RegionalOptions(STRENGTH, 0.5)

    def drawn(model: Any, options: Any) -> Tensor:
        people[1] = Person(text("sd15", 6), model=model)
        found = draw.draw_people(model_of("sd15"), soft_people(), people, scene, options)
        return sampled(found, "sd15", scene.positive, scene.negative)

    assert difference(drawn(own, half), drawn(None, half)) < 2e-5
    assert difference(drawn(own, half), drawn(own, draw.RegionalOptions())) > 1e-3


def test_a_part_of_the_steps_is_the_picture_s_for_a_person_s_checkpoint_too() -> None:
    """The picture's model may be shifted by its size, a checkpoint beside it is not."""
    draw = load("comfyui_astria.nodes.people.host.draw")
    shift = load("comfy_extras.nodes_model_advanced").ModelSamplingFlux()
    [shifted] = shift.patch(model_of("flux"), 3.0, 3.0, 96, 64)
    own = load("comfyui_astria.tests.regions.comfy_inprocess").tiny_model("flux")
    until = 0.5
    [first, last] = [
        one.get_model_object("model_sampling").percent_to_sigma(until) for one in (own, shifted)
    ]
    sigmas = load("comfy.samplers").calculate_sigmas(
        shifted.get_model_object("model_sampling"), "simple", STEPS
    )
    assert any(first < sigma <= last for sigma in sigmas), "no step tells the two apart"
    scene = draw.Scene(text("flux", 1), text("flux", 2))

    def drawn(model: Any) -> Tensor:
        people = [Person(text("flux", 5)), Person(text("flux", 6), model=model)]
        options = draw.RegionalOptions(STRENGTH, until)
        found = draw.draw_people(shifted, soft_people(), people, scene, options)
        return sampled(found, "flux", scene.positive, scene.negative)

    assert difference(drawn(own), drawn(None)) < 2e-5


def test_a_guidance_of_a_person_s_own_is_told() -> None:
    """One guidance counts for the whole picture, the scene's: it is no part of a text."""
    nodes = load("comfyui_astria.nodes.people.nodes")

    def guided(*about: float) -> list:
        return [(None, {"guidance": one} if one else {}) for one in about]

    same, other, none = (Person(guided(one)) for one in (3.5, 5.0, 0.0))
    [line] = nodes.unused_guidance([same, other], ("ann", "bob"), guided(3.5))
    assert line.startswith("The guidance 5 of bob counts nowhere")
    assert nodes.unused_guidance([same, none], ("ann", "bob"), guided(3.5)) == []
