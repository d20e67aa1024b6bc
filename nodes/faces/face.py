"""A face found in a picture."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True, eq=False)
class Face:
    """Where a face is, and whose: what detectors give, whatever their kind.

    `box` is (left, top, right, bottom) in pixels. `points` [5,2] in pixels: two eyes, nose, two
    mouth corners, each pair from the picture's left to its right for an upright face. `embedding`
    [512] is the recogniser's, not normalised. Points and embedding are None where the detector has
    none. `recogniser` names the pack whose embedding it is: those of different packs do not
    compare.
    """

    box: tuple[float, float, float, float]
    points: np.ndarray | None = None
    score: float = 1.0
    embedding: np.ndarray | None = None
    recogniser: str | None = None

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


def left_to_right(faces: Iterable[Face]) -> tuple[Face, ...]:
    """Return the faces by the middle of their boxes, as people are named in a prompt.

    Above before below where that ties.
    """
    return tuple(
        sorted(faces, key=lambda face: (face.box[0] + face.box[2], face.box[1] + face.box[3]))
    )


def largest(faces: Iterable[Face]) -> Face | None:
    """Return the face with the largest box, None without faces: whom a photo is of.

    The surest one may be a bystander.
    """
    return max(faces, key=lambda face: face.area, default=None)


def overlap(a: Face, b: Face) -> float:
    """Return the intersection of two boxes as a share of their union, 0..1."""
    across = min(a.box[2], b.box[2]) - max(a.box[0], b.box[0])
    down = min(a.box[3], b.box[3]) - max(a.box[1], b.box[1])
    shared = max(across, 0.0) * max(down, 0.0)
    return shared / max(a.area + b.area - shared, 1e-9)
