"""What calls a model several times a step on a fake GPU: persons with a checkpoint of their own,
and tiles.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from comfyui_astria.nodes.regions.person import Person
from comfyui_astria.tests.fake_device.fake_gpu import FakeGpu, attached
from comfyui_astria.tests.fake_device.test_steps import (
    FAMILIES,
    faces,
    on_gpu,
    steps,
    with_two_people,
)
from comfyui_astria.tests.redraw.drawing_support import write_lora
from comfyui_astria.tests.regions.comfy_inprocess import load, text
from comfyui_astria.tests.regions.regional_support import sampled, soft_people, with_people
from torch import Tensor

TILE_PX, OVERLAP_PX = 64, 16  # of 64x96: two tiles
FLOAT16 = torch.float16


@pytest.mark.parametrize("is_memory_short", [False, True], ids=["on the GPU", "offloaded"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_person_with_a_checkpoint_is_drawn(
    family: str, is_memory_short: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In fp16, beside one of the picture's own model, both with LoRA and FaceID, where part of the
    picture is kept.
    """
    loras = [((write_lora(tmp_path, family, seed), 0.1),) for seed in (0, 1)]
    with attached(monkeypatch, is_memory_short=is_memory_short) as gpu:
        model, own = on_gpu(family, FLOAT16), on_gpu(family, FLOAT16)
        people = [
            Person(text(family, 5), text(family, 6), loras[0], None, tuple(faces(model, family))),
            Person(text(family, 7), None, loras[1], own, tuple(faces(own, family)[:1])),
        ]
        gpu.products_in = FLOAT16
        patched = with_people(model, soft_people(), people)
        picture, ours = _steps_of_ours(patched, model, family, gpu, is_memory_short)
    assert picture.isfinite().all()
    assert not ours


@pytest.mark.parametrize("family", FAMILIES)
def test_two_people_are_drawn_in_tiles(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In fp16, with LoRAs and a FaceID each, where part of the picture is kept."""
    with attached(monkeypatch) as gpu:
        model = on_gpu(family, FLOAT16)
        tiled = load("comfyui_astria.nodes.finish.host.tiled").apply_tiles(
            with_two_people(model, family, everywhere=False), TILE_PX, OVERLAP_PX
        )
        gpu.products_in = FLOAT16
        picture, ours = _steps_of_ours(tiled, model, family, gpu, False)
    assert picture.isfinite().all()
    assert not ours


def test_texts_for_parts_of_a_picture_are_drawn_in_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """In fp16: one for an area, one for a mask, and one for all."""
    mask = {"mask": torch.rand(1, 64, 96), "mask_strength": 0.7, "set_area_to_bounds": False}
    [of_area], [of_mask], [scene] = (text("sdxl", seed) for seed in (4, 5, 6))
    of_area[1] |= {"area": (6, 8, 1, 2), "strength": 0.5}
    of_mask[1] |= mask
    with attached(monkeypatch) as gpu:
        tiled = load("comfyui_astria.nodes.finish.host.tiled").apply_tiles(
            on_gpu("sdxl", FLOAT16), TILE_PX, OVERLAP_PX
        )
        gpu.products_in = FLOAT16
        picture = sampled(tiled, "sdxl", [of_area, of_mask, scene], text("sdxl", 2), steps=1)
    assert picture.isfinite().all()


def _steps_of_ours(
    patched: Any, model: Any, family: str, gpu: FakeGpu, is_memory_short: bool
) -> tuple[Tensor, list[str]]:
    """Return the picture, and what of the pack waits for the GPU in the last step and not in one
    of the plain model.

    Offloaded weights are copied at every step, which is what short memory costs.
    """
    count = 1 if is_memory_short else 2
    kept = (torch.arange(12) < 8).float().expand(1, 1, 8, 12)
    picture, waits = steps(patched, family, gpu, count, noise_mask=kept)
    if is_memory_short:
        return picture, []
    of_host: Counter[str] = steps(model, family, gpu, count, noise_mask=kept)[1][-1]
    return picture, [line for line in waits[-1] - of_host if " at nodes/" in line]
