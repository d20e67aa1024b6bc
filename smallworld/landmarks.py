"""Where a drawn face stands in its picture, as face detectors tell it: a box and five points."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .drawing import EYE, FINE, MOUTH, OUTLINE
from .identities import FACES, MARK_PLACES
from .scene import Figure

NOSE = (0.0, 0.2)
# Right eye, left eye, nose, right and left corner of the mouth, as the person has them.
_FIVE = ((-EYE[0], EYE[1]), EYE, NOSE, (-MOUTH[0], MOUTH[1]), MOUTH)
# What is drawn at a place of the fine picture fills the pixel that begins there.
_SHIFT = 0.5 / FINE


def face_box(figure: Figure) -> np.ndarray:
    """Return left, top, right, bottom [4] of the face with its outline, counted from the edges of
    pixels.
    """
    half = OUTLINE * figure.head_px * _proportions(figure)
    middle = np.array([figure.x, figure.y]) + _SHIFT
    return np.concatenate([middle - half, middle + half])


def face_points(figure: Figure) -> np.ndarray:
    """Return eyes, nose and mouth corners [5,2] in pixels, from the middle of the first one."""
    return _pixels(figure, _FIVE)


def mark_points(figure: Figure) -> np.ndarray:
    """Return the middles [n,2] of the face's marks in the same way; one without marks has none."""
    return _pixels(figure, MARK_PLACES[figure.identity.place] if figure.identity else ())


def _pixels(figure: Figure, places: Sequence[tuple[float, float]]) -> np.ndarray:
    points = np.array(places).reshape(-1, 2) * _proportions(figure) * figure.head_px
    return points + np.array([figure.x, figure.y]) + _SHIFT - 0.5


def _proportions(figure: Figure) -> np.ndarray:
    return np.array(FACES[figure.identity.face] if figure.identity else (1.0, 1.0))
