"""Colours along the border of the source window, and their continuation over the canvas around it.

The window is a rectangle, so every pixel outside it has one nearest border pixel. What is continued
outward therefore lives on four lines, not on the canvas: averaging and blurring cost as much as the
border is long, however large the canvas is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .geometry import Rect


class Border(NamedTuple):
    """Values along the four sides of a window, left to right and top to bottom.

    Each [B, side, C], or [B, side, depth, C].
    """

    top: Tensor
    bottom: Tensor
    left: Tensor
    right: Tensor


@dataclass(frozen=True)
class Zone:
    """One of the up to eight rectangles around a window.

    `row` and `column` are -1 before it, 0 beside it, 1 after it.
    """

    rows: slice
    columns: slice
    row: int
    column: int

    def continued(self, border: Border) -> Tensor:
        """Return the value of the nearest border pixel for each pixel of the zone, [B, rows or 1,
        columns or 1, C].
        """
        if self.row == 0:
            return (border.left if self.column < 0 else border.right)[:, :, None]
        line = (border.top if self.row < 0 else border.bottom)[:, None]
        if self.column == 0:
            return line
        return line[:, :, :1] if self.column < 0 else line[:, :, -1:]

    def steps(self, device: torch.device) -> Tensor:
        """Return how many pixels each pixel lies behind the first one outside the window, [rows or
        1, columns or 1, 1].
        """
        down = _steps(self.rows, self.row, device)
        across = _steps(self.columns, self.column, device)
        return (torch.hypot(down[:, None], across[None, :]) - 1)[:, :, None]


def zones(window: Rect, width: int, height: int, reach_px: int | None = None) -> Iterator[Zone]:
    """Yield the zones around `window` on a canvas of `width` x `height`, none deeper than
    `reach_px`; together they cover it.
    """
    reach = max(width, height) if reach_px is None else reach_px
    rows = _spans(window.y, window.height, height, reach)
    columns = _spans(window.x, window.width, width, reach)
    for row, row_span in rows.items():
        for column, column_span in columns.items():
            if row or column:
                yield Zone(row_span, column_span, row, column)


def strips(image: Tensor, depth_px: int) -> Border:
    """Return the outermost `depth_px` pixels of each side of an image [B,H,W,C], depth counted
    inward from the border.
    """
    return Border(
        top=image[:, :depth_px].transpose(1, 2),
        bottom=image[:, -depth_px:].flip(1).transpose(1, 2),
        left=image[:, :, :depth_px],
        right=image[:, :, -depth_px:].flip(2),
    )


def edge(image: Tensor) -> Border:
    """Return the border pixels of an image [B,H,W,C] themselves."""
    return Border(image[:, 0], image[:, -1], image[:, :, 0], image[:, :, -1])


def averaged(inner: Border, depth_px: int) -> Border:
    """Return the normalised Gaussian average at each border pixel over the strips `inner`, which
    are `depth_px` deep.

    The same kernel runs inward and along, cut off at `depth_px` both ways: at a corner both sides
    give the same value.
    """
    return Border(*(_averaged_side(side, depth_px) for side in inner))


def blurred_along(border: Border, sigma_px: float) -> Border:
    """Return the values blurred along the border, around its corners, by a periodic Gaussian.

    Two sides must agree at their common corner, and do so afterwards.
    """
    width, height = border.top.shape[1], border.left.shape[1]
    if width == height == 1:
        return border
    # Each side up to its last corner, which the next one begins with.
    sides = (border.top, border.right, border.bottom.flip(1), border.left.flip(1))
    cycle = torch.cat([side[:, :-1] for side in sides], dim=1)
    frequency = torch.fft.rfftfreq(cycle.shape[1], device=cycle.device)
    response = torch.exp(-2.0 * (math.pi * sigma_px * frequency) ** 2)
    smooth = torch.fft.irfft(
        torch.fft.rfft(cycle, dim=1) * response[:, None], n=cycle.shape[1], dim=1
    )
    closed = torch.cat((smooth, smooth[:, :1]), dim=1)
    corners = (0, width - 1, width + height - 2, 2 * width + height - 3)
    return Border(
        top=closed[:, corners[0] : corners[1] + 1],
        right=closed[:, corners[1] : corners[2] + 1],
        bottom=closed[:, corners[2] : corners[3] + 1].flip(1),
        left=closed[:, corners[3] :].flip(1),
    )


def _spans(start: int, length: int, total: int, reach: int) -> dict[int, slice]:
    end = start + length
    spans = {
        -1: slice(max(0, start - reach), start),
        0: slice(start, end),
        1: slice(end, min(total, end + reach)),
    }
    return {place: span for place, span in spans.items() if span.stop > span.start}


def _steps(span: slice, place: int, device: torch.device) -> Tensor:
    if place == 0:
        return torch.zeros(1, device=device)
    steps = torch.arange(1, span.stop - span.start + 1, device=device, dtype=torch.float32)
    return steps.flip(0) if place < 0 else steps


def _averaged_side(inner: Tensor, depth_px: int) -> Tensor:
    # Three sigmas hold 99.7 % of a Gaussian, so cutting it off at the depth leaves no visible edge.
    offsets = torch.arange(1 - depth_px, depth_px, device=inner.device, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (offsets * (3.0 / depth_px)) ** 2)
    inward = kernel[depth_px - 1 :][: inner.shape[2]]
    line = torch.einsum("d,bsdc->bcs", inward / inward.sum(), inner)
    batch, channels, side = line.shape
    # The weights that fall beyond the ends are left out and the rest made to sum to one.
    weight = F.conv1d(
        torch.ones(1, 1, side, device=inner.device), kernel[None, None], padding=depth_px - 1
    )
    total = F.conv1d(
        line.reshape(batch * channels, 1, side), kernel[None, None], padding=depth_px - 1
    )
    return (total / weight).reshape(batch, channels, side).transpose(1, 2)
