"""LoRAs inside regions on models that are not plain numbers on the device.

Of few bits, quantised by the host, or loaded in part.

Without a GPU all of a model lies on one device, so that weights are fetched from another one is
seen only there; what the host does beside that when it loads a model in part, it does here too: it
ejects and injects, and merges the LoRAs of offloaded layers at every call.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from comfyui_astria.nodes.regions.lora import RegionLora
from comfyui_astria.nodes.regions.run import RegionRun, normalised
from comfyui_astria.tests.regions.comfy_inprocess import load, sample, tiny_model
from comfyui_astria.tests.regions.gated_lora_files import (
    File,
    dora_per_output,
    layers,
    mixed_file,
    whole_file,
)
from comfyui_astria.tests.regions.regional_support import difference
from comfyui_astria.tests.regions.test_gated_lora import full, gated, merged

SIZE = (9, 7)
STRENGTH = 0.3


def copied(model: Any, family: str) -> Any:
    """Return a plain float32 model with the weights that `model` stands for."""
    same = tiny_model(family)
    weights = {
        name: getattr(weight, "dequantize", weight.float)()
        for name, weight in model.model.diffusion_model.named_parameters()
    }
    same.model.diffusion_model.load_state_dict(weights)
    return same


@pytest.mark.parametrize("family", ["sd15", "flux"])
@pytest.mark.parametrize("stored", [torch.bfloat16, torch.float8_e4m3fn])
def test_every_form_on_a_base_of_few_bits_is_the_merged_one(
    family: str, stored: torch.dtype
) -> None:
    """DoRA reads the weights that it scales."""
    model = tiny_model(family, dtype=stored, compute=torch.float32)
    same = copied(model, family)
    file = mixed_file(same)
    expected = sample(merged(same, (file, STRENGTH)), family, SIZE)
    assert (
        difference(
            sample(gated(model, [RegionLora(1, file, STRENGTH, "a")], full()), family, SIZE),
            expected,
        )
        < 1e-4
    )
    assert difference(sample(same, family, SIZE), expected) > 0.05


def quantised(kind: str, family: str = "flux") -> Any:
    """Return a tiny model as the host loads it from a file whose linear layers are stored by
    `kind`.
    """
    config = load("comfyui_astria.tests.testpack.families").FAMILIES[family]()
    config.quant_config = {"mixed_ops": True}
    config.set_inference_dtype(torch.float32, torch.float32)
    cpu = torch.device("cpu")
    model = config.get_model({}, "", device=cpu)
    model.diffusion_model.load_state_dict(stored_file(kind, family))
    return load("comfy.model_patcher").CoreModelPatcher(model, load_device=cpu, offload_device=cpu)


def stored_file(kind: str, family: str) -> File:
    quant = load("comfy.quant_ops")
    layout = quant.QUANT_ALGOS[kind]["comfy_tensor_layout"]
    file: File = {}
    for name, weight in tiny_model(family).model.diffusion_model.state_dict().items():
        if weight.ndim < 2 or not name.endswith(".weight"):  # of no layer
            file[name] = weight
            continue
        small = quant.QuantizedTensor.from_float(weight, layout, scale="recalculate")
        file |= small.state_dict(name)
        file[f"{name.removesuffix('weight')}comfy_quant"] = torch.tensor(
            list(json.dumps({"format": kind}).encode()), dtype=torch.uint8
        )
    return file


# What each kind computes in differs from float32: 8-bit integers round the activations too.
@pytest.mark.parametrize(
    ("kind", "rounding"),
    [("float8_e4m3fn", 1e-4), ("mxfp8", 1e-4), ("nvfp4", 1e-4), ("int8_tensorwise", 0.03)],
)
def test_every_form_on_the_hosts_quantised_weights_is_the_merged_one(
    kind: str, rounding: float
) -> None:
    model = quantised(kind)
    assert isinstance(
        model.model.diffusion_model.double_blocks[0].img_mlp[0].weight,
        load("comfy.quant_ops").QuantizedTensor,
    )
    same = copied(model, "flux")
    file = mixed_file(same)
    expected = sample(merged(same, (file, STRENGTH)), "flux", SIZE)
    assert (
        difference(
            sample(gated(model, [RegionLora(1, file, STRENGTH, "a")], full()), "flux", SIZE),
            expected,
        )
        < rounding
    )
    assert difference(sample(model, "flux", SIZE), expected) > 10 * rounding


def unload_a_part(model: Any) -> None:
    """What the host does to a model when another one needs the room."""
    model.partially_unload(model.offload_device, memory_to_free=model.model_size() // 8)


def load_a_part(model: Any) -> None:
    """What the host does with a model that is larger than the room there is."""
    model.unpatch_model(model.offload_device)
    model.partially_load(model.load_device, extra_memory=model.model_size() // 2)


def held(model: Any, hold: Callable[[Any], None], steps: list[int]) -> Any:
    """Return a clone that is brought into another state of loading before the second step.

    `steps` gets how many weights are offloaded at each.
    """
    clone = model.clone()

    def before_step(executor: Any, *args: Any, **named: Any) -> torch.Tensor:
        running = executor.class_obj.model_patcher
        if len(steps) == 1:
            hold(running)
            for own in running.get_additional_models():
                hold(own)
        steps.append(
            sum(
                hasattr(running.model.get_submodule(name), "prev_comfy_cast_weights")
                for name, _ in layers(running)
            )
        )
        return executor(*args, **named)

    clone.add_wrapper_with_key("predict_noise", "loading_of_a_test", before_step)
    return clone


@pytest.mark.parametrize("family", ["sd15", "flux"])
@pytest.mark.parametrize("hold", [unload_a_part, load_a_part])
def test_a_model_that_is_loaded_in_part_keeps_its_loras(
    family: str, hold: Callable[[Any], None]
) -> None:
    """Beside a LoRA of the whole picture, which the host now merges into the offloaded layers at
    every call; a DoRA scales what comes of it.
    """
    model, steps = tiny_model(family), []
    everywhere, plain = whole_file(model, seed=5, gain=0.2), whole_file(model, seed=1)
    scaled = {
        key: value
        for name, shape in layers(model)
        for key, value in dora_per_output(name, shape, torch.Generator().manual_seed(2)).items()
    }
    people = [RegionLora(1, plain, 0.3, "a"), RegionLora(2, scaled, STRENGTH, "b")]
    masks = normalised(torch.rand(2, *SIZE, generator=torch.Generator().manual_seed(0)) * 0.7)
    patched = gated(merged(model, (everywhere, 0.5)), people, masks, run=RegionRun())
    loaded = sample(patched, family, SIZE)
    actual = sample(held(patched, hold, steps), family, SIZE)
    assert steps[0] == 0 and 0 < steps[1] < len(list(layers(model)))
    assert difference(actual, loaded) < 1e-5
    assert difference(sample(gated(model, people, masks), family, SIZE), loaded) > 1e-2
    assert difference(sample(merged(model, (everywhere, 0.5)), family, SIZE), loaded) > 1e-2
    patched.detach()
    assert [
        name for name, module in model.model.named_modules() if "forward" in module.__dict__
    ] == []
