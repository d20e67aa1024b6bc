"""Drawn faces back in their picture: only where their masks are, each face once, everything else bit for bit as it was."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .crop import FaceCrop, centres, resized, window_mask

# Between two faces that overlap, one gives way to the other over about this share of a face.
TRANSITION = 0.05


def levelled(drawn: Tensor, cut: Tensor, mask: Tensor) -> Tensor:
    """Return the drawn crop with its colours moved back by what the VAE shifted them where the crop was kept.

    Where the mask is 0 the model kept the picture, so the mean difference there is the VAE's, per channel. Without a kept pixel nothing
    is known and nothing moved.
    Shapes: drawn and cut [H,W,3], mask [H,W], all of one size.
    """
    kept = mask == 0
    if not kept.any():
        return drawn
    return drawn + (cut[kept] - drawn[kept]).mean(0)


def paste_faces(image: Tensor, drawn: Sequence[tuple[FaceCrop, Tensor]]) -> tuple[Tensor, Tensor]:
    """Return the pictures with the drawn faces in them, and where they were painted.

    Outside the masks every pixel is the very pixel of `image`, alpha everywhere; a NaN in a drawing cannot get there. Where faces of one
    picture overlap, each pixel is the face's that it is nearest to, so the order does not matter and nobody is painted into another.
    Shapes: image [B,H,W,C], C 3 or 4; drawings [target_height,target_width,3] -> ([B,H,W,C] of the image's dtype, [B,H,W] float32).
    """
    result = image.clone()
    painted = torch.zeros(image.shape[:3], device=image.device)
    for crop, drawing in drawn:
        rows, columns = slice(crop.top, crop.top + crop.height), slice(crop.left, crop.left + crop.width)
        weight = _share(crop, [other for other, _ in drawn if other is not crop and other.meets(crop)], image.device)
        new = resized(drawing.to(image.device, torch.float32), crop.width, crop.height)
        old, so_far = image[crop.image, rows, columns, :3], result[crop.image, rows, columns, :3]
        changed = (so_far.float() + weight[..., None] * (new - old.float())).clamp(0, 1)
        # where() and not arithmetic alone: a NaN in the drawing must not reach pixels that the mask protects.
        result[crop.image, rows, columns, :3] = torch.where(weight[..., None] > 0, changed.to(image.dtype), so_far)
        painted[crop.image, rows, columns] += weight
    return result, painted.clamp(max=1)


def _share(crop: FaceCrop, others: Sequence[FaceCrop], device: torch.device) -> Tensor:
    """Return the weight [height,width] of a face over its window: its mask, divided with the faces that reach into it.

    The weights of all faces sum to the greatest of their masks, so that the old face shows through nowhere inside a new one.
    """
    own = window_mask(crop, crop.width, crop.height, device)
    if not others:
        return own
    masks, distances = [own], [_distance(crop, crop, device)]
    for other in others:
        masks.append(_mask_over(other, crop, device))
        distances.append(_distance(other, crop, device))
    stacked = torch.stack(masks)
    parts = torch.softmax(stacked.log() - torch.stack(distances) / TRANSITION, 0)[0]
    return torch.where(own > 0, stacked.amax(0) * parts, 0.0)


def _mask_over(face: FaceCrop, window: FaceCrop, device: torch.device) -> Tensor:
    """Return the mask of one face over the window of another; 0 outside its own window."""
    result = torch.zeros(window.height, window.width, device=device)
    left, right = max(face.left, window.left), min(face.left + face.width, window.left + window.width)
    top, bottom = max(face.top, window.top), min(face.top + face.height, window.top + window.height)
    own = window_mask(face, face.width, face.height, device)[top - face.top : bottom - face.top, left - face.left : right - face.left]
    result[top - window.top : bottom - window.top, left - window.left : right - window.left] = own
    return result


def _distance(face: FaceCrop, window: FaceCrop, device: torch.device) -> Tensor:
    """Return how far each pixel of a window is from a face's middle, in halves of that face: 1 on the ellipse inside its box."""
    x, y = centres(window, window.width, window.height, device)
    left, top, right, bottom = face.box
    across = (x - (left + right) / 2) * (2 / (right - left))
    down = (y - (top + bottom) / 2) * (2 / (bottom - top))
    return torch.hypot(across[None, :], down[:, None])
