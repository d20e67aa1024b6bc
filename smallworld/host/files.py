"""The small world's files, one for each model, each with what it is."""

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

from ..model_files import ABOUT, DOWN, ENCODERS, NETWORK, UP, VAES, WAYS_IN, path_of
from ..packing import packed, unpacked
from . import models

# Family -> its configuration, and how many channels its latents have.
FAMILIES = {"sd15": (models.sd15, 4), "flux": (models.flux, 16)}

# How the host names the same parts where it saves a checkpoint of SD1.5.
_HOSTS = {"model.diffusion_model.": NETWORK, "cond_stage_model.": f"{ENCODERS}clip_l."}


@cache
def load(
    family: str, saved: str = ""
) -> tuple[comfy.model_patcher.ModelPatcher, comfy.sd.CLIP, comfy.sd.VAE]:
    """Return MODEL, CLIP and VAE of the small world's model of that family, read once a process.

    `saved` is a checkpoint that the host wrote of it, as the host lists it.
    """
    path = folder_paths.get_full_path_or_raise("checkpoints", saved) if saved else path_of(family)
    model = _load_model(str(path), family)
    # The host's own note of how to load it again. It names the file, which bindings go by.
    model.cached_patcher_init = (_load_model, (str(path), family))
    encoders = _under(_read(path), ENCODERS) or _under(_read(path_of(family)), ENCODERS)
    return (
        model,
        models.load_clip(FAMILIES[family][0](), encoders),
        models.load_vae(unpacked(load_file(path_of(VAES[family])))),
    )


def _load_model(
    path: str, family: str, disable_dynamic: bool = False
) -> comfy.model_patcher.ModelPatcher:
    config, _ = FAMILIES[family]
    network = _under(_read(path), NETWORK)
    if any(name.endswith(UP) for name in network):
        network = with_delta(_under(_read(path_of(family)), NETWORK), network)
    patch = config().unet_config.get("patch_size", 1)
    channels = network[f"{WAYS_IN[family]}.weight"].shape[1] // patch**2
    return models.load_model(config(channels), network, is_dynamic=not disable_dynamic)


def with_delta(weights: Mapping[str, Tensor], delta: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights with a delta: a product of low rank, its factors [r,out] and [r,in], that is
    added to a layer's weight, or another weight in its place.
    """
    found = dict(weights)
    for name, value in delta.items():
        if name.endswith(UP):
            layer = name.removesuffix(UP)
            own = found[f"{layer}.weight"]
            found[f"{layer}.weight"] = own + (value.T @ delta[layer + DOWN]).view_as(own)
        elif not name.endswith(DOWN):
            found[name] = value
    return found


def _read(path: str | Path) -> dict[str, Tensor]:
    """Return the weights of a file by the world's names."""
    return unpacked(state_dict_prefix_replace(load_file(path), _HOSTS))


def save(name: str, weights: Mapping[str, Tensor]) -> Path:
    """Write a file of the small world and return its path; integers stay what they are."""
    path = path_of(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(packed(weights), path, {"description": ABOUT})
    return path


def _under(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value.float() if value.is_floating_point() else value
        for name, value in weights.items()
        if name.startswith(prefix)
    }
