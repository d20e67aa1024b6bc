"""Persons drawn by a checkpoint of their own, beside the picture's model.

What each model contributes, and what it leaves alone.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from comfyui_astria.nodes.regions.lora import RegionLora
from comfyui_astria.nodes.regions.person import Person
from comfyui_astria.nodes.regions.run import RegionRun, normalised
from comfyui_astria.tests.regions.comfy_inprocess import load, text
from comfyui_astria.tests.regions.gated_lora_files import whole_file
from comfyui_astria.tests.regions.regional_support import (
    denoised,
    difference,
    halves,
    in_picture,
    model_of,
    noise_of,
    person_everywhere,
    sampled,
    soft_people,
    with_people,
    with_regions,
)
from torch import Tensor

UNPADDED = (16, 16)  # a latent without tokens that Z-Image adds, which are the scene's
FAMILIES = ("sd15", "sdxl", "flux", "flux2", "zimage", "krea2")


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("cfg", [1.0, 4.0])
def test_a_person_over_the_whole_picture_is_that_checkpoint_alone(family: str, cfg: float) -> None:
    own, positive, negative = model_of(family, seed=7), text(family, 5), text(family, 6)
    scene = text(family, 1), text(family, 2)
    everywhere = normalised(torch.ones(1, *UNPADDED))
    patched = with_people(model_of(family), everywhere, [Person(positive, negative, model=own)])
    given = {"cfg": cfg, "size": UNPADDED}
    said = in_picture(positive, scene[0]), in_picture(negative, scene[1])
    alone = denoised(own, family, *said, **given)
    found = denoised(patched, family, *scene, **given)
    assert difference(found, alone) < 1e-5
    assert difference(denoised(model_of(family), family, *said, **given), alone) > 1e-2


def beside(scene: list, person: list) -> list:
    """Return the scene's text with what else the person's conditioning holds."""
    return in_picture([[scene[0][0], person[0][1]]], scene)


@pytest.mark.parametrize("family", FAMILIES)
def test_each_region_has_its_own_models_prediction_and_the_rest_keeps_every_bit(
    family: str,
) -> None:
    texts = [text(family, seed) for seed in (1, 5, 6)]
    own, masks = model_of(family, seed=7), halves()
    without = denoised(
        with_people(model_of(family), masks, [Person(texts[1]), Person(texts[2])]),
        family,
        texts[0],
        cfg=4.0,
    )
    with_own = denoised(
        with_people(model_of(family), masks, [Person(texts[1]), Person(texts[2], model=own)]),
        family,
        texts[0],
        cfg=4.0,
    )
    by_own = denoised(
        with_people(own, masks, [Person(texts[1]), Person(texts[2])]),
        family,
        beside(texts[0], texts[2]),
        cfg=4.0,
    )
    assert torch.equal(with_own[..., :6], without[..., :6])
    assert difference(with_own[..., 6:], by_own[..., 6:]) < 1e-5
    assert difference(without[..., 6:], by_own[..., 6:]) > 1e-2


@pytest.mark.parametrize("family", FAMILIES)
def test_soft_regions_of_several_models_are_mixed_by_their_masks(family: str) -> None:
    masks = soft_people()
    texts = [text(family, seed) for seed in (1, 5, 6)]
    negatives = [text(family, seed) for seed in (2, 8, 9)]
    models = [model_of(family, seed=seed) for seed in (7, 8)]
    people = [
        Person(texts[number], negatives[number], model=models[number - 1]) for number in (1, 2)
    ]
    plain = [Person(*pair) for pair in zip(texts[1:], negatives[1:], strict=True)]
    scene = texts[0], negatives[0]
    each = [denoised(with_people(model_of(family), masks, plain), family, *scene, cfg=4.0)]
    for person in people:
        own = beside(scene[0], person.positive), beside(scene[1], person.negative)
        each.append(denoised(with_people(person.model, masks, plain), family, *own, cfg=4.0))
    latent = torch.nn.functional.adaptive_avg_pool2d(masks, (8, 12))
    assert ((latent > 0) & (latent < 1)).any()
    expected = sum(mask * one for mask, one in zip(latent, each, strict=True))
    assert (
        difference(
            denoised(
                with_people(model_of(family), masks, people),
                family,
                texts[0],
                negatives[0],
                cfg=4.0,
            ),
            expected,
        )
        < 1e-5
    )


@pytest.mark.parametrize("family", ["sd15", "flux"])
def test_a_batch_is_its_single_images(family: str) -> None:
    patched = with_people(
        model_of(family),
        soft_people(),
        [Person(text(family, 5), model=model_of(family, seed=7)), Person(text(family, 6))],
    )
    noise = noise_of(family, batch=3)
    batch = denoised(patched, family, text(family, 1), noise=noise, cfg=4.0)
    singles = torch.cat(
        [denoised(patched, family, text(family, 1), noise=one[None], cfg=4.0) for one in noise]
    )
    assert difference(batch, singles) < 1e-5
    assert difference(batch[:1], singles[1:2]) > 1e-2


def rescaled(model: Any) -> Any:
    """Return the model with the host's own node that rescales the result of guidance."""
    return load("comfy_extras.nodes_model_advanced").RescaleCFG().patch(model, 0.7)[0]


