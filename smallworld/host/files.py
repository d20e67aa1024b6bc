"""The small world's files: half precision, one for each model, each with what it is."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import comfy.model_patcher
import comfy.sd
import folder_paths
from comfy.utils import state_dict_prefix_replace
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..model_files import ABOUT, VAES, path_of
from . import models

# Family -> its configuration, and how many channels its latents have.
FAMILIES = {"sd15": (models.sd15, 4), "flux": (models.flux, 16)}
NETWORK, ENCODERS = "diffusion_model.", "text_encoders."


# How the host names the same parts where it saves a checkpoint of SD1.5.
_HOSTS = {"model.diffusion_model.": NETWORK, "cond_stage_model.": f"{ENCODERS}clip_l."}


@cache
def load(
    family: str, saved: str = ""
) -> tuple[comfy.model_patcher.ModelPatcher, comfy.sd.CLIP, comfy.sd.VAE]:
    """Return MODEL, CLIP and VAE of the small world's model of that family, read once a process.

    `saved` is a checkpoint that the host wrote of it, as the host lists it.
    """
    config, _ = FAMILIES[family]
    path = folder_paths.get_full_path_or_raise("checkpoints", saved) if saved else path_of(family)
    weights = _read(path)
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
    network = _under(_read(path), NETWORK)
    return models.load_model(config(), network, is_dynamic=not disable_dynamic)


def _read(path: str | Path) -> dict[str, Tensor]:
    """Return the weights of a file by the world's names."""
    return state_dict_prefix_replace(load_file(path), _HOSTS)


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
