"""Tiny models, latents and captions for trainings inside the test process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from comfyui_astria.tests.regions.comfy_inprocess import LATENT_CHANNELS, load, text, tiny_model

FAMILIES = ("sd15", "sdxl", "flux")
__all__ = ["FAMILIES", "latents", "load", "text", "tiny_model"]


def latents(family: str, *sizes: tuple[int, int]) -> list[torch.Tensor]:
    """Latents as a VAE gives them, [1,C,h,w] each."""
    return [
        torch.randn(
            1, LATENT_CHANNELS[family], *size, generator=torch.Generator().manual_seed(number)
        )
        for number, size in enumerate(sizes, 10)
    ]


def factors_of(model: Any, rank: int = 4, seed: int = 0) -> Mapping[str, Any]:
    """Factors for every trained layer, with `up` not zero, so that `down` has a gradient too."""
    hosts = load("comfyui_astria.nodes.training.host.model")
    low_rank = load("comfyui_astria.nodes.training.low_rank")
    made = low_rank.fresh_factors(hosts.trained_layers(model), rank, seed, torch.device("cpu"))
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for pair in made.values():
            pair.up.copy_(torch.randn(pair.up.shape, generator=generator) * 0.05)
    return made
