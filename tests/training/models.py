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


def photos_of(*sizes: tuple[int, int]) -> Any:
    """Photos that were never pictures: a training looks at their latents."""
    photos = load("comfyui_astria.nodes.training.photos")
    pictures = tuple(
        photos.TunePicture(
            torch.zeros(1, height * 8, width * 8, 3),
            photos.caption_of(photos.PHOTO, "ohwx", "woman"),
            photos.PHOTO,
        )
        for height, width in sizes
    )
    return photos.TunePhotos(pictures, len(pictures), "ohwx", "woman")


SIZES = ((8, 8), (8, 12), (12, 8), (8, 8))


def numbers_of(family: str, steps: int, **changes: Any) -> Any:
    outcome = load("comfyui_astria.nodes.training.outcome")
    presets = load("comfyui_astria.nodes.training.presets")
    given = {
        "preset": presets.PRESETS[family],
        "steps": steps,
        "learning_rate": 5e-3,
        "rank": 4,
        "seed": 3,
        "caption_dropout": 0.2,
        **changes,
    }
    return outcome.TrainingNumbers(**given)


def run_of(model: Any, family: str, steps: int, folder: Any = None, **changes: Any) -> Any:
    """A training of four pictures of three sizes; with `folder`, of tune 7 in its store."""
    hosts = load("comfyui_astria.nodes.training.host.run")
    lessons = load("comfyui_astria.nodes.training.host.lessons")
    tellers = load("comfyui_astria.nodes.training.host.teller")
    of = load("comfyui_astria.nodes.families.family").FAMILIES[family]
    photos = changes.pop("photos", None) or photos_of(*SIZES)
    material = lessons.Material(
        photos,
        latents(family, *SIZES),
        [text(family, number) for number in range(len(SIZES))],
        text(family, 9),
    )
    numbers = numbers_of(family, steps, **changes)
    return hosts.TrainingRun(
        model, of, material, numbers, tellers.Teller(folder, numbers.tune_id, steps)
    )
