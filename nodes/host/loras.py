"""LoRA files of regions, read when the model that draws them is made."""

from __future__ import annotations

from collections.abc import Sequence

import comfy.utils
import folder_paths

from ..regions.host.loras import RegionLora

Loras = tuple[tuple[str, float], ...]  # (file, strength) each


def load_region_loras(regions: Sequence[Loras]) -> list[RegionLora]:
    """Return the LoRAs of each region with their weights: the scene's, then the persons'.

    Raises: FileNotFoundError of the host for a name that it does not list.
    """
    loaded = []
    for region, loras in enumerate(regions):
        for name, strength in loras:
            path = folder_paths.get_full_path_or_raise("loras", name)
            loaded.append(RegionLora(region, comfy.utils.load_torch_file(path, safe_load=True), strength, name))
    return loaded
