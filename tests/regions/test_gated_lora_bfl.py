"""Files under the names of Flux's own makers.

Their Control LoRAs, of which a region cannot hold all, and their bare layer names.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from comfyui_astria.nodes.regions.lora import RegionLora
from comfyui_astria.nodes.regions.lora_fit import LoraFit
from comfyui_astria.nodes.regions.run import RegionRun
from comfyui_astria.tests.regions.comfy_inprocess import load
from comfyui_astria.tests.regions.gated_lora_files import File, layers, peft
from comfyui_astria.tests.regions.regional_support import model_of

PREFIX = "diffusion_model."


def bare(names_and_shapes: Iterator[tuple[str, torch.Size]]) -> File:
    """Return PEFT's matrices under the names of the layers alone."""
    generator = torch.Generator().manual_seed(0)
    return {
        key.removeprefix(PREFIX): value
        for name, shape in names_and_shapes
        for key, value in peft(name, shape, generator).items()
    }


def control_file() -> File:
    """Return a Control LoRA as published.

    Matrices and biases of every layer, norms in full, and an img_in that also reads the control
    picture.
    """
    file = bare(layers(model_of("flux")))
    file["img_in.lora_A.weight"] = torch.cat([file["img_in.lora_A.weight"]] * 2, 1)
    for key in [key for key in file if key.endswith("lora_B.weight")]:
        file[key.replace("lora_B.weight", "lora_B.bias")] = torch.ones(len(file[key]))
    norms = [
        name
        for name, _ in model_of("flux").model.diffusion_model.named_parameters()
        if "_norm." in name
    ]
    return file | {name.replace("_norm.weight", "_norm.scale"): torch.ones(128) for name in norms}


def worn(file: File) -> LoraFit:
    fits: list[LoraFit] = []
    load("comfyui_astria.nodes.regions.host.loras").apply_gated_loras(
        model_of("flux"),
        [RegionLora(1, file, 1, "canny.safetensors")],
        RegionRun(),
        on_fit=fits.append,
    )
    return fits[0]


def of_the_host(file: File) -> set[str]:
    """Return the names of the weights that the host itself changes by the file."""
    return set(
        load("comfy.sd").load_lora_for_models(model_of("flux"), None, dict(file), 1, 0)[0].patches
    )


def test_a_control_lora_is_worn_but_for_what_a_region_cannot_hold() -> None:
    """Its norms replace the model's whole, and its img_in reads the control picture beside the
    noise.
    """
    file = control_file()
    assert of_the_host(file) == {
        f"{PREFIX}{name}" for name, _ in model_of("flux").model.diffusion_model.named_parameters()
    }
    fit = worn(file)
    norms = {name for name in file if name.endswith("_norm.scale")}
    grown = {"img_in.lora_A.weight", "img_in.lora_B.weight"}
    assert {name for name, _ in fit.left} == norms | grown
    assert (fit.fitted, fit.total) == (len(file) - len(norms) - len(grown), len(file))
    assert {why for _, why in fit.left} == {
        "a whole tensor (set) cannot be held to one person's region",
        "a change of the layer's size cannot be held to one person's region",
    }


def test_layer_names_without_their_prefix_are_worn_though_the_host_passes_them_over() -> None:
    file = bare(layers(model_of("flux")))
    assert of_the_host(file) == set()
    assert (worn(file).fitted, worn(file).left) == (len(file), ())
