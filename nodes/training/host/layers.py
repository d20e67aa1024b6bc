"""Stand-ins for a model's layers while it learns: their weights stay where and as they are."""

from __future__ import annotations

from typing import Any

import torch
from comfy.ops import cast_bias_weight, uncast_bias_weight
from comfy.quant_ops import QuantizedTensor
from torch import Tensor, nn
from torch.nn import functional

from ...regions.lora_hooks import Hook
from ..low_rank import LearnedPair

# Where the host's own layers are defined, and their names there; other packs' stand elsewhere.
_HOSTS = "comfy.ops"
_LINEAR, _CONVOLUTION, _EMBEDDING = "Linear", "Conv2d", "Embedding"
NORMS = (nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


def is_linear(module: nn.Module) -> bool:
    """Say whether a module is a linear layer of the host; those of quantised files are no torch
    Linear.
    """
    return _is_hosts(module, _LINEAR)


def is_frozen(module: nn.Module) -> bool:
    """Say whether a module is a layer of the host that FrozenLayer knows the gradient of."""
    return _is_hosts(module, _LINEAR, _CONVOLUTION)


def is_known(module: nn.Module) -> bool:
    """Say whether a model with this layer can learn: only the host's own ones were ever tried."""
    is_norm = isinstance(module, NORMS) and type(module).__module__ == _HOSTS
    return is_norm or _is_hosts(module, _LINEAR, _CONVOLUTION, _EMBEDDING)


def _is_hosts(module: nn.Module, *names: str) -> bool:
    return type(module).__module__ == _HOSTS and type(module).__name__ in names


class FrozenLayer(Hook):
    """Runs a linear layer or convolution as the host does, and fetches its weight again for the
    gradient.

    Plain autograd would hold every weight that the host brought to the device until then: the whole
    model, where it is offloaded. And it cannot hold weights that were loaded in inference mode.
    `added` is the trained part, on linear layers that are trained.
    """

    def __init__(self, module: nn.Module, added: LearnedPair | None = None) -> None:
        super().__init__(module)
        self._added = added

    def __call__(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if torch.is_grad_enabled() and x.requires_grad:
            y = _Frozen.apply(x, self._module, lambda x: self.original(x, *args, **kwargs))
        else:
            with torch.no_grad():
                y = self.original(x, *args, **kwargs)
        return y if self._added is None else y + self._added(x)


class _Frozen(torch.autograd.Function):
    """y = layer(x), of which only x is differentiated."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, module: nn.Module, run: Any) -> Tensor:
        ctx.module = module
        ctx.shape = x.shape
        return run(x.detach())

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        weight, bias, stream = cast_bias_weight(
            ctx.module,
            dtype=grad.dtype,
            device=grad.device,
            bias_dtype=grad.dtype,
            offloadable=True,
        )
        plain = weight.dequantize() if isinstance(weight, QuantizedTensor) else weight
        plain = plain.to(grad.dtype)
        if is_linear(ctx.module):
            gradient = grad @ plain
            smoothing = getattr(ctx.module, "pre_quant_scale", None)
            if smoothing is not None:  # the host multiplies the input of some quantised layers
                gradient = gradient * smoothing.to(gradient)
        else:
            of = ctx.module
            gradient = nn.grad.conv2d_input(
                ctx.shape, plain, grad, of.stride, of.padding, of.dilation, of.groups
            )
        uncast_bias_weight(ctx.module, weight, bias, stream)
        return gradient, None, None


class LearningNorm(Hook):
    """Runs a normalisation with copies of its few weights, which autograd can hold."""

    def __call__(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        module = self._module
        if not (torch.is_grad_enabled() and x.requires_grad) or module.weight is None:
            return self.original(x, *args, **kwargs)
        cast, cast_bias, stream = cast_bias_weight(module, x, offloadable=True)
        weight = cast.clone()
        bias = None if cast_bias is None else cast_bias.clone()
        uncast_bias_weight(module, cast, cast_bias, stream)
        if isinstance(module, nn.GroupNorm):
            return functional.group_norm(x, module.num_groups, weight, bias, module.eps)
        if isinstance(module, nn.LayerNorm):
            return functional.layer_norm(x, module.normalized_shape, weight, bias, module.eps)
        return functional.rms_norm(x, module.normalized_shape, weight, module.eps)
