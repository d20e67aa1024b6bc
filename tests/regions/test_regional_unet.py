"""Regions on tiny SD1.5 and SDXL models.

Each pixel's cross-attention sees its own region's text, in one call of the model.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from comfyui_astria.nodes.regions.attention import LEAST_SHARE
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

FAMILIES = ("sd15", "sdxl")
BLOCKS = [
    *(("input", number) for number in range(12)),
    ("middle", 0),
    *(("output", number) for number in range(12)),
]


def plain_attention(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    q, k, v = (one.unflatten(2, (heads, -1)).transpose(1, 2) for one in (q, k, v))
    return ((q @ k.transpose(2, 3) / q.shape[3] ** 0.5).softmax(-1) @ v).transpose(1, 2).flatten(2)


def module_of(model: Any, block: tuple[str, int], index: int) -> Any:
    blocks = f"{block[0]}_blocks.{block[1]}" if block[0] != "middle" else "middle_block"
    return model.get_model_object(f"diffusion_model.{blocks}.1.transformer_blocks.{index}.attn2")


def reference(model: Any, masks: Tensor, texts: list) -> Any:
    """A clone that does the same the slow way.

    Every region's full attention at every block, summed by mask.
    """
    patched = model.clone()

    def replace(q: Tensor, k: Tensor, v: Tensor, extra: dict) -> Tensor:
        attn2 = module_of(model, extra["block"], extra["block_index"])
        grid = tuple(extra["activations_shape"][2:])
        latent = torch.nn.functional.adaptive_avg_pool2d(masks, tuple(extra["original_shape"][2:]))
        weights = on_blocks(latent, *grid).flatten(1)
        weights = torch.where(weights < LEAST_SHARE, 0, weights)
        weights = weights / weights.sum(0)
        each = [
            plain_attention(q, attn2.to_k(one[0][0]), attn2.to_v(one[0][0]), extra["n_heads"])
            for one in texts
        ]
        return sum(weight[:, None] * out for weight, out in zip(weights, each, strict=True))

    for name, number in BLOCKS:
        patched.set_model_attn2_replace(replace, name, number)
    return patched


@pytest.mark.parametrize("family", [*FAMILIES, "sd15_inpaint", "sdxl_inpaint"])
@pytest.mark.parametrize("cfg", [1.0, 5.0])
def test_equal_prompts_are_one_prompt(family: str, cfg: float) -> None:
    model, base = model_of(family), family.split("_")[0]
    positive, negative = text(base, 1), text(base, 2)
    patched = with_regions(model, soft_people(), [positive] * 3, [negative] * 3)
    # One model at two sizes, as a second sampling at another size runs it; the second is odd.
    for size in ((8, 12), (9, 7)):
        plain = denoised(model, family, positive, negative, size=size, cfg=cfg)
        assert (
            difference(denoised(patched, family, positive, negative, size=size, cfg=cfg), plain)
            < 1e-5
        )


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("size", [(8, 12), (7, 13)])
def test_regions_are_the_sum_of_full_attentions_by_mask(family: str, size: tuple[int, int]) -> None:
    model, texts = model_of(family), [text(family, 1), text(family, 5), text(family, 6, tokens=12)]
    thin = torch.zeros(2, 64, 96)
    thin[0, :, 40:43] = 1  # less than half a latent pixel wide
    thin[1, 20:, 50:90] = 1
    for masks in (halves(64, 96), soft_people(), normalised(thin)):
        expected = denoised(reference(model, masks, texts), family, texts[0], size=size)
        actual = denoised(
            with_regions(model, masks, texts, [text(family, 2)]), family, texts[0], size=size
        )
        assert difference(actual, expected) < 1e-5
        assert difference(actual, denoised(model, family, texts[0], size=size)) > 1e-3


def test_the_scene_counts_inside_persons_by_its_strength() -> None:
    model = model_of("sd15")
    texts = [text("sd15", seed) for seed in (1, 5, 6)]
    masks = soft_people()
    for strength in (0.0, 0.3, 1.0):
        mixed = torch.cat(
            [masks[:1] + strength * masks[1:].sum(0, keepdim=True), masks[1:] * (1 - strength)]
        )
        expected = denoised(reference(model, mixed, texts), "sd15", texts[0])
        assert (
            difference(
                denoised(
                    with_regions(model, masks, texts, [text("sd15", 2)], scene_strength=strength),
                    "sd15",
                    texts[0],
                ),
                expected,
            )
            < 1e-5
        )
    assert difference(expected, denoised(model, "sd15", texts[0])) < 1e-5


@pytest.mark.parametrize("family", FAMILIES)
def test_persons_may_come_in_any_order(family: str) -> None:
    model = model_of(family)
    masks = soft_people()
    texts = [text(family, seed) for seed in (1, 5, 6)]
    negatives = [text(family, seed) for seed in (2, 7, 8)]
    one = denoised(
        with_regions(model, masks, texts, negatives), family, texts[0], negatives[0], cfg=4.0
    )
    swapped = [0, 2, 1]
    patched = with_regions(
        model,
        masks[swapped],
        [texts[region] for region in swapped],
        [negatives[region] for region in swapped],
    )
    assert difference(denoised(patched, family, texts[0], negatives[0], cfg=4.0), one) < 1e-5


def test_a_batch_is_its_single_images() -> None:
    texts = [text("sd15", seed) for seed in (1, 5, 6)]
    patched = with_regions(model_of("sd15"), soft_people(), texts, [text("sd15", 2)])
    noise = torch.randn(3, 4, 8, 12, generator=torch.Generator().manual_seed(4))
    batch = denoised(patched, "sd15", texts[0], noise=noise, cfg=4.0)
    singles = torch.cat(
        [denoised(patched, "sd15", texts[0], noise=one[None], cfg=4.0) for one in noise]
    )
    assert difference(batch, singles) < 1e-5
    assert difference(batch[:1], singles[1:2]) > 1e-2


def test_guidance_pairs_each_regions_positive_with_its_own_negative() -> None:
    """Rows of both kinds in one batch, with texts of different lengths, are the two kinds run
    alone.
    """
    model, masks = model_of("sd15"), soft_people()
    positive, negative = (
        [text("sd15", seed, tokens) for seed, tokens in kind]
        for kind in (((1, 8), (5, 8), (6, 12)), ((2, 8), (7, 12), (8, 6)))
    )
    patched = with_regions(model, masks, positive, negative)
    together = denoised(patched, "sd15", positive[0], negative[0], cfg=5.0)
    with_positive = denoised(patched, "sd15", positive[0])
    with_negative = denoised(with_regions(model, masks, negative, negative), "sd15", negative[0])
    assert difference(together, with_negative + 5.0 * (with_positive - with_negative)) < 1e-5
    shared = denoised(
        with_regions(model, masks, positive, [negative[0]]),
        "sd15",
        positive[0],
        negative[0],
        cfg=5.0,
    )
    assert (
        difference(
            shared,
            denoised(
                with_regions(model, masks, positive, [negative[0]] * 3),
                "sd15",
                positive[0],
                negative[0],
                cfg=5.0,
            ),
        )
        < 1e-5
    )
    assert difference(shared, together) > 1e-3


def test_rows_may_come_in_any_order() -> None:
    positive = [text("sd15", seed) for seed in (1, 5, 6)]
    negative = [text("sd15", seed) for seed in (2, 7, 8)]
    patched = with_regions(model_of("sd15"), soft_people(), positive, negative)
    orders = []

    def reversed_rows(apply: Callable, arguments: dict) -> Tensor:
        count = len(arguments["cond_or_uncond"])

        def flip(value: Any) -> Any:
            return torch.cat(value.chunk(count)[::-1]) if isinstance(value, Tensor) else value

        options = {
            **arguments["c"]["transformer_options"],
            "cond_or_uncond": arguments["cond_or_uncond"][::-1],
        }
        orders.append((arguments["cond_or_uncond"], options["cond_or_uncond"]))
        named = {
            key: flip(value)
            for key, value in arguments["c"].items()
            if key != "transformer_options"
        }
        return flip(
            apply(
                flip(arguments["input"]),
                flip(arguments["timestep"]),
                **named,
                transformer_options=options,
            )
        )

    turned = patched.clone()
    turned.set_model_unet_function_wrapper(reversed_rows)
    noise = torch.randn(2, 4, 8, 12, generator=torch.Generator().manual_seed(4))
    expected = denoised(patched, "sd15", positive[0], negative[0], noise=noise, cfg=5.0)
    assert (
        difference(
            denoised(turned, "sd15", positive[0], negative[0], noise=noise, cfg=5.0), expected
        )
        < 1e-5
    )
    assert sorted(map(tuple, orders[0])) == [(0, 1), (1, 0)]


@pytest.mark.parametrize("family", FAMILIES)
def test_another_persons_text_reaches_no_pixel_of_mine_in_the_first_cross_attention(
    family: str,
) -> None:
    def attention_with(seed: int) -> Tensor:
        """The first block's output [H,W,C]."""
        patched = with_regions(
            model_of(family),
            halves(),
            [text(family, 1), text(family, 5), text(family, seed)],
            [text(family, 2)],
        )
        seen: list[Tensor] = []

        def keep(out: Tensor, extra: dict) -> Tensor:
            seen.append(out[0].unflatten(0, extra["activations_shape"][2:]))
            return out

        patched.set_model_attn2_output_patch(keep)
        denoised(patched, family, text(family, 1))
        return seen[0]

    one, other = attention_with(6), attention_with(7)
    middle = one.shape[1] // 2
    assert torch.equal(one[:, :middle], other[:, :middle])
    assert ((one[:, middle:] - other[:, middle:]).abs().amax(2) > 1e-4).all()


