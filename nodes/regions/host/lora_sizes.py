"""Whether the tensors of a change go with each other, and with the weight that they change."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from comfy.weight_adapter import LoHaAdapter, LoKrAdapter, LoRAAdapter, WeightAdapterBase
from torch import Tensor

from ..lora_forms import product_size
from .lora_changes import Unfit

UNMATCHED = "its matrices do not go with each other"
# Where the adapter's weights hold its alpha, and DoRA's magnitude.
ALPHA = 2
MAGNITUDE = {LoRAAdapter: 4, LoHaAdapter: 7, LoKrAdapter: 8}


def check_matrices(adapter: WeightAdapterBase) -> None:
    """Return where the adapter's tensors are matrices whose ranks match. Raises: Unfit."""
    weights = adapter.weights
    if type(adapter) not in MAGNITUDE:
        return  # the host's own matter
    others = (ALPHA, MAGNITUDE[type(adapter)])
    matrices = [one for place, one in enumerate(weights) if place not in others]
    if any(isinstance(one, Tensor) and one.ndim < 2 for one in matrices):
        raise Unfit(UNMATCHED)
    if isinstance(adapter, LoRAAdapter):
        up, down, _, middle = weights[:4]
        inner = down if middle is None else middle
        pairs = [(up, inner), *([(middle, down)] if middle is not None else [])]
    elif isinstance(adapter, LoHaAdapter) and weights[5] is None:
        pairs = [(weights[0], weights[1]), (weights[3], weights[4])]
    elif isinstance(adapter, LoKrAdapter) and weights[7] is None:
        pairs = [pair for pair in (weights[3:5], weights[5:7]) if pair[0] is not None]
    else:
        return
    if any(left.shape[1] != right.shape[0] for left, right in pairs):
        raise Unfit(UNMATCHED)


def check_size(adapter: WeightAdapterBase, shape: Sequence[int]) -> None:
    """Return where the adapter's change is as large as a weight of `shape`; of the forms that only
    the host merges their sizes are not looked at. Raises: Unfit.
    """
    size = size_of(adapter)
    if size is not None and size != (shape[0], math.prod(shape)):
        raise Unfit(
            f"{size[0]} outputs and {size[1]} numbers; the layer has {shape[0]} outputs and"
            f" {math.prod(shape)} numbers"
        )


def check_magnitude(adapter: WeightAdapterBase, shape: Sequence[int]) -> None:
    """Return where a DoRA has one magnitude a row, or one a column, of a weight of `shape`. Raises:
    Unfit.
    """
    place = MAGNITUDE.get(type(adapter))
    magnitude = None if place is None else adapter.weights[place]
    if magnitude is not None and magnitude.numel() not in shape[:2]:
        raise Unfit(f"a DoRA of {magnitude.numel()} magnitudes; the layer has {shape[0]} outputs")


def check_shape(given: Sequence[int], expected: Sequence[int]) -> None:
    if tuple(given) != tuple(expected):
        raise Unfit(f"a tensor of {_sides(given)}; the layer has {_sides(expected)}")


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


def size_of(adapter: WeightAdapterBase) -> tuple[int, int] | None:
    """Return the rows and the count of numbers of the change; None where the form does not say."""
    weights = adapter.weights
    if isinstance(adapter, LoRAAdapter):
        up, down, _, middle = weights[:4]
        kernel = 1 if middle is None else math.prod(middle.shape[2:])
        return up.shape[0], up.shape[0] * down[0].numel() * kernel
    if isinstance(adapter, LoHaAdapter):
        left, right, core = weights[0], weights[1], weights[5]
        return product_size((left, right) if core is None else (left, right, core))
    if isinstance(adapter, LoKrAdapter):
        small, large = map(product_size, kronecker_factors(weights))
        return small[0] * large[0], small[1] * large[1]
    return None


def _sides(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))
