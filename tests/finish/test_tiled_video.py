"""Tiles of a model whose latents are videos of one frame."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from comfyui_astria.nodes.errors import PlanError
from comfyui_astria.tests.regions.comfy_inprocess import load, text
from comfyui_astria.tests.regions.regional_support import denoised, difference, model_of

TILE = 8  # latent cells


def tiled(model: Any) -> Any:
    return load("comfyui_astria.nodes.finish.host.tiled").apply_tiles(model, TILE * 8, 0)


def noise(frames: int = 1) -> torch.Tensor:
    sides = (1, 16, frames, TILE, 2 * TILE)
    return torch.randn(sides, generator=torch.Generator().manual_seed(1))


def test_each_tile_is_the_model_s_own_picture_of_it() -> None:
    model, positive = model_of("krea2_turbo"), text("krea2", 1)
    whole = denoised(tiled(model), "krea2_turbo", positive, noise=noise())
    halves = [
        denoised(model, "krea2_turbo", positive, noise=one.contiguous())
        for one in noise().split(TILE, -1)
    ]
    assert difference(whole, torch.cat(halves, -1)) < 1e-5
    assert difference(whole, denoised(model, "krea2_turbo", positive, noise=noise())) > 1e-3


def test_a_part_of_the_picture_with_a_text_of_its_own_is_refused() -> None:
    own = text("krea2", 1)
    own[0][1]["mask"] = torch.ones(1, TILE, 2 * TILE)
    with pytest.raises(PlanError, match="cannot be cut into tiles on this model"):
        denoised(tiled(model_of("krea2_turbo")), "krea2_turbo", own, noise=noise())
