"""Shapes drawn by hand in a node, as plain numbers in a widget: a box, or a brushed mask.

A box is `x y width height` in parts of the picture. What a brush has made of it stands behind it as
`COLUMNSxROWS` of cells that the box is divided into, and the lengths of runs of cells, row by row,
by turns without and with the brush: `0.2 0.1 0.5 0.6 4x2 1 2 3 1`. So a mask moves and grows with
its box, has no resolution of a picture, and says nothing about one. `web/js/previews/cells.js`
writes the same.
"""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

MOST_CELLS = 512  # a side: four times as fine as the editor draws
CELLS = 128  # along the longer side of a picture, of what is told to the editor
_GRID = re.compile(r"(\d{1,3})x(\d{1,3})")


@dataclass(frozen=True, eq=False)
class Shape:
    """A box in parts of the picture, and the cells of it that are drawn, bool [rows, columns]; None
    for all of the box.
    """

    left: float
    top: float
    right: float
    bottom: float
    cells: Tensor | None = None

    def pixels(self, width: int, height: int) -> Tensor:
        """Return the drawn pixels, bool [height, width]: those whose centre lies in the box, and
        where the cells, blended between their centres, are half drawn or more.
        """
        x = (torch.arange(width, dtype=torch.float64) + 0.5) / width
        y = (torch.arange(height, dtype=torch.float64) + 0.5) / height
        inside = ((y >= self.top) & (y <= self.bottom))[:, None] & (
            (x >= self.left) & (x <= self.right)
        )
        if self.cells is None:
            return inside
        rows, columns = self.cells.shape
        down = _weights((y - self.top) / (self.bottom - self.top) * rows, rows)
        across = _weights((x - self.left) / (self.right - self.left) * columns, columns)
        drawn = down @ self.cells.to(torch.float32) @ across.T
        return inside & (drawn >= 0.5 - 1e-6)


def _weights(places: Tensor, count: int) -> Tensor:
    """Return how much each cell of a side counts at each place, [places, cells]; beyond the first
    and the last centre these go on.
    """
    centres = torch.arange(count, dtype=torch.float64) + 0.5
    within = places.clamp(0.5, count - 0.5)
    return (1 - (within[:, None] - centres).abs()).clamp(min=0).to(torch.float32)


def parsed(text: str) -> Shape | None:
    """Return the shape that a text stands for, None where it is none, or one outside the
    picture.
    """
    words = text.split()
    try:
        x, y, width, height = map(float, words[:4])
    except ValueError:
        return None
    sides = (x, y, x + width, y + height)
    is_inside = x < 1 and y < 1 and sides[2] > 0 and sides[3] > 0
    if not (all(map(math.isfinite, sides)) and width > 0 and height > 0 and is_inside):
        return None
    if len(words) == 4:
        return Shape(*sides)
    cells = _cells(words[4:])
    return None if cells is None else Shape(*sides, cells)


def _cells(words: list[str]) -> Tensor | None:
    """Return the cells of a grid and its runs; None where they are none, or none is drawn."""
    grid = _GRID.fullmatch(words[0])
    if grid is None or not all(word.isascii() and word.isdecimal() for word in words[1:]):
        return None
    columns, rows = map(int, grid.groups())
    runs = [int(word) for word in words[1:]]
    if not (0 < columns <= MOST_CELLS and 0 < rows <= MOST_CELLS and sum(runs) <= columns * rows):
        return None
    drawn = torch.zeros(rows * columns, dtype=torch.bool)
    end = 0
    for place, run in enumerate(runs):
        drawn[end : end + run] = place % 2 == 1
        end += run
    return drawn.view(rows, columns) if drawn.any() else None


def written(mask: Tensor) -> str:
    """Return a mask [H,W] as a shape over the whole picture, coarse enough for a drawing: cells
    that are half masked or more.
    """
    height, width = mask.shape
    longer = max(width, height)
    columns, rows = (max(1, round(side * min(1, CELLS / longer))) for side in (width, height))
    shares = F.adaptive_avg_pool2d(mask[None].detach().cpu().float(), (rows, columns))[0]
    flat = (shares >= 0.5).flatten()
    changes = torch.nonzero(flat[1:] != flat[:-1]).flatten() + 1
    ends = [0, *changes.tolist(), len(flat)]
    runs = [end - start for start, end in itertools.pairwise(ends)]
    if flat[0]:
        runs.insert(0, 0)
    return " ".join(map(str, ["0 0 1 1", f"{columns}x{rows}", *runs]))
