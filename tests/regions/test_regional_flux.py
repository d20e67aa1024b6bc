"""Regions on a tiny Flux model.

The texts of all regions stand in one sequence, and each pixel sees its own region's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from comfyui_astria.nodes.errors import PlanError
from comfyui_astria.nodes.regions.run import RegionRun, normalised
from comfyui_astria.tests.regions.comfy_inprocess import text
from comfyui_astria.tests.regions.regional_support import (
    denoised,
    difference,
    halves,
    model_of,
    on_blocks,
    soft_people,
    with_regions,
)
from torch import Tensor

LENGTHS = (8, 5, 11)


def texts(*seeds: int, lengths: tuple[int, ...] = LENGTHS) -> list:
    return [text("flux", seed, length) for seed, length in zip(seeds, lengths, strict=True)]


def pixel_labels(masks: Tensor, size: tuple[int, int]) -> Tensor:
    """Return each image token's region, for masks that are hard on that grid."""
    grid = on_blocks(masks, (size[0] + 1) // 2, (size[1] + 1) // 2)
    assert ((grid == 0) | (grid == 1)).all()
    return grid.flatten(1).argmax(0)


def joined(conditionings: list) -> list:
    return [[torch.cat([one[0][0] for one in conditionings], 1), conditionings[0][0][1]]]


def masked_model(labels: Tensor, lengths: tuple[int, ...], isolation: bool) -> Any:
    """A clone for one joined text whose attention is a softmax with an explicit mask over the whole
    sequence.
    """
    of_text = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    text_length, length = len(of_text), len(of_text) + len(labels)
    seen = torch.ones(length, length, dtype=torch.bool)
    seen[:text_length, :text_length] = of_text[:, None] == of_text
    seen[text_length:, :text_length] = labels[:, None] == of_text
    if isolation:
        seen[:text_length, text_length:] = (of_text[:, None] == 0) | (of_text[:, None] == labels)

    def override(
        function: Callable, q: Tensor, k: Tensor, v: Tensor, heads: int, **named: Any
    ) -> Tensor:
        scores = (q @ k.transpose(2, 3) / q.shape[3] ** 0.5).masked_fill(~seen, float("-inf"))
        return (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)

    patched = model_of("flux").clone()
    patched.model_options["transformer_options"]["optimized_attention_override"] = override
    return patched


@pytest.mark.parametrize("family", ["flux", "flux_fill"])
@pytest.mark.parametrize("cfg", [1.0, 3.0])
@pytest.mark.parametrize("strength", [0.0, 0.4])
def test_equal_prompts_are_one_prompt(family: str, cfg: float, strength: float) -> None:
    model, positive, negative = model_of(family), text("flux", 1), text("flux", 2)
    patched = with_regions(
        model, soft_people(), [positive] * 3, [negative] * 3, scene_strength=strength
    )
    for size in ((8, 12), (9, 7)):
        plain = denoised(model, family, positive, negative, size=size, cfg=cfg)
        assert (
            difference(denoised(patched, family, positive, negative, size=size, cfg=cfg), plain)
            < 1e-5
        )


@pytest.mark.parametrize("size", [(8, 12), (9, 11)])
@pytest.mark.parametrize("isolation", [False, True])
def test_regions_are_the_masked_attention_over_the_joined_texts(
    isolation: bool, size: tuple[int, int]
) -> None:
    """The pixels see each other freely; what changes is the text they see, and what the text sees.

    Tokens over an odd edge are the edge's.
    """
    masks = torch.zeros(3, *size)
    masks[0, :4], masks[1, 4:, :6], masks[2, 4:, 6:] = 1, 1, 1
    people = texts(1, 5, 6)
    patched = with_regions(model_of("flux"), masks, people, [text("flux", 2)], isolation=isolation)
    expected = denoised(
        masked_model(pixel_labels(masks, size), LENGTHS, isolation),
        "flux",
        joined(people),
        size=size,
    )
    actual = denoised(patched, "flux", people[0], size=size)
    assert difference(actual, expected) < 1e-5
    other = with_regions(
        model_of("flux"), masks, people, [text("flux", 2)], isolation=not isolation
    )
    assert difference(denoised(other, "flux", people[0], size=size), actual) > 1e-3


def test_a_region_without_a_pixel_has_no_text_in_the_sequence() -> None:
    run, people, seen = RegionRun(), texts(1, 5, 6), []
    patched = with_regions(model_of("flux"), halves(), people, [text("flux", 2)], run)
    patched.set_model_attn1_output_patch(
        lambda out, extra: seen.append((run.forward.text_lengths, run.forward.text_region)) or out
    )
    actual = denoised(patched, "flux", people[0])
    assert set(seen) == {((0, 5, 11), None)}
    assert run.forward is None
    labels = pixel_labels(halves(), (8, 12))
    assert (
        difference(actual, denoised(masked_model(labels, LENGTHS, False), "flux", joined(people)))
        < 1e-5
    )


def test_another_persons_text_reaches_neither_my_pixels_nor_my_text_in_the_first_block() -> None:
    def attention_with(seed: int) -> Tensor:
        patched = with_regions(model_of("flux"), halves(), texts(1, 5, seed), [text("flux", 2)])
        seen: list[Tensor] = []
        patched.set_model_attn1_output_patch(lambda out, extra: seen.append(out[0]) or out)
        denoised(patched, "flux", text("flux", 1))
        return seen[0]

    one, other = attention_with(6), attention_with(7)
    of_text = torch.repeat_interleave(torch.tensor([1, 2]), torch.tensor(LENGTHS[1:]))
    labels = torch.cat([of_text, pixel_labels(halves(), (8, 12))])
    changed = (one - other).abs().amax(1) > 0
    assert torch.equal(changed, labels == 2)


def test_persons_may_come_in_any_order() -> None:
    masks, people, negatives = soft_people(), texts(1, 5, 6), texts(2, 7, 8)
    one = denoised(
        with_regions(model_of("flux"), masks, people, negatives),
        "flux",
        people[0],
        negatives[0],
        cfg=3.0,
    )
    swapped = [0, 2, 1]
    patched = with_regions(
        model_of("flux"),
        masks[swapped],
        [people[region] for region in swapped],
        [negatives[region] for region in swapped],
    )
    assert difference(denoised(patched, "flux", people[0], negatives[0], cfg=3.0), one) < 1e-5


@pytest.mark.parametrize("negative_lengths", [LENGTHS, (8, 7, 3), (6, 5, 11)])
def test_guidance_pairs_each_regions_positive_with_its_own_negative(
    negative_lengths: tuple[int, ...],
) -> None:
    """Positive and negative rows of one batch are the two run alone, whether their texts have the
    same lengths or not.
    """
    masks = soft_people()
    positive = texts(1, 5, 6)
    negative = texts(2, 7, 8, lengths=negative_lengths)
    noise = torch.randn(2, 16, 8, 12, generator=torch.Generator().manual_seed(4))
    together = denoised(
        with_regions(model_of("flux"), masks, positive, negative),
        "flux",
        positive[0],
        negative[0],
        noise=noise,
        cfg=5.0,
    )
    with_positive = denoised(
        with_regions(model_of("flux"), masks, positive, [negative[0]]),
        "flux",
        positive[0],
        noise=noise,
    )
    with_negative = denoised(
        with_regions(model_of("flux"), masks, negative, [negative[0]]),
        "flux",
        negative[0],
        noise=noise,
    )
    assert difference(together, with_negative + 5.0 * (with_positive - with_negative)) < 1e-5


def test_a_control_net_steers_the_rows_it_was_made_for() -> None:
    """Also where positive and negative rows run apart, since their texts have different lengths."""
    masks, positive, negative = soft_people(), texts(1, 5, 6), texts(2, 7, 8, lengths=(8, 7, 3))
    # [kind of row, image tokens, channels].
    steering = torch.randn(2, 24, 128, generator=torch.Generator().manual_seed(6))

    def controlled(apply: Callable, arguments: dict) -> Tensor:
        rows = torch.cat([steering[kind : kind + 1] for kind in arguments["cond_or_uncond"]])
        return apply(
            arguments["input"],
            arguments["timestep"],
            **arguments["c"],
            control={"input": [rows], "output": [None, rows * 0.5]},
        )

    def run(conditionings: list, others: list, cfg: float) -> Tensor:
        patched = with_regions(model_of("flux"), masks, conditionings, others)
        patched.set_model_unet_function_wrapper(controlled)
        return denoised(patched, "flux", conditionings[0], others[0], cfg=cfg)

    with_positive, together = run(positive, [negative[0]], 1.0), run(positive, negative, 5.0)
    steering = steering[[1, 1]]
    with_negative = run(negative, [negative[0]], 1.0)
    assert difference(together, with_negative + 5.0 * (with_positive - with_negative)) < 1e-5


def test_a_batch_is_its_single_images() -> None:
    people = texts(1, 5, 6)
    patched = with_regions(model_of("flux"), soft_people(), people, [text("flux", 2)])
    noise = torch.randn(3, 16, 9, 12, generator=torch.Generator().manual_seed(4))
    batch = denoised(patched, "flux", people[0], noise=noise)
    singles = torch.cat([denoised(patched, "flux", people[0], noise=one[None]) for one in noise])
    assert difference(batch, singles) < 1e-5
    assert difference(batch[:1], singles[1:2]) > 1e-2


def test_reference_pictures_stand_behind_the_image_and_see_the_scenes_text() -> None:
    scene = text("flux", 1)
    scene[0][1]["reference_latents"] = [
        torch.randn(1, 16, 5, 8, generator=torch.Generator().manual_seed(6))
    ]
    plain = denoised(model_of("flux"), "flux", scene)
    assert difference(plain, denoised(model_of("flux"), "flux", text("flux", 1))) > 1e-3
    for masks in (soft_people(), halves()):
        patched = with_regions(
            model_of("flux"), masks, [scene, text("flux", 1), text("flux", 1)], [text("flux", 2)]
        )
        assert difference(denoised(patched, "flux", scene), plain) < 1e-5


def test_other_packs_attention_is_used_for_every_group() -> None:
    people = texts(1, 5, 6)
    patched = with_regions(model_of("flux"), halves(), people, [text("flux", 2)])
    expected = denoised(patched, "flux", people[0])
    lengths: list[tuple[int, int]] = []

    def override(function: Callable, q: Tensor, k: Tensor, *rest: Any, **named: Any) -> Tensor:
        lengths.append((q.shape[2], k.shape[2]))
        return function(q, k, *rest, **named)

    patched.model_options["transformer_options"]["optimized_attention_override"] = override
    assert torch.equal(denoised(patched, "flux", people[0]), expected)
    assert lengths == [(5 + 12, 5 + 24), (11 + 12, 11 + 24)] * 4, (
        "two blocks of each kind, each half with its own text and all pixels"
    )


def test_an_attention_of_an_unknown_length_is_refused() -> None:
    """It would fall through without regions, and everybody's text would reach everybody."""
    people = texts(1, 5, 6)
    patched = with_regions(model_of("flux"), halves(), people, [text("flux", 2)])
    patched.set_model_attn1_patch(
        lambda q, k, v, **named: {"q": q[:, :, :-1], "k": k[:, :, :-1], "v": v[:, :, :-1]}
    )
    with pytest.raises(PlanError, match="works on 39 tokens; expected 40: 16 of the regions'"):
        denoised(patched, "flux", people[0])


def test_masks_of_others_in_the_same_attention_are_refused() -> None:
    people = texts(1, 5, 6)
    patched = with_regions(model_of("flux"), halves(), people, [text("flux", 2)])
    patched.set_model_attn1_patch(
        lambda q, k, v, **named: {"attn_mask": torch.zeros(q.shape[2], k.shape[2])}
    )
    with pytest.raises(PlanError, match="Another node masks the attention"):
        denoised(patched, "flux", people[0])
    scene = text("flux", 1)
    scene[0][1] |= {
        "attention_mask": torch.ones(1, 8 + 24, 8 + 24),
        "attention_mask_img_shape": (4, 6),
    }
    with pytest.raises(PlanError, match="attention mask"):
        denoised(
            with_regions(model_of("flux"), halves(), [scene, *people[1:]], [text("flux", 2)]),
            "flux",
            scene,
        )


def test_a_mask_thinner_than_a_token_gives_its_share_of_it() -> None:
    """One latent column of a token's two: the token is half the person's, half the scene's."""
    thin = torch.zeros(1, 8, 12)
    thin[:, :, 5] = 1
    people = texts(1, 5, lengths=(8, 5))
    patched = with_regions(model_of("flux"), normalised(thin), people, [text("flux", 2)])
    seen: list[Tensor] = []
    patched.set_model_attn1_output_patch(
        lambda out, extra: seen.append(out[0, 13:].unflatten(0, (4, 6))) or out
    )
    denoised(patched, "flux", people[0])
    wholly: list[Tensor] = []
    for region in (0, 1):
        labels = torch.full((24,), region)
        one = masked_model(labels, (8, 5), False)
        one.set_model_attn1_output_patch(
            lambda out, extra: wholly.append(out[0, 13:].unflatten(0, (4, 6))) or out
        )
        denoised(one, "flux", joined(people))
    first = seen[0], wholly[0], wholly[4]
    torch.testing.assert_close(
        first[0][:, 2], (first[1][:, 2] + first[2][:, 2]) / 2, atol=1e-5, rtol=0
    )
    torch.testing.assert_close(first[0][:, 3], first[1][:, 3], atol=1e-5, rtol=0)
