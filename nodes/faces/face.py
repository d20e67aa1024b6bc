"""A face found in a picture."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..errors import ImageError
from ..regions.run import SAME_SHAPE, is_padded

# Numbers of a recogniser's vector; all of the ArcFace family have as many.
EMBEDDING_SIZE = 512
# Packs whose recogniser is w600k_r50, which IP-Adapter FaceID and inswapper learned faces from.
W600K_PACKS = ("buffalo_l", "buffalo_m")


@dataclass(frozen=True, eq=False)
class Face:
    """A face in a picture: its place, and its embedding where a recogniser read it.

    `box` is (left, top, right, bottom) in pixels. `points` [5,2] in pixels: two eyes, nose, two
    mouth corners, each pair from the picture's left to its right for an upright face. `embedding`
    [512] is the recogniser's, not normalised. Points and embedding are None where the detector has
    none. `recogniser` names the pack whose embedding it is: those of different packs do not
    compare. `picture` is the size (width, height) in pixels of the picture that box and points are
    of, None as long as the picture is only a part of one.
    """

    box: tuple[float, float, float, float]
    points: np.ndarray | None = None
    score: float = 1.0
    embedding: np.ndarray | None = None
    recogniser: str | None = None
    picture: tuple[int, int] | None = None

    @property
    def width(self) -> float:
        return self.box[2] - self.box[0]

    @property
    def height(self) -> float:
        return self.box[3] - self.box[1]

    @property
    def area(self) -> float:
        return max(self.width, 0.0) * max(self.height, 0.0)

    def shifted(self, x: float, y: float) -> Face:
        """Return the face as it stands in a picture of which this one was cut out at (x, y)."""
        left, top, right, bottom = self.box
        points = (
            None if self.points is None else self.points + np.array([x, y], dtype=self.points.dtype)
        )
        return replace(self, box=(left + x, top + y, right + x, bottom + y), points=points)

    def in_picture(self, width: int, height: int) -> Face:
        """Return the face in pixels of its picture made `width` x `height` px large.

        Where the picture was only padded, right and bottom, the face stays where it is.
        Raises: ImageError where that is another shape, so that it cannot be the same picture.
        """
        if self.picture in (None, (width, height)):
            return self
        if is_padded(self.picture, (width, height)):
            return replace(self, picture=(width, height))
        across, down = width / self.picture[0], height / self.picture[1]
        if not math.isclose(across, down, rel_tol=SAME_SHAPE):
            raise ImageError(
                f"Faces of a picture of {self.picture[0]}x{self.picture[1]} px are used on one of"
                f" {width}x{height} px; expected the same picture, at any scale.",
                code="faces-of-another-shape",
                hint="Connect Astria Detect Faces to the image as it is cropped or padded now.",
            )
        left, top, right, bottom = self.box
        points = self.points
        if points is not None:  # the middle of the first pixel is 0, its edge is half before
            points = (points + 0.5) * np.array([across, down], dtype=points.dtype) - 0.5
        box = (left * across, top * down, right * across, bottom * down)
        return replace(self, box=box, points=points, picture=(width, height))


def in_picture(faces: Iterable[Face], width: int, height: int) -> tuple[Face, ...]:
    """Return the faces of one picture in its pixels at `width` x `height`.

    Raises: ImageError where that is another shape.
    """
    return tuple(face.in_picture(width, height) for face in faces)


def scale_notes(faces: Sequence[Sequence[Face]], width: int, height: int) -> list[str]:
    """Return the notes on faces that were found at another size of their pictures, one a size."""

    sizes = {face.picture for found in faces for face in found} - {None, (width, height)}
    return [
        f"Faces that were found at {own_width}x{own_height} px "
        + (
            f"stay where they are: the picture was padded to {width}x{height} px."
            if is_padded((own_width, own_height), (width, height))
            else f"are scaled to the picture's {width}x{height} px."
        )
        for own_width, own_height in sorted(sizes)
    ]


def left_to_right(faces: Iterable[Face]) -> tuple[Face, ...]:
    """Return the faces by the middle of their boxes, as people are named in a prompt.

    Above before below where that ties.
    """
    return tuple(
        sorted(faces, key=lambda face: (face.box[0] + face.box[2], face.box[1] + face.box[3]))
    )


def largest(faces: Iterable[Face]) -> Face | None:
    """Return the face with the largest box, None without faces: the person that a photo is of.

    The face with the highest score may be a bystander's.
    """
    return max(faces, key=lambda face: face.area, default=None)


def overlap(a: Face, b: Face) -> float:
    """Return the intersection of two boxes as a share of their union, 0..1."""
    across = min(a.box[2], b.box[2]) - max(a.box[0], b.box[0])
    down = min(a.box[3], b.box[3]) - max(a.box[1], b.box[1])
    shared = max(across, 0.0) * max(down, 0.0)
    return shared / max(a.area + b.area - shared, 1e-9)
