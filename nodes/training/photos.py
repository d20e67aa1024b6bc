"""A person's photos as pictures that a training takes: sizes, crops, captions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..faces.detector import FaceAnalysis
from ..faces.face import Face
from .errors import TrainingError
from .presets import SAMPLE_CAPTIONS
from .request import check_sizes

PHOTO, CROP, CLASS = "photo", "crop", "class"
CROP_FACES = 2.0  # sides of the face's box in a crop
CELL = 16  # pixels that every family's sides are a multiple of
MAX_RATIO = 2.0  # a longer photo is cut at both ends
BACKGROUND = 0.1  # how much it counts beside the person


@dataclass(frozen=True, eq=False)
class TunePicture:
    """A picture to learn, [1,H,W,3] 0..1; `weights` [1,H,W]: how much each pixel counts, None: all
    alike.
    """

    pixels: Tensor
    caption: str
    kind: str
    weights: Tensor | None = None


@dataclass(frozen=True, eq=False)
class TunePhotos:
    """What is learned of a person, and by what their likeness is judged.

    `photos` counts those that were given, of `tune_id`; 0: of no tune. `embeddings` [n,512] are of
    their faces, by `analysis`.
    """

    pictures: tuple[TunePicture, ...]
    photos: int
    token: str
    name: str
    analysis: FaceAnalysis | None = None
    embeddings: Tensor | None = None
    notes: tuple[str, ...] = ()
    tune_id: int = 0

    @property
    def is_judged(self) -> bool:
        """Whether a picture's likeness to the person can be told."""
        return self.embeddings is not None and len(self.embeddings) > 0


def caption_of(kind: str, token: str, name: str) -> str:
    """Return what a picture shows, in words."""
    what = {PHOTO: f"photo of {token} {name}", CROP: f"close-up photo of {token} {name}"}
    return what.get(kind, f"photo of {name}")


def sample_captions(token: str, name: str) -> list[str]:
    """Return the texts of the pictures that are drawn while it learns."""
    return [caption.format(person=f"{token} {name}") for caption in SAMPLE_CAPTIONS]


def parse_sizes(text: str) -> tuple[int, ...]:
    """Return the sizes in "512, 768", each once. Raises: TrainingError for anything else."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isdecimal() and len(part) < 6 for part in parts):
        raise TrainingError(
            f"sizes '{text}': expected whole numbers of pixels with commas between them, e.g."
            " 512, 768.",
            code="training-size",
        )
    sizes = tuple(dict.fromkeys(map(int, parts)))
    check_sizes(sizes)
    return sizes


def fitted_size(width: int, height: int, size: int) -> tuple[int, int]:
    """Return (width, height) of about the area of `size` squared, in the photo's own ratio up to
    2:1, in multiples of 16.
    """
    ratio = min(max(width / height, 1 / MAX_RATIO), MAX_RATIO)
    across, down = size * math.sqrt(ratio), size / math.sqrt(ratio)
    return max(CELL, round(across / CELL) * CELL), max(CELL, round(down / CELL) * CELL)


def fitted(pixels: np.ndarray, size: int) -> np.ndarray:
    """Return a photo, uint8 [H,W,3], or a map of it, float32 [H,W], scaled to cover its fitted size
    and cut in the middle.
    """
    height, width = pixels.shape[:2]
    across, down = fitted_size(width, height, size)
    scale = max(across / width, down / height)
    box_width, box_height = across / scale, down / scale
    left, top = (width - box_width) / 2, (height - box_height) / 2
    box = (left, top, left + box_width, top + box_height)
    # Lanczos would give a map values beyond its own.
    method = Image.Resampling.LANCZOS if pixels.ndim == 3 else Image.Resampling.BILINEAR
    return np.array(Image.fromarray(pixels).resize((across, down), method, box=box))


def face_square(face: Face, height: int, width: int) -> tuple[int, int, int]:
    """Return left, top and side of the square around a face, twice as wide as the longer side of
    its box, moved inside the photo where it would stand over its edge.
    """
    left, top, right, bottom = face.box
    side = min(round(CROP_FACES * max(right - left, bottom - top)), height, width)
    x = min(max(round((left + right - side) / 2), 0), width - side)
    y = min(max(round((top + bottom - side) / 2), 0), height - side)
    return x, y, side


def as_image(pixels: np.ndarray) -> Tensor:
    """Return a photo, uint8 [H,W,3], as an IMAGE [1,H,W,3]."""
    return torch.from_numpy(pixels.astype(np.float32) / 255).unsqueeze(0)


def latent_weights(weights: Tensor | None, size: Sequence[int]) -> Tensor | None:
    """Return how much each latent cell counts, [1,1,h,w], for weights [1,H,W] of the pixels."""
    if weights is None:
        return None
    return torch.nn.functional.interpolate(weights.unsqueeze(1), tuple(size), mode="area")
