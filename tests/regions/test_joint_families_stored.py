"""LoRAs of persons on weights of few bits, where text and image stand in one sequence."""

from __future__ import annotations

from typing import Any

import pytest
from comfyui_astria.nodes.regions.lora import RegionLora
from comfyui_astria.nodes.regions.run import RegionRun
from comfyui_astria.tests.regions.comfy_inprocess import load, text
from comfyui_astria.tests.regions.gated_lora_files import mixed_file
from comfyui_astria.tests.regions.regional_support import (
    denoised,
    difference,
    person_everywhere,
    with_regions,
)
from comfyui_astria.tests.regions.test_gated_lora_packed import PackedLinear, packed_flux
from comfyui_astria.tests.regions.test_gated_lora_stored import copied, merged, quantised


def stored(family: str, kind: str) -> tuple[Any, Any]:
    """Return a tiny model whose weights are stored in that way, and a plain one of the same
    numbers.
    """
    if kind == "GGUF":  # layers that hold bytes and unpack them when they run
        return packed_flux(PackedLinear, family)
    model = quantised(kind, family)
    return model, copied(model, family)


@pytest.mark.parametrize(
    ("family", "kind"),
    [
        ("flux2", "float8_e4m3fn"),
        ("flux2", "nvfp4"),
        ("flux2", "GGUF"),
        ("krea2", "float8_e4m3fn"),
        ("krea2", "nvfp4"),
        ("krea2", "GGUF"),
    ],
)
def test_loras_of_a_person_are_the_merged_ones(family: str, kind: str) -> None:
    """In every form; DoRA reads the weights that it scales."""
    (model, same), run = stored(family, kind), RegionRun()
    file = mixed_file(same)
    words, scene = text(family, 5, 14), text(family, 1, 14)
    patched = with_regions(model, person_everywhere(), [scene, words], [text(family, 2)], run)
    loras = [RegionLora(1, file, 0.3, "a")]
    gated = load("comfyui_astria.nodes.regions.host.loras").apply_gated_loras(patched, loras, run)
    expected = denoised(merged(same, (file, 0.3)), family, words)
    assert difference(denoised(gated, family, scene), expected) < 1e-4
    assert difference(denoised(same, family, words), expected) > 0.05
