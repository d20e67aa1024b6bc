"""DoRA on weights that only their own layer can read: it is asked for them, or the DoRA is left out
by name.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from comfyui_astria.nodes.regions.lora import LoraError, RegionLora
from comfyui_astria.nodes.regions.lora_fit import LoraFit
from comfyui_astria.nodes.regions.run import RegionRun
from comfyui_astria.tests.regions.comfy_inprocess import load, sample, tiny_model
from comfyui_astria.tests.regions.gated_lora_files import (
    File,
    dora_per_input,
    dora_per_output,
    layers,
    lora,
    whole_file,
)
from comfyui_astria.tests.regions.regional_support import difference
from comfyui_astria.tests.regions.test_gated_lora import full, gated, merged

SIZE = (9, 7)
STEP = 1 / 16  # of the packed numbers


class PackedTensor(torch.Tensor):
    """Bytes that say the shape of what they stand for, as the GGUF pack's tensors do."""

    tensor_type = "Q8"
    tensor_shape: torch.Size
    patches: list

    @property
    def shape(self) -> torch.Size:
        return self.tensor_shape


class PackedLinear(torch.nn.Linear):
    """A linear layer that holds its weight packed, and unpacks it when it runs.

    Each number is a byte, in steps of STEP around 128, and one byte a row lies in front of them.
    """

    def pack(self, weight: torch.Tensor, stands_for: torch.Size) -> None:
        held = torch.cat([torch.full((len(weight), 1), 7, dtype=torch.uint8), weight], 1)
        packed = held.flatten().as_subclass(PackedTensor)
        packed.tensor_shape, packed.patches = stands_for, []
        self.weight = torch.nn.Parameter(packed, requires_grad=False)
        self.weight.tensor_shape, self.weight.patches = stands_for, []

    def get_weight(self, tensor: PackedTensor, dtype: torch.dtype) -> torch.Tensor:
        rows, columns = tensor.tensor_shape
        held = tensor.as_subclass(torch.Tensor).view(rows, columns + 1)[:, 1:]
        weight = (held.to(dtype) - 128) * STEP
        for patches, key in tensor.patches:
            weight = load("comfy.lora").calculate_weight(patches, weight, key)
        return weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, self.get_weight(self.weight, x.dtype), self.bias)


class KeptLinear(PackedLinear):
    """The same without a way to ask for the weight."""

    get_weight = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, PackedLinear.get_weight(self, self.weight, x.dtype), self.bias)


