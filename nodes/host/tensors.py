"""Pictures and masks as they come in over sockets, in the shapes that this pack works on.

Other packs, and the host's own nodes, send and take more shapes than the types promise.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import ImageError

COLOURS, WITH_ALPHA = 3, 4
# A mask may be rounded to the pixels or latent cells of another size.
SAME_RATIO = 0.01


def as_pictures(image: Tensor) -> Tensor:
    """Return an IMAGE as [B,H,W,C] float, C 3 or 4; one that is so already as it is.

    Shapes: [B,H,W,C], [H,W,C], and grey [B,H,W] or [H,W]; C is 1 (grey), 2 (grey with alpha), 3 or
    4. Grey becomes colour.
    Raises: ImageError for any other shape.
    """
    pictures = image
    if image.ndim == 2 or (image.ndim == 3 and image.shape[-1] > WITH_ALPHA):
        pictures = image.unsqueeze(-1)
    if pictures.ndim == 3:
        pictures = pictures.unsqueeze(0)
    if pictures.ndim != 4 or not 1 <= pictures.shape[-1] <= WITH_ALPHA or 0 in pictures.shape:
        raise ImageError(
            f"A picture of shape {tuple(image.shape)}; expected [batch, height, width, channels]"
            f" with 1 to {WITH_ALPHA} channels.",
            code="picture-shape",
            hint="Connect an IMAGE. A MASK becomes one by Convert Mask to Image.",
        )
    if pictures.shape[-1] < COLOURS:
        grey, alpha = pictures[..., :1], pictures[..., 1:]
        pictures = torch.cat([grey.repeat(1, 1, 1, COLOURS), alpha], -1)
    return _floating(pictures)


def with_alpha_of(picture: Tensor, other: Tensor) -> Tensor:
    """Return a picture with alpha where the other has it, and then the other's, else without.

    Shapes: [B,H,W,3 or 4] both, of one size.
    """
    if other.shape[-1] == COLOURS or picture.shape[:3] != other.shape[:3]:
        return picture[..., : other.shape[-1]]
    return torch.cat([picture[..., :COLOURS], other[..., COLOURS:].to(picture)], -1)


def as_masks(mask: Tensor) -> Tensor:
    """Return a MASK as [B,H,W] float; one that is so already as it is.

    Shapes: [B,H,W], [H,W], [B,1,H,W] and [B,H,W,1].
    Raises: ImageError for any other shape.
    """
    masks = mask
    if mask.ndim == 2:
        masks = mask.unsqueeze(0)
    elif mask.ndim == 4 and mask.shape[1] == 1:
        masks = mask.squeeze(1)
    elif mask.ndim == 4 and mask.shape[-1] == 1:
        masks = mask.squeeze(-1)
    if masks.ndim != 3 or 0 in masks.shape:
        raise ImageError(
            f"A mask of shape {tuple(mask.shape)}; expected [batch, height, width].",
            code="mask-shape",
            hint="Connect a MASK. An IMAGE becomes one by Convert Image to Mask.",
        )
    return _floating(masks)


def _floating(tensor: Tensor) -> Tensor:
    """Return levels 0..1; of 8 bits, as other libraries hold them, they go to 255."""
    if tensor.is_floating_point():
        return tensor
    is_of_8_bits = tensor.dtype is torch.uint8 and bool((tensor > 1).any())
    return tensor.float() / 255 if is_of_8_bits else tensor.float()


def empty_note(masks: Tensor) -> str:
    """Return that a mask [B,H,W] has no pixel above 0, empty text where each has some."""
    has_some = masks.flatten(1).gt(0).any(1).tolist()
    empty = [number for number, has in enumerate(has_some, 1) if not has]
    if not empty:
        return ""
    which = "The mask" if len(masks) == 1 else f"Mask {', '.join(map(str, empty))} of {len(masks)}"
    size = f"{masks.shape[2]}x{masks.shape[1]}"
    return (
        f"{which} is empty ({size}, all 0): unless inverted, it covers nothing of the picture. Load"
        " Image gives an empty mask of 64x64 for a picture without alpha. Draw one in the mask"
        " editor, or use --mask_prompt."
    )


def ratio_note(masks: Tensor, width: int, height: int) -> str:
    """Return that masks [B,H,W] are of another aspect ratio than their picture, else empty text.

    Empty masks have nothing to stretch.
    """
    down, across = masks.shape[1:]
    expected = across * height / width
    if abs(expected - down) <= max(1.0, SAME_RATIO * expected) or not masks.gt(0).any():
        return ""
    return (
        f"The mask is {across}x{down} and its picture {width}x{height}, of another aspect ratio: it"
        " is stretched to the picture. Use a mask drawn on this very picture, or crop it alike."
    )


def crop_note(images: Tensor, width: int, height: int) -> str:
    """Return how much of pictures [B,H,W,C] a size of another aspect ratio cuts off, else empty
    text.
    """
    down, across = images.shape[1:3]
    wide, high = across * height, down * width
    if not width or abs(wide - high) <= SAME_RATIO * max(wide, high):
        return ""
    side, cut = ("width", 1 - high / wide) if wide > high else ("height", 1 - wide / high)
    return (
        f"The picture is {across}x{down} and drawn at {width}x{height}, of another aspect ratio:"
        f" {cut:.0%} of its {side} is cut off, half on each side. Set w and h to its own ratio to"
        " keep all of it."
    )
