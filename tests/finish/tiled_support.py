"""Tiny models in tiles, and what the tiles are drawn by hand."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...nodes.finish.tiles import tiling
from ..regions.comfy_inprocess import LATENT_CHANNELS, load
from ..regions.regional_support import base_of, model_of

SIZE, OVERLAP = 128, 24  # pixels: tiles of 16 latent cells that share at least 3
HEIGHT, WIDTH = 27, 34


def tiled(model: Any, size: int = SIZE, overlap: int = OVERLAP) -> Any:
    return load("comfyui_astria.nodes.finish.host.tiled").apply_tiles(model, size, overlap)


def noise_of(family: str, batch: int = 1, size: tuple[int, int] = (HEIGHT, WIDTH)) -> Tensor:
    return torch.randn(
        batch, LATENT_CHANNELS[base_of(family)], *size, generator=torch.Generator().manual_seed(5)
    )


def by_hand(noise: Tensor, of_tile: Any) -> Tensor:
    """Return the blend of the tiles, each drawn by `of_tile` as a picture of its own."""
    result = torch.zeros_like(noise)
    for tile, weight in tiling(*noise.shape[2:], SIZE // 8, OVERLAP // 8):
        tile.of(result).add_(of_tile(tile, tile.of(noise)) * weight)
    return result


def pointwise() -> Any:
    """A tiny SD1.5 in whose place a function of each latent pixel runs.

    It sees x, the text's mean and what a ControlNet adds.
    """
    patched = model_of("sd15").clone()

    def instead(
        executor: Any,
        x: Tensor,
        timestep: Tensor,
        context: Tensor,
        y: Any,
        control: Any,
        options: dict,
        **named: Any,
    ) -> Tensor:
        added = 0 if control is None else control["output"][0]
        return torch.tanh(x) * context.mean((1, 2))[:, None, None, None] * 20 + added

    patched.add_wrapper_with_key("diffusion_model", "test", instead)
    return patched
