"""The report on a photo: its size, its sharpness, its faces; nothing of persons is guessed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from ...faces.face import Face, largest
from ...faces.photos import MIN_FACE_PX

# Of the service's answer: what says something about a person, a look or a pose. Null here, always.
NOT_GUESSED = (
    "name",
    "body_type",
    "ethnicity",
    "age",
    "glasses",
    "eye_color",
    "hair_color",
    "hair_length",
    "hair_style",
    "facial_hair",
    "is_bald",
    "headcover",
    "funny_face",
    "wearing_sunglasses",
    "wearing_hat",
    "full_body_image_or_longshot",
    "selfie",
    "low_quality",
)
MEASURED_PX = 512  # longer side of the photo, or of its largest face, that sharpness is measured at
# Variance of the Laplacian below which a photo of 8 bits is called blurry, by the common rule of
# thumb.
BLURRY_BELOW = 100.0


def sharpness(pixels: np.ndarray) -> float:
    """Return the variance of the Laplacian of a photo, uint8 [H,W,3]: more is sharper.

    Large photos are scaled down to `MEASURED_PX` first, so that sizes compare.
    """
    photo = Image.fromarray(pixels).convert("L")
    photo.thumbnail((MEASURED_PX, MEASURED_PX), Image.Resampling.LANCZOS)
    grey = np.asarray(photo, dtype=np.float64)
    if min(grey.shape) < 3:
        return 0.0
    middle = grey[1:-1, 1:-1]
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return float((around - 4 * middle).var())


def inspected(
    pixels: np.ndarray, faces: Sequence[Face] | None, size: tuple[int, int], notices: Sequence[str]
) -> dict[str, Any]:
    """Return the report on a photo, uint8 [H,W,3], that came as `size` (width, height).

    `faces` None: nothing looked for them. Sharpness is that of the largest face where there is one.
    """
    face = None if faces is None else largest(faces)
    found = sharpness(pixels if face is None else _cut(pixels, face))
    return {
        **dict.fromkeys(NOT_GUESSED),
        "blurry": found < BLURRY_BELOW,
        "includes_multiple_people": None if faces is None else len(faces) > 1,
        "low_resolution": None if face is None else min(face.width, face.height) < MIN_FACE_PX,
        "width": size[0],
        "height": size[1],
        "faces": None if faces is None else len(faces),
        "face_width": None if face is None else round(face.width),
        "face_height": None if face is None else round(face.height),
        "sharpness": round(found, 1),
        "notices": list(notices),
    }


def _cut(pixels: np.ndarray, face: Face) -> np.ndarray:
    left, top, right, bottom = (max(0, round(one)) for one in face.box)
    part = pixels[top:bottom, left:right]
    return np.ascontiguousarray(part) if part.size else pixels
