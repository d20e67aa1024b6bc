"""Steps of each family with two people on a fake GPU, with all that a person may bring."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
import torch
from comfyui_astria.nodes.faceid.checkpoint import read_adapter
from comfyui_astria.nodes.regions.lora import RegionLora
from comfyui_astria.nodes.regions.run import RegionRun
from comfyui_astria.tests.faceid.adapters import Sizes, adapter_file, random_weights, somebody
from comfyui_astria.tests.faceid.faceid_support import clip_vision, use
from comfyui_astria.tests.faceid.pulid_flux_support import Adapter
from comfyui_astria.tests.faceid.pulid_flux_support import use as pulid_use
from comfyui_astria.tests.fake_device.fake_gpu import GPU, FakeGpu, attached
from comfyui_astria.tests.regions.comfy_inprocess import TEXT_WIDTH, load, text, tiny_model
from comfyui_astria.tests.regions.gated_lora_files import (
    CONVOLUTIONS,
    File,
    layers,
    mixed_file,
    stored_changes,
)
from comfyui_astria.tests.regions.regional_support import sampled, soft_people, with_regions
from torch import Tensor

FAMILIES = ("sd15", "sdxl", "flux")


@pytest.mark.parametrize("is_memory_short", [False, True], ids=["on the GPU", "offloaded"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["fp16", "bf16"])
@pytest.mark.parametrize("family", FAMILIES)
def test_two_people_with_loras_of_all_forms_and_faceids(
    family: str, dtype: torch.dtype, is_memory_short: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with attached(monkeypatch, is_memory_short=is_memory_short) as gpu:
        model = on_gpu(family, dtype)
        patched = with_two_people(model, family)
        gpu.products_in = dtype
        # Offloaded weights are copied at every step, which is what short memory costs.
        picture, waits = steps(patched, family, gpu, 1 if is_memory_short else 2)
        of_host = waits if is_memory_short else steps(model, family, gpu, 2)[1]
    assert picture.isfinite().all()
    assert not waits[-1] - of_host[-1]


def test_a_model_that_the_host_compiles_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its wrapper hands texts on as they are."""
    compiling = load("comfy_api.torch_helpers.torch_compile").COMPILE_KEY
    with attached(monkeypatch) as gpu:
        model = on_gpu("sd15", torch.float16)
        texts = [[text("sd15", seed) for seed in seeds] for seeds in ((1, 5, 6), (2, 7, 8))]
        patched = with_regions(model, soft_people(), *texts)
        patched.add_wrapper_with_key(
            "apply_model", compiling, lambda executor, *args, **named: executor(*args, **named)
        )
        waits = [steps(each, "sd15", gpu, 2)[1][-1] for each in (patched, model)]
    assert not waits[0] - waits[1]


def on_gpu(family: str, dtype: torch.dtype) -> Any:
    """Return a tiny MODEL that the host loads to the GPU."""
    model = tiny_model(family, dtype=dtype)
    model.load_device = GPU
    return model


def with_two_people(model: Any, family: str, *, everywhere: bool = True) -> Any:
    """Return the model with a scene and two people, each with texts, LoRA and FaceID, and with a
    face in a mask of its own, which cannot be cut into tiles, unless not `everywhere`.
    """
    run = RegionRun()
    texts = [[text(family, seed) for seed in seeds] for seeds in ((1, 5, 6), (2, 7, 8))]
    patched = with_regions(model, soft_people(), *texts, run)
    files = (stored_changes(model), mixed_file(model), convolutions(model))
    loras = [
        RegionLora(region, file, 0.1, f"{region}.safetensors")
        for region, file in enumerate(files)
        if file
    ]
    patched = load("comfyui_astria.nodes.regions.host.loras").apply_gated_loras(patched, loras, run)
    uses = [(each, region) for region, each in enumerate(faces(model, family), 1)]
    if everywhere:
        uses.append((faces(model, family)[0], torch.rand(1, 24, 32)))
    return load("comfyui_astria.nodes.faceid.host.apply").apply_faceids(patched, uses, run)


def convolutions(model: Any) -> File:
    """Return a file of LoCon and LoHa with a core for the model's convolutions; Flux has none."""
    generator = torch.Generator().manual_seed(0)
    kernels = [(name, shape) for name, shape in layers(model) if len(shape) == 4]
    return {
        key: tensor
        for number, (name, shape) in enumerate(kernels)
        for key, tensor in CONVOLUTIONS[number % len(CONVOLUTIONS)](name, shape, generator).items()
    }


def faces(model: Any, family: str) -> list[Any]:
    """Return the face of each of two people."""
    if family == "flux":
        adapter = Adapter()
        adapter.blocks.load_device = GPU
        return [pulid_use(person, adapter=adapter) for person in (1, 2)]
    unet = load("comfyui_astria.nodes.faceid.host.unet")
    widths = [
        load("comfy.utils").get_attr(model.model, f"{site.path}.to_k").out_features
        for site in unet.cross_attentions(model)
    ]
    loaded = load("comfyui_astria.nodes.faceid.host.ip_adapter").IPAdapterFaceID
    uses = []
    # The tiny SDXL's texts are too narrow for a perceiver.
    for person, kind in enumerate(("portrait" if family == "sdxl" else "plusv2", "faceid")):
        sizes = Sizes(
            TEXT_WIDTH[family], rank=4, seen=32, resampler=128, make=random_weights(person)
        )
        file = adapter_file(kind, widths, sizes)
        adapter = loaded(read_adapter(file, kind, kind), clip_vision())
        uses.append(use(adapter, somebody(person), strength=0.3))
    return uses


def steps(
    model: Any, family: str, gpu: FakeGpu, count: int, **named: Any
) -> tuple[Tensor, list[Counter[str]]]:
    """Return the picture after some steps, and what waited for the GPU in each."""
    counts, before = [], len(gpu.waits)

    def ended(*_: Any) -> None:
        counts.append(len(gpu.waits))

    texts = text(family, 1), text(family, 2)
    picture = sampled(model, family, *texts, steps=count, callback=ended, **named)
    ends = [before, *counts]
    return picture, [Counter(gpu.waits[begin:end]) for begin, end in pairwise(ends)]
