"""The small world's files: half precision, one for each model, each with what it is."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import comfy.model_patcher
import comfy.sd
from safetensors.torch import load_file, save_file
from torch import Tensor

from . import models

FOLDER = Path(__file__).resolve().parent.parent / "models"
# Family -> its configuration, and how many channels its latents have.
FAMILIES = {"sd15": (models.sd15, 4), "flux": (models.flux, 16)}
NETWORK, ENCODERS = "diffusion_model.", "text_encoders."
_ABOUT = {
    "description": "A model of a small drawn world. It was trained on drawings alone, and knows"
    " nothing of real people, pictures or words.",
}


@cache
def load(
    family: str,
) -> tuple[comfy.model_patcher.ModelPatcher, comfy.sd.CLIP, comfy.sd.VAE]:
    """Return MODEL, CLIP and VAE of the small world's model of that family, read once a process."""
    config, channels = FAMILIES[family]
    weights = load_file(FOLDER / f"{family}.safetensors")
    network, encoders = (_under(weights, prefix) for prefix in (NETWORK, ENCODERS))
    return (
        models.load_model(config(), network),
        models.load_clip(config(), encoders),
        models.load_vae(load_file(FOLDER / f"vae{channels}.safetensors")),
    )


def save(name: str, weights: Mapping[str, Tensor]) -> Path:
    """Write a file of the small world and return its path; integers stay what they are."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{name}.safetensors"
    halves = {
        key: (value.half() if value.is_floating_point() else value).contiguous()
        for key, value in weights.items()
    }
    save_file(halves, path, _ABOUT)
    return path


def _under(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value.float() if value.is_floating_point() else value
        for name, value in weights.items()
        if name.startswith(prefix)
    }
