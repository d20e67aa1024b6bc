"""What the model is given to paint on.

The fitted source, the mask and the first contents of the empty area.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import ImageError
from .border import averaged, blurred_along, edge, strips, zones
from .geometry import Canvas, shrunk_size

NEUTRAL_GREY = 0.5
FILL_BLUR_PX = 65  # how far out the edge colours have become the average of the margin that deep


def fit_source(image: Tensor, canvas: Canvas) -> Tensor:
    """Return the part of the source that the canvas uses, at the size of its window.

    This is what stays bit-identical.

    Shrinking (only where `place` was told to shrink) is antialiased bicubic in float32, clamped to
    0..1. Cropping, and a source that fits as it is, copy no pixel and change none.

    Shapes: image [B,h,w,C] of the size given to `place` -> [B, window height, window width, C].
    Raises: ImageError when the image has another size.
    """
    height, width = _size(image)
    scaled = (canvas.source_width, canvas.source_height)
    if (width, height) != scaled:
        if shrunk_size(width, height, canvas.width, canvas.height) != scaled:
            raise ImageError(
                f"Outpainting: the source image is {width}x{height}, but the canvas was laid out"
                f" for a source of {scaled[0]}x{scaled[1]}.",
                code="outpaint_source_size",
                hint=(
                    "Lay out the canvas from this image, or give the image that it was laid out"
                    " for."
                ),
            )
        image = _resized(image, *scaled)
    crop = canvas.source_crop
    return image[:, crop.y : crop.y + crop.height, crop.x : crop.x + crop.width]


def place_masks(masks: Tensor, canvas: Canvas) -> Tensor:
    """Return masks of the source where the source stands on the finished picture, 0 elsewhere.

    Shapes: [N,h,w] of any size, scaled (bilinear) to the source's -> [N, height, width].
    """
    size = (canvas.source_height, canvas.source_width)
    scaled = (
        masks
        if masks.shape[1:] == size
        else F.interpolate(masks[:, None].float(), size=size, mode="bilinear", align_corners=False)[
            :, 0
        ]
    )
    crop, window = canvas.source_crop, canvas.window
    placed = scaled.new_zeros(len(masks), canvas.height, canvas.width)
    part = scaled[:, crop.y : crop.y + crop.height, crop.x : crop.x + crop.width]
    placed[:, window.y : window.y + window.height, window.x : window.x + window.width] = part
    return placed


def canvas_mask(canvas: Canvas, batch: int, *, overlap_px: int = 0) -> Tensor:
    """Return the mask of the padded canvas: 1 = repaint, 0 = keep.

    The whole window is kept, but for `overlap_px` along those of its sides that have new area
    beside them: there the mask falls in equal steps from 1 to 0, so that the model continues the
    source instead of cutting at it, and the composite puts the source back.

    Shapes: [batch, padded height, padded width], float32.
    Raises: ImageError when the overlap is negative, or leaves nothing of the source to continue
    from.
    """
    window, inner = canvas.window, canvas.padded_window
    left = overlap_px if window.x > 0 else 0
    top = overlap_px if window.y > 0 else 0
    right = overlap_px if window.x + window.width < canvas.width else 0
    bottom = overlap_px if window.y + window.height < canvas.height else 0
    if overlap_px < 0 or left + right >= window.width or top + bottom >= window.height:
        raise ImageError(
            f"Outpainting: an overlap of {overlap_px} px does not fit a source of"
            f" {window.width}x{window.height}; expected 0 or more, with some of the source left"
            " between the overlaps.",
            code="outpaint_overlap",
            hint="Choose a smaller overlap.",
        )
    columns = torch.maximum(_ramp(window.width, left), _ramp(window.width, right).flip(0))
    rows = torch.maximum(_ramp(window.height, top), _ramp(window.height, bottom).flip(0))
    mask = torch.ones(batch, canvas.padded_height, canvas.padded_width)
    mask[:, inner.y : inner.y + inner.height, inner.x : inner.x + inner.width] = torch.maximum(
        rows[:, None], columns[None, :]
    )
    return mask


def _ramp(length: int, overlap_px: int) -> Tensor:
    """Return `length` mask values that fall from just below 1 at the first pixel to 0 after
    `overlap_px`.
    """
    return (1 - torch.arange(1, length + 1) / (overlap_px + 1)).clamp(min=0.0)


def neutral(image: Tensor, canvas: Canvas) -> Tensor:
    """Return the padded canvas with the source in its window and middle grey (0.5) around it,
    float32.

    Shapes: image [B, window height, window width, C], as from `fit_source` -> [B, padded height,
    padded width, C].
    Raises: ImageError when the image has not the window's size.
    """
    return _with_source(image, canvas, NEUTRAL_GREY)


def edge_extended(image: Tensor, canvas: Canvas, *, blur_px: int) -> Tensor:
    """Return the padded canvas with the source in its window and its edge colours drawn outward,
    ever softer, float32.

    Next to the window stands the edge pixel's own colour; from `blur_px` on the average of the
    source's margin that deep, blurred by as much along the edge. `blur_px=0` repeats the edge
    pixels.

    Shapes: image [B, window height, window width, C], as from `fit_source` -> [B, padded height,
    padded width, C].
    Raises: ImageError when the image has not the window's size, or `blur_px` is negative.
    """
    if blur_px < 0:
        raise ImageError(
            f"Outpainting: the blur of the extended edges is {blur_px} px; expected 0 or more.",
            code="outpaint_blur",
            hint="0 repeats the edge pixels; about 65 suits an inpainting model.",
        )
    result = _with_source(image, canvas, 0.0)
    source = image.to(torch.float32)
    near = edge(source)
    far = blurred_along(averaged(strips(source, blur_px), blur_px), blur_px) if blur_px else near
    for zone in zones(canvas.padded_window, canvas.padded_width, canvas.padded_height):
        sharpness = 1.0 - (zone.steps(source.device) / max(blur_px, 1)).clamp(0.0, 1.0)
        # Squared, so that the streaks of single edge pixels end without a visible line at
        # `blur_px`.
        result[:, zone.rows, zone.columns] = torch.lerp(
            zone.continued(far), zone.continued(near), sharpness**2
        )
    return result


def check_fitted(image: Tensor, canvas: Canvas) -> None:
    """Raise ImageError unless `image` is [B,H,W,C] of the window's size."""
    height, width = _size(image)
    if (width, height) != (canvas.window.width, canvas.window.height):
        raise ImageError(
            f"Outpainting: the fitted source is {width}x{height}, but its window on the canvas is"
            f" {canvas.window.width}x{canvas.window.height}.",
            code="outpaint_window_size",
            hint="Fit the source to the canvas first.",
        )


def _with_source(image: Tensor, canvas: Canvas, value: float) -> Tensor:
    check_fitted(image, canvas)
    batch, _, _, channels = image.shape
    shape = (batch, canvas.padded_height, canvas.padded_width, channels)
    result = torch.full(shape, value, dtype=torch.float32, device=image.device)
    window = canvas.padded_window
    result[:, window.y : window.y + window.height, window.x : window.x + window.width] = image
    return result


def _resized(image: Tensor, width: int, height: int) -> Tensor:
    planes = image.to(torch.float32).movedim(-1, 1)  # BHWC -> BCHW
    planes = F.interpolate(
        planes, size=(height, width), mode="bicubic", antialias=True, align_corners=False
    )
    # Bicubic overshoots at hard edges.
    return planes.clamp(0.0, 1.0).movedim(1, -1).contiguous()


def _size(image: Tensor) -> tuple[int, int]:
    if image.ndim != 4:
        raise ImageError(
            f"Outpainting: an image of shape {tuple(image.shape)}; expected [batch, height, width,"
            " channels].",
            code="outpaint_shape",
            hint="Connect an IMAGE.",
        )
    return image.shape[1], image.shape[2]
