"""The finished picture: the painted canvas with the untouched source back in its window and no
visible seam around it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import ImageError
from .border import Border, averaged, blurred_along, strips, zones
from .fill import check_fitted
from .geometry import Canvas, Rect


def heal_and_paste(
    decoded: Tensor,
    source: Tensor,
    canvas: Canvas,
    *,
    heal: bool = True,
    ring_px: int = 64,
    decay_px: int = 256,
) -> Tensor:
    """Return the finished picture.

    The source bit for bit in its window, the painted area around it, its colours healed.

    A VAE and a sampler shift colours a little, also where they keep the picture. How much is known
    inside the window, where the source is: that difference, averaged over a ring `ring_px` deep, is
    carried outward, softened and fading to nothing at `decay_px`. Nothing inside the window is ever
    written but the source. Outside, values are clamped to 0..1; NaN that a model painted there
    stays there.

    Shapes: decoded [B, padded height, padded width, C], source [B or 1, window height, window
    width, C], as from `fit_source` -> [B, height, width, C], float32, on the device of `decoded`.
    Raises: ImageError when sizes, batches or channels do not fit, or `ring_px` or `decay_px` is
    below 1.
    """
    _check(decoded, source, canvas, ring_px, decay_px)
    x, y = canvas.padded_offset
    painted = decoded[:, y : y + canvas.height, x : x + canvas.width]
    source = source.to(device=decoded.device, dtype=torch.float32)
    window = canvas.window
    result = painted.to(torch.float32, copy=True)
    if heal and not canvas.is_empty_mask:
        _heal(result, _drift(_within(result, window), source, ring_px), canvas, decay_px)
    result.clamp_(0.0, 1.0)
    _within(result, window).copy_(source)
    return result


def _drift(decoded: Tensor, source: Tensor, ring_px: int) -> Border:
    """Return how far the decoded window is off the source along its border, [B, side, C] each."""
    pairs = zip(strips(source, ring_px), strips(decoded, ring_px), strict=True)
    # A pixel that the model failed to paint says nothing about the drift, and must not spread.
    ring = (
        torch.nan_to_num(wanted - found, nan=0.0, posinf=0.0, neginf=0.0) for wanted, found in pairs
    )
    return averaged(Border(*ring), ring_px)


def _heal(result: Tensor, drift: Border, canvas: Canvas, decay_px: int) -> None:
    """Add the drift to `result` around the window, in place."""
    broad = blurred_along(drift, decay_px / 2)
    for zone in zones(canvas.window, canvas.width, canvas.height, decay_px):
        left = (1.0 - zone.steps(result.device) / decay_px).clamp(0.0, 1.0)
        # The fine part of the drift fades twice as fast as the broad one, or it would draw streaks.
        result[:, zone.rows, zone.columns] += left * torch.lerp(
            zone.continued(broad), zone.continued(drift), left
        )


def _within(image: Tensor, window: Rect) -> Tensor:
    return image[:, window.y : window.y + window.height, window.x : window.x + window.width]


def _check(decoded: Tensor, source: Tensor, canvas: Canvas, ring_px: int, decay_px: int) -> None:
    check_fitted(source, canvas)
    if decoded.ndim != 4 or decoded.shape[1:3] != (canvas.padded_height, canvas.padded_width):
        raise ImageError(
            f"Outpainting: the painted canvas has shape {tuple(decoded.shape)}; expected "
            f"[batch, {canvas.padded_height}, {canvas.padded_width}, channels].",
            code="outpaint_decoded_size",
            hint="Paint the canvas at its padded size, and give the same canvas to both nodes.",
        )
    if source.shape[0] not in (1, decoded.shape[0]) or source.shape[3] != decoded.shape[3]:
        raise ImageError(
            f"Outpainting: the source holds {source.shape[0]} images of {source.shape[3]} channels,"
            f" the painted canvas {decoded.shape[0]} of {decoded.shape[3]}; expected one source or"
            " as many, of the same channels.",
            code="outpaint_batch",
            hint="Give one source for the whole batch, or one for each painted image.",
        )
    if ring_px < 1 or decay_px < 1:
        raise ImageError(
            f"Outpainting: the seam is healed with a ring of {ring_px} px and a decay of {decay_px}"
            " px; expected 1 or more.",
            code="outpaint_heal",
            hint="Turn healing off to leave the colours as painted.",
        )
