"""Faces drawn anew and restored on a fake GPU, and models of other libraries where memory is
short.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
import torch
from comfyui_astria.tests.fake_device.fake_gpu import CPU, GPU, attached
from comfyui_astria.tests.fake_device.test_steps import faces, on_gpu
from comfyui_astria.tests.redraw.drawing_support import (
    draw,
    drawing,
    people,
    pictures,
    planned,
    sigmas_of,
    write_lora,
)
from comfyui_astria.tests.regions.comfy_inprocess import load
from comfyui_astria.tests.testpack.swap_models import tiny_gfpgan
from torch import nn

MEMORY = pytest.mark.parametrize("is_memory_short", [False, True], ids=["ample", "short"])


@pytest.mark.parametrize("family", ["sd15", "flux"])
def test_faces_are_drawn_anew(family: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two in a chunk, with LoRAs and FaceIDs, in fp16."""
    persons = people(family, [write_lora(tmp_path, family, seed) for seed in (0, 1)])
    with attached(monkeypatch) as gpu:
        model = on_gpu(family, torch.float16)
        vae = load("comfyui_astria.tests.testpack.vae").faithful_vae(model.model.latent_format)
        for person, face in zip(persons, faces(model, family), strict=False):
            object.__setattr__(person, "faceids", (face,))
        ends = [0]
        sampler = load("comfyui_astria.nodes.base.host.sampling").make_sampler("euler")
        step = sampler.sampler_function

        def counting(*args: Any, **named: Any) -> torch.Tensor:
            named["callback"] = lambda *_: ends.append(len(gpu.waits))
            ends.append(len(gpu.waits))
            return step(*args, **named)

        sampler.sampler_function = counting
        how = drawing(family, persons, model=model, vae=vae, sampler=sampler, max_batch=2)
        drawn, calls = draw(planned(persons), how, pictures())
    assert calls > 1 and all(one.isfinite().all() for one in drawn)
    steps = [Counter(gpu.waits[begin:end]) for begin, end in pairwise(ends)]
    marks = len(sigmas_of(family))  # one where a call begins to sample, one after each step
    last_steps = steps[marks - 1 :: marks]
    assert len(last_steps) == calls
    assert not [line for step in last_steps for line in step if " at nodes/" in line]


def test_texts_from_two_devices_are_drawn_together(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [[torch.rand(1, 4, 8), {"pooled_output": torch.rand(1, 3)}] for _ in range(2)]
    stacked = load("comfyui_astria.nodes.redraw.texts").stacked
    [[expected, pooled]] = stacked([[one] for one in texts])
    with attached(monkeypatch) as gpu:
        first = [
            gpu.holding(texts[0][0]),
            {"pooled_output": gpu.holding(pooled["pooled_output"][:1])},
        ]
        [[found, extra]] = stacked([[first], [texts[1]]])
        assert {found.device, extra["pooled_output"].device} == {GPU}
        assert torch.equal(found.cpu(), expected)


@MEMORY
def test_a_restorer_has_its_weights_beside_the_faces(
    is_memory_short: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    crops = torch.rand(2, 128, 128, 3)
    restorer = tiny_gfpgan(128)
    expected = load("comfyui_astria.nodes.swap.restore").call(
        restorer, crops.movedim(-1, 1).contiguous(), 0.5
    )
    patcher = load("comfy.model_patcher").CoreModelPatcher
    restorer.patcher = patcher(restorer.model, load_device=GPU, offload_device=CPU)
    with attached(monkeypatch, is_memory_short=is_memory_short):
        painted = load("comfyui_astria.nodes.swap.host.models").painter(restorer, 0.5)(crops)
    torch.testing.assert_close(painted, expected.movedim(1, -1), atol=1e-5, rtol=0)


@MEMORY
def test_a_segmenter_of_another_library_is_on_the_gpu(
    is_memory_short: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with attached(monkeypatch, is_memory_short=is_memory_short):
        on_demand = load("comfyui_astria.nodes.masking.host.models").OnDemand
        assert on_demand(lambda: nn.Linear(3, 3))().weight.device == GPU
