"""A face found in a picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Face:
    """Where a face is, and whose: what detectors give, whatever their kind.

    `box` is (left, top, right, bottom) in pixels. `points` [5,2] in pixels: two eyes, nose, two mouth corners, each pair from the picture's
    left to its right for an upright face. `embedding` [512] is the recogniser's, not normalised. Points and embedding are None where
    the detector has none.
    """

    box: tuple[float, float, float, float]
    points: np.ndarray | None = None
    score: float = 1.0
    embedding: np.ndarray | None = None

    @property
    def width(self) -> float:
        return self.box[2] - self.box[0]

    @property
    def height(self) -> float:
        return self.box[3] - self.box[1]
