"""Faces by a box detector of another pack, such as a YOLO model for faces."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch

from ..errors import ImageError
from .detector import Detector
from .face import Face, overlap

AROUND = 0.5  # of the box, on each side: a point detector needs to see some of what is around
SMALLEST_SHARE = 0.2  # overlap of the two detectors' boxes below which they mean different faces


class BoxModel(Protocol):
    """The objects on BBOX_DETECTOR sockets."""

    def detect(
        self,
        image: torch.Tensor,
        threshold: float,
        dilation: int,
        crop_factor: float,
        drop_size: int,
    ) -> Any:
        """Return ((height, width), segments), each with `bbox` (left, top, right, bottom) and
        `confidence`, for one picture [1,H,W,3].
        """
        ...


class BoxFaceDetector:
    """Boxes of another pack's model.

    Where `points_by` is given, it looks for eyes, nose and mouth within each box.
    """

    key = None  # a socket does not say which file it came from

    def __init__(self, model: BoxModel, points_by: Detector | None) -> None:
        self._model = model
        self._points_by = points_by

    def find(self, pixels: np.ndarray, min_confidence: float) -> list[Face]:
        found = self._model.detect(
            torch.from_numpy(pixels)[None].float() / 255, min_confidence, 0, 1.0, 1
        )
        try:
            boxes = [
                Face(tuple(float(edge) for edge in one.bbox), score=float(np.max(one.confidence)))
                for one in found[1]
            ]
        except (TypeError, AttributeError, IndexError, KeyError) as error:
            message = (
                f"The connected bbox_detector returned {type(found).__name__}; expected ((height,"
                " width), segments with bbox and confidence)."
            )
            raise ImageError(
                message,
                code="bbox-detector",
                hint="Connect a face detector, or none to use the pack's own.",
            ) from error
        return (
            boxes
            if self._points_by is None
            else [_pointed(face, pixels, min_confidence, self._points_by) for face in boxes]
        )


def _pointed(face: Face, pixels: np.ndarray, min_confidence: float, points_by: Detector) -> Face:
    """Return the face with the points that `points_by` finds in its box, or as it is where that
    sees none.
    """
    left, top, right, bottom = face.box
    across, down = AROUND * face.width, AROUND * face.height
    x, y = max(int(left - across), 0), max(int(top - down), 0)
    part = pixels[y : max(int(bottom + down), y + 1), x : max(int(right + across), x + 1)]
    if part.size == 0:
        return face
    seen = [
        one.shifted(x, y)
        for one in points_by.find(np.ascontiguousarray(part), min_confidence)
        if one.points is not None
    ]
    best = max(seen, key=lambda one: overlap(one, face), default=None)
    if best is None or overlap(best, face) < SMALLEST_SHARE:
        return face
    return Face(face.box, best.points, face.score)
