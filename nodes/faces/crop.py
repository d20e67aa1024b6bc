"""The square around a face that a model draws anew: where it is, how large it is drawn, and how the new face fades into the picture."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import ImageError
from .face import Face

HARD_PX = 1e-3  # a softer edge than this is none


@dataclass(frozen=True)
class CropOptions:
    """`face_size_px`: longest side of a drawn crop, at most; `context`: side of the crop / side of the face; `feather`: how far the mask
    reaches beyond the face's box, as a share of the face; `multiple`: what the model's sizes go by, in pixels.
    """

    face_size_px: int
    context: float
    feather: float
    multiple: int

    def __post_init__(self) -> None:
        if self.multiple < 1 or self.face_size_px < self.multiple:
            raise ImageError(f"face_size is {self.face_size_px} px; expected {self.multiple} or more for this model.", code="face-size")
        if not (math.isfinite(self.context) and self.context >= 1):
            raise ImageError(f"context is {self.context:g}; expected 1 (the face alone) or more.", code="face-context")
        if not (math.isfinite(self.feather) and self.feather >= 0):
            raise ImageError(f"feather is {self.feather:g}; expected 0 (a hard edge) or more.", code="face-feather")


@dataclass(frozen=True)
class FaceCrop:
    """One face's window of its picture, and its size when drawn.

    `image` and `number` say which face of which picture it is, from 0. `box` is the face's box inside the picture. Units: pixels of the
    picture; `target_width`, `target_height` pixels of the drawing.
    """

    image: int
    number: int
    box: tuple[float, float, float, float]
    left: int
    top: int
    width: int
    height: int
    target_width: int
    target_height: int
    feather_px: float

    def meets(self, other: FaceCrop) -> bool:
        """Return whether the windows of two faces of one picture share a pixel."""
        across = self.left < other.left + other.width and other.left < self.left + self.width
        down = self.top < other.top + other.height and other.top < self.top + self.height
        return self.image == other.image and across and down


def plan_crop(face: Face, image: int, number: int, size: tuple[int, int], options: CropOptions) -> FaceCrop:
    """Return the window around a face: square, moved inside the picture where it would reach out of it, no pixel invented.

    Only where the picture is smaller than the square is the window a rectangle. The mask ends inside the window.
    Shapes: `size` is (width, height) of the picture.
    Raises: ImageError for a box that is no box, or lies outside the picture.
    """
    width, height = size
    left, top, right, bottom = box = _inside(face, image, number, width, height)
    side = max(right - left, bottom - top)
    wanted = max(1, math.ceil(side * options.context))
    across, down = min(wanted, width), min(wanted, height)
    x = min(max(round((left + right - across) / 2), 0), width - across)
    y = min(max(round((top + bottom - down) / 2), 0), height - down)
    # At the picture's own edge nothing has to fade.
    gaps = [(x > 0, left - x), (y > 0, top - y), (x + across < width, x + across - right), (y + down < height, y + down - bottom)]
    feather = min([options.feather * side, *(max(gap, 0.0) for opened, gap in gaps if opened)])
    return FaceCrop(image, number, box, x, y, across, down, *_target(across, down, options), feather)


def cut(picture: Tensor, crop: FaceCrop) -> Tensor:
    """Return the window at its drawn size. Shapes: picture [H,W,C], C 3 or 4 -> [target_height,target_width,3], float32 0..1."""
    window = picture[crop.top : crop.top + crop.height, crop.left : crop.left + crop.width, :3].float()
    return resized(window, crop.target_width, crop.target_height)


def resized(picture: Tensor, width: int, height: int) -> Tensor:
    """Return [H,W,C] at another size: antialiased bicubic in float32, clamped to 0..1; the same values where the size is the same."""
    if picture.shape[:2] == (height, width):
        return picture
    layer = picture.movedim(-1, 0)[None]  # HWC -> BCHW
    scaled = F.interpolate(layer, size=(height, width), mode="bicubic", antialias=True, align_corners=False)
    return scaled.clamp_(0, 1)[0].movedim(0, -1)


def window_mask(crop: FaceCrop, width: int, height: int, device: torch.device | None = None) -> Tensor:
    """Return the face's mask over its window on a grid of width x height: 1 in the box, falling smoothly to 0 over the feather.

    Shapes: [height, width], float32. Drawn at the size asked for, not resized: it is the same mask at every size.
    """
    x, y = centres(crop, width, height, device)
    left, top, right, bottom = crop.box
    across, down = torch.maximum(left - x, x - right).clamp(min=0), torch.maximum(top - y, y - bottom).clamp(min=0)
    distance = torch.hypot(across[None, :], down[:, None])
    if crop.feather_px < HARD_PX:
        return (distance == 0).float()
    ramp = (1 - distance / crop.feather_px).clamp(0, 1)
    return ramp * ramp * (3 - 2 * ramp)


def centres(crop: FaceCrop, width: int, height: int, device: torch.device | None = None) -> tuple[Tensor, Tensor]:
    """Return x [width] and y [height], in pixels of the picture, of the cells' centres of a grid over the window."""
    x = crop.left + (torch.arange(width, device=device) + 0.5) * (crop.width / width)
    y = crop.top + (torch.arange(height, device=device) + 0.5) * (crop.height / height)
    return x, y


