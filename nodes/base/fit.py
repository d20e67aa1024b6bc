"""Bring an input image to the size a request asks for, and to the multiple its model needs, and
back.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from ..errors import ImageError


@dataclass(frozen=True)
class Fit:
    """The size of the picture before it was padded to the model's multiple (right and bottom)."""

    width: int
    height: int


def fit_image(
    image: torch.Tensor, width: int, height: int, multiple: int
) -> tuple[torch.Tensor, Fit]:
    """Return the image at width x height (0: its own size), padded right and bottom to `multiple`,
    and the size to go back to.

    A different size is reached by scaling until the picture covers it, then cropping about the
    centre. An image that already fits is returned as it is, bit for bit.

    Shapes: image [B,H,W,C] float 0..1 -> [B,H',W',C]; a fourth channel (alpha) is cut off, since
    models paint colours only.
    """
    image = image[..., :3]
    if (width == 0) != (height == 0):
        raise ImageError(
            f"Size {width}x{height}: give both sides, or neither to keep the image's own size.",
            code="half-a-size",
        )
    if width and (image.shape[2], image.shape[1]) != (width, height):
        # BHWC -> BCHW -> BHWC.
        image = cover(image.movedim(-1, 1), width, height).movedim(1, -1).clamp(0, 1)
    fit = Fit(image.shape[2], image.shape[1])
    return _pad(image.movedim(-1, 1), multiple).movedim(1, -1), fit


def fit_mask(
    mask: torch.Tensor, image: torch.Tensor, width: int, height: int, multiple: int
) -> torch.Tensor:
    """Return the mask moved the same way as its image, which `fit_image` fits.

    Padding is never repainted.

    Shapes: mask [1 or B,H,W], image [B,H,W,C] -> [B,H',W'] on the image's device. A mask of another
    size than the image is scaled to it first.
    Raises: ImageError for as many masks as fit neither one image nor all.
    """
    if mask.shape[0] not in (1, image.shape[0]):
        raise ImageError(
            f"{mask.shape[0]} masks are given for {image.shape[0]} image(s); expected one mask, or"
            " one for each image.",
            code="mask-batch",
            hint="Connect one mask, or a batch of masks as long as the batch of images.",
        )
    own = image.shape[1], image.shape[2]
    # A mask made by another node may lie on another device, and the host's inpainting nodes
    # multiply the two.
    layer = mask.unsqueeze(1).to(image.device)
    if mask.shape[1:] != own:
        layer = F.interpolate(layer, size=own, mode="bilinear", align_corners=False)
    if width and own != (height, width):
        layer = cover(layer, width, height)
    right, bottom = _missing(layer.shape[-1], multiple), _missing(layer.shape[-2], multiple)
    return F.pad(layer, (0, right, 0, bottom)).squeeze(1).expand(len(image), -1, -1).clamp(0, 1)


def restore_size(image: torch.Tensor, fit: Fit) -> torch.Tensor:
    """Cut the padding off again: [B,H',W',C] -> [B,fit.height,fit.width,C]."""
    if image.shape[2] < fit.width or image.shape[1] < fit.height:
        raise ImageError(
            f"The image is {image.shape[2]}x{image.shape[1]}, smaller than the"
            f" {fit.width}x{fit.height} it should be cut back to.",
            code="smaller-than-fit",
            hint="Connect the picture that was made from AstriaFitImage's image, at its size.",
        )
    return image[:, : fit.height, : fit.width, :]


def keep_unmasked(
    painted: torch.Tensor, original: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """Return `painted` where the mask is above 0, blended by it, and the exact pixels of `original`
    everywhere else.

    Shapes: painted and original [B,H,W,C], mask [B or 1,H,W].
    """
    if painted.shape[1:3] != original.shape[1:3] or mask.shape[1:] != original.shape[1:3]:
        sizes = ", ".join(
            f"{name} {t.shape[2]}x{t.shape[1]}"
            for name, t in (("painted", painted), ("original", original), ("mask", mask))
        )
        raise ImageError(
            f"Painted image, original and mask must be of one size: {sizes}.", code="size-mismatch"
        )
    if painted.shape[0] != original.shape[0] or painted.shape[3] != original.shape[3]:
        counts = ", ".join(
            f"{name} {t.shape[0]} of {t.shape[3]}"
            for name, t in (("painted", painted), ("original", original))
        )
        raise ImageError(
            f"Painted image and original must be as many images, of the same channels: {counts}.",
            code="batch-mismatch",
            hint="Connect the original that was painted on, as Astria Fit Image gave it.",
        )
    weight = mask.unsqueeze(-1).to(original)
    painted = painted.to(original)
    # where() and not arithmetic alone: a NaN in the painted picture must not reach pixels the mask
    # protects.
    return torch.where(weight > 0, original + weight * (painted - original), original)


def cover(layer: torch.Tensor, width: int, height: int) -> torch.Tensor:
    """Scale [B,C,H,W] until it covers width x height (antialiased bicubic), then crop it about the
    centre.
    """
    scale = max(width / layer.shape[-1], height / layer.shape[-2])
    scaled = max(width, round(layer.shape[-1] * scale)), max(height, round(layer.shape[-2] * scale))
    layer = F.interpolate(
        layer.float(),
        size=(scaled[1], scaled[0]),
        mode="bicubic",
        antialias=True,
        align_corners=False,
    )
    x, y = (scaled[0] - width) // 2, (scaled[1] - height) // 2
    return layer[..., y : y + height, x : x + width]


def _pad(layer: torch.Tensor, multiple: int) -> torch.Tensor:
    right, bottom = _missing(layer.shape[-1], multiple), _missing(layer.shape[-2], multiple)
    return F.pad(layer, (0, right, 0, bottom), mode="replicate") if right or bottom else layer


def _missing(side: int, multiple: int) -> int:
    return -side % multiple
