"""Changes of queries, keys and values in one layer, taken apart into those of a layer each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import torch

Tensors = Mapping[str, torch.Tensor]

# Ends of names of matrices, by which side of the layer they stand at.
_OUTWARD = (".lora_up.weight", ".lora_B.weight", ".lora.up.weight", ".hada_w1_a", ".hada_w2_a")
_INWARD = (".lora_down.weight", ".lora_A.weight", ".lora.down.weight", ".hada_w1_b", ".hada_w2_b")
_STORED = (".diff", ".diff_b", ".dora_scale")
_SMALL = (".lokr_w1", ".lokr_w1_a")
_LARGE = (".lokr_w2", ".lokr_w2_a")
_SHARED = (*_INWARD, ".lokr_w1_b", ".lokr_w2_b", ".alpha")
_ENDINGS = frozenset((*_OUTWARD, *_STORED, *_SMALL, *_LARGE, *_SHARED))


class Inseparable(Exception):
    """A change that cannot be taken apart; the message says why."""


@dataclass(frozen=True)
class Piece:
    """A change of `rows` outputs of a layer from `start` on, by the ends of its tensors' names.

    `part` counts the layers that were one.
    """

    part: int
    start: int
    rows: int
    tensors: dict[str, torch.Tensor]


def split_rows(tensors: Tensors, counts: Sequence[int]) -> list[Piece]:
    """Return a change of one layer as changes of layers of `counts` outputs, which are its rows in
    order. Together they are the change itself, exactly.

    `tensors`: those of the one layer, by the ends of their names.
    Raises: Inseparable for a form whose rows do not stand alone, or of another size.
    """
    unknown = sorted(tensors.keys() - _ENDINGS)
    if unknown:
        raise Inseparable(f"a form ({unknown[0].removeprefix('.')}) that cannot be taken apart")
    _expect_rows(tensors, counts)
    ends = list(accumulate(counts))
    return [
        Piece(part, low - (end - count), high - low, pieces)
        for part, (count, end) in enumerate(zip(counts, ends, strict=True))
        for low, high, pieces in _between(tensors, end - count, end)
    ]


def _expect_rows(tensors: Tensors, counts: Sequence[int]) -> None:
    total = sum(counts)
    for ending, one in tensors.items():
        if ending in (*_OUTWARD, *_STORED) and (one.ndim == 0 or one.shape[0] != total):
            if ending == ".dora_scale" and one.ndim > 1 and one.shape[0] == 1:
                raise Inseparable("a DoRA by inputs, which its parts share")
            rows = one.shape[0] if one.ndim else 1
            raise Inseparable(f"{rows} outputs; the layers have {' + '.join(map(str, counts))}")
    small, large = _kronecker_rows(tensors)
    if small * large not in (0, total):
        text = f"{small} times {large} outputs; the layers have {' + '.join(map(str, counts))}"
        raise Inseparable(text)


def _kronecker_rows(tensors: Tensors) -> tuple[int, int]:
    """Return the rows of LoKr's small and large matrix, 0 where there is none."""
    small, large = (
        next((tensors[ending].shape[0] for ending in side if ending in tensors), 0)
        for side in (_SMALL, _LARGE)
    )
    if bool(small) != bool(large):
        raise Inseparable("the other half of the pair is missing")
    return small, large


def _between(tensors: Tensors, low: int, high: int) -> Iterator[tuple[int, int, dict]]:
    """Yield the rows from `low` to `high` as (first row, row behind the last, their tensors).

    A Kronecker product's rows are blocks of the large matrix's height, one for each row of the
    small one: blocks in part are pieces of their own.
    """
    _, height = _kronecker_rows(tensors)
    if not height:
        yield low, high, _cut(tensors, low, high)
        return
    bounds = {low, high}
    for edge in (-(-low // height) * height, high // height * height):
        if low < edge < high:
            bounds.add(edge)
    steps = sorted(bounds)
    for first, last in pairwise(steps):
        blocks = slice(first // height, (last - 1) // height + 1)
        is_whole = first % height == 0 and last % height == 0
        rows = slice(None) if is_whole else slice(first % height, (last - 1) % height + 1)
        piece = _cut(tensors, first, last)
        piece |= {end: one[blocks] for end, one in piece.items() if end in _SMALL}
        piece |= {end: one[rows] for end, one in piece.items() if end in _LARGE}
        yield first, last, piece


def _cut(tensors: Tensors, low: int, high: int) -> dict[str, torch.Tensor]:
    return {
        ending: one[low:high] if ending in (*_OUTWARD, *_STORED) else one
        for ending, one in tensors.items()
    }
