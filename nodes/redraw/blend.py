"""Drawn faces back in their picture.

Only where their masks are, each face once, everything else bit for bit as it was.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..faces.align import laid_back
from .crop import FaceCrop, mask_at, resized

Window = tuple[int, int, int, int]

# Between two faces that overlap, one gives way to the other over about this share of a face.
TRANSITION = 0.05


def levelled(drawn: Tensor, cut: Tensor, mask: Tensor) -> Tensor:
    """Return the drawn crop with its colours moved back by what the VAE shifted them where the crop
    was kept.

    Where the mask is 0 the model kept the picture, so the mean difference there is the VAE's, per
    channel. Without a kept pixel nothing is known and nothing moved.
    Shapes: drawn and cut [H,W,3], mask [H,W], all of one size.
    """
    kept = mask == 0
    if not kept.any():
        return drawn
    return drawn + (cut[kept] - drawn[kept]).mean(0)


def paste_faces(image: Tensor, drawn: Sequence[tuple[FaceCrop, Tensor]]) -> tuple[Tensor, Tensor]:
    """Return the pictures with the drawn faces in them, and where they were painted.

    Outside the masks every pixel is that of `image` to the bit, and alpha is everywhere; a NaN in a
    drawing cannot get there. Where faces of one picture overlap, each pixel belongs to the nearest
    face, so the order does not matter and no face is painted into another.
    Shapes: image [B,H,W,C], C 3 or 4; drawings [target_height,target_width,3] -> ([B,H,W,C] of the
    image's dtype, [B,H,W] float32).
    """
    result = image.clone()
    painted = torch.zeros(image.shape[:3], device=image.device)
    for crop, drawing in drawn:
        left, top, right, bottom = window = _inside(crop, image)
        rows, columns = slice(top, bottom), slice(left, right)
        places = _centres(window, image.device)
        weight = _share(
            crop, [other for other, _ in drawn if other is not crop and other.meets(crop)], places
        )
        new = _over(crop, drawing, window)
        old, so_far = image[crop.image, rows, columns, :3], result[crop.image, rows, columns, :3]
        changed = (so_far.float() + weight[..., None] * (new - old.float())).clamp(0, 1)
        # where() and not arithmetic alone: a NaN of the drawing times a weight of 0 is NaN still.
        result[crop.image, rows, columns, :3] = torch.where(
            weight[..., None] > 0, changed.to(image.dtype), so_far
        )
        painted[crop.image, rows, columns] += weight
    return result, painted.clamp(max=1)


def _inside(crop: FaceCrop, image: Tensor) -> Window:
    """Return the part of the picture (left, top, right, bottom) in which the window lies."""
    left, top, right, bottom = crop.extent
    return max(left, 0), max(top, 0), min(right, image.shape[2]), min(bottom, image.shape[1])


def _over(crop: FaceCrop, drawing: Tensor, window: Window) -> Tensor:
    """Return the drawing resampled onto the picture's pixels in the window."""
    return (
        laid_back(drawing, crop.matrix, window)
        if crop.turn
        else resized(drawing, crop.width, crop.height)
    )


def _centres(window: Window, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return x [1,width] and y [height,1] of the middles of the pixels."""
    left, top, right, bottom = window
    return (
        torch.arange(left, right, device=device)[None, :] + 0.5,
        torch.arange(top, bottom, device=device)[:, None] + 0.5,
    )


def _share(crop: FaceCrop, others: Sequence[FaceCrop], places: tuple[Tensor, Tensor]) -> Tensor:
    """Return the weight of a face at the places.

    Its mask, divided with the faces that reach into it.

    The weights of all faces sum to the greatest of their masks, so that the old face shows through
    nowhere inside a new one.
    """
    own = _mask(crop, places)
    if not others:
        return own
    stacked = torch.stack([own, *(_mask(other, places) for other in others)])
    distances = torch.stack([_distance(one, places) for one in (crop, *others)])
    # softmax(log m - d / t) is m e^(-d/t), normalised over the faces: each counts by its mask m,
    # and the nearest, of least distance d, takes nearly all. log 0 drops a face outside its mask.
    parts = torch.softmax(stacked.log() - distances / TRANSITION, 0)[0]
    return torch.where(own > 0, stacked.amax(0) * parts, 0.0)


def _mask(face: FaceCrop, places: tuple[Tensor, Tensor]) -> Tensor:
    """Return the mask of a face at the places; 0 outside its window."""
    x, y = face.turned(*places)
    inside = (
        (x > face.left)
        & (x < face.left + face.width)
        & (y > face.top)
        & (y < face.top + face.height)
    )
    return torch.where(inside, mask_at(face, x, y), 0.0)


def _distance(face: FaceCrop, places: tuple[Tensor, Tensor]) -> Tensor:
    """Return the distance of each place from a face's middle, in halves of that face.

    1 on the ellipse inside its box.
    """
    x, y = face.turned(*places)
    left, top, right, bottom = face.box
    return torch.hypot(
        (x - (left + right) / 2) * (2 / (right - left)),
        (y - (top + bottom) / 2) * (2 / (bottom - top)),
    )
