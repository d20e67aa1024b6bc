"""The small world's files: half precision, one for each model, each with what it is."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import comfy.model_patcher
import comfy.sd
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..model_files import ABOUT, VAES, path_of
from . import models

# Family -> its configuration, and how many channels its latents have.
FAMILIES = {"sd15": (models.sd15, 4), "flux": (models.flux, 16)}
NETWORK, ENCODERS = "diffusion_model.", "text_encoders."


@cache
def load(
    family: str,
) -> tuple[comfy.model_patcher.ModelPatcher, comfy.sd.CLIP, comfy.sd.VAE]:
    """Return MODEL, CLIP and VAE of the small world's model of that family, read once a process."""
    config, _ = FAMILIES[family]
    path = path_of(family)
    weights = load_file(path)
    model = models.load_model(config(), _under(weights, NETWORK))
    # The host's own note of how to load it again. It names the file, which bindings go by.
    model.cached_patcher_init = (_load_model, (str(path), family))
    return (
        model,
        models.load_clip(config(), _under(weights, ENCODERS)),
        models.load_vae(load_file(path_of(VAES[family]))),
    )


def _load_model(
    path: str, family: str, disable_dynamic: bool = False
) -> comfy.model_patcher.ModelPatcher:
    config, _ = FAMILIES[family]
    network = _under(load_file(path), NETWORK)
    return models.load_model(config(), network, is_dynamic=not disable_dynamic)


def save(name: str, weights: Mapping[str, Tensor]) -> Path:
    """Write a file of the small world and return its path; integers stay what they are."""
    path = path_of(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    halves = {
        key: (value.half() if value.is_floating_point() else value).contiguous()
        for key, value in weights.items()
    }
    save_file(halves, path, {"description": ABOUT})
    return path


def _under(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value.float() if value.is_floating_point() else value
        for name, value in weights.items()
        if name.startswith(prefix)
    }
