"""Layers of a LoRA file whose tensors cannot be multiplied, or not with their layer: left out by
name, of a person's file as of one for the whole picture, while the rest is worn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from comfyui_astria.nodes.regions.lora import RegionLora
from comfyui_astria.nodes.regions.lora_fit import LoraFit
from comfyui_astria.nodes.regions.run import RegionRun
from comfyui_astria.tests.regions.comfy_inprocess import load
from comfyui_astria.tests.regions.gated_lora_files import File, whole_file
from safetensors.torch import save_file

NAME = "her.safetensors"
# In the tiny SD1.5: a linear layer of 32x32, one of 128 inputs and 32 outputs, a convolution.
SQUARE = "diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_q"
WIDE = "diffusion_model.input_blocks.1.1.transformer_blocks.0.ff.net.2"
KERNELS = "diffusion_model.out.2"


@pytest.fixture(scope="module")
def sd15() -> Iterator[tuple[Any, Any]]:
    yield load("comfyui_astria.tests.testpack.families").load_family("sd15", 0)[:2]
    load("comfy.model_management").unload_all_models()


def of_person(model: Any, file: File) -> LoraFit:
    fits: list[LoraFit] = []
    load("comfyui_astria.nodes.regions.host.loras").apply_gated_loras(
        model, [RegionLora(1, file, 0.8, NAME)], RegionRun(), on_fit=fits.append
    )
    (fit,) = fits
    return fit


@pytest.fixture
def patched(
    sd15: tuple[Any, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[File], tuple[dict[str, torch.Tensor], LoraFit]]:
    """Returns the weights that the file changes on the whole picture, merged, and its fit."""
    folders = load("folder_paths")
    monkeypatch.setitem(
        folders.folder_names_and_paths, "loras", ([str(tmp_path)], {".safetensors"})
    )

    def run(file: File) -> tuple[dict[str, torch.Tensor], LoraFit]:
        save_file({key: one.contiguous().clone() for key, one in file.items()}, tmp_path / NAME)
        model, _, fit = load("comfyui_astria.nodes.regions.host.lora.whole").apply_whole_lora(
            *sd15, NAME, 0.8, 0.8
        )
        calculate = load("comfy.lora").calculate_weight
        merged = {}
        for key, patches in model.patches.items():
            weight = load("comfy.model_patcher").get_key_weight(model.model, key)[0]
            merged[key] = calculate(patches, weight.detach().clone(), key)
        return merged, fit

    return run


def tensors(layer: str, **shapes: tuple[int, ...]) -> File:
    """Return random tensors; `lora_up` and its like end with ".weight" in a file."""
    generator = torch.Generator().manual_seed(0)
    return {
        f"{layer}.{name}" + (".weight" if name.startswith("lora_") else ""): torch.randn(
            shape, generator=generator
        )
        for name, shape in shapes.items()
    }


LORA = {"lora_up": (32, 2), "lora_down": (2, 32)}
UNFIT: dict[str, File] = {
    "half of LoKr's first pair": tensors(SQUARE, lokr_w1_a=(4, 2), lokr_w2=(8, 8)),
    "half of LoKr's second pair": tensors(SQUARE, lokr_w1=(4, 4), lokr_w2_a=(8, 2)),
    "LoKr's second matrix alone": tensors(SQUARE, lokr_w2=(8, 8)),
    "LoKr's first matrix alone": tensors(SQUARE, lokr_w1=(4, 4)),
    "LoKr's core without its pair": tensors(KERNELS, lokr_w1=(2, 4), lokr_t2=(2, 2, 3, 3)),
    "rank 0": tensors(SQUARE, lora_up=(32, 0), lora_down=(0, 32)),
    "LoKr of rank 0": tensors(SQUARE, lokr_w1=(4, 4), lokr_w2_a=(8, 0), lokr_w2_b=(0, 8)),
    "LoHa of rank 0": tensors(
        SQUARE, hada_w1_a=(32, 0), hada_w1_b=(0, 32), hada_w2_a=(32, 2), hada_w2_b=(2, 32)
    ),
    "LoHa's core of another rank": tensors(
        KERNELS,
        hada_w1_a=(2, 4),
        hada_w1_b=(3, 32),
        hada_t1=(2, 2, 3, 3),
        hada_w2_a=(2, 4),
        hada_w2_b=(2, 32),
        hada_t2=(2, 2, 3, 3),
    ),
    "LoHa's pairs of two sizes": tensors(
        SQUARE, hada_w1_a=(32, 2), hada_w1_b=(2, 32), hada_w2_a=(16, 2), hada_w2_b=(2, 64)
    ),
    "LoKr's core of another rank": tensors(
        KERNELS, lokr_w1=(2, 4), lokr_w2_a=(2, 2), lokr_w2_b=(2, 8), lokr_t2=(3, 3, 3, 3)
    ),
    "LoKr's core without a kernel": tensors(
        SQUARE, lokr_w1=(4, 4), lokr_w2_a=(2, 8), lokr_w2_b=(2, 8), lokr_t2=(2, 2)
    ),
    "LoCon's middle of a linear layer": tensors(SQUARE, **LORA, lora_mid=(2, 2)),
    "LoCon's middle of two ranks": tensors(
        KERNELS, lora_up=(4, 3, 1, 1), lora_mid=(3, 2, 3, 3), lora_down=(2, 32, 1, 1)
    ),
    "an outer matrix with a kernel": tensors(
        KERNELS, lora_up=(4, 2, 3, 3), lora_down=(2, 32, 3, 3)
    ),
    "DoRA of another layer's inputs": tensors(
        WIDE, lora_up=(32, 2), lora_down=(2, 128), dora_scale=(1, 32)
    ),
    "DoRA of one number a weight": tensors(SQUARE, **LORA, dora_scale=(32, 32)),
    "DoRA of two sides on a kernel": tensors(
        KERNELS, lora_up=(4, 2, 1, 1), lora_down=(2, 32, 3, 3), dora_scale=(4, 1)
    ),
    "another layer's sides and as many numbers": tensors(
        SQUARE, lora_up=(64, 2), lora_down=(2, 16)
    ),
    "LoHa of another layer's sides and as many numbers": tensors(
        SQUARE, hada_w1_a=(16, 2), hada_w1_b=(2, 64), hada_w2_a=(16, 2), hada_w2_b=(2, 64)
    ),
    "LoKr of another layer's sides and as many numbers": tensors(
        SQUARE, lokr_w1=(4, 4), lokr_w2=(16, 4)
    ),
    "AdaLoRA's pair": tensors(SQUARE, lora_A=(2, 32), lora_B=(32, 2), lora_E=(2, 1)),
    "packed numbers": {key: one.to(torch.int8) for key, one in tensors(SQUARE, **LORA).items()},
    "a packed change": {f"{SQUARE}.diff": torch.zeros(32, 32, dtype=torch.uint8)},
    "values that are no numbers": {
        key: one.masked_fill(one > 2, float("nan")) for key, one in tensors(SQUARE, **LORA).items()
    },
    "values beyond all measure": {f"{SQUARE}.diff": torch.full((32, 32), float("inf"))},
    "an alpha that is no number": tensors(SQUARE, **LORA)
    | {f"{SQUARE}.alpha": torch.tensor(float("nan"))},
    "another kernel and as many numbers": tensors(
        KERNELS, lora_up=(4, 2, 1, 1), lora_down=(2, 8, 6, 6)
    ),
}


@pytest.mark.parametrize("kind", UNFIT)
def test_the_layer_is_left_out_by_name_and_the_rest_is_worn(
    sd15: tuple[Any, Any], patched: Callable, kind: str
) -> None:
    file, unfit = whole_file(sd15[0], only="attn1"), UNFIT[kind]
    expected = patched(file)[0]
    merged, fit = patched(file | unfit)
    assert merged.keys() == expected.keys()
    assert all(torch.equal(weight, expected[key]) for key, weight in merged.items())
    for one in (fit, of_person(sd15[0], file | unfit)):
        assert {name for name, _ in one.left} == set(unfit)
        assert (one.fitted, one.total) == (len(file), len(file) + len(unfit))


@pytest.mark.parametrize(
    ("layer", "shape"), [(SQUARE, (32, 32)), (WIDE, (32, 128)), (KERNELS, (4, 32, 3, 3))]
)
def test_a_vector_of_magnitudes_is_one_number_a_row(
    sd15: tuple[Any, Any], patched: Callable, layer: str, shape: tuple[int, ...]
) -> None:
    """DoRA by its paper: each row of the changed weight, over its old length, times its magnitude
    (the host takes the old length, not the new one).
    """
    ones = (1,) * (len(shape) - 2)
    file = tensors(layer, lora_up=(shape[0], 2, *ones), lora_down=(2, *shape[1:]))
    up, down = file.values()
    rows = torch.linspace(0.5, 1.5, shape[0])
    merged, fit = patched(file | {f"{layer}.dora_scale": rows})
    weight = sd15[0].model.get_submodule(layer).weight.detach().float()
    changed = weight + (up.flatten(1) @ down.flatten(1)).reshape(shape)
    column = (-1, *(1,) * (len(shape) - 1))
    factor = rows.reshape(column) / weight.flatten(1).norm(dim=1).reshape(column)
    expected = weight + 0.8 * (changed * factor - weight)
    torch.testing.assert_close(merged[f"{layer}.weight"], expected, rtol=1e-4, atol=1e-5)
    person = of_person(sd15[0], file | {f"{layer}.dora_scale": rows})
    assert (fit.fitted, person.fitted) == (3, 3)
