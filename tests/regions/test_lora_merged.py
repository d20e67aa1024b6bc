"""OFT, BOFT and GLoRA, which only the host merges: counted where it does, left out by name where it
would log an error or stop. Several changes of one weight: the one that the host applies counts.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from comfyui_astria.nodes.regions.lora_fit import NO_LAYER
from comfyui_astria.tests.regions.comfy_inprocess import load
from comfyui_astria.tests.regions.gated_lora_files import File

LINEAR, CONVOLUTION, VECTOR = "linear", "convolution", "norm"
SHAPES = {LINEAR: (32, 48), CONVOLUTION: (32, 16, 3, 3), VECTOR: (32,)}


class Model(torch.nn.Module):
    """A layer of each kind under the host's names."""

    def __init__(self) -> None:
        super().__init__()
        self.diffusion_model = torch.nn.Module()
        self.diffusion_model.add_module(LINEAR, torch.nn.Linear(48, 32))
        self.diffusion_model.add_module(CONVOLUTION, torch.nn.Conv2d(16, 32, 3))
        self.diffusion_model.add_module(VECTOR, torch.nn.LayerNorm(32))


def read(file: File) -> tuple[set[str], dict[str, str]]:
    """Return the names that act on the model, and the others with the reason."""
    changes = load("comfyui_astria.nodes.regions.host.lora.changes")
    whole = load("comfyui_astria.nodes.regions.host.lora.whole")
    model = Model()
    keys = {f"diffusion_model.{layer}": f"diffusion_model.{layer}.weight" for layer in SHAPES}
    reading = changes.read_changes(file, keys, model)
    reading.sort(lambda change: whole._check(change, model, model))
    return reading.fitted_own, reading.left


def merged_by_host(file: File, layer: str) -> torch.Tensor | None:
    """Return what the host changes of a weight of ones and more, None where it stops or logs."""
    key = f"diffusion_model.{layer}"
    generator = torch.Generator().manual_seed(1)
    weight = torch.rand(SHAPES[layer], generator=generator) + 1
    try:
        (patch,) = load("comfy.lora").load_lora(file, {key: key}, log_missing=False).values()
        merged = load("comfy.lora").calculate_weight(
            [(0.8, patch, 1.0, None, None)], weight + 0, key
        )
    except (KeyError, IndexError, UnboundLocalError):
        return None
    return None if torch.equal(merged, weight) else merged


def tensors(layer: str, alpha: float | None = None, **shapes: tuple[int, ...]) -> File:
    generator = torch.Generator().manual_seed(0)
    file = {
        f"diffusion_model.{layer}.{name}" + (".weight" if name[1:] in "12" else ""): torch.rand(
            shape, generator=generator
        )
        for name, shape in shapes.items()
    }
    return file if alpha is None else file | {f"diffusion_model.{layer}.alpha": torch.tensor(alpha)}


GLORA = {"a1": (48, 4), "a2": (4, 48), "b1": (32, 4), "b2": (4, 48)}
OLD_GLORA = {"a1": (4, 48), "a2": (48, 4), "b1": (4, 48), "b2": (32, 4)}
FITTING = {
    "oft": (LINEAR, tensors(LINEAR, oft_blocks=(4, 8, 8))),
    "oft of a convolution": (CONVOLUTION, tensors(CONVOLUTION, 1.0, oft_blocks=(2, 16, 16))),
    "oft of a norm": (VECTOR, tensors(VECTOR, oft_blocks=(4, 8, 8))),
    "boft": (LINEAR, tensors(LINEAR, 0.0, oft_blocks=(3, 4, 8, 8))),
    "boft with a scale": (
        CONVOLUTION,
        tensors(CONVOLUTION, 0.5, oft_blocks=(2, 8, 4, 4), rescale=(32, 1, 1, 1)),
    ),
    "glora": (LINEAR, tensors(LINEAR, 2.0, **GLORA)),
    "old glora": (LINEAR, tensors(LINEAR, **OLD_GLORA)),
    "glora of a convolution": (
        CONVOLUTION,
        tensors(
            CONVOLUTION, a1=(16, 4, 1, 1), a2=(4, 16, 1, 1), b1=(32, 4, 1, 1), b2=(4, 16, 3, 3)
        ),
    ),
}
UNFIT = {
    "oft for other outputs": (LINEAR, tensors(LINEAR, oft_blocks=(4, 9, 9))),
    "oft of oblong blocks": (LINEAR, tensors(LINEAR, oft_blocks=(4, 8, 9))),
    "oft of nothing": (LINEAR, tensors(LINEAR, oft_blocks=(0, 8, 8))),
    "boft without alpha": (LINEAR, tensors(LINEAR, oft_blocks=(3, 4, 8, 8))),
    "boft for other outputs": (LINEAR, tensors(LINEAR, 0.0, oft_blocks=(2, 5, 8, 8))),
    "boft of too many levels": (LINEAR, tensors(LINEAR, 0.0, oft_blocks=(4, 4, 8, 8))),
    "boft of single rows": (LINEAR, tensors(LINEAR, 0.0, oft_blocks=(2, 32, 1, 1))),
    "boft with another layer's scale": (
        LINEAR,
        tensors(LINEAR, 0.0, oft_blocks=(2, 4, 8, 8), rescale=(16, 1)),
    ),
    "glora of another layer": (LINEAR, tensors(LINEAR, **GLORA | {"a1": (47, 4), "a2": (4, 47)})),
    "glora of two ranks": (LINEAR, tensors(LINEAR, 2.0, **GLORA | {"a1": (48, 3)})),
    "half of glora": (LINEAR, tensors(LINEAR, a1=(48, 4), a2=(4, 48))),
    "glora of vectors": (LINEAR, tensors(LINEAR, 2.0, **GLORA | {"a2": (48,)})),
    "old glora of another layer": (
        LINEAR,
        tensors(LINEAR, **OLD_GLORA | {"b2": (31, 4)}),
    ),
    "glora of a norm": (VECTOR, tensors(VECTOR, **GLORA)),
    "dora of a norm": (
        VECTOR,
        tensors(
            VECTOR, **{"lora_up.weight": (32, 2), "lora_down.weight": (2, 1)}, dora_scale=(32, 1)
        ),
    ),
}


