"""LoRA files with random weights for every layer of a tiny model, in each published form and
naming.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch

File = dict[str, torch.Tensor]
RANK = 2


def layers(model: Any) -> Iterator[tuple[str, torch.Size]]:
    """Yield name and weight shape of every linear layer and convolution of the diffusion model, as
    the host names them.
    """
    for name, module in model.model.named_modules():
        weight = getattr(module, "weight", None)
        if name.startswith("diffusion_model.") and weight is not None and weight.ndim >= 2:
            yield name, weight.shape


def mixed_file(model: Any) -> File:
    """Return a file in which each layer's change has another form."""
    generator = torch.Generator().manual_seed(0)
    file: File = {}
    for number, (name, shape) in enumerate(layers(model)):
        file |= ANYWHERE[number % len(ANYWHERE)](name, shape, generator)
    return file


def whole_file(model: Any, seed: int = 0, gain: float = 0.5, only: str = "") -> File:
    """Return a LoRA of all layers whose name holds `only`; it changes a picture plainly."""
    generator = torch.Generator().manual_seed(seed)
    file: File = {}
    for name, shape in layers(model):
        if only in name:
            file |= lora(name, shape, generator, gain)
    return file


def kohya(file: File) -> File:
    """Return the file under kohya's names for the same layers."""
    renamed = {}
    for key, tensor in file.items():
        layer, _, what = (
            key.removeprefix("diffusion_model.").partition(".lora_")
            if ".lora_" in key
            else (key[16:-6], "", "")
        )
        renamed[
            f"lora_unet_{layer.replace('.', '_')}" + (f".lora_{what}" if what else ".alpha")
        ] = tensor
    return renamed


def lora(name: str, shape: tuple[int, ...], generator: torch.Generator, gain: float = 0.5) -> File:
    up = _random(generator, shape[0], RANK, *(1,) * (len(shape) - 2)) * gain
    return {
        f"{name}.lora_up.weight": up,
        f"{name}.lora_down.weight": _inward(generator, RANK, *shape[1:]),
        f"{name}.alpha": torch.tensor(RANK / 2),
    }


def peft(name: str, shape: tuple[int, ...], generator: torch.Generator) -> File:
    return {
        f"{name}.lora_A.weight": _inward(generator, RANK, *shape[1:]),
        f"{name}.lora_B.weight": _random(generator, shape[0], RANK),
    }


def locon_with_middle(name: str, shape: tuple[int, ...], generator: torch.Generator) -> File:
    kernel = shape[2:]
    return {
        f"{name}.lora_up.weight": _random(generator, shape[0], 3, 1, 1),
        f"{name}.lora_mid.weight": _inward(generator, 3, 3, *kernel),
        f"{name}.lora_down.weight": _inward(generator, 3, shape[1], 1, 1),
        f"{name}.alpha": torch.tensor(2.0),
    }


def dora_per_output(name: str, shape: tuple[int, ...], generator: torch.Generator) -> File:
    magnitude = torch.rand(shape[0], *(1,) * (len(shape) - 1), generator=generator) + 0.5
    return {**lora(name, shape, generator), f"{name}.dora_scale": magnitude}


def dora_per_input(name: str, shape: tuple[int, ...], generator: torch.Generator) -> File:
    magnitude = torch.rand(1, shape[1], *(1,) * (len(shape) - 2), generator=generator) + 0.5
    return {**lora(name, shape, generator), f"{name}.dora_scale": magnitude}


def loha(name: str, shape: tuple[int, ...], generator: torch.Generator) -> File:
    inputs = shape[1:].numel()
    return {
        f"{name}.hada_w1_a": _random(generator, shape[0], 3),
        f"{name}.hada_w1_b": _inward(generator, 3, inputs),
        f"{name}.hada_w2_a": _random(generator, shape[0], 3),
        f"{name}.hada_w2_b": _random(generator, 3, inputs),
        f"{name}.alpha": torch.tensor(1.5),
    }


def loha_with_core(name: str, shape: tuple[int, ...], generator: torch.Generator) -> File:
    kernel = shape[2:]
    file = {f"{name}.alpha": torch.tensor(1.5)}
    for side in ("1", "2"):
        file |= {
            f"{name}.hada_w{side}_a": _random(generator, 3, shape[0]),
            f"{name}.hada_w{side}_b": _random(generator, 3, shape[1]) / 4,
            f"{name}.hada_t{side}": _random(generator, 3, 3, *kernel),
        }
    return file


def loha_dora(name: str, shape: tuple[int, ...], generator: torch.Generator) -> File:
    return {
        **loha(name, shape, generator),
        f"{name}.dora_scale": (
            torch.rand(shape[0], *(1,) * (len(shape) - 1), generator=generator) + 0.5
        ),
    }


def lokr_whole(name: str, shape: tuple[int, ...], generator: torch.Generator) -> File:
    large = _inward(generator, shape[0] // 4, shape[1] // 2, *shape[2:])
    return {
        f"{name}.lokr_w1": _random(generator, 4, 2),
        f"{name}.lokr_w2": large,
        f"{name}.alpha": torch.tensor(1.5),
    }


def lokr_pairs(name: str, shape: tuple[int, ...], generator: torch.Generator) -> File:
    inputs = shape[1:].numel() // 2
    return {
        f"{name}.lokr_w1_a": _random(generator, 4, 3),
        f"{name}.lokr_w1_b": _random(generator, 3, 2),
        f"{name}.lokr_w2_a": _random(generator, shape[0] // 4, 2),
        f"{name}.lokr_w2_b": _inward(generator, 2, inputs),
        f"{name}.alpha": torch.tensor(1.5),
    }


def lokr_with_core(name: str, shape: tuple[int, ...], generator: torch.Generator) -> File:
    return {
        f"{name}.lokr_w1": _random(generator, 4, 2),
        f"{name}.lokr_w2_a": _random(generator, 2, shape[0] // 4),
        f"{name}.lokr_w2_b": _inward(generator, 2, shape[1] // 2),
        f"{name}.lokr_t2": _random(generator, 2, 2, *shape[2:]),
        f"{name}.alpha": torch.tensor(1.5),
    }


ANYWHERE: tuple[Callable[..., File], ...] = (
    lora,
    dora_per_output,
    dora_per_input,
    loha,
    loha_dora,
    lokr_whole,
    lokr_pairs,
)
CONVOLUTIONS: tuple[Callable[..., File], ...] = (locon_with_middle, loha_with_core)


def _random(generator: torch.Generator, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=generator)


def _inward(generator: torch.Generator, *shape: int) -> torch.Tensor:
    """Random weights that keep the size of what they multiply."""
    return _random(generator, *shape) / max(1, torch.Size(shape[1:]).numel()) ** 0.5


def stored_changes(model: Any, gain: float = 0.3) -> File:
    """Return a file that stores the change of every weight and bias as it is: of linear layers and
    convolutions `.diff`, of norms lycoris' `w_norm` and `b_norm`.
    """
    generator = torch.Generator().manual_seed(0)
    file: File = {}
    for name, module in model.model.named_modules():
        weight, bias = (getattr(module, part, None) for part in ("weight", "bias"))
        if not name.startswith("diffusion_model.") or weight is None:
            continue
        is_norm = weight.ndim == 1
        size = gain * (1 if is_norm else float(weight.float().std()))
        file[f"{name}.{'w_norm' if is_norm else 'diff'}"] = _random(generator, *weight.shape) * size
        if bias is not None:
            file[f"{name}.{'b_norm' if is_norm else 'diff_b'}"] = (
                _random(generator, *bias.shape) * gain
            )
    return file
