"""A picture of which a part is repainted, as a ControlNet is shown it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from ..errors import ImageError


@dataclass(frozen=True)
class Masked:
    """Pictures, a mask for all or one for each, and the map that steers beside them, None for none.

    Shapes: pixels [B,H,W,3], mask [1 or B,h,w], control [1 or B,h,w,3].
    """

    pixels: Tensor
    mask: Tensor
    control: Tensor | None = None

    def check(self, multiple: int) -> None:
        """Raise ImageError for pictures whose sides are no multiples of `multiple`."""
        height, width = self.pixels.shape[1:3]
        if width % multiple or height % multiple:
            raise ImageError(
                f"A picture of {width}x{height} is to be inpainted; expected sides that are"
                f" multiples of {multiple}.",
                code="inpaint-size",
                hint=(
                    "Put Astria Fit Image or Astria Outpaint Canvas before this node, with that"
                    " multiple."
                ),
            )

    def repaint_at(self, size: Sequence[int]) -> Tensor:
        """Return where is painted anew, at a size in pixels: bool [1 or B,H,W].

        A soft edge counts from its half on, as in training, which knew hard masks only.
        """
        return _scaled(self.mask[..., None], size)[..., 0] >= 0.5

    def control_at(self, size: Sequence[int]) -> Tensor | None:
        """Return the map at a size in pixels."""
        return None if self.control is None else _scaled(self.control, size)


def _scaled(pictures: Tensor, size: Sequence[int]) -> Tensor:
    """Return pictures [B,h,w,C] at a size: bilinear, averaged where they get smaller."""
    if tuple(pictures.shape[1:3]) == tuple(size):
        return pictures
    planes = pictures.movedim(-1, 1).float()  # BHWC -> BCHW
    return F.interpolate(planes, tuple(size), mode="bilinear", antialias=True).movedim(1, -1)
