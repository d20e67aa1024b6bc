"""Changes of layers as products of low rank, and the nearest ones of a lower rank."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

UP, DOWN = ".up", ".down"  # of a layer: [out,r] and [r,in], whose product changes its weight


def nearest(change: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Return up [out,rank] and down [rank,in] whose product is the nearest one to a change
    [out,in]: its largest singular values, their square roots in each of the two.
    """
    u, s, v = torch.linalg.svd(change, full_matrices=False)
    each = s[:rank].sqrt()
    return (u[:, :rank] * each).contiguous(), (each[:, None] * v[:rank]).contiguous()


def lowered(weights: Mapping[str, Tensor], rank: int) -> dict[str, Tensor]:
    """Return weights whose changes LAYER.up @ LAYER.down are the nearest ones of at most this rank;
    all others stay.
    """
    found = dict(weights)
    for name, up in weights.items():
        layer = name.removesuffix(UP)
        if layer != name and up.shape[1] > rank:
            found[name], found[layer + DOWN] = nearest(up @ weights[layer + DOWN], rank)
    return found
