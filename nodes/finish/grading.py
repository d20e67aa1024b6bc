"""Colour grading of whole pictures, a few rows at a time, so that a large one needs no more memory
than its own.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..errors import ImageError

PIXELS_AT_ONCE = 1 << 20


def regraded(image: Tensor, grade: Callable[[Tensor], Tensor], strength: float) -> Tensor:
    """Return the picture blended with its graded self by `strength`, in display values.

    0 gives the picture itself.

    Shapes: image [B,H,W,C] float 0..1 -> same; `grade` maps float32 [n,3] to the same. Alpha stays;
    grey pictures of one channel become colour.
    """
    if not 0 <= strength <= 1:
        raise ImageError(
            f"Colour grading: strength is {strength:g}; expected 0 to 1.", code="grading-strength"
        )
    if strength == 0:
        return image
    result = image.repeat(1, 1, 1, 3) if image.shape[-1] == 1 else image.clone()
    rows = max(1, PIXELS_AT_ONCE // image.shape[2])
    for picture in result:
        for part in picture.split(rows):
            colours = part[..., :3].float()
            part[..., :3] = torch.lerp(
                colours, grade(colours.reshape(-1, 3)).reshape(colours.shape), strength
            ).to(image.dtype)
    return result
