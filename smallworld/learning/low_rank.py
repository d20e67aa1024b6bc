"""Changes of layers as products of low rank, and the nearest ones of a lower rank."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ..model_files import DOWN, UP


def nearest(change: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Return up [out,rank] and down [rank,in] whose product is the nearest one to a change
    [out,in]: its largest singular values, their square roots in each of the two.
    """
    u, s, v = torch.linalg.svd(change, full_matrices=False)
    each = s[:rank].sqrt()
    return (u[:, :rank] * each).contiguous(), (each[:, None] * v[:rank]).contiguous()


def lowered(weights: Mapping[str, Tensor], rank: int, held: float = 1.0) -> dict[str, Tensor]:
    """Return weights whose changes LAYER.up @ LAYER.down, [out,r] and [r,in], are the nearest ones
    of at most this rank, or of the least one that holds that part of the squared change; all others
    stay.
    """
    found = dict(weights)
    for name, up in weights.items():
        layer = name.removesuffix(UP)
        if layer == name:
            continue
        change = up @ weights[layer + DOWN]
        enough = rank if held == 1 else min(rank, _holding(change, held))
        if up.shape[1] > enough:
            found[name], found[layer + DOWN] = nearest(change, enough)
    return found


def _holding(change: Tensor, held: float) -> int:
    """Return the least rank, 1 or more, that holds that part of a squared change."""
    squared = torch.linalg.svdvals(change).square()
    parts = squared.cumsum(0) / squared.sum().clamp(min=1e-30)
    return min(int((parts < held).sum()) + 1, len(squared))
