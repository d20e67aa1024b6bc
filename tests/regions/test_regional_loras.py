"""Texts and LoRAs of several persons together in one pass.

What a whole run owes to each of them, and to nobody else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from comfyui_astria.nodes.regions.lora import RegionLora
from comfyui_astria.nodes.regions.run import RegionRun
from comfyui_astria.tests.regions.comfy_inprocess import load, text
from comfyui_astria.tests.regions.gated_lora_files import File, whole_file
from comfyui_astria.tests.regions.regional_support import (
    denoised,
    difference,
    halves,
    model_of,
    noise_of,
    sampled,
    soft_people,
    with_regions,
)
from torch import Tensor

FAMILIES = ("sd15", "sdxl", "flux")
# Flux' layers without rows: there a LoRA counts by its region's share.
OF_WHOLE_PICTURE = ("time_in", "vector_in", "guidance_in")
LENGTHS = (5, 11)  # of the two persons' texts, where they are told apart by them


def with_people(
    model: Any,
    masks: Tensor,
    texts: Sequence[list],
    negatives: Sequence[list],
    files: Sequence[File | None],
) -> Any:
    """Return the model with a text for each region and a LoRA for each person who has one."""
    run = RegionRun()
    loras = [
        RegionLora(region, file, 0.8, f"{region}.safetensors")
        for region, file in enumerate(files, 1)
        if file is not None
    ]
    patched = with_regions(model, masks, list(texts), list(negatives), run)
    return load("comfyui_astria.nodes.regions.host.loras").apply_gated_loras(patched, loras, run)


@pytest.mark.parametrize("family", FAMILIES)
def test_two_people_with_one_text_and_one_lora_are_that_lora_merged(family: str) -> None:
    model, positive, negative = model_of(family), text(family, 1), text(family, 2)
    file = whole_file(model)
    expected = sampled(
        load("comfy.sd").load_lora_for_models(model, None, file, 0.8, 0)[0],
        family,
        positive,
        negative,
    )
    patched = with_people(model, halves(), [positive] * 3, [negative] * 3, [file, file])
    assert difference(sampled(patched, family, positive, negative), expected) < 1e-4
    assert difference(sampled(model, family, positive, negative), expected) > 0.05


@pytest.mark.parametrize("family", FAMILIES)
def test_people_who_change_places_with_text_and_lora_change_nothing_else(family: str) -> None:
    model, masks = model_of(family), soft_people()
    texts, negatives = ([text(family, seed) for seed in seeds] for seeds in ((1, 5, 6), (2, 7, 8)))
    files = [whole_file(model, seed=seed) for seed in (0, 1)]
    one = denoised(
        with_people(model, masks, texts, negatives, files), family, texts[0], negatives[0], cfg=4.0
    )
    order = [0, 2, 1]
    swapped = with_people(
        model,
        masks[order],
        [texts[region] for region in order],
        [negatives[region] for region in order],
        files[::-1],
    )
    assert difference(denoised(swapped, family, texts[0], negatives[0], cfg=4.0), one) < 1e-4
    others = with_people(model, masks, texts, negatives, files[::-1])
    assert difference(denoised(others, family, texts[0], negatives[0], cfg=4.0), one) > 1e-2


@pytest.mark.parametrize("family", FAMILIES)
def test_a_lora_of_the_scene_acts_where_no_person_stands(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    regional_people = load("comfyui_astria.nodes.people.host.draw")
    loras = load("comfyui_astria.nodes.regions.host.loras")
    model, texts = model_of(family), (text(family, 1), text(family, 2))
    monkeypatch.setattr(loras, "load_lora_file", lambda _name: (whole_file(model), None))

    def drawn(share: float) -> Tensor:
        """One person, who has that share of every pixel."""
        masks = torch.tensor([1 - share, share])[:, None, None].expand(2, 8, 12)
        scene = regional_people.Scene(*texts, (("style.safetensors", 0.8),))
        person = load("comfyui_astria.nodes.regions.person").Person(texts[0])
        return sampled(
            regional_people.draw_people(
                model, masks, [person], scene, regional_people.RegionalOptions()
            ),
            family,
            *texts,
        )

    merged = sampled(
        load("comfy.sd").load_lora_for_models(model, None, whole_file(model), 0.8, 0)[0],
        family,
        *texts,
    )
    plain = sampled(model, family, *texts)
    assert difference(drawn(0.0), merged) < 1e-4
    assert difference(drawn(1.0), plain) < 1e-4
    assert difference(merged, plain) > 0.05


@pytest.mark.parametrize("family", FAMILIES)
def test_a_batch_of_three_is_three_pictures_alone(family: str) -> None:
    model, texts = model_of(family), [text(family, seed) for seed in (1, 5, 6)]
    patched = with_people(
        model,
        soft_people(),
        texts,
        [text(family, 2)],
        [whole_file(model, seed=seed) for seed in (0, 1)],
    )
    noise = noise_of(family, batch=3)
    batch = denoised(patched, family, texts[0], cfg=4.0, noise=noise)
    singles = torch.cat(
        [denoised(patched, family, texts[0], cfg=4.0, noise=one[None]) for one in noise]
    )
    assert difference(batch, singles) < 1e-4
    assert difference(batch[:1], singles[1:2]) > 1e-2


def test_nothing_of_a_person_reaches_another_but_by_what_pixels_see_of_each_other() -> None:
    """With attention between the halves cut, three steps with another text and LoRA for person 2
    leave person 1's half as it was.

    Every layer of Flux but attention works on tokens one by one, so any layer whose LoRA is not
    held to its region would show.
    """
    model, scene = model_of("flux"), (text("flux", 1), text("flux", 2))
    negatives = [scene[1], *(text("flux", 8, tokens) for tokens in LENGTHS)]

    def gated_file(seed: int) -> File:
        return {
            key: tensor
            for key, tensor in whole_file(model, seed=seed).items()
            if not any(name in key for name in OF_WHOLE_PICTURE)
        }

    def picture(seed: int) -> Tensor:
        texts = [
            scene[0],
            *(text("flux", *of_person) for of_person in zip((5, seed), LENGTHS, strict=True)),
        ]
        patched = with_people(model, halves(), texts, negatives, [gated_file(0), gated_file(seed)])
        patched.model_options["transformer_options"]["optimized_attention_override"] = (
            _within_halves
        )
        return sampled(patched, "flux", *scene)

    one, other = picture(6), picture(7)
    assert torch.equal(one[..., :6], other[..., :6])
    assert difference(one[..., 6:], other[..., 6:]) > 0.05


def _within_halves(
    function: Callable, q: Tensor, k: Tensor, v: Tensor, heads: int, **named: Any
) -> Tensor:
    """Let each person's text and pixels see only their own half of the 4x6 pixels.

    Whose they are, the length of the text says.
    """
    left = torch.arange(24) % 6 < 3
    tokens = k.shape[2] - len(left)
    kept = torch.cat(
        [torch.ones(tokens, dtype=torch.bool), left if tokens == LENGTHS[0] else ~left]
    )
    return function(q, k[:, :, kept], v[:, :, kept], heads, **named)


@pytest.mark.parametrize("family", ["sd15", "flux"])
@pytest.mark.parametrize("people_outside", [True, False])
def test_the_hosts_cache_reuses_steps_with_the_people_in_them(
    family: str, people_outside: bool
) -> None:
    """EasyCache leaves out steps in which the model's answer would change little, here all that it
    may, or none at a threshold of 0.
    """
    texts, negatives = (
        [text(family, seed, tokens) for seed, tokens in zip(seeds, (7, *LENGTHS), strict=True)]
        for seeds in ((1, 5, 6), (2, 7, 8))
    )

    def drawn(threshold: float | None, said: Sequence[list] = texts) -> Tensor:
        def with_cache(one: Any) -> Any:
            if threshold is None:
                return one
            return (
                load("comfy_extras.nodes_easycache")
                .EasyCacheNode.execute(one, threshold, 0.0, 1.0, False)
                .result[0]
            )

        model, files = model_of(family), [whole_file(model_of(family)), None]
        if people_outside:
            patched = with_cache(with_people(model, soft_people(), said, negatives, files))
        else:
            patched = with_people(with_cache(model), soft_people(), said, negatives, files)
        return sampled(patched, family, said[0], negatives[0], steps=6)

    exact = drawn(None)
    assert torch.equal(drawn(0.0), exact)
    kept = drawn(9.0)
    assert difference(kept, exact) > 1e-3, "steps were left out"
    assert difference(drawn(9.0, [texts[0], texts[2], texts[1]]), kept) > 1e-3, (
        "the people are in what stands in for them"
    )
