"""Whether forms that only the host merges, OFT, BOFT and GLoRA, can be merged into their weight.

The host logs what it cannot merge and draws without it, or stops.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from comfy.weight_adapter import BOFTAdapter, GLoRAAdapter, OFTAdapter, WeightAdapterBase
from torch import Tensor

from .changes import Unfit
from .sizes import EMPTY, UNMATCHED, check_magnitudes, sides_of

MERGED = (OFTAdapter, BOFTAdapter, GLoRAAdapter)
NO_SQUARES = "its blocks are not square"


def check_merged(adapter: WeightAdapterBase, shape: Sequence[int]) -> None:
    """Return where the host merges the adapter into a weight of `shape`. Raises: Unfit."""
    *tensors, magnitude = adapter.weights
    if not all(one.numel() for one in tensors if isinstance(one, Tensor)):
        raise Unfit(EMPTY)
    if isinstance(adapter, GLoRAAdapter):
        _check_general(tensors[:4], shape)
    else:
        blocks, rescale, alpha = tensors
        if blocks.shape[-1] != blocks.shape[-2]:
            raise Unfit(NO_SQUARES)
        if isinstance(adapter, OFTAdapter):
            _check_rotations(blocks.shape[0] * blocks.shape[1], shape)
        else:
            if alpha is None:
                raise Unfit("ComfyUI does not read the form boft without its alpha")
            _check_butterflies(blocks.shape, shape)
            _check_rescale(rescale, shape)
    if magnitude is not None:
        check_magnitudes(magnitude, shape)


def _check_rotations(rows: int, shape: Sequence[int]) -> None:
    if rows != shape[0]:
        raise Unfit(f"blocks for {rows} outputs; the layer has {shape[0]} outputs")


def _check_butterflies(blocks: Sequence[int], shape: Sequence[int]) -> None:
    """`blocks`: [levels, count, size, size]; each level pairs rows twice as far apart."""
    levels, count, size, _ = blocks
    _check_rotations(count * size, shape)
    pairs = [2 * 2**level * (size // 2) for level in range(levels)]
    if not all(pairs) or any(shape[0] % pair for pair in pairs):
        raise Unfit(
            f"{levels} levels of blocks of {size}, which {shape[0]} outputs do not divide into"
        )


def _check_rescale(rescale: Tensor | None, shape: Sequence[int]) -> None:
    if rescale is None or rescale.numel() == 1:
        return
    if tuple(rescale.shape) != (shape[0], *(1,) * (len(shape) - 1)):
        raise Unfit(f"a scale of {sides_of(rescale.shape)}; the layer has {sides_of(shape)}")


def _check_general(matrices: Sequence[Tensor], shape: Sequence[int]) -> None:
    """GLoRA adds to a weight W [rows, inputs, *kernel] its products W a1 a2 + b1 b2, and of old
    files W a2 a1 + b2 b1. The host tells them apart by where the ranks stand.
    """
    if len(shape) < 2 or any(one.ndim < 2 for one in matrices):
        raise Unfit(UNMATCHED)
    first, second, third, fourth = (one.shape for one in matrices)
    is_old = fourth[1] == third[0] == first[0] == second[1]
    is_new = fourth[0] == third[1] == first[1] == second[0]
    if is_old and not (is_new and (second[0] != shape[0] or shape[0] != shape[1])):
        rank, inputs = first[0], math.prod(shape[1:])
        expected = ((rank, inputs), (inputs, rank), (rank, inputs), (shape[0], rank))
    elif is_new:
        rank, inputs = second[0], math.prod(shape[1:])
        expected = ((shape[1], rank), (rank, shape[1]), (shape[0], rank), (rank, inputs))
    else:
        raise Unfit(UNMATCHED)
    given = tuple((one.shape[0], one[0].numel()) for one in matrices)
    if given != expected:
        raise Unfit(
            "matrices of " + ", ".join(map(sides_of, given)) + f"; the layer has {sides_of(shape)}"
        )
