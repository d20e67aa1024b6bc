"""LoRAs that act in one region.

Equal to the host's merged LoRA where the region is the picture, and nothing anywhere else.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from comfyui_astria.nodes.regions.lora import RegionLora
from comfyui_astria.nodes.regions.run import Forward, RegionRun, normalised
from comfyui_astria.tests.regions.comfy_inprocess import load, sample, tiny_model
from comfyui_astria.tests.regions.gated_lora_files import (
    File,
    kohya,
    layers,
    mixed_file,
    peft,
    whole_file,
)

SIZE = (9, 7)
FAMILIES = ("sd15", "sdxl", "flux")


@pytest.fixture(scope="module")
def models() -> Iterator[dict[str, Any]]:
    yield {family: tiny_model(family) for family in FAMILIES}
    load("comfy.model_management").unload_all_models()


def gated(
    model: Any,
    loras: list[RegionLora],
    masks: torch.Tensor,
    text_region: int = 1,
    run: RegionRun | None = None,
) -> Any:
    """Return the model with these LoRAs, under masks [R,H,W], with all of its text that of
    `text_region`.
    """
    run = run or RegionRun()
    patched = load("comfyui_astria.nodes.regions.host.loras").apply_gated_loras(model, loras, run)
    return with_regions(patched, masks, text_region, run)


def with_regions(model: Any, masks: torch.Tensor, text_region: int, run: RegionRun) -> Any:
    def wrapper(
        executor: Any,
        x: torch.Tensor,
        timestep: torch.Tensor,
        context: torch.Tensor,
        *rest: Any,
        **named: Any,
    ) -> torch.Tensor:
        flux = hasattr(executor.class_obj, "double_blocks")
        lengths = (
            tuple(context.shape[1] if region == text_region else 0 for region in range(len(masks)))
            if flux
            else ()
        )
        run.forward = Forward(masks, lengths, None if flux else text_region, patch=2 if flux else 1)
        try:
            return executor(x, timestep, context, *rest, **named)
        finally:
            run.forward = None

    model = model.clone()
    model.add_wrapper_with_key(
        load("comfy.patcher_extension").WrappersMP.DIFFUSION_MODEL, "regions_of_a_test", wrapper
    )
    return model


def merged(model: Any, *files: tuple[File, float]) -> Any:
    for file, strength in files:
        model = load("comfy.sd").load_lora_for_models(model, None, file, strength, 0)[0]
    return model


def full(regions: int = 2, region: int = 1) -> torch.Tensor:
    masks = torch.zeros(regions, *SIZE)
    masks[region] = 1
    return masks


def difference(one: torch.Tensor, other: torch.Tensor) -> float:
    return ((one - other).abs().max() / other.abs().max()).item()


@pytest.mark.parametrize(
    ("family", "cfg"),
    [
        ("sd15", 1.0),
        *((family, 5.0) for family in FAMILIES),
        # Fewer rows, as in SD1.5's case: no matter of the family.
        *(pytest.param(family, 1.0, marks=pytest.mark.long) for family in FAMILIES[1:]),
    ],
)
def test_one_region_over_the_whole_picture_is_the_merged_lora(
    models: dict[str, Any], family: str, cfg: float
) -> None:
    model = models[family]
    file = whole_file(model)
    expected = sample(merged(model, (file, 0.8)), family, SIZE, cfg)
    assert (
        difference(
            sample(gated(model, [RegionLora(1, file, 0.8, "a")], full()), family, SIZE, cfg),
            expected,
        )
        < 1e-4
    )
    assert difference(sample(model, family, SIZE, cfg), expected) > 0.05


def test_a_file_of_all_forms_is_the_merged_one(models: dict[str, Any]) -> None:
    model = models["flux"]
    file = mixed_file(model)
    expected = sample(merged(model, (file, 0.3)), "flux", SIZE)
    assert (
        difference(
            sample(gated(model, [RegionLora(1, file, 0.3, "a")], full()), "flux", SIZE), expected
        )
        < 1e-4
    )
    assert difference(sample(model, "flux", SIZE), expected) > 0.05


@pytest.mark.parametrize("family", ["sd15", "flux"])
def test_an_empty_region_changes_nothing(models: dict[str, Any], family: str) -> None:
    model = models[family]
    file = whole_file(model)
    loras = [
        RegionLora(2, whole_file(model, seed=1), 1, "of the empty region"),
        RegionLora(1, file, 0.8, "a"),
    ]
    assert (
        difference(
            sample(gated(model, loras, full(3)), family, SIZE),
            sample(merged(model, (file, 0.8)), family, SIZE),
        )
        < 1e-4
    )


@pytest.mark.parametrize("family", ["sd15", "flux"])
def test_the_same_lora_in_every_region_is_the_merged_lora(
    models: dict[str, Any], family: str
) -> None:
    model = models[family]
    file = whole_file(model)
    persons = torch.rand(2, *SIZE, generator=torch.Generator().manual_seed(0)) * 0.7
    loras = [RegionLora(region, file, 0.8, "a") for region in range(3)]
    assert (
        difference(
            sample(gated(model, loras, normalised(persons)), family, SIZE),
            sample(merged(model, (file, 0.8)), family, SIZE),
        )
        < 1e-4
    )


@pytest.mark.parametrize("family", ["sd15", "flux"])
def test_two_loras_in_one_region_and_a_second_application_all_act(
    models: dict[str, Any], family: str
) -> None:
    model = models[family]
    files = [whole_file(model, seed=seed, gain=0.3) for seed in range(3)]
    run = RegionRun()
    apply = load("comfyui_astria.nodes.regions.host.loras").apply_gated_loras
    once = apply(
        model, [RegionLora(1, files[0], 0.8, "a"), RegionLora(1, files[1], -0.5, "b")], run
    )
    twice = gated(once, [RegionLora(1, files[2], 1, "c")], full(), run=run)
    expected = sample(merged(model, (files[0], 0.8), (files[1], -0.5), (files[2], 1)), family, SIZE)
    assert difference(sample(twice, family, SIZE), expected) < 1e-4


@pytest.mark.parametrize("family", ["sd15", "flux"])
def test_weight_zero_is_without_it(models: dict[str, Any], family: str) -> None:
    model = models[family]
    masks = normalised(torch.rand(2, *SIZE, generator=torch.Generator().manual_seed(0)))
    first, second = whole_file(model), whole_file(model, seed=1)
    without = sample(gated(model, [RegionLora(1, first, 1, "a")], masks), family, SIZE)
    assert torch.equal(
        sample(
            gated(model, [RegionLora(1, first, 1, "a"), RegionLora(2, second, 0, "b")], masks),
            family,
            SIZE,
        ),
        without,
    )
    assert not torch.equal(
        sample(
            gated(model, [RegionLora(1, first, 1, "a"), RegionLora(2, second, 1, "b")], masks),
            family,
            SIZE,
        ),
        without,
    )


def test_a_picture_of_a_batch_is_the_picture_alone(models: dict[str, Any]) -> None:
    model = gated(
        models["sd15"],
        [RegionLora(1, whole_file(models["sd15"]), 1, "a")],
        normalised(torch.eye(7)[None, :, :].expand(2, -1, -1)[:, :5]),
    )
    batch = sample(model, "sd15", (5, 7), batch=2)
    alone = sample(model, "sd15", (5, 7))
    assert difference(batch[:1], alone) < 1e-4


@pytest.mark.parametrize("family", FAMILIES)
def test_without_regions_it_does_nothing_and_the_base_model_stays_as_it_was(
    models: dict[str, Any], family: str
) -> None:
    model = models[family]
    before = {key: value.clone() for key, value in model.model.state_dict().items()}
    plain = sample(model, family, SIZE)
    patched = gated(model, [RegionLora(1, whole_file(model), 1, "a")], full())
    sample(patched, family, SIZE)
    patched.remove_wrappers_with_key(
        load("comfy.patcher_extension").WrappersMP.DIFFUSION_MODEL, "regions_of_a_test"
    )
    assert torch.equal(sample(patched, family, SIZE), plain)
    assert torch.equal(sample(model, family, SIZE), plain)
    assert [
        name for name, module in model.model.named_modules() if "forward" in module.__dict__
    ] == []
    assert all(torch.equal(value, before[key]) for key, value in model.model.state_dict().items())


def test_the_weights_are_the_hosts_to_load_and_to_unload() -> None:
    management = load("comfy.model_management")
    model = tiny_model("flux")
    patched = gated(model, [RegionLora(1, whole_file(model), 1, "a")], full())
    (own,) = patched.get_additional_models()
    weights = [weakref.ref(parameter) for parameter in own.model.parameters()]
    assert own.model_size() >= sum(weight().nbytes for weight in weights) > 0
    sample(patched, "flux", SIZE)
    assert any(loaded.model is own.model for loaded in management.loaded_models())
    management.unload_model_and_clones(patched, unload_additional_models=True)
    assert not any(loaded.model is own.model for loaded in management.loaded_models())
    assert [
        name for name, module in model.model.named_modules() if "forward" in module.__dict__
    ] == []
    del own, patched
    gc.collect()
    assert [weight for weight in weights if weight() is not None] == []


def test_a_model_that_is_dropped_while_loaded_leaves_nothing_behind() -> None:
    model = tiny_model("flux")
    patched = gated(model, [RegionLora(1, whole_file(model), 1, "a")], full())
    weights = [
        weakref.ref(parameter)
        for parameter in patched.get_additional_models()[0].model.parameters()
    ]
    sample(patched, "flux", SIZE)
    del patched
    gc.collect()
    assert [weight for weight in weights if weight() is not None] == []
    assert [
        name for name, module in model.model.named_modules() if "forward" in module.__dict__
    ] == []


def flux_in_diffusers_names(generator: torch.Generator) -> File:
    """PEFT's file of a Flux.

    Q, k and v apart, where the model has them in one weight, and the halves of the last modulation
    swapped.
    """
    shapes = {
        "transformer_blocks.0.attn.to_q": (128, 128),
        "transformer_blocks.0.attn.to_v": (128, 128),
        "transformer_blocks.1.attn.add_k_proj": (128, 128),
        "transformer_blocks.0.norm1.linear": (768, 128),
        "single_transformer_blocks.1.attn.to_k": (128, 128),
        "single_transformer_blocks.1.proj_mlp": (512, 128),
        "single_transformer_blocks.0.norm.linear": (384, 128),
        "norm_out.linear": (256, 128),
    }
    file: File = {}
    for name, shape in shapes.items():
        file |= peft(f"transformer.{name}", shape, generator)
    return file


def unet_in_diffusers_names(generator: torch.Generator) -> File:
    shapes = {
        "down_blocks.0.attentions.0.transformer_blocks.0.attn1.processor.to_q": (32, 32),
        "down_blocks.0.attentions.0.proj_in": (32, 32, 1, 1),
        "mid_block.attentions.0.transformer_blocks.0.attn2.processor.to_v": (128, 64),
        "up_blocks.1.resnets.0.conv1": (128, 256, 3, 3),
    }
    file: File = {}
    for name, shape in shapes.items():
        for key, value in peft(f"unet.{name}", shape, generator).items():
            file[key] = value[..., None, None] if "lora_B" in key and len(shape) > 2 else value
    return file


@pytest.mark.parametrize(
    ("family", "naming"),
    [
        ("flux", "kohya"),
        ("flux", "diffusers"),
        ("flux", "bfl"),
        ("sd15", "kohya"),
        ("sd15", "diffusers"),
    ],
)
def test_every_naming_reaches_the_layers_that_the_host_finds(
    models: dict[str, Any], family: str, naming: str
) -> None:
    model = models[family]
    generator = torch.Generator().manual_seed(0)
    if naming == "kohya":
        file = kohya(whole_file(model))
    elif naming == "bfl":
        file = {
            key: value
            for name, shape in layers(model)
            for key, value in peft(name, shape, generator).items()
        }
    else:
        file = (
            flux_in_diffusers_names(generator)
            if family == "flux"
            else unet_in_diffusers_names(generator)
        )
    text_encoder = {
        "lora_te1_text_model_encoder_layers_0_self_attn_q_proj.lora_up.weight": torch.ones(64, 2)
    }
    expected = sample(merged(model, (file, 0.7)), family, SIZE)
    assert (
        difference(
            sample(
                gated(model, [RegionLora(1, file | text_encoder, 0.7, "a")], full()), family, SIZE
            ),
            expected,
        )
        < 1e-4
    )
    assert difference(sample(model, family, SIZE), expected) > 1e-3
