"""What a person has drawn over a mask: added to it, or taken away."""

from __future__ import annotations

import torch
from torch import Tensor

from ..base.drawn import Shape, parsed
from ..errors import ImageError
from .adjust import padded
from .morphology import feather

BETWEEN = "|"
_ADD, _TAKE = "+", "-"
_MOST_SHOWN = 120
EXPECTED = (
    "expected + or - and a box, x y width height in parts of the picture, such as + 0.1 0.2 0.3"
    " 0.4; behind it, where a brush was used, COLUMNSxROWS and the lengths of runs, such as 4x2 1 2"
    " 3 1"
)


def strokes(text: str) -> list[tuple[bool, Shape]]:
    """Return what is drawn, in its order: whether it is added or taken away, and the shape.

    Raises: ImageError for a text that is none.
    """
    found = []
    for number, one in enumerate(filter(str.strip, text.split(BETWEEN)), 1):
        sign, shape = one.strip()[:1], parsed(one.strip()[1:])
        if sign not in (_ADD, _TAKE) or shape is None:
            shown = " ".join(one.split())
            shown = shown if len(shown) <= _MOST_SHOWN else f"{shown[:_MOST_SHOWN]} ..."
            raise ImageError(
                f"Part {number} of drawn_mask is '{shown}'; {EXPECTED}.",
                code="mask-drawn",
                hint="Empty the field, or draw anew on the picture of the node.",
            )
        found.append((sign == _ADD, shape))
    return found


def adds(text: str) -> bool:
    """Return whether anything is drawn that makes a mask larger."""
    return any(is_added for is_added, _ in strokes(text))


def with_drawn(mask: Tensor, text: str, feather_px: int, size: tuple[int, int]) -> Tensor:
    """Return the masks [B,H,W] with what is drawn in them, in its order: 1 where it is added, with
    the edge that `feather_px` gives to masks, 0 where it is taken away.

    `size` is the (width, height) of the pictures, which may be padded to the right and below.
    """
    drawn = mask
    for is_added, shape in strokes(text):
        pixels = shape.pixels(*size).to(mask.device, mask.dtype)[None]
        if is_added:
            whole = padded(feather(pixels, feather_px), mask.shape[-1], mask.shape[-2])
            drawn = torch.maximum(drawn, whole)
        else:
            drawn = drawn * (1 - padded(pixels, mask.shape[-1], mask.shape[-2]))
    return drawn