@pytest.mark.parametrize("kind", FITTING)
def test_what_the_host_merges_counts(kind: str) -> None:
    layer, file = FITTING[kind]
    assert merged_by_host(file, layer) is not None
    assert read(file) == (set(file), {})


@pytest.mark.parametrize("kind", UNFIT)
def test_what_the_host_cannot_merge_is_left_out_by_name(kind: str) -> None:
    layer, file = UNFIT[kind]
    assert merged_by_host(file, layer) is None
    fitted, left = read(file)
    assert (fitted, left.keys()) == (set(), file.keys())
    assert NO_LAYER not in left.values()


def test_the_scale_of_oft_is_left_out_as_the_host_does_not_apply_it() -> None:
    file = tensors(LINEAR, oft_blocks=(4, 8, 8))
    scaled = file | tensors(LINEAR, rescale=(32, 1))
    assert torch.equal(merged_by_host(scaled, LINEAR), merged_by_host(file, LINEAR))
    assert read(scaled)[0] == set(file)
    assert read(scaled)[1].keys() == scaled.keys() - file.keys()


LORA = {"lora_up.weight": (32, 2), "lora_down.weight": (2, 48)}
LOKR = {"lokr_w1": (4, 4), "lokr_w2": (8, 12)}
# What stands beside a LoRA with alpha and magnitude -> the names that act.
BESIDE: dict[str, tuple[dict[str, tuple[int, ...]], set[str]]] = {
    "a stored change": ({"diff": (32, 48)}, {"diff"}),
    "a stored change and a bias": ({"diff": (32, 48), "diff_b": (32,)}, {"diff", "diff_b"}),
    "a bias": ({"diff_b": (32,)}, {*LORA, "alpha", "dora_scale", "diff_b"}),
    "two biases": (
        {"w_norm": (32, 48), "b_norm": (32,), "diff": (32, 48), "diff_b": (32,)},
        {"diff", "diff_b"},
    ),
    "a whole tensor": ({"diff": (32, 48), "set_weight": (32, 48)}, {"set_weight"}),
    "a LoKr": (LOKR, {*LOKR, "alpha", "dora_scale"}),
    "blocks": ({"oft_blocks": (4, 8, 8)}, {"oft_blocks", "alpha", "dora_scale"}),
}


@pytest.mark.parametrize("kind", BESIDE)
def test_of_several_changes_of_one_weight_the_one_that_the_host_applies_counts(kind: str) -> None:
    more, acting = BESIDE[kind]
    shapes = {**LORA, "dora_scale": (32, 1), **more}
    file = tensors(LINEAR, 1.0, **shapes)
    own = {name: name.removeprefix(f"diffusion_model.{LINEAR}.") for name in file}
    fitted, left = read(file)
    assert {own[name] for name in fitted} == acting
    assert left.keys() == file.keys() - fitted
    alone = {name: one for name, one in file.items() if name in fitted}
    hosts: list[Any] = [
        load("comfy.lora").load_lora(
            some, {f"diffusion_model.{LINEAR}": f"{LINEAR}.weight"}, log_missing=False
        )
        for some in (file, alone)
    ]
    assert hosts[0].keys() == hosts[1].keys()
    for key, patch in hosts[0].items():
        weight = torch.ones(SHAPES[LINEAR] if key.endswith("weight") else (32,))
        one, other = (
            load("comfy.lora").calculate_weight([(0.8, it, 1.0, None, None)], weight + 0, key)
            for it in (patch, hosts[1][key])
        )
        assert torch.equal(one, other)


def test_two_names_of_one_tensor_are_told() -> None:
    keys = {"diffusion_model.linear": "diffusion_model.linear.weight"}
    file = {
        f"{front}.linear.lora_{half}.weight": torch.ones(shape)
        for front in ("transformer", "unet")
        for half, shape in (("B", (32, 2)), ("A", (2, 48)))
    }
    changes = load("comfyui_astria.nodes.regions.host.lora.changes")
    reading = changes.read_changes(file, keys, torch.nn.Module())
    reading.sort(lambda _: None)
    assert reading.left.keys() == {name for name in file if name.startswith("transformer")}
    assert reading.fitted_own == {name for name in file if name.startswith("unet")}
