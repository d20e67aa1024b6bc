"""The forms in which LoRA files write the change of one weight, as functions of the layer's
input.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn


@dataclass(frozen=True)
class Convolution:
    stride: tuple[int, ...]
    padding: tuple[int, ...] | str
    dilation: tuple[int, ...]


@dataclass(frozen=True)
class Target:
    """The part of a layer's weight that a form changes: `rows` outputs from `start` on, all inputs.

    `convolution` is None for linear layers and norms; `pixels` says that channels come first, as in
    [B,C,H,W].
    """

    start: int
    rows: int
    inputs: int
    kernel: tuple[int, ...] = ()
    convolution: Convolution | None = None
    pixels: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.rows, self.inputs, *self.kernel)

    def run(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """Return the output for `x` of a layer of this kind without bias.

        `weight` [any, inputs, *kernel].
        """
        if self.convolution is None:
            return F.linear(x, weight)
        options = self.convolution
        return F.conv2d(
            x, weight, stride=options.stride, padding=options.padding, dilation=options.dilation
        )

    def part(self, y: torch.Tensor) -> torch.Tensor:
        """Return the view of the layer's output [..., C] or [B,C,H,W] that belongs to this part."""
        return y.narrow(1 if self.pixels else -1, self.start, self.rows)

    def per_channel(self, vector: torch.Tensor) -> torch.Tensor:
        """Return a vector of one number per channel in a shape that multiplies activations."""
        return vector[:, None, None] if self.pixels else vector


@dataclass(frozen=True)
class Layer:
    """An unchanged layer of the host: its own forward, and whether it adds a bias."""

    forward: Callable[..., torch.Tensor]
    biased: bool


