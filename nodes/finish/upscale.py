"""Enlarge a picture by an exact factor with a super-resolution model of any factor of its own."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F

from ..errors import ImageError


def enlarge(image: torch.Tensor, factor: float, model_scale: float, upscale: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    """Return the image enlarged by exactly `factor`.

    The model runs as often as it takes to reach the factor; a larger result is brought down to it by antialiased bicubic.

    Shapes: [B,H,W,C] float 0..1 -> [B,round(H*factor),round(W*factor),C].
    Raises: ImageError when the model does not enlarge.
    """
    if model_scale <= 1:
        raise ImageError(
            f"The upscale model enlarges by {model_scale:g}; super-resolution by {factor:g} needs a model that enlarges.",
            code="model-does-not-enlarge",
            hint="Connect a 2x or 4x model, for example 4x-UltraSharp or RealESRGAN_x4plus.",
        )
    height, width = round(image.shape[1] * factor), round(image.shape[2] * factor)
    while image.shape[1] < height or image.shape[2] < width:
        image = upscale(image)
    if image.shape[1:3] == (height, width):
        return image
    # BHWC -> BCHW; on the CPU this resampling knows no half precision.
    layer = F.interpolate(image.movedim(-1, 1).float(), size=(height, width), mode="bicubic", antialias=True, align_corners=False)
    return layer.movedim(1, -1).clamp(0, 1).to(image.dtype)
