"""Enlarge a picture by an exact factor with a super-resolution model of any factor of its own."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

from ..errors import ImageError

COLOURS = 3


def enlarge(
    image: Tensor, factor: float, model_scale: float, upscale: Callable[[Tensor], Tensor]
) -> Tensor:
    """Return the image enlarged by exactly `factor`.

    The model runs as often as it takes to reach the factor; a larger result is brought down to it
    by antialiased bicubic. Pictures go through it one by one, so that beside the result there is
    room needed for one. Alpha is enlarged beside the model, which knows colours only.

    Shapes: [B,H,W,C] float 0..1 -> [B,round(H*factor),round(W*factor),C], on the device and in the
    dtype that `upscale` gives; grey pictures of one channel become colour.
    Raises: ImageError when the model does not enlarge.
    """
    if model_scale <= 1:
        raise ImageError(
            f"The upscale model enlarges by {model_scale:g}; super-resolution by {factor:g} needs a"
            " model that enlarges.",
            code="model-does-not-enlarge",
            hint="Connect a 2x or 4x model, for example 4x-UltraSharp or RealESRGAN_x4plus.",
        )
    size = (round(image.shape[1] * factor), round(image.shape[2] * factor))
    if image.shape[1:3] == size:
        return image
    if image.shape[3] == 1:
        image = image.expand(-1, -1, -1, COLOURS)
    result = None
    for number, picture in enumerate(image.split(1)):
        colours = _one(picture[..., :COLOURS], size, upscale)
        if result is None:
            result = colours.new_empty(len(image), *size, image.shape[3])
        result[number, ..., :COLOURS] = colours[0]
        if image.shape[3] > COLOURS:
            result[number, ..., COLOURS:] = _resized(picture[..., COLOURS:], size)[0]
        del colours  # a large picture must not lie beside the next one's making
    assert result is not None, "a batch holds at least one picture"
    return result


def _one(picture: Tensor, size: tuple[int, int], upscale: Callable[[Tensor], Tensor]) -> Tensor:
    while picture.shape[1] < size[0] or picture.shape[2] < size[1]:
        picture = upscale(picture)
    return picture if picture.shape[1:3] == size else _resized(picture, size)


def _resized(picture: Tensor, size: tuple[int, int]) -> Tensor:
    # BHWC -> BCHW; on the CPU this resampling knows no half precision.
    layers = F.interpolate(
        picture.movedim(-1, 1).float(),
        size=size,
        mode="bicubic",
        antialias=True,
        align_corners=False,
    )
    return layers.movedim(1, -1).clamp(0, 1).to(picture.dtype)
