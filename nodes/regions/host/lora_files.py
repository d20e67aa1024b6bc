"""A LoRA file's contents, matched with a MODEL's layers by the host's own rules, as forms that need
no merging.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import comfy.lora
import comfy.lora_convert
import comfy.utils
import torch
from comfy.model_patcher import ModelPatcher, get_key_weight
from comfy.weight_adapter import LoHaAdapter, LoKrAdapter, LoRAAdapter, WeightAdapterBase
from torch import nn

from ..lora import LoraError, RegionLora
from ..lora_forms import (
    Convolution,
    Form,
    Hadamard,
    Kronecker,
    LowRank,
    Target,
    decomposed,
    product_size,
)

# How names of text-encoder weights begin; they act on the CLIP and not here.
TEXT_ENCODER = (
    "lora_te",
    "text_encoder",
    "te.",
    "te1.",
    "te2.",
    "clip_l.",
    "clip_g.",
    "t5xxl.",
    "lora_prior_te",
    "bundle_emb.",
)
SUPPORTED = "LoRA, LoCon, DoRA, LoHa and LoKr"

# Of the host's key map: puts the rows of a change in the order of its weight.
Function = Callable[[torch.Tensor], torch.Tensor]


def read_lora(model: ModelPatcher, lora: RegionLora) -> Iterator[tuple[str, Form]]:
    """Yield (path of a module of `model.model`, the change of its weight at the LoRA's strength).

    float32.

    Raises: LoraError for a form that is not supported, a layer that this model does not have, or a
    shape that does not fit.
    """
    if lora.region < 0:
        raise LoraError(
            f"The LoRA '{lora.name}' is given region {lora.region}; regions count from 0, the"
            " scene.",
            code="lora-region",
        )
    tensors = comfy.lora_convert.convert_lora(dict(lora.state_dict))
    patches = comfy.lora.load_lora(
        tensors, comfy.lora.model_lora_keys_unet(model.model, {}), log_missing=False
    )
    _check_forms(lora, patches)
    _check_keys(lora, set(tensors), patches)
    for key, adapter in patches.items():
        name, offset, function = (key, None, None) if isinstance(key, str) else (*key, None)[:3]
        yield (
            name.removesuffix(".weight"),
            _Entry(model, lora, name).form(adapter, offset, function),
        )


def _check_forms(lora: RegionLora, patches: dict) -> None:
    for key, adapter in patches.items():
        name = key if isinstance(key, str) else key[0]
        if isinstance(adapter, LoRAAdapter) and adapter.weights[5] is not None:
            what = "a change of the layer's size"
        elif isinstance(adapter, LoRAAdapter | LoHaAdapter | LoKrAdapter) and name.endswith(
            ".weight"
        ):
            continue
        else:
            what = (
                f"the form {adapter.name}"
                if isinstance(adapter, WeightAdapterBase)
                else f"a whole tensor ({adapter[0]})"
            )
        raise LoraError(
            f"The LoRA '{lora.name}' changes {name} by {what}, which cannot be held to one person's"
            " region.",
            code="lora-form",
            hint=(
                f"Supported inside regions: {SUPPORTED}. Use this file on the whole picture, or"
                " train it in one of these forms."
            ),
        )


def _check_keys(lora: RegionLora, names: set[str], patches: dict) -> None:
    loaded = set().union(*(adapter.loaded_keys for adapter in patches.values()))
    left = sorted(name for name in names - loaded if not name.startswith(TEXT_ENCODER))
    if left:
        more = f" and {len(left) - 3} more" if len(left) > 3 else ""
        which = (
            "this model has none of its layers"
            if not patches
            else f"{len(left)} of its {len(names)} tensors match no layer of this model"
        )
        raise LoraError(
            f"The LoRA '{lora.name}' cannot be applied: {which}: {', '.join(left[:3])}{more}.",
            code="lora-keys",
            hint="Use a LoRA made for this model's family (SD1.5, SDXL or Flux).",
        )


class _Entry:
    """One weight of the model that a LoRA changes."""

    def __init__(self, model: ModelPatcher, lora: RegionLora, key: str) -> None:
        self.model = model
        self.lora = lora
        self.key = key
        self.module: nn.Module = comfy.utils.get_attr(model.model, key.removesuffix(".weight"))

    def form(
        self,
        adapter: WeightAdapterBase,
        offset: tuple[int, int, int] | None,
        function: Function | None,
    ) -> Form:
        target = self._target(offset)
        alpha, magnitude = adapter.weights[2], adapter.weights[_MAGNITUDE[type(adapter)]]
        scale = 1.0 if magnitude is not None else self.lora.strength
        weights = [one.float() if isinstance(one, torch.Tensor) else one for one in adapter.weights]
        form, found = _READERS[type(adapter)](target, weights, alpha, scale)
        self._check_size(target, *found)
        if function is not None:
            if not isinstance(form, LowRank):
                raise self._refused(
                    f"in a {type(adapter).name} form whose rows this model holds in another order"
                )
            form = LowRank(target, function(form.up), form.down)
        return (
            form
            if magnitude is None
            else decomposed(form, self._weight(target), magnitude, self.lora.strength)
        )

    def _target(self, offset: tuple[int, int, int] | None) -> Target:
        module = self.module
        if hasattr(module, "in_features"):
            inputs, outputs, kernel, convolution = module.in_features, module.out_features, (), None
        elif len(getattr(module, "kernel_size", ())) == 2 and module.groups == 1:
            inputs = module.in_channels
            outputs = module.out_channels
            kernel = tuple(module.kernel_size)
            convolution = Convolution(module.stride, module.padding, module.dilation)
        else:
            raise self._refused(
                f"which is a {type(module).__name__}, not a linear layer or a 2D convolution"
            )
        if offset is not None and offset[0] != 0:
            raise self._refused(f"in a part of its inputs ({offset})")
        start, rows = (0, outputs) if offset is None else offset[1:]
        return Target(start, rows, inputs, kernel, convolution)

    def _weight(self, target: Target) -> torch.Tensor:
        """The part of the layer's weight, float32, with the patches that the model already
        carries.
        """
        weight, _, convert = get_key_weight(self.model.model, self.key)
        if self.key in self.model.backup:  # patches are merged in place while the model is loaded
            weight = self.model.backup[self.key].weight
        weight = weight.to(torch.float32, copy=True)
        if convert is not None:
            weight = convert(weight, inplace=True)
        weight = comfy.lora.calculate_weight(self.model.patches.get(self.key, []), weight, self.key)
        return weight.narrow(0, target.start, target.rows)

    def _check_size(self, target: Target, rows: int, count: int) -> None:
        if (rows, count) != (target.rows, math.prod(target.shape)):
            raise self._refused(
                f"by {rows} outputs and {count} numbers; the layer has {target.rows} outputs and"
                f" {math.prod(target.shape)} numbers"
            )

    def _refused(self, how: str) -> LoraError:
        text = f"The LoRA '{self.lora.name}' changes {self.key} {how}."
        return LoraError(
            text,
            code="lora-shape",
            hint="Use a LoRA made for this model's family (SD1.5, SDXL or Flux).",
        )


Found = tuple[Form, tuple[int, int]]


def _low_rank(target: Target, weights: list, alpha: float | None, scale: float) -> Found:
    up, down, _, middle = weights[:4]
    rank = down.shape[0]
    # Up, a kernel between ranks, down: the last two are one kernel from inputs to ranks.
    if middle is not None:
        down = torch.einsum("or...,ri->oi...", middle, down.flatten(1))
    up = up.flatten(1) * (scale * (1.0 if alpha is None else alpha / rank))
    size = (up.shape[0], up.shape[0] * down[0].numel())
    if size == (target.rows, math.prod(target.shape)):
        down = down.reshape(-1, target.inputs, *target.kernel)
    return LowRank(target, up, down), size


def _hadamard(target: Target, weights: list, alpha: float | None, scale: float) -> Found:
    left_1, right_1, _, left_2, right_2, core_1, core_2 = weights[:7]
    pairs = (
        ((left_1, right_1), (left_2, right_2))
        if core_1 is None
        else ((left_1, right_1, core_1), (left_2, right_2, core_2))
    )
    factor = scale * (1.0 if alpha is None else alpha / right_1.shape[0])
    return Hadamard(target, pairs, factor), product_size(pairs[0])


def _kronecker(target: Target, weights: list, alpha: float | None, scale: float) -> Found:
    whole_1, whole_2, _, left_1, right_1, left_2, right_2, core = weights[:8]
    small = (left_1, right_1) if whole_1 is None else (whole_1,)
    large = (
        (whole_2,)
        if whole_2 is not None
        else (left_2, right_2)
        if core is None
        else (left_2, right_2, core)
    )
    # The host takes the rank from the large matrix where both are low-rank pairs, and no scale
    # where neither is.
    rank = right_2.shape[0] if whole_2 is None else right_1.shape[0] if whole_1 is None else None
    factor = scale * (1.0 if alpha is None or rank is None else alpha / rank)
    sizes = product_size(small), product_size(large)
    return Kronecker(target, small, large, factor), (
        sizes[0][0] * sizes[1][0],
        sizes[0][1] * sizes[1][1],
    )


_READERS = {LoRAAdapter: _low_rank, LoHaAdapter: _hadamard, LoKrAdapter: _kronecker}
# Where the adapter's weights hold DoRA's.
_MAGNITUDE = {LoRAAdapter: 4, LoHaAdapter: 7, LoKrAdapter: 8}
