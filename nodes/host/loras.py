"""LoRA files of persons, read when the model that draws them is made."""

from __future__ import annotations

from collections.abc import Sequence

import comfy.utils
import folder_paths

from .gated_lora import RegionLora


def load_region_loras(people: Sequence[Sequence[tuple[str, float]]]) -> list[RegionLora]:
    """Return the LoRAs of each person, (file, strength) each, with their weights; person i stands in region i + 1.

    Raises: FileNotFoundError of the host for a name that it does not list.
    """
    loaded = []
    for region, loras in enumerate(people, start=1):
        for name, strength in loras:
            path = folder_paths.get_full_path_or_raise("loras", name)
            loaded.append(RegionLora(region, comfy.utils.load_torch_file(path, safe_load=True), strength, name))
    return loaded
