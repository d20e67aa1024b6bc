"""The square around a face that a model draws anew.

Where it is, how large it is drawn, and how the new face fades into the picture.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import ImageError
from ..faces.align import ARCFACE_112, similarity, straightened
from ..faces.face import Face

Point = TypeVar("Point", float, Tensor)

HARD_PX = 1e-3  # a feather below this counts as a hard edge
# A head that is tilted more is drawn upright: models know lying and hanging heads badly.
MOST_TILT = math.radians(30)
# Width / height of an upright face's box. The box around a tilted one says little of its shape, but
# its diagonal is the same at every tilt.
FACE_SHAPE = 0.75


@dataclass(frozen=True)
class CropOptions:
    """`face_size_px`: longest side of a drawn crop, at most.

    `context`: side of the crop / side of the face; `feather`: how far the mask reaches beyond the
    face's box, as a share of the face; `multiple`: pixels, of which the model's sizes are
    multiples.
    """

    face_size_px: int
    context: float
    feather: float
    multiple: int

    def __post_init__(self) -> None:
        if self.multiple < 1 or self.face_size_px < self.multiple:
            raise ImageError(
                f"face_size is {self.face_size_px} px; expected {self.multiple} or more for this"
                " model.",
                code="face-size",
            )
        if not (math.isfinite(self.context) and self.context >= 1):
            raise ImageError(
                f"context is {self.context:g}; expected 1 (the face alone) or more.",
                code="face-context",
            )
        if not (math.isfinite(self.feather) and self.feather >= 0):
            raise ImageError(
                f"feather is {self.feather:g}; expected 0 (a hard edge) or more.",
                code="face-feather",
            )


@dataclass(frozen=True)
class FaceCrop:
    """One face's window of its picture, and its size when drawn.

    `image` and `number` say which face of which picture it is, from 0. `box` is the face's box
    inside the picture. `turn` is the angle, in radians, by which the picture is turned about the
    box's middle before the window is cut, 0 for a head that stands: box and window are those of the
    turned picture, and the window may reach beyond it. Units: pixels of the picture;
    `target_width`, `target_height` pixels of the drawing.
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
    turn: float = 0.0

    @property
    def extent(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of the picture's pixels that the window lies on.

        A turned one leaves the corners free.
        """
        left = self.left
        top = self.top
        right = self.left + self.width
        bottom = self.top + self.height
        if self.turn:
            corners = self.outline((left, top, right, bottom))
            left = math.floor(min(x for x, _ in corners))
            top = math.floor(min(y for _, y in corners))
            right = math.ceil(max(x for x, _ in corners))
            bottom = math.ceil(max(y for _, y in corners))
        return left, top, right, bottom

    @property
    def matrix(self) -> np.ndarray:
        """The similarity [2,3] from the picture's pixels to those of the drawing, of a turned
        window, which is square.
        """
        # Pixel p has its centre at p + 0.5 and lands at scale * (R p + first) - 0.5. R turns by
        # `turn`, `first` is where the centre of pixel (0, 0) stands in the window, and the half
        # pixel leads back from centres to pixels.
        scale = self.target_width / self.width
        first = np.array(self.turned(0.5, 0.5)) - (self.left, self.top)
        cos, sin = math.cos(self.turn), math.sin(self.turn)
        return np.column_stack([scale * np.array([[cos, -sin], [sin, cos]]), scale * first - 0.5])

    def turned(self, x: Point, y: Point, *, back: bool = False) -> tuple[Point, Point]:
        """Return where points of the picture stand once it is turned, or `back` from there.

        Tensors x and y broadcast.
        """
        if not self.turn:
            return x, y
        left, top, right, bottom = self.box
        middle_x, middle_y = (left + right) / 2, (top + bottom) / 2
        cos, sin = math.cos(self.turn), -math.sin(self.turn) if back else math.sin(self.turn)
        x, y = x - middle_x, y - middle_y
        return middle_x + cos * x - sin * y, middle_y + sin * x + cos * y

    def outline(self, box: tuple[float, float, float, float]) -> list[tuple[float, float]]:
        """Return where the corners of a box of the turned picture are in the picture, one after the
        other.
        """
        left, top, right, bottom = box
        return [
            self.turned(*corner, back=True)
            for corner in ((left, top), (right, top), (right, bottom), (left, bottom))
        ]

    def meets(self, other: FaceCrop) -> bool:
        """Return whether the windows of two faces of one picture may share a pixel."""
        (left, top, right, bottom), (x, y, end_x, end_y) = self.extent, other.extent
        return (
            self.image == other.image and left < end_x and x < right and top < end_y and y < bottom
        )


def plan_crop(
    face: Face, image: int, number: int, size: tuple[int, int], options: CropOptions
) -> FaceCrop:
    """Return the window around a face.

    Square, moved inside the picture where it would reach out of it, no pixel invented.

    Only where the picture is smaller than the square is the window a rectangle. The mask ends
    inside the window. A head whose five points say that it lies or hangs is turned upright: its
    window stays around it, and shows the picture's last pixels again where it ends.
    Shapes: `size` is (width, height) of the picture.
    Raises: ImageError for a box that is no box, or lies outside the picture, and for points that
    are all one.
    """
    width, height = size
    left, top, right, bottom = box = _inside(face, image, number, width, height)
    turn = _turn(face, size)
    if turn:
        return _plan_turned(face, (image, number), size, options, turn)
    side = max(right - left, bottom - top)
    wanted = max(1, math.ceil(side * options.context))
    across, down = min(wanted, width), min(wanted, height)
    x = min(max(round((left + right - across) / 2), 0), width - across)
    y = min(max(round((top + bottom - down) / 2), 0), height - down)
    # The feather ends inside the window, but for sides at the picture's own edge, where nothing has
    # to fade.
    feather = options.feather * side
    if x > 0:
        feather = min(feather, left - x)
    if y > 0:
        feather = min(feather, top - y)
    if x + across < width:
        feather = min(feather, x + across - right)
    if y + down < height:
        feather = min(feather, y + down - bottom)
    feather = max(feather, 0.0)
    return FaceCrop(
        image, number, box, x, y, across, down, *_target(across, down, options), feather
    )


def _turn(face: Face, size: tuple[int, int]) -> float:
    """Return the angle that sets a head upright.

    0 where it nearly is, where no points tell, and where its middle is out of the picture.
    """
    left, top, right, bottom = face.box
    if face.points is None or not (
        0 <= left + right <= 2 * size[0] and 0 <= top + bottom <= 2 * size[1]
    ):
        return 0.0
    (cos, _, _), (sin, _, _) = similarity(face.points, ARCFACE_112)
    angle = math.atan2(sin, cos)
    return angle if abs(angle) > MOST_TILT else 0.0


def _plan_turned(
    face: Face, place: tuple[int, int], size: tuple[int, int], options: CropOptions, turn: float
) -> FaceCrop:
    tall = math.hypot(face.width, face.height) / math.hypot(1, FACE_SHAPE)
    # As much of the surroundings as asked for, but not more than there is of the picture.
    side = max(
        1,
        min(
            math.ceil(tall * options.context),
            max(min(size), math.ceil(tall * (1 + 2 * options.feather))),
        ),
    )
    middle_x, middle_y = (face.box[0] + face.box[2]) / 2, (face.box[1] + face.box[3]) / 2
    across, down = FACE_SHAPE * tall / 2, tall / 2
    box = left, top, right, bottom = (
        middle_x - across,
        middle_y - down,
        middle_x + across,
        middle_y + down,
    )
    x, y = round(middle_x - side / 2), round(middle_y - side / 2)
    feather = max(
        0.0, min(options.feather * tall, left - x, top - y, x + side - right, y + side - bottom)
    )
    return FaceCrop(*place, box, x, y, side, side, *_target(side, side, options), feather, turn)


def cut(picture: Tensor, crop: FaceCrop) -> Tensor:
    """Return the window at its drawn size.

    Shapes: picture [H,W,C], C 3 or 4 -> [target_height,target_width,3], float32 0..1.
    """
    if crop.turn:
        return straightened(picture[..., :3], crop.matrix, crop.target_width)
    window = picture[
        crop.top : crop.top + crop.height, crop.left : crop.left + crop.width, :3
    ].float()
    return resized(window, crop.target_width, crop.target_height)


def resized(picture: Tensor, width: int, height: int) -> Tensor:
    """Return [H,W,C] at another size.

    Antialiased bicubic in float32, clamped to 0..1; the same values where the size is the same.
    """
    if picture.shape[:2] == (height, width):
        return picture
    layer = picture.movedim(-1, 0)[None]  # HWC -> BCHW
    scaled = F.interpolate(
        layer, size=(height, width), mode="bicubic", antialias=True, align_corners=False
    )
    return scaled.clamp_(0, 1)[0].movedim(0, -1)


def window_mask(
    crop: FaceCrop, width: int, height: int, device: torch.device | None = None
) -> Tensor:
    """Return the face's mask over its window on a grid of width x height.

    1 in the box, falling smoothly to 0 over the feather.

    Shapes: [height, width], float32. Drawn at the size asked for, not resized: it is the same mask
    at every size.
    """
    x, y = centres(crop, width, height, device)
    return mask_at(crop, x[None, :], y[:, None])


def mask_at(crop: FaceCrop, x: Tensor, y: Tensor) -> Tensor:
    """Return the face's mask at places of the turned picture; x and y broadcast."""
    left, top, right, bottom = crop.box
    across = torch.maximum(left - x, x - right).clamp(min=0)
    down = torch.maximum(top - y, y - bottom).clamp(min=0)
    distance = torch.hypot(across, down)
    if crop.feather_px < HARD_PX:
        return (distance == 0).float()
    ramp = (1 - distance / crop.feather_px).clamp(0, 1)
    return ramp * ramp * (3 - 2 * ramp)


def centres(
    crop: FaceCrop, width: int, height: int, device: torch.device | None = None
) -> tuple[Tensor, Tensor]:
    """Return x [width] and y [height], in pixels of the turned picture, of the cells' centres of a
    grid over the window.
    """
    x = crop.left + (torch.arange(width, device=device) + 0.5) * (crop.width / width)
    y = crop.top + (torch.arange(height, device=device) + 0.5) * (crop.height / height)
    return x, y


def _inside(
    face: Face, image: int, number: int, width: int, height: int
) -> tuple[float, float, float, float]:
    """Return the part of the face's box that lies in the picture."""
    values = [float(value) for value in face.box]
    where = (
        f"Face {number + 1} of image {image + 1} has the box"
        f" {', '.join(f'{value:g}' for value in values)}"
    )
    if not all(map(math.isfinite, values)) or values[0] >= values[2] or values[1] >= values[3]:
        raise ImageError(
            f"{where}; expected left, top, right, bottom with a width and a height above 0.",
            code="face-box",
            hint="Connect the faces of Astria Detect Faces.",
        )
    left = max(values[0], 0.0)
    top = max(values[1], 0.0)
    right = min(values[2], float(width))
    bottom = min(values[3], float(height))
    if left >= right or top >= bottom:
        raise ImageError(
            f"{where}, outside the picture of {width}x{height} px.",
            code="face-outside",
            hint="Detect the faces on the very picture that is inpainted.",
        )
    return left, top, right, bottom


def _target(width: int, height: int, options: CropOptions) -> tuple[int, int]:
    """Return the size to draw a window at.

    The longest side as asked or just below it, both in the model's multiples.
    """
    most = options.face_size_px // options.multiple
    scale = most / max(width, height)
    across, down = (
        min(max(round(side * scale), 1), most) * options.multiple for side in (width, height)
    )
    return across, down


def cut_hint(hint: Tensor, crop: FaceCrop, size: tuple[int, int]) -> Tensor:
    """Return the part of a ControlNet's hint that belongs to the window.

    [B,C,h,w] of any size -> [1,C,target_height,target_width].

    The hint covers the picture of `size` (width, height), cropped about its centre, as the host
    fits it. Coordinates are not rounded to the hint's pixels, which may be much larger than the
    picture's.
    """
    picture = hint[crop.image % len(hint)][None].float()
    height, width = picture.shape[2:]
    scale = max(size[0] / width, size[1] / height)
    middle_x, middle_y = crop.turned(
        crop.left + crop.width / 2, crop.top + crop.height / 2, back=True
    )
    x = (width - size[0] / scale) / 2 + middle_x / scale
    y = (height - size[1] / scale) / 2 + middle_y / scale
    across, down = crop.width / scale, crop.height / scale
    cos, sin = math.cos(crop.turn), math.sin(crop.turn)
    # affine_grid leads from (u, v), -1..1 over the drawing, to -1..1 over the hint. (u, v) lies
    # (u across/2, v down/2) from the window's middle; turned back by `turn` and added to (x, y) it
    # is at x + (cos u across + sin v down)/2, y + (-sin u across + cos v down)/2 of the hint, and
    # p of 0..side is 2 p/side - 1 of -1..1.
    to_x = [cos * across / width, sin * down / width, 2 * x / width - 1]
    to_y = [-sin * across / height, cos * down / height, 2 * y / height - 1]
    affine = picture.new_tensor([[to_x, to_y]])
    grid = F.affine_grid(
        affine, [1, picture.shape[1], crop.target_height, crop.target_width], align_corners=False
    )
    return F.grid_sample(
        picture, grid, mode="bilinear", padding_mode="border", align_corners=False
    ).to(hint.dtype)
