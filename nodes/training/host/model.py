"""A MODEL of the host that learns: factors beside its layers, its own weights untouched."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from comfy.ldm.flux.layers import DoubleStreamBlock, SingleStreamBlock
from comfy.ldm.modules.attention import BasicTransformerBlock, attention_pytorch
from comfy.ldm.modules.diffusionmodules.openaimodel import ResBlock
from comfy.model_management import get_torch_device, should_use_bf16
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import PatcherInjection
from comfy.utils import get_attr
from torch import Tensor, nn

from ...regions.lora_hooks import Hook
from ..blocks import LearningBlock
from ..errors import TrainingError
from ..low_rank import LayerSize, LearnedPair
from .layers import NORMS, FrozenLayer, LearningNorm, is_frozen, is_known, is_linear
from .state import digest

KEY = "astria_training"
_PREFIX = "diffusion_model."
_ATTENTION = "optimized_attention_override"  # replaced by one with a gradient
_FUNCTION_WRAPPER = "model_function_wrapper"
COMPARED = 64  # values of a weight that tell bases apart
# Blocks that add to their input in place; of Flux and its kin only.
_FLUX_BLOCKS = (DoubleStreamBlock, SingleStreamBlock)
_UNET_BLOCKS = (ResBlock, BasicTransformerBlock)
# Within such a block, what sets it from the timestep is left as it is.
_MODULATION = ("img_mod", "txt_mod", "modulation")


@dataclass(frozen=True)
class LearningOptions:
    """How a model learns: whether blocks are computed twice to save memory."""

    checkpointing: bool = False


def trained_layers(model: ModelPatcher) -> list[LayerSize]:
    """Return the linear layers of attention and MLP in the model's blocks, in the model's order."""
    found = {}
    for name, block in _diffusion(model).named_modules():
        if isinstance(block, (BasicTransformerBlock, *_FLUX_BLOCKS)):
            for inner, layer in block.named_modules():
                if is_linear(layer) and inner.split(".")[0] not in _MODULATION:
                    path = f"{name}.{inner}"
                    found[path] = LayerSize(path, layer.in_features, layer.out_features)
    return list(found.values())


def learning_model(
    model: ModelPatcher, factors: Mapping[str, LearnedPair], options: LearningOptions
) -> ModelPatcher:
    """Return a clone of `model` that computes with the factors and gives gradients for them.

    It shares the weights of `model`, and changes none. While the host has it loaded, stand-ins lie
    before the forward of its layers; unloading takes them out.
    Raises: TrainingError for a model whose layers this cannot differentiate.
    """
    _check(model)
    learning = model.clone()
    dtype = training_dtype(model)
    if dtype != model.model.get_dtype_inference():
        learning.set_model_compute_dtype(dtype)
    learning.model_options["transformer_options"][_ATTENTION] = _attention
    if any(isinstance(module, _FLUX_BLOCKS) for module in _diffusion(model).modules()):
        learning.set_model_attn1_patch(_rotated)
    hooks: list[Hook] = []

    def put_in(patcher: ModelPatcher) -> None:
        for hook in _hooks(_diffusion(patcher), factors, options):
            hook.put()
            hooks.append(hook)

    def take_out(patcher: ModelPatcher) -> None:
        while hooks:
            hooks.pop().remove()

    learning.set_injections(KEY, [PatcherInjection(inject=put_in, eject=take_out)])
    return learning


def model_digest(model: ModelPatcher, layers: Iterable[LayerSize]) -> str:
    """Return the beginnings of the weights that are learned beside, and what the MODEL's patches
    make of them, in short: another base has other ones.

    Weights as they were before the host merged patches into them.
    """
    weights = []
    for layer in layers:
        key = f"{_PREFIX}{layer.path}.weight"
        kept = model.backup.get(key)
        weight = get_attr(model.model, key) if kept is None else kept.weight
        weight = getattr(weight, "_qdata", weight)
        weights.append(weight.flatten()[:COMPARED])
    patches = [
        [key, strength, list(_beginnings(patch)), strength_of_model]
        for key, found in sorted(model.patches.items())
        for strength, patch, strength_of_model, *_ in found
    ]
    return digest(weights, patches)


def _beginnings(patch: Any) -> Iterator[Tensor]:
    if isinstance(patch, Tensor):
        yield patch.flatten()[:COMPARED]
    elif isinstance(patch, list | tuple):
        for one in patch:
            yield from _beginnings(one)
    else:
        yield from _beginnings(getattr(patch, "weights", ()))


def training_dtype(model: ModelPatcher) -> torch.dtype:
    """Return what the model computes in while it learns: bfloat16 in place of float16, whose small
    gradients vanish, where the device has it.
    """
    dtype = model.model.get_dtype_inference()
    device = model.load_device or get_torch_device()
    if dtype is torch.float16 and should_use_bf16(device):
        return torch.bfloat16
    return dtype


def _hooks(
    diffusion: nn.Module, factors: Mapping[str, LearnedPair], options: LearningOptions
) -> Iterator[Hook]:
    for name, module in diffusion.named_modules():
        if is_frozen(module):
            yield FrozenLayer(module, factors.get(name))
        elif isinstance(module, NORMS):
            yield LearningNorm(module)
        elif isinstance(module, (*_FLUX_BLOCKS, *_UNET_BLOCKS)):
            yield LearningBlock(
                module,
                checkpointing=options.checkpointing,
                adds_in_place=isinstance(module, _FLUX_BLOCKS),
            )


def _check(model: ModelPatcher) -> None:
    carried = [
        *model.injections,
        *set(model.model_options["transformer_options"]) - {_ATTENTION},
        *{_FUNCTION_WRAPPER} & set(model.model_options),
        *(kind for kind, by_key in model.wrappers.items() if any(by_key.values())),
        *(path for path in model.object_patches if path.startswith(_PREFIX)),
    ]
    if carried:
        raise TrainingError(
            f"The MODEL carries {', '.join(map(repr, carried))} of another node: what is learned"
            " through it is wrong without it, where it can be learned at all.",
            code="training-model",
            hint="Connect the MODEL of a loader directly.",
        )
    strange = sorted(
        {
            f"{type(module).__name__} of {type(module).__module__}"
            for module in _diffusion(model).modules()
            if next(module.parameters(recurse=False), None) is not None and not is_known(module)
        }
    )
    if strange:
        raise TrainingError(
            "The MODEL was loaded by something other than ComfyUI's own loaders:"
            f" {', '.join(strange)}. Training on it was never tried.",
            code="training-model",
            hint="Load it with Load Checkpoint or Load Diffusion Model, from a .safetensors file.",
        )


def _diffusion(model: ModelPatcher) -> nn.Module:
    return model.model.diffusion_model


def _attention(_: object, *args: object, **kwargs: object) -> Tensor:
    """Attend by torch's own function: other ways have no gradient, or none that is exact."""
    return attention_pytorch(*args, **kwargs)


def _rotated(q: Tensor, k: Tensor, v: Tensor, pe: Tensor | None, **_: object) -> dict[str, object]:
    """Turn q and k to their places in torch; the host's fast way of doing so has no gradient."""
    if pe is None:
        return {}
    return {"q": _turned(q, pe), "k": _turned(k, pe), "pe": None}


def _turned(x: Tensor, pe: Tensor) -> Tensor:
    pairs = x.to(pe.dtype).reshape(*x.shape[:-1], -1, 1, 2)
    turned = pe[..., 0] * pairs[..., 0] + pe[..., 1] * pairs[..., 1]
    return turned.reshape(x.shape).type_as(x)
