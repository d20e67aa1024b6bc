"""Where faces may be painted: inside the artist's mask, and of each head only the face itself, so
that hair, glasses and a hand in front of it stay.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import ImageError
from ..faces.align import ffhq_template, paste_back, robust_similarity, scale_of
from ..faces.face import Face
from ..faces.paste_face import Placement, cut
from ..regions.run import SAME_SHAPE

MASKED = "left as it was: the mask or the face parsing leaves nothing of it to paint"
CROP = 512  # px, side of the head that face parsing sees
# Of CelebAMask-HQ's parts: skin, brows, eyes, ears, nose, mouth and lips. Kept are the background
# (hands are background there), glasses, earrings, neck, clothes, hair and hat.
FACE_PARTS = (1, 2, 3, 4, 5, 7, 8, 10, 11, 12, 13)
FADE = 8  # px of the crop, from where the face ends inward

Parse = Callable[[Tensor], Tensor]  # heads [n,512,512,3] 0..1 -> the part of each pixel [n,512,512]


@dataclass(frozen=True, eq=False)
class Keep:
    """`mask` [B,H,W]: 1 where faces may be painted. `parse` says which part of a head each pixel
    is; without it a face is painted as far as its crop goes.
    """

    mask: Tensor | None = None
    parse: Parse | None = None

    def area(self, images: Tensor, at: int, face: Face) -> Tensor | None:
        """Return where a face of picture `at` may be painted, [H,W] 0..1; None for everywhere."""
        drawn = None if self.mask is None else self.mask[at]
        if self.parse is None:
            return drawn
        parsed = face_area(images[at], face, self.parse)
        return parsed if drawn is None else parsed * drawn


EVERYTHING = Keep()


def face_area(image: Tensor, face: Face, parse: Parse) -> Tensor:
    """Return where the face itself is, without hair, glasses and what hides it.

    1 inside, fading to 0 over `FADE` px of the parsed crop, and exactly 0 where another part is.
    Shapes: image [H,W,3 or 4] -> [H,W] float32 on its device.
    """
    from scipy import ndimage  # heavy: on first use

    placement = Placement(ffhq_template(CROP), CROP, 0.0, estimate=robust_similarity)
    crop = cut(image, [face], 0, placement)
    is_face = np.isin(parse(crop.pixels[None])[0].cpu().numpy(), FACE_PARTS)
    # A pixel of the picture averages over scale_of pixels of the crop to a side: half its diagonal
    # is how far it reaches across the border of the face.
    margin = 1 + scale_of(crop.matrix) / math.sqrt(2)
    inside = np.clip((ndimage.distance_transform_edt(is_face) - margin) / FADE, 0, 1)
    share = torch.from_numpy(inside).float()
    nothing = torch.zeros(*image.shape[:2], 1, device=image.device)
    return paste_back(nothing, torch.ones(CROP, CROP, 1), crop.matrix, share)[..., 0]


def mask_of(mask: Tensor | None, images: Tensor) -> Tensor | None:
    """Return the artist's mask for pictures [B,H,W,C], [B,H,W] 0..1 on their device; one for all
    counts for each, and one of another size of the picture is scaled.

    Raises: ImageError for another number of masks, another shape, or values that are no numbers.
    """
    if mask is None:
        return None
    height, width = images.shape[1:3]
    drawn = mask.detach().to(images.device, torch.float32)
    if drawn.ndim != 3 or len(drawn) not in (1, len(images)):
        raise ImageError(
            f"A mask of shape {tuple(mask.shape)} for {len(images)} image(s); expected [1 or"
            f" {len(images)}, height, width].",
            code="face-mask-batch",
            hint="Connect one mask for all images, or one for each.",
        )
    if not drawn.any():  # Load Image's mask of a picture without alpha, 64 px small
        return drawn.new_zeros(len(images), height, width)
    if not math.isclose(width / drawn.shape[2], height / drawn.shape[1], rel_tol=SAME_SHAPE):
        raise ImageError(
            f"A mask of {drawn.shape[2]}x{drawn.shape[1]} px for images of {width}x{height} px;"
            " expected the same shape.",
            code="face-mask-shape",
            hint="Draw the mask on this very picture.",
        )
    if not bool(drawn.isfinite().all()):
        raise ImageError(
            "The mask holds values that are no numbers (NaN or infinite); expected 0..1.",
            code="face-mask-values",
        )
    if drawn.shape[1:] != (height, width):
        drawn = F.interpolate(
            drawn[None], size=(height, width), mode="bilinear", align_corners=False
        )[0]
    return drawn.clamp(0, 1).expand(len(images), -1, -1)
