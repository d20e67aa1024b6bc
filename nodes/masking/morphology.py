"""Masks grown, shrunk and feathered, at a cost that does not depend on the radius.

Hard masks, of 0 and 1 only, grow exactly: `round` by the straight distance to the mask, `square`
and `diamond` as the host's GrowMask does without and with tapered corners. Soft masks keep their
soft values: each pixel takes the largest value (the smallest when shrinking) within the shape, so a
soft edge is moved and not hardened; `round` is an octagon there. What lies outside the picture is
left out: a mask that touches the border is not eaten from there.

Each mask of a batch is treated by itself. On the CPU scipy does most of it; masks on a GPU stay
there.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ..errors import ImageError
from . import tensor_morphology as tensors

SHAPES = ("round", "square", "diamond")
_OF_SOFT_MASKS: dict[str, Callable[[Tensor, int], Tensor]] = {
    "round": tensors.octagon,
    "square": tensors.square,
    "diamond": tensors.diamond,
}


def grow(mask: Tensor, radius_px: int, shape: str = "round") -> Tensor:
    """Return the masks grown by `radius_px`, shrunk when it is negative.

    Shapes: [B,H,W] or [H,W] -> [B,H,W] of the same type and device, values brought into 0..1.
    Raises: ImageError when a mask holds values that are no numbers.
    """
    if shape not in SHAPES:
        raise ImageError(
            f"A mask shape '{shape}'; expected one of {', '.join(SHAPES)}.", code="mask-shape"
        )
    return _each(mask, lambda one: _grown(one, radius_px, shape))


def feather(mask: Tensor, feather_px: int) -> Tensor:
    """Return the masks with an edge that falls off over `feather_px` pixels outside.

    What the mask covers stays as it is.

    At a distance d from the mask the value is 1 - d / (feather_px + 1). Of a soft mask the part
    above half its greatest value is continued outward, from the value that the nearest pixel of
    that part has; a softer edge of its own stays.

    Shapes: as `grow`.
    """
    return _each(mask, lambda one: _feathered(one, feather_px))


def _each(mask: Tensor, work: Callable[[Tensor], Tensor]) -> Tensor:
    masks = checked(mask)
    return (
        torch.stack([work(one) for one in masks]).to(mask.dtype)
        if len(masks)
        else masks.to(mask.dtype)
    )


def checked(mask: Tensor) -> Tensor:
    """Return masks as float32 [B,H,W] within 0..1. Raises: ImageError when they cannot be used."""
    if mask.ndim < 2 or 0 in mask.shape[-2:]:
        raise ImageError(
            f"A mask of shape {tuple(mask.shape)}; expected [batch, height, width].",
            code="mask-values",
        )
    if not torch.isfinite(mask).all():
        raise ImageError(
            "A mask holds values that are no numbers (NaN or infinite); expected 0..1.",
            code="mask-values",
        )
    return mask.reshape(-1, *mask.shape[-2:]).float().clamp(0, 1)


def _grown(mask: Tensor, radius_px: int, shape: str) -> Tensor:
    """Return one mask [H,W] grown.

    Nothing changes farther from it than the radius; shrinking looks one pixel beyond it.
    """
    window = _around(mask, max(radius_px, 1))
    if radius_px == 0 or window is None:
        return mask
    part = mask[window]
    is_hard = bool(((part == 0) | (part == 1)).all())
    out = mask.clone()
    if is_hard:
        bits = part > 0
        out[window] = (
            _dilated(bits, radius_px, shape)
            if radius_px > 0
            else ~_dilated(~bits, -radius_px, shape)
        ).float()
    else:
        out[window] = (
            _largest(part, radius_px, shape)
            if radius_px > 0
            else -_largest(-part, -radius_px, shape)
        )
    return out


def _around(mask: Tensor, margin_px: int) -> tuple[slice, slice] | None:
    """Return the part of a mask [H,W] that holds all of it and `margin_px` more on each side.

    None when it is empty.
    """
    rows, columns = (mask.any(axis).nonzero() for axis in (1, 0))
    if not len(rows):
        return None
    top, bottom, left, right = (int(edge) for edge in (rows[0], rows[-1], columns[0], columns[-1]))
    return slice(max(0, top - margin_px), bottom + 1 + margin_px), slice(
        max(0, left - margin_px), right + 1 + margin_px
    )


def _dilated(bits: Tensor, radius_px: int, shape: str) -> Tensor:
    """Return a bool mask [H,W] dilated."""
    if bits.device.type != "cpu":
        return (
            tensors.disc(bits[None], radius_px)[0]
            if shape == "round"
            else _OF_SOFT_MASKS[shape](bits[None].float(), radius_px)[0] > 0
        )
    if not bits.any():  # scipy's distance to nothing is a number
        return bits
    from scipy import ndimage  # heavy: on first use

    array = bits.numpy()
    if shape == "round":
        return torch.from_numpy(ndimage.distance_transform_edt(~array) <= radius_px)
    if shape == "diamond":
        return torch.from_numpy(
            ndimage.binary_dilation(array, iterations=min(radius_px, sum(array.shape)))
        )
    return torch.from_numpy(
        ndimage.maximum_filter(
            array.view(np.uint8), _widths(bits, radius_px), mode="constant", cval=0
        ).view(bool)
    )


def _largest(values: Tensor, radius_px: int, shape: str) -> Tensor:
    """Return the largest value around each pixel of a float mask [H,W]."""
    if values.device.type != "cpu" or shape != "square":
        return _OF_SOFT_MASKS[shape](values[None], radius_px)[0]
    from scipy import ndimage  # heavy: on first use

    return torch.from_numpy(
        ndimage.maximum_filter(
            values.numpy(), _widths(values, radius_px), mode="constant", cval=-np.inf
        )
    )


def _widths(mask: Tensor, radius_px: int) -> tuple[int, ...]:
    """Return the sides of a square of that radius, no larger than reaches across the mask."""
    return tuple(2 * min(radius_px, side - 1) + 1 for side in mask.shape)


def _feathered(mask: Tensor, feather_px: int) -> Tensor:
    """Return one mask [H,W] with its edge continued outward."""
    window = _around(mask, feather_px)
    if feather_px == 0 or window is None:
        return mask
    part = mask[window]
    core = part >= part.amax() / 2
    distance, value = _nearest(core, part, feather_px)
    out = mask.clone()
    out[window] = torch.maximum(part, value * (1 - distance / (feather_px + 1)).clamp(min=0))
    return out


def _nearest(core: Tensor, values: Tensor, reach_px: int) -> tuple[Tensor, Tensor]:
    """Return distance and value of the nearest pixel of `core`.

    Distances beyond `reach_px` may be infinite.
    """
    if core.device.type != "cpu":
        distance, value = tensors.nearest(core[None], values[None], reach_px)
        return distance[0], value[0]
    from scipy import ndimage  # heavy: on first use

    distance, (rows, columns) = ndimage.distance_transform_edt(~core.numpy(), return_indices=True)
    return (
        torch.from_numpy(distance).float(),
        values[torch.from_numpy(rows).long(), torch.from_numpy(columns).long()],
    )