@pytest.mark.parametrize("sampler", ["euler", "euler_cfg_pp"])
@pytest.mark.parametrize("change", [lambda model: model, rescaled])
def test_guidance_and_samplers_that_read_the_negative_prediction_work_on_the_mixture(
    sampler: str, change: Any
) -> None:
    """euler_cfg_pp steps along the negative prediction, and RescaleCFG replaces the guidance.

    Over several steps the checkpoint is as it is alone.
    """
    own, positive, negative = model_of("sd15", seed=7), text("sd15", 5), text("sd15", 6)
    patched = change(
        with_people(model_of("sd15"), person_everywhere(), [Person(positive, negative, model=own)])
    )
    alone = sampled(change(own), "sd15", positive, negative, sampler=sampler)
    assert (
        difference(
            sampled(patched, "sd15", text("sd15", 1), text("sd15", 2), sampler=sampler), alone
        )
        < 1e-5
    )


def test_without_guidance_the_persons_negative_is_not_run() -> None:
    rows = []
    own = model_of("sd15", seed=7).clone()

    def count(apply: Any, given: dict) -> Tensor:
        rows.append(given["cond_or_uncond"])
        return apply(given["input"], given["timestep"], **given["c"])

    own.set_model_unet_function_wrapper(count)
    patched = with_people(
        model_of("sd15"),
        soft_people(),
        [Person(text("sd15", 5), text("sd15", 6), model=own), Person(text("sd15", 8))],
    )
    denoised(patched, "sd15", text("sd15", 1), cfg=1.0)
    assert rows == [[0]]
    denoised(patched, "sd15", text("sd15", 1), cfg=4.0)
    assert sorted(kind for kinds in rows[1:] for kind in kinds) == [0, 1]


def test_a_person_without_a_negative_takes_the_scenes() -> None:
    own, positive = model_of("sdxl", seed=7), text("sdxl", 5)
    scene = text("sdxl", 1), text("sdxl", 2)
    patched = with_people(
        model_of("sdxl"), person_everywhere(), [Person(positive, model=own)], scene
    )
    assert (
        difference(
            denoised(patched, "sdxl", *scene, cfg=4.0),
            denoised(own, "sdxl", in_picture(positive, scene[0]), scene[1], cfg=4.0),
        )
        < 1e-5
    )


def test_a_model_that_predicts_velocity_goes_with_one_that_predicts_noise() -> None:
    node = load("comfy_extras.nodes_model_advanced").ModelSamplingDiscrete()
    own = node.patch(model_of("sd15", seed=7), "v_prediction", False)[0]
    positive, negative = text("sd15", 5), text("sd15", 6)
    patched = with_people(
        model_of("sd15"), person_everywhere(), [Person(positive, negative, model=own)]
    )
    alone = sampled(own, "sd15", positive, negative)
    assert difference(sampled(patched, "sd15", text("sd15", 1), text("sd15", 2)), alone) < 1e-5
    assert difference(sampled(model_of("sd15", seed=7), "sd15", positive, negative), alone) > 1e-2


def dressing(loras: list[RegionLora], masks: Tensor, texts: list) -> Any:
    """Return what puts the regions and these LoRAs of persons on a model of their own."""

    def patch_person(model: Any, numbers: list[int], run: RegionRun) -> Any:
        gated = load("comfyui_astria.nodes.regions.host.loras").apply_gated_loras
        with_all = with_regions(model, masks, texts[:-1], texts[-1:], run)
        return gated(with_all, [lora for lora in loras if lora.region in numbers], run)

    return patch_person


@pytest.mark.parametrize("family", FAMILIES)
def test_loras_act_on_the_persons_own_model_and_on_no_others(family: str) -> None:
    """Two persons share one checkpoint, each with a LoRA in their region. It is loaded once."""
    base, own, masks = model_of(family), model_of(family, seed=7), halves()
    loras = [
        RegionLora(number, whole_file(own, seed=number), 0.8, f"{number}.safetensors")
        for number in (1, 2)
    ]
    people = [Person(text(family, 4 + number), model=own) for number in (1, 2)]
    texts = [text(family, 1), *(person.positive for person in people), text(family, 2)]
    patched = with_regions(base, masks, texts[:-1], texts[-1:])
    apply = load("comfyui_astria.nodes.regions.host.checkpoints").apply_person_models
    patched = apply(patched, masks, people, dressing(loras, masks, texts))
    assert len(patched.get_additional_models_with_key("astria_person_models")) == 1
    result = denoised(patched, family, texts[0], cfg=4.0)
    with_loras = dressing(loras, masks, texts)(own, [1, 2], RegionRun())
    without = dressing([], masks, texts)(own, [1, 2], RegionRun())
    for person, columns in zip(people, (slice(6), slice(6, 12)), strict=True):
        given = beside(texts[0], person.positive)
        expected = denoised(with_loras, family, given, cfg=4.0)
        assert difference(result[..., columns], expected[..., columns]) < 1e-4
        assert difference(denoised(without, family, given, cfg=4.0), expected) > 1e-3


