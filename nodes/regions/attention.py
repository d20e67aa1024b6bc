"""Attention in which each pixel sees its own region's text.

Exact, computed in groups of pixels, without a mask tensor.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

# A region computes every pixel in which its share is above 0. A share below this is invisible; it
# is above what rounding leaves.
LEAST_SHARE = 1e-3

# (queries, keys, values) -> the attention's output [B, queries, channels]
Attend = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Share:
    """The queries that attend to one region's text: first those of this region alone, then those
    on its soft edges.

    Shapes: index [n] among all queries, None for all of them in their order; of those on soft edges
    `weight` [m,1], float32, this region's part of their results, and `place` [m] among all such
    queries; both None where there are none.
    """

    index: Tensor | None
    weight: Tensor | None = None
    place: Tensor | None = None

    def of(self, tokens: Tensor, dim: int) -> Tensor:
        """Return the region's own among `tokens`, which lie along `dim`."""
        return tokens if self.index is None else tokens.index_select(dim, self.index)

    def to(self, device: torch.device) -> Share:
        held = (self.index, self.weight, self.place)
        return Share(*(None if one is None else one.to(device) for one in held))


@dataclass(frozen=True, eq=False)
class Shares:
    """The shares of all regions in `length` queries, None for a region that has none of them.

    Shapes: soft [S], the queries on soft edges, which have several regions.
    """

    parts: tuple[Share | None, ...]
    soft: Tensor
    length: int

    @property
    def used(self) -> tuple[int, ...]:
        """The regions that have queries."""
        return tuple(region for region, part in enumerate(self.parts) if part is not None)

    def to(self, device: torch.device) -> Shares:
        parts = tuple(None if part is None else part.to(device) for part in self.parts)
        return Shares(parts, self.soft.to(device), self.length)

    def behind(self, text_lengths: Sequence[int]) -> Shares:
        """Return the shares of a joint sequence: each region's text, then its queries among these,
        which stand behind all texts. More than one region has some.
        """
        texts = sum(text_lengths)
        start, parts = 0, []
        for length, part in zip(text_lengths, self.parts, strict=True):
            if part is not None:
                text = torch.arange(start, start + length, device=self.soft.device)
                part = replace(part, index=torch.cat([text, texts + part.index]))
            parts.append(part)
            start += length
        return Shares(tuple(parts), texts + self.soft, texts + self.length)


def seeing_scene(masks: Tensor, scene_strength: float) -> Tensor:
    """Return the masks [R,H,W] by which pixels attend to text.

    Of a person's pixels `scene_strength` goes to the scene's text (region 0).
    """
    persons = masks[1:] * (1 - scene_strength)
    return torch.cat([1 - persons.sum(0, keepdim=True), persons])


def shares(weights: Tensor) -> Shares:
    """Return the regions' shares of L queries.

    Shapes: weights [R,L] float32, non-negative, summing to 1 over the regions. Shares below
    LEAST_SHARE go to the others.
    """
    kept = torch.where(weights < LEAST_SHARE, 0, weights)
    is_soft = (kept > 0).sum(0) > 1
    soft = is_soft.nonzero()[:, 0]
    place = is_soft.cumsum(0) - 1
    parts = tuple(_share(row, is_soft, place) for row in kept / kept.sum(0))
    return Shares(parts, soft, weights.shape[1])


def _share(row: Tensor, is_soft: Tensor, place: Tensor) -> Share | None:
    alone = ((row > 0) & ~is_soft).nonzero()[:, 0]
    edge = ((row > 0) & is_soft).nonzero()[:, 0]
    if len(alone) == len(row):
        return Share(None)
    if len(edge) == 0:
        return Share(alone) if len(alone) else None
    return Share(torch.cat([alone, edge]), row[edge, None], place[edge])


def blended(shares: Shares, answer: Callable[[int, Share], Tensor]) -> Tensor:
    """Return [B,L,C]: each query's results by region, weighted by the regions' shares.

    `answer(region, share)` returns [B,n,C] for the share's queries. Soft edges are summed in
    float32.
    """
    result = edges = None
    for region in shares.used:
        part = shares.parts[region]
        given = answer(region, part)
        if part.index is None:
            return given
        if result is None:
            result = given.new_empty(given.shape[0], shares.length, given.shape[2])
        if part.weight is None:
            result[:, part.index] = given
            continue
        alone = given.shape[1] - len(part.weight)
        result[:, part.index[:alone]] = given[:, :alone]
        weighted = given[:, alone:] * part.weight
        if edges is None:
            shape = (given.shape[0], len(shares.soft), given.shape[2])
            edges = weighted.new_zeros(shape)
        edges.index_add_(1, part.place, weighted)
    assert result is not None, "the shares of all regions sum to 1"
    if edges is not None:
        result[:, shares.soft] = edges.to(result.dtype)
    return result