class PictureAdapter:
    """Stands in for an IP-Adapter.

    A replaced cross-attention that adds one over tokens of its own, for as many rows as the host
    says there are.
    """

    def __init__(self, strength: float = 0.7) -> None:
        self.strength = strength
        self.calls = 0

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, extra: dict) -> Tensor:
        self.calls += 1
        assert q.shape[0] == k.shape[0] == len(extra["cond_or_uncond"])
        tokens = torch.randn(1, 4, q.shape[2], generator=torch.Generator().manual_seed(9)).expand(
            q.shape[0], -1, -1
        )
        return plain_attention(q, k, v, extra["n_heads"]) + self.strength * plain_attention(
            q, tokens, tokens, extra["n_heads"]
        )

    def on(self, model: Any, index: int | None) -> Any:
        patched = model.clone()
        for name, number in BLOCKS:
            patched.set_model_attn2_replace(self, name, number, index)
        return patched


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("index", [None, 0])
def test_an_adapter_that_replaces_cross_attention_acts_as_before(
    family: str, index: int | None
) -> None:
    """Whether it was patched in before the regions or after, and by block or by transformer."""
    model = model_of(family)
    masks = soft_people()
    texts = [text(family, seed) for seed in (1, 5, 6)]
    before, after, alone = PictureAdapter(), PictureAdapter(), PictureAdapter()
    one = denoised(
        with_regions(before.on(model, index), masks, texts, [text(family, 2)]),
        family,
        texts[0],
        cfg=3.0,
    )
    other = denoised(
        after.on(with_regions(model, masks, texts, [text(family, 2)]), index),
        family,
        texts[0],
        cfg=3.0,
    )
    assert difference(one, other) < 1e-5
    without = denoised(
        with_regions(model, masks, texts, [text(family, 2)]), family, texts[0], cfg=3.0
    )
    assert difference(one, without) > 1e-3
    idle = with_regions(PictureAdapter(0.0).on(model, index), masks, texts, [text(family, 2)])
    assert difference(denoised(idle, family, texts[0], cfg=3.0), without) < 1e-5
    equal = denoised(
        after.on(with_regions(model, masks, [texts[0]] * 3, [text(family, 2)]), index),
        family,
        texts[0],
        cfg=3.0,
    )
    assert difference(equal, denoised(alone.on(model, index), family, texts[0], cfg=3.0)) < 1e-5
    assert before.calls == alone.calls and after.calls == 2 * alone.calls