def _inside(face: Face, image: int, number: int, width: int, height: int) -> tuple[float, float, float, float]:
    """Return the part of the face's box that lies in the picture."""
    values = [float(value) for value in face.box]
    where = f"Face {number + 1} of image {image + 1} has the box {', '.join(f'{value:g}' for value in values)}"
    if not all(map(math.isfinite, values)) or values[0] >= values[2] or values[1] >= values[3]:
        raise ImageError(f"{where}; expected left, top, right, bottom with a width and a height above 0.", code="face-box",
                         hint="Connect the faces of Astria Detect Faces.")
    left, top, right, bottom = max(values[0], 0.0), max(values[1], 0.0), min(values[2], float(width)), min(values[3], float(height))
    if left >= right or top >= bottom:
        raise ImageError(f"{where}, outside the picture of {width}x{height} px.", code="face-outside",
                         hint="Detect the faces on the very picture that is inpainted.")
    return left, top, right, bottom


def _target(width: int, height: int, options: CropOptions) -> tuple[int, int]:
    """Return the size to draw a window at: the longest side as asked or just below it, both in the model's multiples."""
    most = options.face_size_px // options.multiple
    scale = most / max(width, height)
    across, down = (min(max(round(side * scale), 1), most) * options.multiple for side in (width, height))
    return across, down


def cut_hint(hint: Tensor, crop: FaceCrop, size: tuple[int, int]) -> Tensor:
    """Return the part of a ControlNet's hint that belongs to the window: [B,C,h,w] of any size -> [1,C,target_height,target_width].

    The hint covers the picture of `size` (width, height), cropped about its centre, as the host fits it. Coordinates are not rounded to the
    hint's pixels, which may be much larger than the picture's.
    """
    picture = hint[crop.image % len(hint)][None].float()
    height, width = picture.shape[2:]
    scale = max(size[0] / width, size[1] / height)
    x = (width - size[0] / scale) / 2 + (crop.left + crop.width / 2) / scale
    y = (height - size[1] / scale) / 2 + (crop.top + crop.height / 2) / scale
    across, down = crop.width / scale / width, crop.height / scale / height
    affine = picture.new_tensor([[[across, 0, 2 * x / width - 1], [0, down, 2 * y / height - 1]]])
    grid = F.affine_grid(affine, [1, picture.shape[1], crop.target_height, crop.target_width], align_corners=False)
    return F.grid_sample(picture, grid, mode="bilinear", padding_mode="border", align_corners=False).to(hint.dtype)
