"""The host's TorchCompileModel behind regions and gated LoRAs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from comfyui_astria.nodes.regions.lora import RegionLora
from comfyui_astria.nodes.regions.run import RegionRun
from comfyui_astria.tests.regions.comfy_inprocess import load, text
from comfyui_astria.tests.regions.gated_lora_files import mixed_file, whole_file
from comfyui_astria.tests.regions.regional_support import (
    difference,
    model_of,
    sampled,
    soft_people,
    with_regions,
)
from torch import Tensor


@pytest.mark.long
@pytest.mark.parametrize("family", ["flux", "zimage"])
def test_a_compiled_model_draws_the_same_people(family: str) -> None:
    """Traced as for a GPU's compiler, whose kernels would take minutes more to build here."""
    model, run = model_of(family), RegionRun()
    texts = [text(family, seed) for seed in (1, 5, 6)]
    files = (whole_file(model), mixed_file(model))
    loras = [RegionLora(region, file, 0.3, "a") for region, file in enumerate(files, 1)]
    patched = load("comfyui_astria.nodes.regions.host.loras").apply_gated_loras(
        with_regions(model, soft_people(), texts, [text(family, 2)], run), loras, run
    )
    compiled = load("comfy_extras.nodes_torch_compile").TorchCompileModel.execute(
        patched, "aot_eager"
    )[0]
    with torch.inference_mode():  # as the host runs nodes
        plain, expected, picture = (
            sampled(each, family, text(family, 1), text(family, 2), steps=2)
            for each in (model, patched, compiled)
        )
    assert difference(picture, expected) < 1e-4
    assert difference(expected, plain) > 0.05


@pytest.mark.long
def test_a_compiled_unet_is_one_graph_from_the_second_step_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With the attention of GPUs: the host's for CPUs reads the free memory in every call."""
    attention = load("comfy.ldm.modules.attention")
    monkeypatch.setattr(attention, "optimized_attention", attention.attention_pytorch)
    model, run = model_of("sd15"), RegionRun()
    texts = [text("sd15", seed) for seed in (1, 5, 6)]
    # Of some layers: tracing is slow.
    files = [whole_file(model, only=only) for only in ("attn2", "middle_block")]
    loras = [RegionLora(region, file, 0.3, "a") for region, file in enumerate(files, 1)]
    patched = load("comfyui_astria.nodes.regions.host.loras").apply_gated_loras(
        with_regions(model, soft_people(), texts, [text("sd15", 2)], run), loras, run
    )
    compiled = load("comfy_extras.nodes_torch_compile").TorchCompileModel.execute(
        patched, "aot_eager"
    )[0]
    torch._dynamo.reset()
    counters = load("torch._dynamo.utils").counters
    counters.clear()
    graphs: list[int] = []

    def drawn(model: Any) -> Tensor:
        return sampled(
            model,
            "sd15",
            text("sd15", 1),
            text("sd15", 2),
            callback=lambda *_: graphs.append(counters["stats"]["unique_graphs"]),
        )

    with torch.inference_mode():
        expected = drawn(patched)
        pictures = [drawn(compiled), drawn(compiled)]
    assert graphs == [0, 0, 0, 0, 1, 1, 1, 1, 1]
    assert not counters["graph_break"]
    assert [difference(picture, expected) < 1e-4 for picture in pictures] == [True, True]
