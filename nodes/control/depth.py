"""Depth of a picture -> the map that depth ControlNets were trained on."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

SKY = 0.3  # sky from this probability on
SKY_PERCENTILE = 99
PERCENTILE = 2
FEW = 10  # pixels; of so few no percentile is taken


def depth_map(depth: Tensor, sky: Tensor | None = None) -> Tensor:
    """Return the map of inverse depth, near white and far black. Shape: [B,H,W] -> [B,H,W,3].

    Sky stands at the 99th percentile of what is no sky. Then 1/depth is spread so that its 2nd
    percentile is black and its 98th white. Each picture by itself, and equal pictures give equal
    maps. A depth that is not above 0, or not finite, is black.

    Source: `visualize_depth` and the sky of the monocular models in Depth Anything 3
    (https://github.com/ByteDance-Seed/Depth-Anything-3), which draws a sample of large pictures
    where this takes every pixel.
    """
    skies = [None] * len(depth) if sky is None else list(sky)
    maps = [_spread(_with_far_sky(one, of)) for one, of in zip(depth, skies, strict=True)]
    return torch.stack(maps)[..., None].repeat(1, 1, 1, 3).to(depth.device)


def _with_far_sky(depth: Tensor, sky: Tensor | None) -> np.ndarray:
    values = depth.detach().cpu().double().numpy()
    if sky is None:
        return values
    is_sky = sky.detach().cpu().numpy() >= SKY
    ground = values[~is_sky & np.isfinite(values)]
    if ground.size <= FEW or is_sky.sum() <= FEW:
        return values
    return np.where(is_sky, np.percentile(ground, SKY_PERCENTILE), values)


def _spread(depth: np.ndarray) -> Tensor:
    is_there = np.isfinite(depth) & (depth > 0)
    if is_there.sum() <= FEW:
        return torch.zeros(depth.shape)
    inverse = np.divide(1.0, depth, out=np.zeros_like(depth), where=is_there)
    far, near = np.percentile(inverse[is_there], (PERCENTILE, 100 - PERCENTILE))
    if far == near:
        far, near = far - 1e-6, near + 1e-6
    spread = np.where(is_there, ((inverse - far) / (near - far)).clip(0, 1), 0.0)
    return torch.from_numpy(spread).float()
