"""Names of a model's layers in files that other programs read, too."""

from __future__ import annotations

from collections.abc import Iterable

import comfy.utils
from comfy.model_patcher import ModelPatcher

# kohya-ss/sd-scripts: diffusers' names on SD1.5, Stability's on SDXL, Flux' own on Flux. diffusers
# and the host read all three.
_STYLE = "lora_unet_"


def kohya_names(model: ModelPatcher, branch: str, paths: Iterable[str]) -> dict[str, str]:
    """Return the name in a file for each path in the diffusion model."""
    known: dict[str, str] = {}
    if branch == "sd15":
        mapped = comfy.utils.unet_to_diffusers(model.model.model_config.unet_config)
        known = {
            own.removesuffix(".weight"): other.removesuffix(".weight")
            for other, own in mapped.items()
        }
    return {path: _STYLE + known.get(path, path).replace(".", "_") for path in paths}
