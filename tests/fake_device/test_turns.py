"""What calls a model several times a step on a fake GPU: persons with a checkpoint of their own,
and tiles.
"""

from __future__ import annotations

import pytest
import torch
from comfyui_astria.nodes.regions.person import Person
from comfyui_astria.tests.fake_device.fake_gpu import attached
from comfyui_astria.tests.fake_device.test_steps import on_gpu, steps
from comfyui_astria.tests.regions.comfy_inprocess import load, text
from comfyui_astria.tests.regions.regional_support import soft_people, with_people

FAMILY = "sd15"
TILE_PX, OVERLAP_PX = 64, 16  # of 64x96: two tiles


@pytest.mark.parametrize("is_memory_short", [False, True], ids=["on the GPU", "offloaded"])
def test_a_person_with_a_checkpoint_is_drawn(
    is_memory_short: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In fp16, beside one of the picture's own model."""
    with attached(monkeypatch, is_memory_short=is_memory_short) as gpu:
        model, own = on_gpu(FAMILY, torch.float16), on_gpu(FAMILY, torch.float16)
        people = [Person(text(FAMILY, 5), text(FAMILY, 6)), Person(text(FAMILY, 7), model=own)]
        patched = with_people(model, soft_people(), people)
        gpu.products_in = torch.float16
        picture, waits = steps(patched, FAMILY, gpu, 1 if is_memory_short else 2)
        of_host = waits if is_memory_short else steps(model, FAMILY, gpu, 2)[1]
    assert picture.isfinite().all()
    ours = waits[-1] - of_host[-1]
    assert not [line for line in ours if " at nodes/" in line]


def test_two_people_are_drawn_in_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """In fp16; no tile of the last step waits for the GPU."""
    with attached(monkeypatch) as gpu:
        people = [Person(text(FAMILY, 5), text(FAMILY, 6)), Person(text(FAMILY, 7))]
        model = with_people(on_gpu(FAMILY, torch.float16), soft_people(), people)
        tiled = load("comfyui_astria.nodes.finish.host.tiled").apply_tiles(
            model, TILE_PX, OVERLAP_PX
        )
        gpu.products_in = torch.float16
        picture, waits = steps(tiled, FAMILY, gpu, 2)
    assert picture.isfinite().all()
    assert not [line for line in waits[-1] if " at nodes/" in line]
