"""Attention in which each pixel sees its own region's text.

Exact, computed in groups of pixels, without a mask tensor.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

# A region computes every pixel in which its share is above 0. A share below this is invisible; it
# is above what rounding leaves.
LEAST_SHARE = 1e-3

# (queries, keys, values) -> the attention's output [B, queries, channels]
Attend = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Share:
    """The queries that attend to one region's text, and the weight of that region's result.

    Shapes: index [n] among the queries, None for all of them; weight [n,1] float32 above 0, None
    where it is 1 throughout.
    """

    index: Tensor | None
    weight: Tensor | None

    def of(self, tokens: Tensor, dim: int) -> Tensor:
        """Return the region's own among `tokens`, which lie along `dim`."""
        return tokens if self.index is None else tokens.index_select(dim, self.index)

    def to(self, device: torch.device) -> Share:
        index = None if self.index is None else self.index.to(device)
        weight = None if self.weight is None else self.weight.to(device)
        return Share(index, weight)


def on_device(parts: Sequence[Share | None], device: torch.device) -> tuple[Share | None, ...]:
    return tuple(None if part is None else part.to(device) for part in parts)


def seeing_scene(masks: Tensor, scene_strength: float) -> Tensor:
    """Return the masks [R,H,W] by which pixels attend to text.

    Of a person's pixels `scene_strength` goes to the scene's text (region 0).
    """
    persons = masks[1:] * (1 - scene_strength)
    return torch.cat([1 - persons.sum(0, keepdim=True), persons])


def shares(weights: Tensor) -> tuple[Share | None, ...]:
    """Return each region's share of L queries, None for a region that has none of them.

    Shapes: weights [R,L] float32, non-negative, summing to 1 over the regions. Shares below
    LEAST_SHARE go to the others.
    """
    kept = torch.where(weights < LEAST_SHARE, 0, weights)
    return tuple(_share(row) for row in kept / kept.sum(0))


def _share(row: Tensor) -> Share | None:
    index = row.nonzero()[:, 0]
    if len(index) == 0:
        return None
    weight = row[index]
    return Share(
        None if len(index) == len(row) else index,
        None if bool((weight == 1).all()) else weight[:, None],
    )


def blended(
    parts: Sequence[Share | None], answer: Callable[[int, Share], Tensor], length: int
) -> Tensor:
    """Return [B,length,C]: each query's results by region, weighted by the regions' shares.

    `answer(region, share)` returns [B,n,C] for the share's queries. Soft edges are summed in
    float32.
    """
    result = None
    soft = any(part is not None and part.weight is not None for part in parts)
    for region, part in enumerate(parts):
        if part is None:
            continue
        given = answer(region, part)
        dtype = given.dtype
        if part.weight is not None:
            given = given * part.weight
        if result is None:
            wide = torch.promote_types(dtype, torch.float32) if soft else dtype
            result = given.new_zeros(given.shape[0], length, given.shape[2], dtype=wide)
        if part.index is None:
            result += given
        else:
            result.index_add_(1, part.index, given.to(result.dtype))
    assert result is not None, "the shares of all regions sum to 1"
    return result.to(dtype)


def coupled(
    queries: Tensor,
    text: Callable[[int], tuple[Tensor, Tensor]],
    parts: Sequence[Share | None],
    attend: Attend,
) -> Tensor:
    """Return the cross-attention of a UNet: each query against its own region's text.

    Shapes: queries [B,L,C] -> same. `text(region)` gives keys and values [B,T,C]; it is asked for
    regions with queries only, and T may differ.
    """

    def answer(region: int, part: Share) -> Tensor:
        keys, values = text(region)
        return attend(part.of(queries, 1), keys, values)

    return blended(parts, answer, queries.shape[1])


@dataclass(frozen=True, eq=False)
class Joint:
    """A joint sequence of text and image (Flux).

    The regions' texts in order, then the image's tokens.

    Pixels see all pixels and their own region's text. A region's text sees itself and all pixels;
    with `isolation` a person's text (regions 1..) sees itself and that person's pixels. A region
    without a share has no text in the sequence.
    """

    text_lengths: tuple[int, ...]
    parts: tuple[Share | None, ...]
    isolation: bool = False

    @property
    def text_length(self) -> int:
        return sum(self.text_lengths)

    def attention(self, q: Tensor, k: Tensor, v: Tensor, attend: Attend) -> Tensor:
        """Return the joint attention.

        Shapes: q, k, v [B,heads,L,d] -> [B,L,heads*d]; more keys than queries count as pixels.
        """
        if sum(part is not None for part in self.parts) == 1:
            return attend(q, k, v)
        starts = [sum(self.text_lengths[:region]) for region in range(len(self.parts))]
        keys, values = (_BehindText(one, self.text_lengths) for one in (k, v))
        texts: list[Tensor] = []

        def answer(region: int, part: Share) -> Tensor:
            text = slice(starts[region], starts[region] + self.text_lengths[region])
            text_q, pixels_q = q[:, :, text], part.of(q[:, :, self.text_length :], 2)
            if self.isolation and region > 0 and part.index is not None:
                texts.append(attend(text_q, keys.own(text, part), values.own(text, part)))
                return attend(pixels_q, keys.all(text), values.all(text))
            # Text and pixels see the same keys: one call for both.
            queries = torch.cat([text_q, pixels_q], 2)
            both = attend(queries, keys.all(text), values.all(text))
            of_text, of_pixels = both.split([text_q.shape[2], pixels_q.shape[2]], 1)
            texts.append(of_text)
            return of_pixels

        image = blended(self.parts, answer, q.shape[2] - self.text_length)
        return torch.cat([*texts, image], 1)


class _BehindText:
    """Keys or values of the pixels, with room before them for one region's text at a time.

    The pixels' are many and copied once, for all regions.
    """

    def __init__(self, joint: Tensor, text_lengths: Sequence[int]) -> None:
        self._joint = joint
        self._pixels = joint[:, :, sum(text_lengths) :]
        self._room = max(text_lengths)
        self._made = torch.nn.functional.pad(self._pixels, (0, 0, self._room, 0))

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