def cast_to_input(weight: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Return `weight` on the device and in the dtype of `x`, as the host's function of this name.

    The host leaves weights offloaded where memory is short.
    """
    return weight.to(x.device, x.dtype)


def frozen(tensor: torch.Tensor) -> nn.Parameter:
    return nn.Parameter(tensor.detach(), requires_grad=False)


class Form(nn.Module):
    """A change of one weight.

    `reads_output`: it is computed from the unchanged output, which then must outlive the additions.
    """

    target: Target
    reads_output = False

    def matrix(self) -> torch.Tensor:
        """Return the change itself, shaped as the weight."""
        raise NotImplementedError

    def change(self, x: torch.Tensor) -> torch.Tensor:
        """Return the change of the layer's output for the input `x`."""
        return self.target.run(x, cast_to_input(self.matrix(), x))

    def change_beside(self, x: torch.Tensor, y: torch.Tensor, layer: Layer) -> torch.Tensor:
        """Return the change for input `x`, where the unchanged layer makes `y` of it."""
        return self.change(x)


class LowRank(Form):
    """LoRA and LoCon: `up` [rows, rank] times `down` [rank, inputs, *kernel]."""

    def __init__(self, target: Target, up: torch.Tensor, down: torch.Tensor) -> None:
        super().__init__()
        self.target = target
        self.up = frozen(up)
        self.down = frozen(down)

    def matrix(self) -> torch.Tensor:
        return (self.up @ self.down.flatten(1)).reshape(self.target.shape)

    def change(self, x: torch.Tensor) -> torch.Tensor:
        up = cast_to_input(self.up, x)
        hidden = self.target.run(x, cast_to_input(self.down, x))
        return (
            F.linear(hidden, up)
            if self.target.convolution is None
            else F.conv2d(hidden, up[:, :, None, None])
        )


class Stored(Form):
    """A change that is stored as it is: `weight` [rows, inputs, *kernel]."""

    def __init__(self, target: Target, weight: torch.Tensor) -> None:
        super().__init__()
        self.target = target
        self.weight = frozen(weight)

    def matrix(self) -> torch.Tensor:
        return self.weight


class Bias(Form):
    """A change of a layer's bias: one number a row, whatever the input."""

    def __init__(self, target: Target, bias: torch.Tensor) -> None:
        super().__init__()
        self.target = target
        self.bias = frozen(bias)

    def change_beside(self, x: torch.Tensor, y: torch.Tensor, layer: Layer) -> torch.Tensor:
        """Return the change for every item and pixel of `y`; of tokens one stands for all."""
        bias = self.target.per_channel(cast_to_input(self.bias, x))
        if self.target.pixels:
            return bias.expand(1, -1, *y.shape[2:])
        return bias.view((1,) * (x.ndim - 1) + (-1,))


class NormScale(Form):
    """A change of a norm's weight: one number a channel, times the normalised input."""

    def __init__(
        self, target: Target, scale: torch.Tensor, normed: Callable[[torch.Tensor], torch.Tensor]
    ) -> None:
        super().__init__()
        self.target = target
        self.scale = frozen(scale)
        self._normed = normed

    def change(self, x: torch.Tensor) -> torch.Tensor:
        return self._normed(x) * self.target.per_channel(cast_to_input(self.scale, x))


class Hadamard(Form):
    """LoHa: the product, element by element, of two low-rank matrices, each with a Tucker core for
    kernels.
    """

    def __init__(
        self,
        target: Target,
        pairs: tuple[tuple[torch.Tensor, ...], tuple[torch.Tensor, ...]],
        scale: float,
    ) -> None:
        super().__init__()
        self.target = target
        self.first = nn.ParameterList(frozen(one) for one in pairs[0])
        self.second = nn.ParameterList(frozen(one) for one in pairs[1])
        self.scale = scale

    def matrix(self) -> torch.Tensor:
        return (_product(*self.first) * _product(*self.second) * self.scale).reshape(
            self.target.shape
        )


class Kronecker(Form):
    """LoKr: the Kronecker product of a small and a large matrix, each whole or as a low-rank pair,
    the large one maybe with a Tucker core.
    """

    def __init__(
        self,
        target: Target,
        small: tuple[torch.Tensor, ...],
        large: tuple[torch.Tensor, ...],
        scale: float,
    ) -> None:
        super().__init__()
        self.target = target
        self.small = nn.ParameterList(frozen(one) for one in small)
        self.large = nn.ParameterList(frozen(one) for one in large)
        self.scale = scale

    def matrix(self) -> torch.Tensor:
        small, large = _product(*self.small), _product(*self.large)
        # kron pairs the last sides: the kernel of the large matrix needs sides of 1 in the small.
        ones = (1,) * (large.ndim - small.ndim)
        small = small.reshape(*small.shape, *ones)
        return (torch.kron(small, large.contiguous()) * self.scale).reshape(self.target.shape)


def _product(
    left: torch.Tensor, right: torch.Tensor | None = None, core: torch.Tensor | None = None
) -> torch.Tensor:
    """Return the matrix, or left times right, or their Tucker product with the core [rank, rank,
    *kernel].
    """
    if right is None:
        return left
    if core is None:
        return left @ right
    # left [i,p], right [j,r], core [i,j,*kernel] -> [p,r,*kernel]
    return torch.einsum("ij...,jr,ip->pr...", core, right, left)


def product_size(factors: tuple[torch.Tensor, ...]) -> tuple[int, int]:
    """Return (rows, count of elements) of the product of these factors, without computing it."""
    left, *rest = factors
    if not rest:
        return left.shape[0], left.numel()
    if len(rest) == 1:
        return left.shape[0], left.shape[0] * rest[0].shape[1]
    return left.shape[1], left.shape[1] * rest[0].shape[1] * math.prod(rest[1].shape[2:])


class Decomposed(Form):
    """DoRA: the weight W, changed by `inner` (D), is scaled per output or per input channel.

    With `factor` f = magnitude / length, the new weight is f (W + D), and the change of the output
    is `strength` times (f (W + D) - W) x. The products with W are read off the layer's output and
    forward, for the weight may be quantised or offloaded.
    Source: Liu et al. 2024, "DoRA: Weight-Decomposed Low-Rank Adaptation", equation 5.
    """

    reads_output = True

    def __init__(
        self, inner: Form, factor: torch.Tensor, *, per_input: bool, strength: float
    ) -> None:
        super().__init__()
        self.target = inner.target
        self.inner = inner
        self.factor = frozen(factor)
        self.per_input = per_input
        self.strength = strength

    def change_beside(self, x: torch.Tensor, y: torch.Tensor, layer: Layer) -> torch.Tensor:
        """Return the change for input `x`, where the unchanged layer makes `y` of it."""
        factor = self.target.per_channel(cast_to_input(self.factor, x))
        if self.per_input:
            # (W + D)(f x) - W x; the layer's bias is in both outputs and cancels.
            scaled = x * factor
            of_weight = self.target.part(layer.forward(scaled) - y)
            return self.strength * (of_weight + self.inner.change(scaled))
        # f (W + D) x - W x = (f - 1) W x + f D x; y is W x and the bias, which f does not scale.
        weighted = self.target.part(y)
        if layer.biased:
            weighted = weighted - self.target.part(self._bias(x, layer))
        return self.strength * ((factor - 1) * weighted + factor * self.inner.change(x))

    def _bias(self, x: torch.Tensor, layer: Layer) -> torch.Tensor:
        """Return the layer's bias, [1,..,1,C] or [1,C,1,1]: its output for zeros."""
        target = self.target
        if target.convolution is None:
            return layer.forward(x.new_zeros((1,) * (x.ndim - 1) + (target.inputs,)))
        return layer.forward(x.new_zeros(1, target.inputs, *target.kernel))[..., :1, :1]


def decomposed(
    inner: Form, weight: torch.Tensor, magnitude: torch.Tensor, strength: float
) -> Decomposed:
    """Return the DoRA of `inner` on `weight` (the part that its target names, float32), as the host
    merges it.

    Source: weight_decompose in comfy/weight_adapter/base.py, which measures columns of the changed
    weight, but rows of the unchanged one.
    """
    per_input = magnitude.shape[0] != weight.shape[0]
    if per_input:
        changed = weight + inner.matrix()
        lengths = changed.transpose(0, 1).flatten(1).norm(dim=1)
    else:
        lengths = weight.flatten(1).norm(dim=1)
    factor = magnitude.float().flatten() / (lengths + torch.finfo(weight.dtype).eps)
    return Decomposed(inner, factor, per_input=per_input, strength=strength)