class ScaledLinear(torch.nn.Linear):
    """A linear layer of 8-bit floats with a factor beside them, as fp8-scaled files are run."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, self.weight.to(x.dtype) * self.scale_weight, self.bias)


def packed_flux(kind: type, family: str = "flux") -> tuple[Any, Any]:
    """Return a tiny Flux whose linear layers are of this kind, and a plain one of the same
    numbers.
    """
    model, same = tiny_model(family), tiny_model(family)
    for name, _ in list(layers(model)):
        layer, plain = model.model.get_submodule(name), same.model.get_submodule(name)
        if issubclass(kind, PackedLinear):
            held = (layer.weight / STEP).round().clamp(-127, 127).add(128).to(torch.uint8)
            stands_for = (held.float() - 128) * STEP
            layer.__class__ = kind
            layer.pack(held, stands_for.shape)
        else:
            held = (layer.weight / 0.3).to(torch.float8_e4m3fn)
            stands_for = held.float() * 0.3
            layer.__class__ = kind
            layer.weight = torch.nn.Parameter(held, requires_grad=False)
            layer.scale_weight = torch.tensor(0.3)
        plain.weight = torch.nn.Parameter(stands_for, requires_grad=False)
    return model, same


def dora_file(model: Any) -> File:
    """A DoRA of every layer, one per output and one per input in turn."""
    generator = torch.Generator().manual_seed(0)
    file: File = {}
    for number, (name, shape) in enumerate(layers(model)):
        file |= (dora_per_output, dora_per_input)[number % 2](name, shape, generator)
    return file


def test_a_layer_that_unpacks_its_weight_is_asked_for_it() -> None:
    model, same = packed_flux(PackedLinear)
    assert difference(sample(model, "flux", SIZE), sample(same, "flux", SIZE)) < 1e-6
    file = dora_file(same)
    expected = sample(merged(same, (file, 0.3)), "flux", SIZE)
    actual = sample(gated(model, [RegionLora(1, file, 0.3, "a")], full()), "flux", SIZE)
    assert difference(actual, expected) < 1e-5
    assert difference(sample(same, "flux", SIZE), expected) > 0.05


@pytest.mark.parametrize("while_loaded", [False, True])
def test_a_dora_scales_a_packed_weight_with_the_patches_that_it_carries(
    while_loaded: bool,
) -> None:
    """They stand at the model, and while it is loaded at the tensor: once in either case."""
    model, same = packed_flux(PackedLinear)
    name = "diffusion_model.double_blocks.0.img_mlp.0"
    shape = same.model.get_submodule(name).weight.shape
    everywhere = lora(name, shape, torch.Generator().manual_seed(5))
    file = dora_per_output(name, shape, torch.Generator().manual_seed(0))
    weights = load("comfyui_astria.nodes.regions.host.lora.weights")
    patched = load("comfy.sd").load_lora_for_models(model, None, everywhere, 1, 0)[0]
    plain = load("comfy.sd").load_lora_for_models(same, None, everywhere, 1, 0)[0]
    if while_loaded:
        key = f"{name}.weight"
        model.model.get_submodule(name).weight.patches = [(patched.patches[key], key)]
    read = [weights.readable_weight(one, f"{name}.weight", shape) for one in (patched, plain)]
    assert torch.allclose(*read, atol=1e-5)
    assert (read[0] - same.model.get_submodule(name).weight).abs().max() > 0.01
    assert file


@pytest.mark.parametrize("kind", [KeptLinear, ScaledLinear])
def test_a_dora_on_a_weight_that_nobody_unpacks_is_left_out_by_name(kind: type) -> None:
    model, same = packed_flux(kind)
    assert difference(sample(model, "flux", SIZE), sample(same, "flux", SIZE)) < 1e-5
    name, shape = list(layers(same))[4]
    scaled = dora_per_output(name, shape, torch.Generator().manual_seed(0))
    plain = {key: one for key, one in whole_file(same).items() if not key.startswith(f"{name}.")}
    fits: list[LoraFit] = []
    apply = load("comfyui_astria.nodes.regions.host.loras").apply_gated_loras
    apply(model, [RegionLora(1, plain | scaled, 0.3, "a")], RegionRun(), on_fit=fits.append)
    assert {one for one, _ in fits[0].left} == set(scaled)
    (why,) = {why for _, why in fits[0].left}
    assert why.startswith(f"DoRA reads the weight that it scales, and its layer, a {kind.__name__}")
    # What needs no weight is worn as ever.
    expected = sample(merged(same, (plain, 0.3)), "flux", SIZE)
    actual = sample(gated(model, [RegionLora(1, plain | scaled, 0.3, "a")], full()), "flux", SIZE)
    assert difference(actual, expected) < 1e-4
    with pytest.raises(LoraError, match="none of its 4 tensors fits the model, Flux"):
        apply(model, [RegionLora(1, scaled, 0.3, "a")], RegionRun())


def test_a_dora_on_a_weight_without_numbers_is_left_out_by_name() -> None:
    model = tiny_model("flux")
    name, shape = list(layers(model))[4]
    layer = model.model.get_submodule(name)
    layer.weight = torch.nn.Parameter(layer.weight.to("meta"), requires_grad=False)
    file = dora_per_output(name, shape, torch.Generator().manual_seed(0))
    with pytest.raises(LoraError, match="holds none in memory"):
        load("comfyui_astria.nodes.regions.host.loras").apply_gated_loras(
            model, [RegionLora(1, file, 0.3, "a")], RegionRun()
        )
