"""LoRAs of regions that are items of the batch.

Each item is what the host makes of it alone with its own LoRA merged.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from comfyui_astria.nodes.regions.lora import LoraError, RegionLora
from comfyui_astria.nodes.regions.run import Forward, RegionRun
from comfyui_astria.tests.regions.comfy_inprocess import LATENT_CHANNELS, load, text
from comfyui_astria.tests.regions.gated_lora_files import (
    File,
    mixed_file,
    stored_changes,
    whole_file,
)
from comfyui_astria.tests.regions.regional_support import difference, model_of, one_thread

SIZE = (9, 7)
# What each of four items is: nobody, person 1, person 2 half strength beside person 1's half,
# person 2.
ROWS = torch.tensor([[1, 0, 0, 0], [0, 1, 0.5, 0], [0, 0, 0.5, 1]])


def with_items(model: Any, loras: list[RegionLora], rows: torch.Tensor, run: RegionRun) -> Any:
    def wrapper(executor: Any, x: torch.Tensor, *rest: Any, **named: Any) -> torch.Tensor:
        run.forward = Forward.of_items(rows.repeat(1, x.shape[0] // rows.shape[1]))
        try:
            return executor(x, *rest, **named)
        finally:
            run.forward = None

    patched = load("comfyui_astria.nodes.regions.host.loras").apply_gated_loras(
        model, loras, run, items=True
    )
    patched.add_wrapper_with_key("apply_model", "items_of_a_test", wrapper)
    return patched


def sample(model: Any, family: str, items: list[int], cfg: float) -> torch.Tensor:
    shape = (LATENT_CHANNELS[family], *SIZE)
    noise = torch.stack(
        [torch.randn(shape, generator=torch.Generator().manual_seed(item)) for item in items]
    )
    with one_thread():
        return load("comfy.sample").sample(
            model,
            noise,
            2,
            cfg,
            "euler",
            "simple",
            text(family, 1),
            text(family, 2),
            torch.zeros_like(noise),
            disable_pbar=True,
        )


def merged(model: Any, *files: tuple[File, float]) -> Any:
    for file, strength in files:
        model = load("comfy.sd").load_lora_for_models(model, None, file, strength, 0)[0]
    return model


@pytest.mark.parametrize(("family", "cfg"), [("sd15", 5.0), ("sdxl", 1.0), ("flux", 1.0)])
def test_each_item_is_the_one_made_alone_with_its_lora_merged(family: str, cfg: float) -> None:
    model = model_of(family)
    first, second = mixed_file(model), whole_file(model, 5)
    loras = [RegionLora(1, first, 0.3, "a"), RegionLora(2, second, 0.8, "b")]
    together = sample(with_items(model, loras, ROWS, RegionRun()), family, [0, 1, 2, 3], cfg)
    alone = [(), ((first, 0.3),), (), ((second, 0.8),)]
    for item in (0, 1, 3):
        expected = sample(merged(model, *alone[item]), family, [item], cfg)
        assert difference(together[item : item + 1], expected) < 1e-4
        assert (
            item == 0
            or difference(together[item : item + 1], sample(model, family, [item], cfg)) > 0.02
        )


@pytest.mark.parametrize("family", ["sd15", "flux"])
def test_stored_weights_biases_and_norms_are_an_items_own(family: str) -> None:
    model = model_of(family)
    file = stored_changes(model)
    loras = [RegionLora(1, file, 0.8, "a")]
    together = sample(with_items(model, loras, ROWS, RegionRun()), family, [0, 1, 2, 3], 1.0)
    for item, own in ((0, model), (1, merged(model, (file, 0.8)))):
        expected = sample(own, family, [item], 1.0)
        assert difference(together[item : item + 1], expected) < 1e-4
    assert difference(together[1:2], sample(model, family, [1], 1.0)) > 0.1


def test_an_item_may_have_a_share_of_two_persons() -> None:
    """Low-rank changes are linear in their strength, so two halves equal two LoRAs merged at half
    strength.
    """
    model = model_of("sd15")
    files = [whole_file(model, seed) for seed in (5, 6)]
    loras = [RegionLora(1, files[0], 0.8, "a"), RegionLora(2, files[1], 0.6, "b")]
    together = sample(with_items(model, loras, ROWS, RegionRun()), "sd15", [0, 1, 2, 3], 1.0)
    expected = sample(merged(model, (files[0], 0.4), (files[1], 0.3)), "sd15", [2], 1.0)
    assert difference(together[2:3], expected) < 1e-4


def test_a_batch_of_another_size_is_refused() -> None:
    model = model_of("sd15")
    run = RegionRun()
    patched = load("comfyui_astria.nodes.regions.host.loras").apply_gated_loras(
        model, [RegionLora(1, whole_file(model), 1.0, "a")], run, items=True
    )

    def three(executor: Any, x: torch.Tensor, *rest: Any, **named: Any) -> torch.Tensor:
        run.forward = Forward.of_items(ROWS[:, :3])
        return executor(x, *rest, **named)

    patched.add_wrapper_with_key("apply_model", "three", three)
    with pytest.raises(LoraError, match="works on 4 items of the batch; its LoRA expected 3"):
        sample(patched, "sd15", [0, 1, 2, 3], 1.0)


def test_nobody_has_an_area_where_regions_are_items() -> None:
    forward = Forward.of_items(ROWS)
    assert forward.on_grid(3, 2).sum(0).tolist() == [1.0] * 6
    assert forward.on_grid(3, 2)[:, 0].tolist() == [0.25, 0.375, 0.375]