def coupled(
    queries: Tensor,
    text: Callable[[int], tuple[Tensor, Tensor]],
    shares: Shares,
    attend: Attend,
) -> Tensor:
    """Return the cross-attention of a UNet: each query against its own region's text.

    Shapes: queries [B,L,C] -> same. `text(region)` gives keys and values [B,T,C]; it is asked for
    regions with queries only, and T may differ.
    """

    def answer(region: int, part: Share) -> Tensor:
        keys, values = text(region)
        return attend(part.of(queries, 1), keys, values)

    return blended(shares, answer)


class Joint:
    """A joint sequence of text and image (Flux).

    The regions' texts in order, then the image's tokens.

    Pixels see all pixels and their own region's text. A region's text sees itself and all pixels;
    with `isolation` a person's text (regions 1..) sees itself and that person's pixels. A region
    without a share has no text in the sequence.
    """

    def __init__(
        self, text_lengths: tuple[int, ...], shares: Shares, isolation: bool = False
    ) -> None:
        """`shares` are those of the pixels."""
        self.text_lengths = text_lengths
        self.text_length = sum(text_lengths)
        self.shares = shares
        self.isolation = isolation
        self._is_plain = len(shares.used) == 1
        self._in_sequence = shares if self._is_plain else shares.behind(text_lengths)

    def attention(self, q: Tensor, k: Tensor, v: Tensor, attend: Attend) -> Tensor:
        """Return the joint attention.

        Shapes: q, k, v [B,heads,L,d] -> [B,L,heads*d]; more keys than queries count as pixels.
        """
        if self._is_plain:
            return attend(q, k, v)
        keys, values = (_BehindText(one, self.text_lengths) for one in (k, v))

        def answer(region: int, part: Share) -> Tensor:
            start, length = sum(self.text_lengths[:region]), self.text_lengths[region]
            text = slice(start, start + length)
            queries = part.of(q, 2)
            if not self.isolation or region == 0:
                # Text and pixels see the same keys: one call for both.
                return attend(queries, keys.all(text), values.all(text))
            pixels = self.shares.parts[region]
            own = (keys.own(text, pixels), values.own(text, pixels))
            of_text = attend(queries[:, :, :length], *own)
            of_pixels = attend(queries[:, :, length:], keys.all(text), values.all(text))
            return torch.cat([of_text, of_pixels], 1)

        return blended(self._in_sequence, answer)


class _BehindText:
    """Keys or values of the pixels, with room before them for one region's text at a time.

    The pixels' are many and copied once, for all regions.
    """

    def __init__(self, joint: Tensor, text_lengths: Sequence[int]) -> None:
        self._joint = joint
        self._pixels = joint[:, :, sum(text_lengths) :]
        self._room = max(text_lengths)
        batch, heads, pixels, channels = self._pixels.shape
        self._made = joint.new_empty(batch, heads, self._room + pixels, channels)
        self._made[:, :, self._room :] = self._pixels

    def all(self, text: slice) -> Tensor:
        """Return a text's and all pixels'. It holds until the next text is asked for."""
        first = self._room - (text.stop - text.start)
        self._made[:, :, first : self._room] = self._joint[:, :, text]
        return self._made[:, :, first:]

    def own(self, text: slice, part: Share) -> Tensor:
        """Return a text's and those of the region's own pixels."""
        return torch.cat([self._joint[:, :, text], part.of(self._pixels, 2)], 2)


def stacked(texts: Sequence[Tensor]) -> Tensor:
    """Return the texts [B,T,C] of several chunks as one batch.

    Shorter ones are repeated to a common length, which leaves their attention as it is: with every
    key there n times, the softmax gives each copy 1/n of its weight, and the n copies of its value
    add up to it again.
    """
    length = math.lcm(*(text.shape[1] for text in texts))
    return torch.cat([text.repeat(1, length // text.shape[1], 1) for text in texts])
