"""Faces as masks, as boxes for other nodes, and drawn into their pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from .detector import rgb_pixels
from .face import Face, in_picture

LINE, POINT, LETTERS = (255, 200, 0), (0, 230, 255), (0, 0, 0)


def face_masks(faces: Sequence[Sequence[Face]], height: int, width: int) -> Tensor:
    """Return one mask a picture [B,H,W]: 1 within the ellipse that fills each face's box.

    Raises: ImageError where faces are of a picture of another shape.
    """
    masks = torch.zeros(len(faces), height, width)
    across, down = torch.arange(width) + 0.5, torch.arange(height) + 0.5  # the middles of pixels
    for mask, of_picture in zip(masks, faces, strict=True):
        for face in in_picture(of_picture, width, height):
            left, top, right, bottom = face.box
            x = (across - (left + right) / 2) / (face.width / 2)
            y = (down - (top + bottom) / 2) / (face.height / 2)
            mask[x[None, :] ** 2 + y[:, None] ** 2 <= 1] = 1.0
    return masks


def bounding_boxes(
    faces: Sequence[Sequence[Face]],
) -> list[list[dict[str, float | str | tuple[int, int]]]]:
    """Return the host's BOUNDING_BOX value: for each picture its boxes in pixels, each with the
    picture's size where that is known.
    """
    return [[_box(face) for face in of_picture] for of_picture in faces]


def _box(face: Face) -> dict[str, float | str | tuple[int, int]]:
    left, top, _, _ = face.box
    size = {} if face.picture is None else {"picture": face.picture}
    return {
        "x": left,
        "y": top,
        "width": face.width,
        "height": face.height,
        "label": "face",
        "score": face.score,
        **size,
    }


def preview(images: Tensor, faces: Sequence[Sequence[Face]]) -> Tensor:
    """Return the pictures [B,H,W,3] with each face's box, points and number, counted from the
    left.

    Raises: ImageError where faces are of a picture of another shape.
    """
    drawn = [
        _drawn(pixels, in_picture(of_picture, pixels.shape[1], pixels.shape[0]))
        for pixels, of_picture in zip(rgb_pixels(images), faces, strict=True)
    ]
    return torch.from_numpy(np.stack(drawn)).float() / 255


def _drawn(pixels: np.ndarray, faces: Sequence[Face]) -> np.ndarray:
    picture = Image.fromarray(pixels)
    canvas = ImageDraw.Draw(picture)
    line = max(1, min(picture.size) // 300)
    font = ImageFont.load_default(max(11, round(min(picture.size) / 30)))
    for number, face in enumerate(faces, 1):
        left, top, right, bottom = face.box
        canvas.rectangle(
            (left, top, max(right - 1, left), max(bottom - 1, top)), outline=LINE, width=line
        )
        for x, y in () if face.points is None else face.points.tolist():
            canvas.ellipse((x - line, y - line, x + line, y + line), fill=POINT)
        plate = canvas.textbbox((left + 2 * line, top + 2 * line), str(number), font=font)
        canvas.rectangle(
            (plate[0] - line, plate[1] - line, plate[2] + line, plate[3] + line), fill=LINE
        )
        canvas.text((left + 2 * line, top + 2 * line), str(number), fill=LETTERS, font=font)
    return np.asarray(picture)
