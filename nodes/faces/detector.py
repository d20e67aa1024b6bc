"""Faces of pictures by any detector, with embeddings by any recogniser."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from torch import Tensor

from ..errors import ImageError
from .face import Face, left_to_right
from .limits import Detection, Limits
from .tiles import each_once

MIN_CONFIDENCE = 0.5
LEAST_SPREAD_PX = 1.0  # of five points: closer together they are unusable
_LOOKS = "2"  # version of the search, in cache keys: results of an earlier one are not used


class Detector(Protocol):
    """Finds faces.

    `key` names it and its files, for the cache of its faces. None where its files are not known:
    nothing is cached then.
    """

    key: str | None

    def find(self, pixels: np.ndarray, min_confidence: float) -> Sequence[Face]:
        """Return the faces in `pixels`, uint8 [H,W,3] RGB, in any order, without embeddings."""
        ...


class Recogniser(Protocol):
    """Gives faces the embeddings by which persons are told apart.

    `name` is the pack's: embeddings of different packs do not compare. `key` names its file as
    well.
    """

    name: str
    key: str

    def embed(self, pixels: np.ndarray, points: Sequence[np.ndarray]) -> np.ndarray:
        """Return the embeddings [n,512] float32, not normalised, of the faces at `points`, [5,2]
        each, in `pixels`.
        """
        ...


@dataclass(frozen=True)
class FaceAnalysis:
    """A detector, and a recogniser unless only places are wanted."""

    detector: Detector
    recogniser: Recogniser | None

    @property
    def key(self) -> str | None:
        """The cache key of its faces beside the picture's; None where the detector has none."""
        return (
            self.detector.key
            and f"{_LOOKS} {self.detector.key} {self.recogniser.key if self.recogniser else 'none'}"
        )

    def faces(
        self, pixels: np.ndarray, min_confidence: float = MIN_CONFIDENCE, min_size_px: float = 0
    ) -> tuple[Face, ...]:
        """Return the faces of one picture, as `look` finds them."""
        return self.look(pixels, min_confidence, Limits(min_size_px)).faces

    def look(self, pixels: np.ndarray, min_confidence: float, limits: Limits) -> Detection:
        """Return the faces of one picture, uint8 [H,W,3] RGB, from left to right, with embeddings
        where there are points to align by.

        Boxes end at the picture's border. A face is left out below the confidence and outside the
        limits. Where no head stands upright, those that lie or hang are looked for in copies of the
        picture turned by quarters.
        """
        upright = self._found(pixels, min_confidence)
        found = upright or self._found_turned(pixels, min_confidence)
        size = pixels.shape[1], pixels.shape[0]
        kept, left_out = limits.applied(left_to_right(found), *size)
        faces = self._recognised(pixels, [replace(face, picture=size) for face in kept])
        return Detection(tuple(faces), tuple(left_out), turned=bool(found) and not upright)

    def _recognised(self, pixels: np.ndarray, faces: list[Face]) -> list[Face]:
        pointed = [face for face in faces if face.points is not None]
        if self.recogniser is None or not pointed:
            return faces
        vectors = iter(self.recogniser.embed(pixels, [face.points for face in pointed]))
        name = self.recogniser.name
        return [
            face if face.points is None else replace(face, embedding=next(vectors), recogniser=name)
            for face in faces
        ]

    def _found(self, pixels: np.ndarray, min_confidence: float) -> list[Face]:
        found = [
            with_usable_points(clipped(face, pixels.shape[1], pixels.shape[0]))
            for face in self.detector.find(pixels, min_confidence)
        ]
        return [face for face in found if face.score >= min_confidence and face.area > 0]

    def _found_turned(self, pixels: np.ndarray, min_confidence: float) -> list[Face]:
        """Return the faces of copies that are turned by one, two and three quarters, as they lie
        in the picture.
        """
        return each_once(
            turned_back(face, quarters, pixels.shape[1], pixels.shape[0])
            for quarters in (1, 2, 3)
            for face in self._found(
                np.ascontiguousarray(np.rot90(pixels, quarters)), min_confidence
            )
        )

    def batch(
        self, images: Tensor, min_confidence: float = MIN_CONFIDENCE, min_size_px: float = 0
    ) -> tuple[tuple[Face, ...], ...]:
        """Return the faces of each picture of an IMAGE [B,H,W,C] float 0..1.

        Raises: ImageError for another shape.
        """
        return tuple(self.faces(one, min_confidence, min_size_px) for one in rgb_pixels(images))


def rgb_pixels(images: Tensor) -> list[np.ndarray]:
    """Return each picture of an IMAGE as 8 bits a channel [H,W,3], without alpha.

    Raises: ImageError for another shape.
    """
    if images.ndim != 4 or images.shape[3] < 3:
        message = (
            f"Faces are looked for in an image of shape {tuple(images.shape)}; expected [batch,"
            " height, width, 3 or 4]."
        )
        raise ImageError(message, code="face-image-shape", hint="Connect an IMAGE.")
    # One at a time: a batch as float32 beside itself would double the memory.
    return [
        (one[..., :3].detach().float().clamp(0, 1) * 255).round().byte().cpu().numpy()
        for one in images
    ]


def clipped(face: Face, width: int, height: int) -> Face:
    """Return the face with a box that ends at the picture's border."""
    left, top, right, bottom = (float(one) for one in face.box)
    return replace(
        face,
        box=(max(left, 0.0), max(top, 0.0), min(right, float(width)), min(bottom, float(height))),
    )


def with_usable_points(face: Face) -> Face:
    """Return the face without its points where these are no numbers, or all at one place."""
    points = face.points
    if points is None or (
        np.isfinite(points).all() and np.ptp(points, axis=0).max() >= LEAST_SPREAD_PX
    ):
        return face
    return replace(face, points=None)


def turned_back(face: Face, quarters: int, width: int, height: int) -> Face:
    """Return the face of a copy that `np.rot90` turned by `quarters`, as it lies in the picture of
    that width and height.
    """
    for quarter in range(quarters, 0, -1):
        across = width if quarter % 2 else height  # of what this quarter turned
        left, top, right, bottom = face.box
        points = face.points
        if points is not None:
            # Boxes count from the edges of pixels, points from their middles.
            points = np.column_stack([across - 1 - points[:, 1], points[:, 0]])
        face = replace(face, box=(across - bottom, left, across - top, right), points=points)
    return face
