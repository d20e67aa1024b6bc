"""Mask arithmetic in torch alone.

For masks on a GPU, and for soft masks in shapes that scipy has no quick way for.

The reach of the largest value doubles with each step, so a radius costs its logarithm. What lies
outside the picture is left out.
Shapes: masks [B,H,W] -> the same.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

# A square of a, dilated by a diamond of b, is an octagon that reaches a + b along rows and columns
# and (2a + b)/sqrt(2) along diagonals.
_DIAMOND_OF_OCTAGON = 2 - math.sqrt(2)

# So many pixels are asked for their nearest one together; that takes some hundred bytes for each.
_AT_ONCE = 2**22


def square(mask: Tensor, radius_px: int) -> Tensor:
    """Return the largest value within `radius_px` rows and columns."""
    for axis in (1, 2):
        reach = min(radius_px, mask.shape[axis] - 1)
        mask = _line(mask, reach, reach, *((1, 0) if axis == 1 else (0, 1)))
    return mask


def diamond(mask: Tensor, radius_px: int) -> Tensor:
    """Return the largest value within `radius_px` steps, none of them diagonal.

    A line along one diagonal dilated by one along the other is every second pixel of a diamond;
    dilated by a cross it is the diamond.
    """
    height, width = mask.shape[1:]
    radius_px = min(radius_px, height + width - 2)
    if radius_px == 0:
        return mask
    # The way along both diagonals may leave the picture: by half the radius, or half the picture
    # where that is less.
    margin = min(radius_px, max(height, width)) // 2 + 2
    out = F.pad(mask, (margin,) * 4, value=-math.inf)
    more, less = radius_px // 2, (radius_px - 1) // 2
    out = _line(_line(out, more, less, 1, 1), less, more, -1, 1)
    # Lines of an even number of pixels have no middle: together they stand a row too high.
    out = _cross(out, row=more - less)
    return out[:, margin : margin + height, margin : margin + width].contiguous()


def octagon(mask: Tensor, radius_px: int) -> Tensor:
    """Return the largest value within an octagon.

    `radius_px` along rows, columns and diagonals, up to 8 % more between them.
    """
    inner = round(radius_px * _DIAMOND_OF_OCTAGON)
    return diamond(square(mask, radius_px - inner), inner)


def disc(bits: Tensor, radius_px: int) -> Tensor:
    """Return the pixels of bool masks no farther than `radius_px` from one that is set, by straight
    distance.

    A pixel with a set one g rows above or below it covers sqrt(r^2 - g^2) pixels to both sides on
    its own row; a running sum over where such spans begin and end tells what is covered. Whole
    numbers throughout: the result is exact.
    """
    height, width = bits.shape[1:]
    rows = _row_distance(bits)
    reach = torch.tensor(
        [math.isqrt(radius_px**2 - gap**2) for gap in range(min(radius_px, height) + 1)],
        device=bits.device,
    )
    counts = rows < len(reach)
    half = reach[rows.clamp(max=len(reach) - 1)]
    columns = torch.arange(width, device=bits.device)
    edges = torch.zeros(*bits.shape[:2], width + 1, dtype=torch.int32, device=bits.device)
    edges.scatter_add_(2, (columns - half).clamp(min=0), counts.int())
    edges.scatter_add_(2, (columns + half + 1).clamp(max=width), -counts.int())
    return edges.cumsum(2)[:, :, :width] > 0


def nearest(core: Tensor, values: Tensor, reach_px: int) -> tuple[Tensor, Tensor]:
    """Return the straight distance to the nearest pixel of `core`, and the value there.

    Infinite from a pixel beyond `reach_px` on.

    Whole numbers up to the root: exact, at a cost that does not depend on the reach.
    """
    square_px = _row_distance(core) ** 2
    column = torch.cat(
        [
            _column_of_nearest(part)
            for part in square_px.flatten(0, 1).split(max(1, _AT_ONCE // core.shape[2]))
        ]
    ).view(core.shape)
    best = (
        square_px.gather(2, column)
        + (torch.arange(core.shape[2], device=core.device) - column) ** 2
    )
    value = values.gather(1, _row_of_nearest(core)).gather(2, column)
    return torch.where(best < (reach_px + 1) ** 2, best.float().sqrt(), math.inf), value


def _column_of_nearest(square_px: Tensor) -> Tensor:
    """Return, in each row, the column c of the least square_px[c] + (x - c)^2 for every column x.

    The leftmost where several are least.

    The further right x stands, the further right stands c, so that the answers of two columns bound
    those of the columns between them: every column is asked between two that are half as far apart
    as in the step before, and each step goes through no more than a row and its columns.

    Shapes: square_px [N,W] of whole numbers -> [N,W].
    """
    width = square_px.shape[1]
    # With a column on each side that has the first and the last answer there can be.
    found = square_px.new_zeros(len(square_px), width + 2)
    found[:, -1] = width - 1
    step = 1 << (width.bit_length() - 1)
    while step:
        asked = torch.arange(step, width + 1, 2 * step, device=found.device)
        first = found[:, asked - step].flatten()
        last = found[:, (asked + step).clamp(max=width + 1)].flatten()
        count = last - first + 1
        asking = torch.repeat_interleave(count)
        column = (
            torch.arange(len(asking), device=found.device)
            - (count.cumsum(0) - count - first)[asking]
        )
        total_px = (
            square_px[asking // len(asked), column] + (asked[asking % len(asked)] - 1 - column) ** 2
        )
        least = torch.full_like(count, torch.iinfo(count.dtype).max).scatter_reduce_(
            0, asking, total_px * width + column, "amin"
        )
        found[:, asked] = (least % width).view(-1, len(asked))
        step //= 2
    return found[:, 1:-1]


def _row_of_nearest(bits: Tensor) -> Tensor:
    """Return the row of the nearest set pixel in each pixel's own column.

    Row 0 where the column has none.
    """
    above, below = _rows_around(bits)
    rows = torch.arange(bits.shape[1], device=bits.device)[:, None]
    return torch.where(rows - above <= below - rows, above, below).clamp(0, bits.shape[1] - 1)


def _row_distance(bits: Tensor) -> Tensor:
    """Return how many rows above or below the nearest set pixel of each pixel's own column lies.

    More than there are where it has none.
    """
    above, below = _rows_around(bits)
    rows = torch.arange(bits.shape[1], device=bits.device)[:, None]
    return torch.minimum(rows - above, below - rows)


def _rows_around(bits: Tensor) -> tuple[Tensor, Tensor]:
    """Return the rows of the nearest set pixels at or above and at or below each pixel.

    Far outside where there is none.
    """
    height = bits.shape[1]
    rows = torch.arange(height, device=bits.device)[:, None].expand_as(bits)
    far = 4 * (height + bits.shape[2])  # beyond any reach
    above = _greatest_so_far(torch.where(bits, rows, -far))
    below = -_greatest_so_far(torch.where(bits, -rows, -far).flip(1)).flip(1)
    return above, below


def _greatest_so_far(numbers: Tensor) -> Tensor:
    """Return the greatest of each number and those above it in its column.

    As cummax, which Apple's GPUs do not have for whole numbers.
    """
    step = 1
    while step < numbers.shape[1]:
        lower = torch.maximum(numbers[:, step:], numbers[:, :-step])
        numbers = torch.cat([numbers[:, :step], lower], 1)
        step *= 2
    return numbers


def _line(mask: Tensor, before: int, after: int, down: int, across: int) -> Tensor:
    """Return the largest value on a line through each pixel, from `before` pixels before it to
    `after` after it, in steps (down, across).
    """
    return torch.maximum(
        _window(mask, after + 1, down, across), _window(mask, before + 1, -down, -across)
    )


def _window(mask: Tensor, length: int, down: int, across: int) -> Tensor:
    reached = 1
    while reached < length:
        step = min(reached, length - reached)
        mask = _larger(mask, step * down, step * across)
        reached += step
    return mask


def _cross(mask: Tensor, row: int) -> Tensor:
    """Return the largest value of the pixel `row` rows below each one and its four neighbours."""
    around = ((row - 1, 0), (row + 1, 0), (row, -1), (row, 1), (row, 0))
    height, width = mask.shape[1:]
    reach = row + 1
    wide = F.pad(mask, (reach,) * 4, value=-math.inf)
    views = [
        wide[:, reach + down : reach + down + height, reach + across : reach + across + width]
        for down, across in around
    ]
    return torch.stack(views).amax(0)


def _larger(mask: Tensor, down: int, across: int) -> Tensor:
    """Return the larger of each pixel and the one (down, across) from it.

    The pixel itself where that lies outside.
    """
    height, width = mask.shape[1:]
    here = (
        slice(None),
        slice(max(0, -down), height - max(0, down)),
        slice(max(0, -across), width - max(0, across)),
    )
    there = (
        slice(None),
        slice(max(0, down), height - max(0, -down)),
        slice(max(0, across), width - max(0, -across)),
    )
    out = mask.clone()
    out[here] = torch.maximum(mask[here], mask[there])
    return out
