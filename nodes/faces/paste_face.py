"""Faces as models of aligned faces want them, and the painted ones back in the picture.

What swapping and restoring share.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import ImageError
from .align import MOST_SAMPLES, inverse, paste_back, scale_of, similarity, warp
from .face import Face, in_picture

# The share of a crop's side over which published swappers and restorers fade their crop out.
FEATHER = 0.1
NO_NUMBERS = "left as it was: the model gave values that are no numbers"
NO_POINTS = "left as it was: its detector gave no eyes, nose and mouth to turn it upright by"
# Half the width, in face radii, of the border between two faces whose crops overlap.
BETWEEN_FACES = 0.1


@dataclass(frozen=True, eq=False)
class Placement:
    """The geometry of a face's crop.

    The template's five points [5,2] in it, its side in pixels, its soft border as a share of the
    side, its colour outside the picture, and the function that gives the matrix from five points to
    the template.
    """

    template: np.ndarray
    size: int
    feather: float
    outside: tuple[float, float, float] = (0.0, 0.0, 0.0)
    estimate: Callable[[np.ndarray, np.ndarray], np.ndarray] = similarity


@dataclass(frozen=True, eq=False)
class AlignedFace:
    """A face cut out upright.

    `pixels` [size,size,3] 0..1, the matrix from the picture to it, and the mask [size,size] it goes
    back with.
    """

    pixels: Tensor
    matrix: np.ndarray
    mask: Tensor


def cut(image: Tensor, faces: Sequence[Face], number: int, placement: Placement) -> AlignedFace:
    """Return face `number` of a picture [H,W,3 or 4] with its five points on the template.

    Where the crop of another of `faces` overlaps, each pixel belongs to the face that it is nearer
    to.
    Raises: ImageError for a face without points.
    """
    face = faces[number]
    if face.points is None:
        raise ImageError(
            f"Face {number + 1} of {len(faces)}, at {face.box[0]:.0f}, {face.box[1]:.0f}, has no"
            " points; expected eyes, nose and mouth corners to turn it upright by.",
            code="face-without-points",
            hint=(
                "Find the faces with a model pack or MediaPipe: detectors that give boxes only know"
                " no points."
            ),
        )
    matrix = placement.estimate(face.points, placement.template)
    pixels = _sampled(image[..., :3], matrix, placement.size, placement.outside)
    mask = soft_square(placement.size, placement.feather) * _own_share(
        faces, number, matrix, placement.size
    )
    return AlignedFace(pixels, matrix, mask)


def paste(
    image: Tensor,
    touched: Tensor,
    crop: AlignedFace,
    painted: Tensor,
    area: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the picture with the painted crop in its place, and `touched` with it.

    bit-identical where the mask is 0, and where the picture's `area` is, if it is given.

    Shapes: image [H,W,C], touched [H,W] 0..1, painted [size,size,3], area [H,W] 0..1 -> the same;
    alpha stays.
    """
    image = paste_back(image, painted, crop.matrix, crop.mask, area)
    ones = torch.ones_like(crop.mask)[..., None]
    return image, paste_back(touched[..., None], ones, crop.matrix, crop.mask, area)[..., 0]


def soft_square(size: int, feather: float) -> Tensor:
    """Return a mask [size,size] that is 1 inside and fades out over the outer `feather` of the
    side.

    The square shrunk by half of that on each side, and blurred as far: it ends at the crop's edge,
    without a cut.
    Source: insightface, model_zoo/inswapper.py (erosion by a tenth, Gaussian blur by a twentieth),
    in floating point.
    """
    reach = round(size * feather / 2)
    # So that the inside is 1 to the bit in single precision.
    line = torch.ones(size, dtype=torch.float64)
    if reach:
        line[:reach] = line[-reach:] = 0
        sigma = 0.3 * (reach - 1) + 0.8  # OpenCV's for a kernel of 2 * reach + 1
        steps = torch.arange(-reach, reach + 1, dtype=torch.float64)
        kernel = torch.exp(-(steps**2) / (2 * sigma**2))
        line = F.conv1d(line[None, None], (kernel / kernel.sum())[None, None], padding=reach)[
            0, 0
        ].clamp(0, 1)
    return (line[:, None] * line).float()


