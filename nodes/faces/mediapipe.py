"""Faces by the host's MediaPipe model: boxes, and five points out of its 478 landmarks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol

import numpy as np

from .face import Face
from .tiles import each_once, is_cut, windows

# Landmarks of the face mesh whose mean is each of the five points, left and right as seen in the
# picture: the corners of each eye (their middle does not move with the gaze, as the iris does), the
# nose's tip, the corners of the mouth.
LANDMARKS = ((33, 133), (362, 263), (1,), (61,), (291,))
Variant = Literal["short", "full"]  # the model's two detectors
NEAR: Variant = "short"
FAR: Variant = "full"


class LandmarkModel(Protocol):
    """The output of the host's Load Face Detection Model (MediaPipe) node."""

    def detect_batch(
        self, images: Sequence[np.ndarray], num_faces: int, score_thresh: float, variant: Variant
    ) -> list[list[dict[str, Any]]]:
        """Return the faces of each picture, uint8 [H,W,3]; `num_faces` 0 means all."""
        ...


class MediapipeDetector:
    """Faces by MediaPipe, whose detectors shrink a picture to 128 or 192 px: near faces are found
    in the whole picture, far ones in overlapping tiles.
    """

    key = "mediapipe"

    def __init__(self, model: LandmarkModel) -> None:
        self._model = model

    def find(self, pixels: np.ndarray, min_confidence: float) -> list[Face]:
        height, width = pixels.shape[:2]
        whole = self._seen(pixels, min_confidence, NEAR)
        faces = [_face(one) for one in whole]
        # One at a time: the tiles of a large picture together would take several times its memory.
        for left, top, right, bottom in windows(width, height):
            tile = np.ascontiguousarray(pixels[top:bottom, left:right])
            found = [_face(one).shifted(left, top) for one in self._seen(tile, min_confidence, FAR)]
            faces += [
                face
                for face in found
                if not is_cut(face, (left, top, right, bottom), width, height)
            ]
        return each_once(faces)

    def _seen(
        self, pixels: np.ndarray, min_confidence: float, variant: Variant
    ) -> list[dict[str, Any]]:
        return self._model.detect_batch(
            [pixels], num_faces=0, score_thresh=min_confidence, variant=variant
        )[0]


def five_points(landmarks: np.ndarray) -> np.ndarray:
    """Return eyes, nose and mouth corners [5,2] of the face mesh's landmarks [478,2]."""
    return np.stack([landmarks[list(group)].mean(0) for group in LANDMARKS]).astype(np.float32)


def _face(one: dict[str, Any]) -> Face:
    return Face(
        tuple(float(edge) for edge in one["bbox_xyxy"]),
        five_points(np.asarray(one["landmarks_xy"])),
        float(one["score"]),
    )
