"""The picture with each face's box, window and person."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..regions.preview import TINTS
from .plan import PlannedFace, label

LETTERS = (0, 0, 0)


def matches_preview(image: Tensor, planned: Sequence[PlannedFace], names: Sequence[str]) -> Tensor:
    """Return the pictures with each face's box and window in its person's colour, named.

    Shapes: [B,H,W,C] -> [B,H,W,3] float32.
    """
    shown = (
        image[..., :3]
        .detach()
        .float()
        .nan_to_num(0.0)
        .clamp(0, 1)
        .mul(255)
        .round()
        .byte()
        .cpu()
        .numpy()
    )
    drawn = [
        _drawn(pixels, [face for face in planned if face.crop.image == number], names)
        for number, pixels in enumerate(shown)
    ]
    return torch.from_numpy(np.stack(drawn)).float() / 255


def _drawn(pixels: np.ndarray, planned: Sequence[PlannedFace], names: Sequence[str]) -> np.ndarray:
    picture = Image.fromarray(pixels)
    canvas = ImageDraw.Draw(picture)
    line = max(1, min(picture.size) // 300)
    font = ImageFont.load_default(max(11, round(min(picture.size) / 30)))
    for face in planned:
        crop = face.crop
        tint = TINTS[0 if face.person is None else 1 + face.person % (len(TINTS) - 1)]
        outlines = (
            crop.outline(_pixels(crop.box)),
            crop.outline(
                (crop.left, crop.top, crop.left + crop.width - 1, crop.top + crop.height - 1)
            ),
        )
        for outline, width in zip(outlines, (2 * line, line), strict=True):
            if crop.turn:
                canvas.polygon(outline, outline=tint, width=width)
            else:
                canvas.rectangle((*outline[0], *outline[2]), outline=tint, width=width)
        left = min(x for x, _ in outlines[0])
        top = min(y for _, y in outlines[0])
        text = label(face, names)
        plate = canvas.textbbox((left + 3 * line, top + 3 * line), text, font=font)
        canvas.rectangle(
            (plate[0] - line, plate[1] - line, plate[2] + line, plate[3] + line), fill=tint
        )
        canvas.text((left + 3 * line, top + 3 * line), text, fill=LETTERS, font=font)
    return np.asarray(picture)


def _pixels(box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    """Return the first and the last pixel of a box."""
    left, top, right, bottom = box
    return left, top, max(right - 1, left), max(bottom - 1, top)
