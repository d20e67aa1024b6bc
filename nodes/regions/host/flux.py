"""Flux with regions: the texts of all regions stand in one sequence, and each pixel sees its own
region's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ...errors import PlanError
from ...families.family import FLUX_PATCH
from ...rounding import ceil_div
from ..attention import Joint, Share
from .state import Regions

OVERRIDE = "optimized_attention_override"


class FluxArguments(NamedTuple):
    """The host's arguments of Flux.forward behind x, timestep and context."""

    y: Tensor | None
    guidance: Tensor | None
    ref_latents: Sequence[Tensor] | None
    control: dict | None
    transformer_options: dict


def run_flux(
    regions: Regions,
    executor: Any,
    x: Tensor,
    timestep: Tensor,
    context: Tensor,
    *rest: Any,
    **named: Any,
) -> Tensor:
    """Run the host's Flux, chunks of equal text lengths together.

    The joint sequence has no room for padding by repetition.
    """
    given = FluxArguments(*rest)
    if named.get("attention_mask") is not None:
        raise PlanError(
            "A conditioning with an attention mask cannot be combined with regions.",
            code="regions-attention-mask",
            hint="Encode the text without an attention mask.",
        )
    others = sum(math.prod(_tokens(reference)) for reference in given.ref_latents or ())
    scene_strength = regions.scene_strength_at(given.transformer_options["sigmas"])
    parts = regions.parts(x, _tokens(x), scene_strength, others)
    image_length = math.prod(_tokens(x)) + others
    kinds = given.transformer_options["cond_or_uncond"]
    texts = _texts_in_use(regions.chunk_texts(context, kinds), parts)
    results: dict[int, Tensor] = {}
    for group in _of_equal_lengths(texts):
        joint = Joint(_text_lengths(texts[group[0]], parts), parts, regions.options.isolation)
        one = partial(_pick, chunks=group, count=len(kinds), rows=x.shape[0])
        options = _options_of(given.transformer_options, group)
        before = given.transformer_options.get(OVERRIDE)
        options[OVERRIDE] = partial(_joint_attention, joint, image_length, before)
        joined = torch.cat([torch.cat(texts[chunk], 1) for chunk in group])
        with regions.forward(x, joint.text_lengths):
            result = executor(
                one(x),
                one(timestep),
                joined,
                one(given.y),
                one(given.guidance),
                one(given.ref_latents),
                one(given.control),
                options,
                **one(named),
            )
        results |= zip(group, result.chunk(len(group)), strict=True)
    return torch.cat([results[chunk] for chunk in range(len(kinds))])


def _texts_in_use(
    chunks: Sequence[Sequence[Tensor]], parts: Sequence[Share | None]
) -> list[list[Tensor]]:
    """Return the texts of each chunk whose region has a share of the picture."""
    used = [region for region, part in enumerate(parts) if part is not None]
    return [[texts[region] for region in used] for texts in chunks]


def _options_of(transformer_options: dict, chunks: Sequence[int]) -> dict:
    """Return the options with what they hold of each chunk of the batch for these chunks only."""
    options = dict(transformer_options)
    for key in ("cond_or_uncond", "uuids"):
        if key in options:
            options[key] = [options[key][chunk] for chunk in chunks]
    return options


def _tokens(latent: Tensor) -> tuple[int, int]:
    """Return the rows and columns of Flux's image tokens for a latent [B,C,H,W].

    Odd sides are padded.
    """
    height, width = latent.shape[2:4]
    return ceil_div(height, FLUX_PATCH), ceil_div(width, FLUX_PATCH)


def _text_lengths(texts: Sequence[Tensor], parts: Sequence[Share | None]) -> tuple[int, ...]:
    lengths = iter([text.shape[1] for text in texts])
    return tuple(0 if part is None else next(lengths) for part in parts)


def _of_equal_lengths(chunks: Sequence[Sequence[Tensor]]) -> list[list[int]]:
    groups: dict[tuple[int, ...], list[int]] = {}
    for number, texts in enumerate(chunks):
        groups.setdefault(tuple(text.shape[1] for text in texts), []).append(number)
    return list(groups.values())


def _pick(value: Any, chunks: Sequence[int], count: int, rows: int) -> Any:
    """Return the rows of these chunks from every tensor in `value` that has one row for each of the
    batch's `rows`.
    """
    if isinstance(value, dict):
        return {key: _pick(one, chunks, count, rows) for key, one in value.items()}
    if isinstance(value, list):
        return [_pick(one, chunks, count, rows) for one in value]
    if isinstance(value, Tensor) and value.ndim and value.shape[0] == rows and len(chunks) < count:
        parts = value.chunk(count)
        return torch.cat([parts[chunk] for chunk in chunks])
    return value


def _joint_attention(
    joint: Joint,
    image_length: int,
    before: Callable | None,
    function: Callable,
    *arguments: Any,
    **named: Any,
) -> Tensor:
    """The host's override of an attention.

    `function` is its own, `before` another pack's override, which is called for each group.
    `arguments` are q, k, v [B,heads,L,d] and the number of heads, as wrap_attn in
    comfy/ldm/modules/attention.py hands them on.
    """
    q, k, v, heads = arguments
    attend = function if before is None else partial(before, function)
    # Another pack's own attention beside the joint one.
    if q.shape[2] != joint.text_length + image_length:
        return attend(q, k, v, heads, **named)
    if named.get("mask") is not None:
        hint = "Take the other node out of this model's chain."
        raise PlanError(
            "Another node masks the attention of this Flux model; that cannot be combined with"
            " regions.",
            code="regions-mask",
            hint=hint,
        )
    return joint.attention(q, k, v, lambda q, k, v: attend(q, k, v, heads, **named))
