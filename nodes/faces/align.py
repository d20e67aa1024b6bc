"""Faces turned upright: the similarity that brings five points onto a template, the crop it gives,
and the way back into the picture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import ImageError

# Where eyes, nose and mouth corners stand in a crop of 112 px, as recognisers of the ArcFace family
# are trained (insightface, face_align.py).
ARCFACE_112 = np.array(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ]
)
# The same in a crop of 512 px of the FFHQ photos, as face restorers are trained (facexlib,
# face_restoration_helper.py).
FFHQ_512 = np.array(
    [
        [192.98138, 239.94708],
        [318.90277, 240.1936],
        [256.63416, 314.01935],
        [201.26117, 371.41043],
        [313.08905, 371.15118],
    ]
)
# The colour of such crops outside the picture, RGB (the same file).
GREY = (132 / 255, 133 / 255, 135 / 255)
MOST_SAMPLES = 16  # along one side of a pixel, where a crop is made this much smaller
# grid_sample's padding_mode and mode.
Beyond = Literal["zeros", "border"]
Between = Literal["bilinear", "bicubic"]
# The pairs of five points that OpenCV tries: its random numbers start at the same seed in each
# call, and at a confidence of 0.99 and outliers of 0.45 it draws 13 times, these without repeats.
_PAIRS = ((0, 4), (0, 3), (1, 2), (0, 1), (1, 4), (1, 3))
_LEAST_SPREAD = 0.001  # px: of points that lie on the template to the last digit


def arcface_template(size: int) -> np.ndarray:
    """Return the five points [5,2] in an ArcFace crop of `size` px.

    Multiples of 128 (not of 112) have a margin at the sides.

    Raises: ImageError for a size that is a multiple of neither.
    Source: estimate_norm of insightface's face_align.py.
    """
    if size > 0 and size % 112 == 0:
        return ARCFACE_112 * (size / 112)
    if size > 0 and size % 128 == 0:
        return (ARCFACE_112 + np.array([8.0, 0.0])) * (size / 128)
    message = f"An aligned face of {size} px; expected a multiple of 112 or of 128."
    raise ImageError(message, code="face-crop-size", hint="Use 112, 128, 224, 256 or 512.")


def ffhq_template(size: int) -> np.ndarray:
    """Return the five points [5,2] in an FFHQ crop of `size` px."""
    return FFHQ_512 * (size / 512)


def similarity(points: np.ndarray, template: np.ndarray) -> np.ndarray:
    """Return the matrix [2,3] of rotation, scale and shift that brings `points` [n,2] closest to
    `template` [n,2], by least squares.

    Raises: ImageError when all points are one.
    Source: Umeyama 1991. In the plane, with points as complex numbers, it is the regression
    template = a * points + b.
    """
    source, target = _complex(points), _complex(template)
    _check_spread(source)
    return _matrix(*_regression(source, target))


def robust_similarity(points: np.ndarray, template: np.ndarray) -> np.ndarray:
    """Return the matrix [2,3] of rotation, scale and shift that brings `points` [5,2] onto
    `template` [5,2], without those that do not fit the others, such as a mouth corner found badly.

    Least median of squares: of the similarities that two points make, the one with the least
    median of squared distances says which points fit; these count by least squares.

    Raises: ImageError when all points are one.
    Source: Rousseeuw 1984, as OpenCV's estimateAffinePartial2D with LMEDS, by which facexlib (and
    so GFPGAN, CodeFormer and PuLID) cuts heads.
    """
    source, target = _complex(points), _complex(template)
    _check_spread(source)
    best, least = np.zeros(len(source)), np.inf
    for pair in map(list, _PAIRS):
        if source[pair[0]] == source[pair[1]]:
            continue
        turn, shift = _regression(source[pair], target[pair])
        distances = np.abs(turn * source + shift - target)
        if (median := np.median(distances)) < least:
            best, least = distances, median
    # OpenCV's measure of spread, for five points of which two make a similarity.
    fits = best <= max(2.5 * 1.4826 * (1 + 5 / (len(source) - 2)) * least, _LEAST_SPREAD)
    return _matrix(*_regression(source[fits], target[fits]))


def _complex(points: np.ndarray) -> np.ndarray:
    return np.asarray(points, dtype=np.float64) @ np.array([1, 1j])


def _check_spread(source: np.ndarray) -> None:
    if not np.ptp(source.real) + np.ptp(source.imag) > 0:
        message = (
            f"The points of a face are all at {source[0].real:.1f}, {source[0].imag:.1f}; expected"
            " two eyes, nose and two mouth corners."
        )
        raise ImageError(
            message,
            code="face-points",
            hint="The detector of this face gives no usable points; use another.",
        )


def _regression(source: np.ndarray, target: np.ndarray) -> tuple[complex, complex]:
    """Return the turn a and the shift b of least squared error |a source + b - target|^2, of
    points as complex numbers: |a| is the scale, the angle of a the rotation.
    """
    source_mean, target_mean = source.mean(), target.mean()
    centred = source - source_mean
    covariance = np.vdot(centred, target - target_mean)  # vdot conjugates its first argument
    turn = covariance / np.vdot(centred, centred).real
    return turn, target_mean - turn * source_mean


def _matrix(turn: complex, shift: complex) -> np.ndarray:
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def scale_of(matrix: np.ndarray) -> float:
    """Return how many pixels of the crop stand for one of the picture."""
    return math.sqrt(abs(np.linalg.det(matrix[:, :2])))


def inverse(matrix: np.ndarray) -> np.ndarray:
    """Return the matrix [2,3] that leads back."""
    return np.linalg.inv(np.vstack([matrix, [0.0, 0.0, 1.0]]))[:2]


def warp(image: Tensor, matrix: np.ndarray, size: int, outside: Sequence[float] = (0.0,)) -> Tensor:
    """Return the crop that `matrix` (picture -> crop) gives.

    Where the picture ends it shows `outside`, a value for all channels or one each.

    Bilinear between pixels, pixel centres at whole numbers: what recognisers were trained on, not
    smoothed where the face is larger than the crop.
    Shapes: image [H,W,C] -> [size,size,C] float32, on the image's device.
    Source: cv2.warpAffine, as insightface's norm_crop calls it.
    """
    left, top, right, bottom = _reach(matrix, size, size, (image.shape[1], image.shape[0]))
    beyond = torch.tensor(outside, dtype=torch.float32, device=image.device)
    if right <= left or bottom <= top:
        return beyond.expand(size, size, image.shape[2]).clone()
    columns, rows = _places((0, 0, size, size), 1)
    to_window = inverse(matrix) - np.array([[0.0, 0.0, left], [0.0, 0.0, top]])
    # grid_sample pads with 0 only: sample the difference to `outside`, and add that again.
    difference = image[top:bottom, left:right] - beyond
    planes = _sampled(difference, to_window, columns, rows, "zeros")
    return planes.movedim(0, -1) + beyond  # CHW -> HWC


def straightened(image: Tensor, matrix: np.ndarray, size: int) -> Tensor:
    """Return the crop that `matrix` (picture -> crop) gives, the picture's last pixels going on
    where it ends.

    Bicubic between pixels, for a model that draws it anew; where the face is larger than the crop,
    averaged over each pixel's area.
    Shapes: image [H,W,C] 0..1 -> [size,size,C] float32 0..1, on the image's device.
    """
    left, top, right, bottom = _reach(
        matrix, size, size, (image.shape[1], image.shape[0]), margin=1
    )
    samples = min(max(math.ceil(1 / scale_of(matrix) - 1e-6), 1), MOST_SAMPLES)
    columns, rows = _places((0, 0, size, size), samples)
    to_window = inverse(matrix) - np.array([[0.0, 0.0, left], [0.0, 0.0, top]])
    planes = _sampled(image[top:bottom, left:right], to_window, columns, rows, "border", "bicubic")
    return _averaged(planes, samples).clamp(0, 1).movedim(0, -1)  # CHW -> HWC


def laid_back(
    crop: Tensor, matrix: np.ndarray, window: tuple[int, int, int, int], beyond: Beyond = "border"
) -> Tensor:
    """Return a crop resampled onto the picture's pixels in `window` (left, top, right, bottom);
    `matrix` leads from the picture to the crop.

    Where the face is smaller than the crop, the crop is averaged over each pixel's area. `beyond`
    the crop its border goes on, or `zeros`.
    Shapes: crop [h,w,C] -> [bottom - top, right - left, C] float32.
    """
    left, top, right, bottom = window
    samples = min(max(math.ceil(scale_of(matrix) - 1e-6), 1), MOST_SAMPLES)
    columns, rows = _places((left, top, right - left, bottom - top), samples)
    return _averaged(_sampled(crop, matrix, columns, rows, beyond), samples).movedim(0, -1)


def paste_back(
    image: Tensor, crop: Tensor, matrix: np.ndarray, mask: Tensor, area: Tensor | None = None
) -> Tensor:
    """Return the picture with `crop` where `warp` with the same `matrix` took it from, blended by
    `mask`.

    Pixels where the mask is 0, or the picture's own `area` where it is given, and all outside the
    crop are the picture's own to the bit; so are further channels, such as alpha.
    Shapes: image [H,W,C], crop [h,w,3], mask [h,w] 0..1, area [H,W] 0..1 -> [H,W,C] in the image's
    precision and on its device.
    """
    height, width = image.shape[:2]
    left, top, right, bottom = reach = _reach(matrix, crop.shape[1], crop.shape[0], (width, height))
    if right <= left or bottom <= top:
        return image
    painted = laid_back(crop.to(image.device), matrix, reach)
    share = laid_back(mask.to(image.device)[..., None], matrix, reach, "zeros")
    if area is not None:
        share = share * area[top:bottom, left:right, None].to(share)
    result = image.clone()
    window = result[top:bottom, left:right, : crop.shape[2]]
    # Selected, not only blended: a NaN of the model times a share of 0 is NaN still.
    blended = torch.lerp(window.float(), painted, share).to(image.dtype)
    window.copy_(torch.where(share > 0, blended, window))
    return result


def _reach(
    matrix: np.ndarray, crop_width: int, crop_height: int, size: tuple[int, int], margin: int = 0
) -> tuple[int, int, int, int]:
    """Return the part of the picture (left, top, right, bottom) in which the crop's pixels fall,
    and `margin` pixels around it.
    """
    # Pixels stand at whole numbers: from -1 to the side, half a pixel and more around the crop.
    of_crop = np.array([[x, y, 1.0] for x in (-1, crop_width) for y in (-1, crop_height)])
    corners = of_crop @ inverse(matrix).T
    first = np.floor(corners.min(0)).astype(int) - margin
    last = np.ceil(corners.max(0)).astype(int) + 1 + margin
    left, top = (int(max(one, 0)) for one in first)
    right, bottom = (int(min(one, limit)) for one, limit in zip(last, size, strict=True))
    return left, top, right, bottom


def _places(window: tuple[int, int, int, int], samples: int) -> tuple[Tensor, Tensor]:
    """Return columns and rows of a window (left, top, width, height), `samples` evenly within each
    pixel.
    """
    left, top, width, height = window
    columns, rows = (
        (torch.arange(count * samples, dtype=torch.float64) + 0.5) / samples - 0.5
        for count in (width, height)
    )
    return columns + left, rows + top


def _sampled(
    image: Tensor,
    matrix: np.ndarray,
    columns: Tensor,
    rows: Tensor,
    beyond: Beyond,
    between: Between = "bilinear",
) -> Tensor:
    """Return image values [C,rows,columns] at the places where `matrix` leads from (column,
    row).
    """
    height, width = image.shape[:2]
    (a, b, c), (d, e, f) = matrix.tolist()
    x = a * columns[None, :] + b * rows[:, None] + c
    y = d * columns[None, :] + e * rows[:, None] + f
    # grid_sample counts from -1 at the first pixel to 1 at the last. Worked out on the CPU in
    # float64, which not every device has.
    grid = torch.stack([x / max(width - 1, 1) * 2 - 1, y / max(height - 1, 1) * 2 - 1], dim=-1)
    planes = image.float().movedim(-1, 0)[None]  # HWC -> BCHW
    return F.grid_sample(
        planes,
        grid[None].float().to(planes.device),
        mode=between,
        padding_mode=beyond,
        align_corners=True,
    )[0]


def _averaged(planes: Tensor, samples: int) -> Tensor:
    return planes if samples == 1 else F.avg_pool2d(planes[None], samples)[0]
