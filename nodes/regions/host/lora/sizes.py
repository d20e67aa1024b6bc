"""Whether the tensors of a change go with each other, and with the weight that they change."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from comfy.weight_adapter import LoHaAdapter, LoKrAdapter, LoRAAdapter, WeightAdapterBase
from torch import Tensor

from ...lora_forms import product_size
from .changes import NO_HALF, Unfit

UNMATCHED = "its matrices do not go with each other"
EMPTY = "one of its matrices is empty"
# Where the adapter's weights hold its alpha, and DoRA's magnitude.
ALPHA = 2
MAGNITUDE = {LoRAAdapter: 4, LoHaAdapter: 7, LoKrAdapter: 8}


def check_numbers(patch: WeightAdapterBase | tuple) -> None:
    """Return where the tensors of a change hold plain numbers, all of them finite. Raises: Unfit.

    Whole numbers are a quantised file's, and mean nothing without the factors beside them.
    """
    held = patch.weights if isinstance(patch, WeightAdapterBase) else patch[1]
    for one in held:
        if isinstance(one, Tensor):
            if not one.is_floating_point():
                raise Unfit(f"it is stored packed, as {one.dtype}")
            if not torch.isfinite(one if one.element_size() > 1 else one.float()).all():
                raise Unfit("some of its values are no numbers")
        elif isinstance(one, float) and not math.isfinite(one):
            raise Unfit("its alpha is no number")


def check_matrices(adapter: WeightAdapterBase) -> None:
    """Return where the adapter, LoRA, LoHa or LoKr, has all of its matrices, none of them empty,
    and their ranks match. Raises: Unfit.
    """
    others = (ALPHA, MAGNITUDE[type(adapter)])
    matrices = [one for place, one in enumerate(adapter.weights) if place not in others]
    tensors = [one for one in matrices if isinstance(one, Tensor)]
    if not all(one.numel() for one in tensors):
        raise Unfit(EMPTY)
    if any(one.ndim < 2 for one in tensors):
        raise Unfit(UNMATCHED)
    if isinstance(adapter, LoRAAdapter):
        _check_low_rank(*adapter.weights[:2], adapter.weights[3])
    elif isinstance(adapter, LoHaAdapter):
        first, second = map(_product_shape, _hadamard_factors(adapter.weights))
        if first != second:
            raise Unfit(UNMATCHED)
    else:
        small, _ = map(_product_shape, kronecker_factors(adapter.weights))
        if len(small) != 2:
            raise Unfit(UNMATCHED)


def check_size(adapter: WeightAdapterBase, shape: Sequence[int]) -> None:
    """Return where the adapter's change is as large as a weight of `shape`. Raises: Unfit."""
    if isinstance(adapter, LoRAAdapter):
        down = adapter.weights[1]
        # A matrix with a kernel, also on a linear layer that is a convolution elsewhere.
        if down.ndim > 2 and tuple(down.shape[1:2]) != tuple(shape[1:2]):
            inputs = sides_of(shape[1:2]) or "no"
            raise Unfit(f"{down.shape[1]} inputs; the layer has {inputs} inputs")
    size = size_of(adapter)
    if size != (shape[0], math.prod(shape)):
        raise Unfit(
            f"{size[0]} outputs and {size[1]} numbers; the layer has {shape[0]} outputs and"
            f" {math.prod(shape)} numbers"
        )


def check_magnitude(adapter: WeightAdapterBase, shape: Sequence[int]) -> None:
    """Return where a DoRA has one magnitude a row [rows,1] or one a column [1,columns] of a weight
    of `shape`, with further sides of 1 for those of a kernel. Raises: Unfit.
    """
    magnitude = adapter.weights[MAGNITUDE[type(adapter)]]
    if magnitude is not None:
        check_magnitudes(magnitude, shape)


