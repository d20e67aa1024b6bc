"""How a picture is cut into overlapping tiles of one size, and the weights by which the tiles are
put together again.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import PlanError


@dataclass(frozen=True)
class Tile:
    """A rectangle of the whole, in its units: latent cells for diffusion."""

    y: int
    x: int
    height: int
    width: int

    def of(self, whole: Tensor, scale: int = 1) -> Tensor:
        """Return the tile's part, a view, of a tensor [...,H,W] with `scale` pixels to the unit."""
        y, x, height, width = (scale * value for value in (self.y, self.x, self.height, self.width))
        return whole[..., y : y + height, x : x + width]


@dataclass(frozen=True, eq=False)
class Tiling:
    """Tiles in rows and columns, all of one size.

    `weights` of an axis [tiles, size] float32 sum to 1 at every place of that axis.
    """

    starts: tuple[tuple[int, ...], tuple[int, ...]]
    weights: tuple[Tensor, Tensor]

    def __len__(self) -> int:
        return len(self.starts[0]) * len(self.starts[1])

    def __iter__(self) -> Iterator[tuple[Tile, Tensor]]:
        """Yield each tile with its weight [height, width].

        The weights of all tiles sum to 1 at every place.
        """
        for y, down in zip(self.starts[0], self.weights[0], strict=True):
            for x, across in zip(self.starts[1], self.weights[1], strict=True):
                yield Tile(y, x, len(down), len(across)), down[:, None] * across


def tiling(height: int, width: int, size: int, overlap: int) -> Tiling:
    """Return the fewest tiles of `size` that cover height x width with at least `overlap` between
    neighbours, evenly spread.

    Along a side that is not longer than a tile there is one tile of that side's length.
    Raises: PlanError for an overlap that leaves less than half of a tile to itself.
    """
    if not 0 <= overlap <= size // 2:
        raise PlanError(
            f"Tiles of {size} with an overlap of {overlap}; expected an overlap of 0 to"
            f" {size // 2}, half a tile.",
            code="tile-overlap",
        )
    starts = tuple(_starts(length, size, overlap) for length in (height, width))
    sizes = (min(size, height), min(size, width))
    rows, columns = (_weights(own, length) for own, length in zip(starts, sizes, strict=True))
    return Tiling(starts, (rows, columns))


def _starts(length: int, size: int, overlap: int) -> tuple[int, ...]:
    if length <= size:
        return (0,)
    last = math.ceil((length - overlap) / (size - overlap)) - 1
    return tuple(number * (length - size) // last for number in range(last + 1))


def _weights(starts: tuple[int, ...], size: int) -> Tensor:
    """Return [tiles, size]: squared sine ramps where tiles overlap, 1 elsewhere, divided by their
    sum.
    """
    raw = torch.ones(len(starts), size, dtype=torch.float64)
    for number, (left, right) in enumerate(itertools.pairwise(starts)):
        shared = left + size - right
        ramp = (
            torch.sin(
                (torch.arange(shared, dtype=torch.float64) + 0.5) / max(shared, 1) * (math.pi / 2)
            )
            ** 2
        )
        raw[number + 1, :shared] *= ramp
        raw[number, size - shared :] *= ramp.flip(0)
    total = torch.zeros(starts[-1] + size, dtype=torch.float64)
    for start, row in zip(starts, raw, strict=True):
        total[start : start + size] += row
    return torch.stack(
        [row / total[start : start + size] for start, row in zip(starts, raw, strict=True)]
    ).float()