def faces_of_image(image: Tensor, faces: Sequence[Sequence[Face]]) -> tuple[tuple[Face, ...], ...]:
    """Return the faces of an IMAGE [B,H,W,3 or 4] in its pixels, where they were found at another
    scale too.

    Raises: ImageError when image and faces do not belong together.
    """
    if image.ndim != 4 or image.shape[3] not in (3, 4):
        message = (
            f"An image of shape {tuple(image.shape)}; expected [batch, height, width, 3 or 4]."
        )
        raise ImageError(message, code="face-image-shape", hint="Connect an IMAGE.")
    if len(faces) != len(image):
        raise ImageError(
            f"The faces of {len(faces)} image(s) are given for {len(image)} image(s).",
            code="faces-of-another-batch",
            hint="Connect Astria Detect Faces to the same image.",
        )
    height, width = image.shape[1:3]
    fitted = tuple(in_picture(found, width, height) for found in faces)
    for number, found in enumerate(fitted, 1):
        for face in found:
            _check_inside(face, number, width, height)
    return fitted


def _check_inside(face: Face, number: int, width: int, height: int) -> None:
    left, top, right, bottom = face.box
    if right <= 0 or bottom <= 0 or left >= width or top >= height:
        raise ImageError(
            f"A face of image {number} at {left:.0f}, {top:.0f} lies outside the picture of"
            f" {width}x{height} px; expected the faces of this image.",
            code="faces-of-another-image",
            hint="Connect Astria Detect Faces to the same image, after it is resized.",
        )


def _sampled(
    image: Tensor, matrix: np.ndarray, size: int, outside: tuple[float, float, float]
) -> Tensor:
    """Return the crop [size,size,3].

    A face larger than it is averaged over each pixel's area: skipping pixels would leave jagged
    noise.
    """
    part, matrix = _seen(image, matrix, size)
    samples = min(max(math.ceil(1 / scale_of(matrix) - 1e-6), 1), MOST_SAMPLES)
    finer = matrix * samples
    finer[:, 2] += (samples - 1) / 2  # pixel centres stand at whole numbers
    inside = torch.ones_like(part[..., :1])
    # HWC -> BCHW.
    planes = warp(torch.cat([part, inside], dim=-1), finer, size * samples).movedim(-1, 0)[None]
    crop = F.avg_pool2d(planes, samples)[0].movedim(0, -1)  # CHW -> HWC
    return crop[..., :3] + (1 - crop[..., 3:]) * torch.tensor(outside, device=crop.device)


def _seen(image: Tensor, matrix: np.ndarray, size: int) -> tuple[Tensor, np.ndarray]:
    """Return the part of a picture that a crop sees, and the matrix from that part to the crop.

    Where the picture ends its last pixels go on for as far as a pixel of the crop reaches: else
    what lies outside would mix into them, and be painted along the border.
    """
    height, width = image.shape[:2]
    reach = math.ceil(1 / scale_of(matrix)) + 1
    corners = np.array([[x, y, 1.0] for x in (-1, size) for y in (-1, size)]) @ inverse(matrix).T
    left, top = (max(math.floor(one) - reach, -reach) for one in corners.min(0))
    right, bottom = (
        min(math.ceil(one) + reach, side + reach)
        for one, side in zip(corners.max(0), (width, height), strict=True)
    )
    part = image[max(top, 0) : bottom, max(left, 0) : right].movedim(-1, 0)[None]  # HWC -> BCHW
    beyond = max(-left, 0), max(right - width, 0), max(-top, 0), max(bottom - height, 0)
    matrix = np.column_stack([matrix[:, :2], matrix @ np.array([left, top, 1.0])])
    return F.pad(part, beyond, mode="replicate")[0].movedim(0, -1), matrix  # CHW -> HWC


def _own_share(faces: Sequence[Face], number: int, matrix: np.ndarray, size: int) -> Tensor:
    """Return, [size,size], how much each pixel of a crop is nearer to its own face than to any
    other, counted in radii of each.
    """
    distances = [_distance(face, matrix, size) for face in faces]
    own = distances.pop(number)
    share = torch.ones(size, size)
    for other in distances:
        share = torch.minimum(share, (0.5 + (other - own) / (4 * BETWEEN_FACES)).clamp(0, 1))
    return share


def _distance(face: Face, matrix: np.ndarray, size: int) -> Tensor:
    left, top, right, bottom = face.box
    x, y = matrix @ np.array([(left + right) / 2, (top + bottom) / 2, 1.0])
    radius = max(math.sqrt(face.area) / 2 * scale_of(matrix), 1e-6)
    steps = torch.arange(size)
    return torch.hypot((steps - x)[None, :], (steps - y)[:, None]) / radius