def check_magnitudes(magnitude: Tensor, shape: Sequence[int]) -> None:
    if len(shape) < 2:
        raise Unfit("a DoRA on a layer of one number a channel")
    rows, columns, *kernel = shape
    ones = (1,) * len(kernel)
    # The host tells the two apart by the first side.
    by_column = () if rows == 1 else (1, columns, *ones)
    if tuple(magnitude.shape) not in ((rows, 1, *ones), by_column):
        raise Unfit(f"a DoRA of {sides_of(magnitude.shape)}; the layer has {sides_of(shape)}")


def check_shape(given: Sequence[int], expected: Sequence[int]) -> None:
    if tuple(given) != tuple(expected):
        raise Unfit(f"a tensor of {sides_of(given)}; the layer has {sides_of(expected)}")


def middled(down: Tensor, middle: Tensor | None) -> Tensor:
    """Return LoCon's down matrix with its kernel between ranks, as one from inputs to ranks."""
    return down if middle is None else torch.einsum("or...,ri->oi...", middle, down.flatten(1))


def kronecker_factors(weights: Sequence) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Return LoKr's small and large matrix, each whole or as a pair, the large one with a core."""
    whole_1, whole_2, _, left_1, right_1, left_2, right_2, core = weights[:8]
    small = (left_1, right_1) if whole_1 is None else (whole_1,)
    if whole_2 is not None:
        return small, (whole_2,)
    return small, (left_2, right_2) if core is None else (left_2, right_2, core)


def _hadamard_factors(weights: Sequence) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Return LoHa's two pairs, each with its core where there is one."""
    left_1, right_1, _, left_2, right_2, core_1, core_2 = weights[:7]
    if core_1 is None:
        return (left_1, right_1), (left_2, right_2)
    return (left_1, right_1, core_1), (left_2, right_2, core_2)


def _check_low_rank(up: Tensor, down: Tensor, middle: Tensor | None) -> None:
    """Return where `up` [rows, rank], `down` [rank, inputs, *kernel] and LoCon's `middle` [rank,
    rank, *kernel] go with each other. Raises: Unfit.
    """
    rank = down.shape[0]
    fits = up[0].numel() == rank
    if middle is not None:
        # The host takes kernels of two sides only, and an inner matrix without any.
        fits &= middle.ndim == 4 and tuple(middle.shape[:2]) == (rank, rank)
        fits &= down[0].numel() == down.shape[1]
    if not fits:
        raise Unfit(UNMATCHED)


def _product_shape(factors: Sequence[Tensor | None]) -> tuple[int, ...]:
    """Return the shape of a matrix that is given whole, as (left, right) or with a core as (left,
    right, core). Raises: Unfit where a factor is missing or does not go with the others.
    """
    if any(one is None for one in factors):
        raise Unfit(NO_HALF)
    left, *rest = factors
    if not rest:
        return tuple(left.shape)
    right, *cores = rest
    fits = left.ndim == right.ndim == 2
    if not cores:
        fits = fits and left.shape[1] == right.shape[0]
        shape = (left.shape[0], right.shape[1])
    else:
        (core,) = cores
        sides = (left.shape[0], right.shape[0])
        fits = fits and core.ndim == 4 and tuple(core.shape[:2]) == sides
        shape = (left.shape[1], right.shape[1], *core.shape[2:])
    if not fits:
        raise Unfit(UNMATCHED)
    return shape


def size_of(adapter: WeightAdapterBase) -> tuple[int, int]:
    """Return the rows and the count of numbers of the change."""
    weights = adapter.weights
    if isinstance(adapter, LoRAAdapter):
        up, down, _, middle = weights[:4]
        kernel = 1 if middle is None else math.prod(middle.shape[2:])
        return up.shape[0], up.shape[0] * down[0].numel() * kernel
    if isinstance(adapter, LoHaAdapter):
        left, right, core = weights[0], weights[1], weights[5]
        return product_size((left, right) if core is None else (left, right, core))
    small, large = map(product_size, kronecker_factors(weights))
    return small[0] * large[0], small[1] * large[1]


def sides_of(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))