def test_faceids_go_to_the_model_that_draws_the_person(monkeypatch: pytest.MonkeyPatch) -> None:
    given = []

    def apply_person_faceids(model: Any, faceids: list, run: RegionRun) -> Any:
        given.append((model, faceids, run))
        return model.clone()

    people_host = load("comfyui_astria.nodes.people.host.draw")
    monkeypatch.setattr(people_host, "apply_person_faceids", apply_person_faceids)
    base, own = model_of("sd15"), model_of("sd15", seed=7)
    people = [
        Person(text("sd15", 5), faceids=("a", "b")),
        Person(text("sd15", 6), model=own, faceids=("c",)),
        Person(text("sd15", 8)),
    ]
    with_people(base, normalised(torch.rand(3, 8, 12)), people)
    (scene, scene_faceids, scene_run), (persons, own_faceids, own_run) = given
    assert scene.is_clone(base) and scene_faceids == [("a", "b"), (), ()]
    assert persons.is_clone(own) and own_faceids == [(), ("c",), ()]
    assert scene_run is not own_run
    with_people(base, normalised(torch.rand(1, 8, 12)), [Person(text("sd15", 5))])
    assert len(given) == 2


@pytest.mark.parametrize("family", FAMILIES)
def test_a_copy_of_the_pictures_model_draws_a_person_as_the_picture_does(family: str) -> None:
    """It knows the scene and the others: the same picture, whatever each text says."""
    own = load("comfyui_astria.tests.regions.comfy_inprocess").tiny_model(family)
    people, masks = [Person(text(family, 5)), Person(text(family, 6))], soft_people()
    by_own = [people[0], Person(text(family, 6), model=own)]
    scene = text(family, 1), text(family, 2)
    ordinary = sampled(with_people(model_of(family), masks, people, scene), family, *scene)
    mixed = sampled(with_people(model_of(family), masks, by_own, scene), family, *scene)
    assert difference(mixed, ordinary) < 2e-5


@pytest.mark.parametrize("interrupted", [False, True])
def test_the_host_loads_both_models_and_nothing_stays_behind(interrupted: bool) -> None:
    management = load("comfy.model_management")
    base, own = model_of("sd15"), model_of("sd15", seed=7)
    before = {name: weight.clone() for name, weight in own.model.state_dict().items()}
    during = []

    def look(apply: Any, given: dict) -> Tensor:
        during.append({id(loaded.model.model) for loaded in management.current_loaded_models})
        during.append(
            (base.model.current_patcher is not None, own.model.current_patcher is not None)
        )
        if interrupted:
            raise management.InterruptProcessingException
        return apply(given["input"], given["timestep"], **given["c"])

    watched = own.clone()
    watched.set_model_unet_function_wrapper(look)
    patched = with_people(
        base, soft_people(), [Person(text("sd15", 5), model=watched), Person(text("sd15", 6))]
    )
    management.unload_all_models()
    if interrupted:
        with pytest.raises(management.InterruptProcessingException):
            denoised(patched, "sd15", text("sd15", 1))
    else:
        denoised(patched, "sd15", text("sd15", 1))
    assert {id(base.model), id(own.model)} <= during[0]
    assert during[1] == (True, True)
    assert base.model.current_patcher is None and own.model.current_patcher is None
    assert all(torch.equal(weight, before[name]) for name, weight in own.model.state_dict().items())
    assert (
        own.wrappers == {}
        and own.model_options == {"transformer_options": {}}
        and own.additional_models == {}
    )
    management.unload_all_models()
    assert management.current_loaded_models == []
    own_alone = denoised(own, "sd15", text("sd15", 5))
    assert torch.equal(own_alone, denoised(model_of("sd15", seed=7), "sd15", text("sd15", 5)))


def test_half_precision_models_are_mixed() -> None:
    tiny_model = load("comfyui_astria.tests.regions.comfy_inprocess").tiny_model
    base = tiny_model("sd15", dtype=torch.bfloat16)
    own = tiny_model("sd15", seed=7, dtype=torch.float16, compute=torch.float32)
    positive, negative = text("sd15", 5), text("sd15", 6)
    patched = with_people(base, person_everywhere(), [Person(positive, negative, model=own)])
    assert (
        difference(
            denoised(patched, "sd15", text("sd15", 1), cfg=4.0),
            denoised(own, "sd15", positive, negative, cfg=4.0),
        )
        < 1e-5
    )