def test_other_packs_change_every_regions_text() -> None:
    """A patch of keys and values, as hypernetworks use it, works on each region's text as it does
    on the only one.
    """
    model, texts = model_of("sd15"), [text("sd15", seed) for seed in (1, 5, 6)]

    def halved(
        normed: Tensor, keys: Tensor, values: Tensor, extra: dict
    ) -> tuple[Tensor, Tensor, Tensor]:
        assert normed.shape[0] == keys.shape[0]
        return normed, keys * 0.5, values * 0.5

    patched = with_regions(model, soft_people(), texts, [text("sd15", 2)])
    patched.set_model_attn2_patch(halved)
    same = [[[one[0][0] * 0.5, one[0][1]]] for one in texts]
    expected = denoised(
        with_regions(model, soft_people(), same, [text("sd15", 2)]), "sd15", same[0]
    )
    assert difference(denoised(patched, "sd15", texts[0]), expected) < 1e-5


def test_other_packs_attention_is_used_for_every_region() -> None:
    texts = [text("sd15", seed) for seed in (1, 5, 6)]
    patched = with_regions(model_of("sd15"), halves(), texts, [text("sd15", 2)])
    expected = denoised(patched, "sd15", texts[0])
    lengths: list[tuple[int, int]] = []

    def override(function: Callable, q: Tensor, k: Tensor, *rest: Any, **named: Any) -> Tensor:
        lengths.append((q.shape[1], k.shape[1]))
        return function(q, k, *rest, **named)

    patched.model_options["transformer_options"]["optimized_attention_override"] = override
    assert torch.equal(denoised(patched, "sd15", texts[0]), expected)
    assert lengths.count((48, 8)) >= 2, "each half of the 8x12 latent asks its own 8 tokens"


def test_the_region_of_a_text_is_known_while_its_keys_are_made() -> None:
    """Gated LoRAs on the projections of text ask for it."""
    run, model, seen = RegionRun(), model_of("sd15"), []
    patched = with_regions(
        model, soft_people(), [text("sd15", seed) for seed in (1, 5, 6)], [text("sd15", 2)], run
    )
    attn2 = module_of(model, ("middle", 0), 0)
    hooks = [
        layer.register_forward_pre_hook(lambda *_: seen.append(run.forward.text_region))
        for layer in (attn2.to_k, attn2.to_v)
    ]
    denoised(patched, "sd15", text("sd15", 1))
    for hook in hooks:
        hook.remove()
    assert seen == [0, 0, 1, 1, 2, 2]
    assert run.forward is None
