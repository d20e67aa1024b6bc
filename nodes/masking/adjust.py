"""What is done to a mask once it is there, found or drawn: inverted, grown or shrunk, feathered."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from ..errors import ImageError
from .morphology import checked, feather, grow

_DILATION = re.compile(r"\s*(?P<number>[+-]?(?:\d+(?:\.\d*)?|\.\d+))\s*(?P<unit>%|px)?\s*")


@dataclass(frozen=True)
class Adjustment:
    """What is done to a mask, in this order: invert, dilate, feather.

    `dilate` is text: `20`, `-20`, `-20%`.
    """

    invert: bool = False
    dilate: str = "0"
    shape: str = "round"
    feather_px: int = 0

    def applied(self, mask: Tensor) -> Tensor:
        """Return the masks changed. Shapes: [B,H,W] or [H,W] -> [B,H,W]."""
        radius_px = dilation_px(self.dilate, mask.shape[-1], mask.shape[-2])
        if self.invert:
            mask = (1 - checked(mask)).to(mask.dtype)
        return feather(grow(mask, radius_px, self.shape), self.feather_px)

    def applied_within(self, mask: Tensor, width: int, height: int) -> Tensor:
        """Return the masks changed in their first `width` x `height` pixels.

        Beyond them, where a fitted picture is padded, they are 0.

        The padding must not count as a part of the picture: inverted it would grow into it, and
        shrinking would eat what touches it.
        """
        return padded(self.applied(mask[..., :height, :width]), mask.shape[-1], mask.shape[-2])


def padded(mask: Tensor, width: int, height: int) -> Tensor:
    """Return the masks [...,H,W] at `width` x `height`, 0 where they do not reach.

    Right and bottom, as a fitted picture is padded.
    """
    return F.pad(mask, (0, width - mask.shape[-1], 0, height - mask.shape[-2]))


def dilation_px(text: str, width: int, height: int) -> int:
    """Return how far a mask grows in whole pixels, negative to shrink.

    A half is rounded away from 0.

    `20` is pixels, `-20%` is of the shorter side of a picture of width x height.
    Raises: ImageError when the text is no such number.
    """
    match = _DILATION.fullmatch(text)
    if match is None:
        raise ImageError(
            f"The mask is to grow by {text!r}; expected pixels such as 20, or per cent of the"
            " picture's short side such as -20%.",
            code="mask-dilate",
            hint="Negative numbers shrink the mask.",
        )
    length = float(match["number"])
    if match["unit"] == "%":
        length *= min(width, height) / 100
    return int(math.copysign(math.floor(abs(length) + 0.5), length))
