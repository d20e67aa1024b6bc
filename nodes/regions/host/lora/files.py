"""A LoRA file's contents, matched with a MODEL's layers by the host's own rules, as forms that need
no merging.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import comfy.lora
import comfy.utils
import torch.nn.functional as F
from comfy.model_patcher import ModelPatcher
from comfy.weight_adapter import LoHaAdapter, LoKrAdapter, LoRAAdapter, WeightAdapterBase
from torch import Tensor, nn

from ...lora import LoraError, RegionLora
from ...lora_fit import MODEL, NO_LAYER, LoraFit, fit_of
from ...lora_forms import (
    Bias,
    Convolution,
    Form,
    Hadamard,
    Kronecker,
    LowRank,
    NormScale,
    Stored,
    Target,
    decomposed,
)
from .changes import LoraChange, Unfit, read_changes
from .sizes import (
    ALPHA,
    MAGNITUDE,
    check_magnitude,
    check_matrices,
    check_numbers,
    check_shape,
    check_size,
    kronecker_factors,
    middled,
)
from .weights import readable_weight
from .whole import model_kind

OF_REGION = "cannot be held to one person's region"
UNREAD = "the host reads its numbers without running it, and in a region nothing could be added"
_NORMS = (nn.LayerNorm, nn.RMSNorm, nn.GroupNorm)


def read_lora(
    model: ModelPatcher, lora: RegionLora, unread: tuple[str, ...] = ()
) -> tuple[list[tuple[str, Form]], LoraFit]:
    """Return (path of a module of `model.model`, its change at the LoRA's strength) for all of the
    file that fits, and how much of it that is.

    float32. `unread` are endings of layers whose numbers the host reads without running them.

    Raises: LoraError where the file has something for the model and nothing of it fits.
    """
    if lora.region < 0:
        raise LoraError(
            f"The LoRA '{lora.name}' is given region {lora.region}; regions count from 0, the"
            " scene.",
            code="lora-region",
        )
    keys = comfy.lora.model_lora_keys_unet(model.model, {})
    reading = read_changes(lora.state_dict, keys, model.model)
    forms: list[tuple[str, Form]] = []
    reading.sort(
        lambda change: forms.append(
            (change.path, _Entry(model, lora.strength, change.key, unread).form(change))
        )
    )
    fit = fit_of(
        lora.state_dict, reading.fitted_own, reading.left, looked_at=MODEL, model=model_kind(model)
    )
    fit = replace(fit, name=lora.name, strength=lora.strength, region=lora.region)
    if fit.is_refused:
        raise fit.refusal()
    return forms, fit


class _Entry:
    """One weight or bias of the model that a LoRA changes. Raises: Unfit where it has none."""

    def __init__(
        self, model: ModelPatcher, strength: float, key: str, unread: tuple[str, ...]
    ) -> None:
        path, _, self.parameter = key.rpartition(".")
        self.model = model
        self.strength = strength
        self.key = key
        if path.endswith(unread):
            raise Unfit(UNREAD)
        try:
            self.module: nn.Module = comfy.utils.get_attr(model.model, path)
        except AttributeError as error:  # the host names no bias for a part of a layer
            raise Unfit(NO_LAYER) from error

    def form(self, change: LoraChange) -> Form:
        """Return the change as a form. Raises: Unfit."""
        target = self._target(change.offset)
        patch = change.patch
        check_numbers(patch)
        if not isinstance(patch, WeightAdapterBase):
            return self._stored(target, change)
        if type(patch) not in _READERS:
            raise Unfit(f"the form {patch.name} {OF_REGION}")
        if isinstance(patch, LoRAAdapter) and patch.weights[5] is not None:
            raise Unfit(f"a change of the layer's size {OF_REGION}")
        if self.parameter != "weight" or isinstance(self.module, _NORMS):
            raise Unfit(f"the form {patch.name} on a {type(self.module).__name__}'s own numbers")
        return self._adapted(target, patch, change.function)

    def _adapted(
        self, target: Target, adapter: WeightAdapterBase, function: Callable | None
    ) -> Form:
        check_matrices(adapter)
        check_size(adapter, target.shape)
        check_magnitude(adapter, target.shape)
        alpha, magnitude = adapter.weights[ALPHA], adapter.weights[MAGNITUDE[type(adapter)]]
        scale = 1.0 if magnitude is not None else self.strength
        weights = [one.float() if isinstance(one, Tensor) else one for one in adapter.weights]
        form = _READERS[type(adapter)](target, weights, alpha, scale)
        if function is not None:
            if not isinstance(form, LowRank):
                raise Unfit(
                    f"a {type(adapter).name} form whose rows this model holds in another order"
                )
            form = LowRank(target, function(form.up), form.down)
        if magnitude is None:
            return form
        weight = readable_weight(self.model, self.key, target.shape, target.start)
        return decomposed(form, weight, magnitude, self.strength)

    def _stored(self, target: Target, change: LoraChange) -> Form:
        """Return the form of a change that the file holds as it is."""
        kind, (stored, *_) = change.patch
        if kind != "diff":
            raise Unfit(f"a whole tensor ({kind}) {OF_REGION}")
        is_plain = self.parameter == "weight" and not isinstance(self.module, _NORMS)
        check_shape(tuple(stored.shape), target.shape if is_plain else (target.rows,))
        delta = self.strength * stored.float()
        if change.function is not None:
            delta = change.function(delta)
        if self.parameter == "bias":
            return Bias(target, delta)
        return Stored(target, delta) if is_plain else NormScale(target, delta, _normed(self.module))

    def _target(self, offset: tuple[int, int, int] | None) -> Target:
        module = self.module
        inputs, kernel, convolution = 0, (), None
        if hasattr(module, "in_features"):
            inputs, outputs = module.in_features, module.out_features
        elif len(getattr(module, "kernel_size", ())) == 2 and module.groups == 1:
            inputs, outputs = module.in_channels, module.out_channels
            kernel = tuple(module.kernel_size)
            convolution = Convolution(module.stride, module.padding, module.dilation)
        elif isinstance(module, nn.GroupNorm):
            outputs = module.num_channels
        elif isinstance(module, _NORMS) and len(module.normalized_shape) == 1:
            outputs = module.normalized_shape[0]
        else:
            raise Unfit(
                f"a {type(module).__name__}, not a linear layer, a 2D convolution or a norm"
            )
        if offset is not None and offset[0] != 0:
            raise Unfit(f"a change of a part of the layer's inputs ({offset})")
        if getattr(module, self.parameter, None) is None:
            raise Unfit(f"the layer has no {self.parameter}")
        start, rows = (0, outputs) if offset is None else offset[1:]
        pixels = convolution is not None or isinstance(module, nn.GroupNorm)
        return Target(start, rows, inputs, kernel, convolution, pixels)


def _normed(norm: nn.Module) -> Callable[[Tensor], Tensor]:
    """Return the function by which a norm normalises, without its weight and bias."""
    if isinstance(norm, nn.GroupNorm):
        return partial(F.group_norm, num_groups=norm.num_groups, eps=norm.eps)
    if isinstance(norm, nn.LayerNorm):
        return partial(F.layer_norm, normalized_shape=norm.normalized_shape, eps=norm.eps)
    return partial(F.rms_norm, normalized_shape=list(norm.normalized_shape), eps=norm.eps)


def _low_rank(target: Target, weights: list, alpha: float | None, scale: float) -> Form:
    up, down, _, middle = weights[:4]
    rank = down.shape[0]
    down = middled(down, middle).reshape(-1, target.inputs, *target.kernel)
    return LowRank(target, up.flatten(1) * (scale * (1.0 if alpha is None else alpha / rank)), down)


def _hadamard(target: Target, weights: list, alpha: float | None, scale: float) -> Form:
    left_1, right_1, _, left_2, right_2, core_1, core_2 = weights[:7]
    pairs = (
        ((left_1, right_1), (left_2, right_2))
        if core_1 is None
        else ((left_1, right_1, core_1), (left_2, right_2, core_2))
    )
    return Hadamard(target, pairs, scale * (1.0 if alpha is None else alpha / right_1.shape[0]))


def _kronecker(target: Target, weights: list, alpha: float | None, scale: float) -> Form:
    whole_1, whole_2, _, _, right_1, _, right_2, _ = weights[:8]
    # The host takes the rank from the large matrix where both are low-rank pairs, and no scale
    # where neither is.
    rank = right_2.shape[0] if whole_2 is None else right_1.shape[0] if whole_1 is None else None
    factor = scale * (1.0 if alpha is None or rank is None else alpha / rank)
    return Kronecker(target, *kronecker_factors(weights), factor)


_READERS = {LoRAAdapter: _low_rank, LoHaAdapter: _hadamard, LoKrAdapter: _kronecker}
