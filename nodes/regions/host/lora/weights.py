"""The numbers of a layer's weight, however the layer stores them."""

from __future__ import annotations

from collections.abc import Sequence

import comfy.lora
import comfy.utils
import torch
from comfy.model_patcher import ModelPatcher, get_key_weight
from comfy.quant_ops import QuantizedTensor
from torch import Tensor, nn

from .changes import Unfit

# By these, layers of several packs scale a weight of few bits while they run.
_SCALES = ("scale_weight", "weight_scale")


def readable_weight(model: ModelPatcher, key: str, shape: Sequence[int], start: int = 0) -> Tensor:
    """Return the rows from `start` on of a weight, float32 of `shape`, with the patches that the
    model already carries.

    A layer that stores its weight in a form of its own is asked for it: by the host's `convert_`
    method, or by the `get_weight` of layers that hold packed bytes (GGUF).
    Raises: Unfit for a weight that is stored packed and has no method to unpack it.
    """
    module: nn.Module = comfy.utils.get_attr(model.model, key.rpartition(".")[0])
    weight, _, convert = get_key_weight(model.model, key)
    if key in model.backup:  # patches are merged in place while the model is loaded
        weight = model.backup[key].weight
    patches = model.patches.get(key, [])
    if convert is not None:
        weight = convert(weight.to(torch.float32, copy=True), inplace=True)
    elif callable(getattr(module, "get_weight", None)):
        # A packed tensor carries its patches while the model is loaded, and comes with them.
        patches = [] if getattr(weight, "patches", None) else patches
        weight = module.get_weight(weight, torch.float32)
    elif isinstance(weight, QuantizedTensor):
        weight = weight.dequantize()
    _check(weight, module, (*shape[1:],))
    weight = comfy.lora.calculate_weight(patches, weight.to(torch.float32, copy=True), key)
    return weight.narrow(0, start, shape[0])


def _check(weight: Tensor, module: nn.Module, inner: tuple[int, ...]) -> None:
    """Return where the tensor holds the weight's own numbers."""
    named = f"its layer, a {type(module).__name__}, holds"
    if not weight.is_floating_point() or tuple(weight.shape[1:]) != inner:
        sides = "x".join(map(str, weight.shape))
        raise Unfit(
            f"DoRA reads the weight that it scales, and {named} packed numbers ({weight.dtype},"
            f" {sides}) that it cannot be asked for"
        )
    if weight.is_meta:
        raise Unfit(f"DoRA reads the weight that it scales, and {named} none in memory")
    scaled = [name for name in _SCALES if getattr(module, name, None) is not None]
    if scaled and weight.element_size() == 1:
        raise Unfit(
            f"DoRA reads the weight that it scales, and {named} one of {weight.dtype} that its"
            f" {scaled[0]} scales while it runs"
        )
