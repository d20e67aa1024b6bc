"""Grouped attention against plain softmax with an explicit mask, in float64 arithmetic of its
own.
"""

from __future__ import annotations

import pytest
import torch
from comfyui_astria.nodes.regions.attention import (
    LEAST_SHARE,
    Joint,
    Share,
    blended,
    coupled,
    seeing_scene,
    shares,
    stacked,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

HEADS, CHANNELS = 2, 6


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """[B,L,C], or [B,heads,L,d] as Flux has it -> [B,L,C], by the library's own kernel."""
    if q.ndim == 3:
        q, k, v = (one.unflatten(2, (HEADS, -1)).transpose(1, 2) for one in (q, k, v))
    return torch.nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


def masked_softmax(q: Tensor, k: Tensor, v: Tensor, seen: Tensor) -> Tensor:
    """[B,heads,L,d], seen [Lq,Lk] bool -> [B,Lq,heads*d].

    The definition, with every score written out.
    """
    q, k, v = q.double(), k.double(), v.double()
    scores = (q @ k.transpose(2, 3)) / q.shape[3] ** 0.5
    return (scores.masked_fill(~seen, float("-inf")).softmax(-1) @ v).transpose(1, 2).flatten(2)


def hard(labels: list[int], regions: int) -> Tensor:
    return torch.nn.functional.one_hot(torch.tensor(labels), regions).T.float()


def seen_by(labels: Tensor, lengths: tuple[int, ...], isolation: bool) -> Tensor:
    """[L,L] for the joint sequence.

    Which token each token sees when pixel p belongs to region labels[p] alone.
    """
    of_text = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    text, pixels = len(of_text), len(labels)
    seen = torch.zeros(text + pixels, text + pixels, dtype=torch.bool)
    seen[:text, :text] = of_text[:, None] == of_text
    seen[:text, text:] = (
        (of_text[:, None] == labels) | (of_text[:, None] == 0) if isolation else True
    )
    seen[text:, :text] = labels[:, None] == of_text
    seen[text:, text:] = True
    return seen


@given(
    labels=st.lists(st.integers(0, 3), min_size=1, max_size=30),
    isolation=st.booleans(),
    seed=st.integers(0, 9),
)
@settings(max_examples=40)
def test_joint_attention_is_the_masked_softmax(
    labels: list[int], isolation: bool, seed: int
) -> None:
    of_pixels = shares(hard(labels, 4))
    lengths = tuple(
        length if region in of_pixels.used else 0 for region, length in enumerate((3, 5, 2, 4))
    )
    length = sum(lengths) + len(labels)
    q, k, v = (random(2, HEADS, length, CHANNELS, seed=seed + part) for part in range(3))
    expected = masked_softmax(q, k, v, seen_by(torch.tensor(labels), lengths, isolation))
    torch.testing.assert_close(
        Joint(lengths, of_pixels, isolation).attention(q, k, v, attend),
        expected.float(),
        atol=1e-5,
        rtol=0,
    )


@given(labels=st.lists(st.integers(0, 2), min_size=1, max_size=30), seed=st.integers(0, 9))
@settings(max_examples=40)
def test_coupled_attention_is_the_masked_softmax(labels: list[int], seed: int) -> None:
    lengths = (3, 5, 2)
    q = random(2, len(labels), HEADS * CHANNELS, seed=seed)
    texts = [
        tuple(random(2, length, HEADS * CHANNELS, seed=seed + region + part) for part in (10, 20))
        for region, length in enumerate(lengths)
    ]
    seen = torch.tensor(labels)[:, None] == torch.repeat_interleave(
        torch.arange(3), torch.tensor(lengths)
    )
    keys, values = (torch.cat([text[part] for text in texts], 1) for part in (0, 1))
    split = [one.unflatten(2, (HEADS, -1)).transpose(1, 2) for one in (q, keys, values)]
    expected = masked_softmax(*split, seen).float()
    torch.testing.assert_close(
        coupled(q, texts.__getitem__, shares(hard(labels, 3)), attend), expected, atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("isolation", [False, True])
def test_soft_pixels_are_the_weighted_sum_of_what_each_region_gives_them(isolation: bool) -> None:
    weights = torch.tensor(
        [[1.0, 0.25, 0.0, 0.0, 0.0], [0.0, 0.75, 1.0, 0.5, 0.0], [0.0, 0.0, 0.0, 0.5, 1.0]]
    )
    lengths = (2, 3, 4)
    q, k, v = (random(1, HEADS, sum(lengths) + 5, CHANNELS, seed=part) for part in range(3))
    text = sum(lengths)
    given_by = [
        masked_softmax(q, k, v, seen_by(torch.full((5,), region), lengths, False))
        for region in range(3)
    ]
    pixels = sum(weights[region, :, None] * given_by[region][:, text:] for region in range(3))
    out = Joint(lengths, shares(weights), isolation).attention(q, k, v, attend)
    torch.testing.assert_close(out[:, text:], pixels.float(), atol=1e-5, rtol=0)
    touched = weights > 0
    for region, start, length in ((0, 0, 2), (1, 2, 3), (2, 5, 4)):
        seen = torch.zeros(text + 5, text + 5, dtype=torch.bool)
        seen[:, start : start + length] = True
        seen[:, text:] = touched[region] if isolation and region else True
        expected = masked_softmax(q, k, v, seen)[:, start : start + length]
        torch.testing.assert_close(
            out[:, start : start + length], expected.float(), atol=1e-5, rtol=0
        )


def test_one_region_alone_is_the_plain_attention_untouched() -> None:
    q, k, v = (random(1, HEADS, 9, CHANNELS, seed=part) for part in range(3))
    alone = shares(hard([1] * 5, 3))
    assert alone.used == (1,)
    assert torch.equal(Joint((0, 4, 0), alone).attention(q, k, v, attend), attend(q, k, v))


def test_keys_beyond_the_queries_are_seen_by_everybody() -> None:
    """Another pack may add keys of its own behind the picture's."""
    lengths, labels = (2, 3), torch.tensor([0, 1, 1, 0])
    q = random(1, HEADS, 9, CHANNELS)
    k = random(1, HEADS, 12, CHANNELS, seed=1)
    v = random(1, HEADS, 12, CHANNELS, seed=2)
    seen = torch.cat([seen_by(labels, lengths, False), torch.ones(9, 3, dtype=torch.bool)], 1)
    out = Joint(lengths, shares(hard(labels.tolist(), 2))).attention(q, k, v, attend)
    torch.testing.assert_close(out, masked_softmax(q, k, v, seen).float(), atol=1e-5, rtol=0)


def test_shares_leave_no_trace_of_rounding() -> None:
    masks = torch.tensor([[1e-7, 1.0, 0.5], [1 - 1e-7, 0.0, 0.5]])
    both = shares(masks)
    first, second = both.parts
    assert isinstance(first, Share) and isinstance(second, Share)
    assert first.index is not None and first.index.tolist() == [1, 2]
    assert second.index is not None and second.index.tolist() == [0, 2]
    assert both.soft.tolist() == [2]
    assert second.weight is not None and second.weight.tolist() == [[0.5]]
    assert second.place is not None and second.place.tolist() == [0]


@given(
    st.lists(
        st.lists(st.floats(0, 1, width=32), min_size=3, max_size=3).filter(
            lambda row: sum(row) > 0.1
        ),
        min_size=1,
        max_size=9,
    )
)
def test_shares_sum_to_one_and_lose_less_than_the_least_share(rows: list[list[float]]) -> None:
    weights = torch.tensor(rows).T
    weights = weights / weights.sum(0)
    back = torch.zeros_like(weights)
    for region, part in enumerate(shares(weights).parts):
        if part is not None:
            index = slice(None) if part.index is None else part.index
            back[region, index] = 1.0
            if part.index is not None and part.weight is not None:
                back[region, part.index[-len(part.weight) :]] = part.weight[:, 0]
    torch.testing.assert_close(back.sum(0), torch.ones(len(rows)))
    assert (back - weights).abs().max() <= 2 * LEAST_SHARE


def test_soft_edges_are_summed_in_float32() -> None:
    """In bfloat16 the weights of a pixel seldom sum to 1, so equal texts would not stay equal."""
    value, weights = random(1, 64, 8).bfloat16(), random(5, 64, seed=1).softmax(0)
    out = blended(shares(weights), lambda region, share: share.of(value, 1))
    assert out.dtype == torch.bfloat16 and torch.equal(out, value)


def test_the_scene_takes_its_strength_from_every_person_alike() -> None:
    masks = torch.tensor([[[0.2]], [[0.5]], [[0.3]]])
    torch.testing.assert_close(seeing_scene(masks, 0.0), masks)
    torch.testing.assert_close(seeing_scene(masks, 0.5)[:, 0, 0], torch.tensor([0.6, 0.25, 0.15]))
    torch.testing.assert_close(seeing_scene(masks, 1.0)[:, 0, 0], torch.tensor([1.0, 0.0, 0.0]))


def test_texts_of_different_lengths_stack_without_a_change_of_attention() -> None:
    short, long = random(1, 4, 8), random(1, 6, 8, seed=1)
    both = stacked([short, long])
    assert both.shape == (2, 12, 8)
    q = random(1, 5, 8, seed=2)
    for row, text in enumerate((short, long)):
        torch.testing.assert_close(
            attend(q, both[row : row + 1], both[row : row + 1]),
            attend(q, text, text),
            atol=1e-6,
            rtol=0,
        )
    assert torch.equal(stacked([short]), short)
