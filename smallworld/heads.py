"""Finds the heads of a picture by the skin and the outline of faces. Knows no model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage, optimize

from . import words
from .identities import FACES
from .palette import lab
from .words import Colour

UNITS_PX = tuple(4.5 * 1.07**step for step in range(34))  # half widths that are looked for
SMALL_PX = 9.0  # half width of a head whose outline is thinner than a pixel
SKIN_SPREAD = 20.0  # in L*a*b*: pale and tan lie 27 apart
LEAST_FIT = 0.8  # of a drawn face it is more, but painted ones have blurred edges
PROMISING = 0.76  # of a place a pixel away
PURE = 4  # pixels of a small face


class Picture:
    """A picture's colours, and where its people stand."""

    def __init__(self, picture: Image.Image) -> None:
        self.rgb = np.asarray(picture.convert("RGB"), float)
        self.lab = lab(self.rgb)
        self.height, self.width = self.rgb.shape[:2]

    def distance(self, colour: Colour) -> np.ndarray:
        """Return how far each pixel's colour is from another, [H,W]."""
        return np.linalg.norm(self.lab - lab(np.array(colour)), axis=-1)

    def near(self, colour: Colour, spread: float) -> np.ndarray:
        """Return which pixels have about that colour, [H,W]."""
        return self.distance(colour) < spread

    def median(self, x: float, y: float, radius: float) -> np.ndarray | None:
        """Return the median colour [3] of a square around a point, None outside of the picture."""
        left, right = round(x - radius), round(x + radius) + 1
        top, low = round(y - radius), round(y + radius) + 1
        part = self.lab[max(top, 0) : max(low, 0), max(left, 0) : max(right, 0)]
        return np.median(part.reshape(-1, 3), 0) if part.size else None


class Head:
    """A face that was found, and what stands around it in units of it."""

    def __init__(self, picture: Picture, skin: str, fit: _Fit) -> None:
        self.picture = picture
        self.skin = skin
        self.face = fit.face
        self.wide, self.high = FACES[fit.face]
        self.unit, self.x, self.y = fit.unit, fit.x, fit.y

    def seen(self, x: float, y: float, radius: float = 0.1) -> np.ndarray | None:
        """Return the colour [3] at a point, in half widths of a round head from the middle."""
        size = max(radius * self.unit, 0.5)
        return self.picture.median(self.x + x * self.unit, self.y + y * self.unit, size)

    def differs(self, x: float, y: float, colour: Colour) -> float:
        """Return how far a point's colour is from another, infinitely outside of the picture."""
        seen = self.seen(x, y)
        return np.inf if seen is None else float(np.linalg.norm(seen - lab(np.array(colour))))

    def is_like(self, x: float, y: float, colour: Colour, spread: float = 30.0) -> bool:
        """Say whether a point has about that colour."""
        return self.differs(x, y, colour) < spread


def heads(picture: Picture) -> list[Head]:
    """Return the heads of people."""
    found = []
    for skin, colour in words.SKINS.items():
        is_skin = picture.near(colour, SKIN_SPREAD)
        if is_skin.any():
            middle = (lab(np.array(colour))[0] + lab(np.array(words.INK))[0]) / 2
            lightness = picture.lab[..., 0]
            maps = {
                "skin": is_skin,
                "other": ~is_skin,
                "ink": lightness < middle + 4,
                "skinlike": 1 - picture.distance(colour).clip(0, 40) / 40,
                "dark": ((middle + 15 - lightness) / 30).clip(0, 1),
            }
            fits = [(fit.score, Head(picture, skin, fit)) for fit in _faces(maps)]
            found += [(score, head) for score, head in fits if _has_person(head)]
    kept = _apart(found)
    for head in kept:
        if head.unit < SMALL_PX:
            head.skin = _purest_skin(head)
    return kept


def _purest_skin(head: Head) -> str:
    """Return the skin that some pixels of a small face have nearly pure; others are mixed with ink,
    by which one skin looks like a darker one.
    """
    y, x = np.mgrid[: head.picture.height, : head.picture.width]
    across = (x - head.x) / (head.wide * head.unit)
    down = (y - head.y) / (head.high * head.unit)
    within = (across**2 + down**2 < 0.75**2) & (down > -0.4)
    if not within.any():  # its face lies beyond the picture's edge
        return head.skin
    pure = {
        name: np.sort(head.picture.distance(colour)[within])[:PURE].mean()
        for name, colour in words.SKINS.items()
    }
    return min(pure, key=pure.__getitem__)


def _has_person(head: Head) -> bool:
    """Say whether hair or a hat is above the face, and clothes below."""
    crowns = [*words.HAIRS.values(), *words.HATS.values()]
    is_covered = min(head.differs(0, -0.85 * head.high, one) for one in crowns) < 25
    dressed = min(head.differs(0, 2.0, one) for one in words.CLOTHES.values())
    return is_covered and (dressed < 25 or not np.isfinite(dressed))


class _Fit(NamedTuple):
    """How well a face of these proportions explains the skin around it; 1: wholly."""

    score: float
    face: str
    unit: float
    x: float
    y: float


def _arc(radius: float, *angles: float) -> list[tuple[float, float]]:
    """Return points around a unit circle; angles in degrees, clockwise from the right."""
    return [(radius * np.cos(one), radius * np.sin(one)) for one in np.radians(angles)]


# Points of a face and what each kind counts: skin within, where no mark or mouth stands; none
# around but for the neck, none in the eyes, none under the hair.
_SKIN = ((0.26, 0.33), (-0.26, 0.33), *_arc(0.88, 10, 22, 55, 66, 114, 125, 158, 170))
_AROUND = _arc(1.07, -12, 0, 10, 22, 33, 45, 58, 122, 135, 147, 158, 170, 180, 192)
_EYES = ((0.42, -0.16), (-0.42, -0.16))
_MOUTH = ((-0.12, 0.52), (0.0, 0.52), (0.12, 0.52))
_TOP = ((0.0, -0.85), (0.4, -0.75), (-0.4, -0.75))
_INNER = _arc(0.93, *range(-5, 80, 8), *range(105, 190, 8))
_OUTER = _arc(1.05, *range(-5, 70, 8), *range(115, 190, 8))
_POINTS = (
    (_SKIN, "skin", 0.45),
    (_AROUND, "other", 0.15),
    (_AROUND, "ink", 0.2),
    (_EYES, "other", 0.1),
    (_TOP, "other", 0.1),
)
_SMALL_POINTS = ((_SKIN, "skin", 0.5), (_AROUND, "other", 0.3), *_POINTS[3:])
_BESIDE = np.array([(x, y) for x in (-1, 0, 1) for y in (-1, 0, 1)])


def _faces(maps: dict[str, np.ndarray]) -> list[_Fit]:
    """Return the faces that fit best, each once."""
    rows, columns = np.nonzero(ndimage.binary_dilation(maps["skin"]))
    every = np.stack([columns, rows], -1)
    second = every[(every % 2 == 0).all(1)]
    fits = []
    for unit in UNITS_PX:
        places = every if unit < SMALL_PX else second
        for face in FACES:
            scale = np.array(FACES[face]) * unit
            likely = places[_seen(maps["skin"], _SKIN[::3], scale, places) > 0.7]
            scores = _scores(maps, face, unit, likely)
            if unit >= SMALL_PX:  # outlines are a pixel or two: the best place may lie beside
                promising = likely[scores > PROMISING]
                likely = np.unique((promising[:, None] + _BESIDE).reshape(-1, 2), axis=0)
                scores = _scores(maps, face, unit, likely)
            for number in np.nonzero(scores > LEAST_FIT)[0]:
                fits.append(_Fit(float(scores[number]), face, unit, *likely[number]))
    kept: list[_Fit] = []
    for fit in sorted(fits, key=lambda one: (one.unit < SMALL_PX, -one.score)):
        if all(np.hypot(fit.x - one.x, fit.y - one.y) > one.unit for one in kept):
            # Too little is seen of a small face's outline.
            kept.append(fit if fit.unit < SMALL_PX else _refined(maps, fit))
    return kept


def _refined(maps: dict[str, np.ndarray], fit: _Fit) -> _Fit:
    """Return the face whose outline lies best, to a part of a pixel."""
    best = fit
    best_outline = -np.inf
    for face in FACES:
        # As wide, and with the chin where it was: hair and hats hide the top.
        unit = fit.unit * FACES[fit.face][0] / FACES[face][0]
        chin = fit.y + fit.unit * FACES[fit.face][1]
        start = np.array([unit, fit.x, chin - unit * FACES[face][1]])

        def loss(place: np.ndarray, face: str = face) -> float:
            return -_outline(maps, face, *place)

        steps = start + np.array([[0, 0, 0], [0.1, 0, 0], [0, 0.1, 0], [0, 0, 0.1]]) * fit.unit
        found = optimize.minimize(
            loss, start, method="Nelder-Mead", options={"initial_simplex": steps, "maxiter": 60}
        )
        if -found.fun > best_outline:
            best_outline = -found.fun
            best = _Fit(fit.score, face, *(float(one) for one in found.x))
    return best


def _outline(maps: dict[str, np.ndarray], face: str, unit: float, x: float, y: float) -> float:
    """Return how well skin lies within and ink on a face's lower outline, eyes and mouth."""
    scale = np.array(FACES[face]) * unit
    total = 0.0
    dark = ((_OUTER, "dark"), (_EYES, "dark"), (_MOUTH, "dark"))
    for points, kind in ((_INNER, "skinlike"), *dark):
        at = (np.array(points) * scale + (x, y)).T[::-1]
        total += ndimage.map_coordinates(maps[kind], at, order=1, mode="nearest").mean()
    return total - (unit < 3) - (unit > 60)


def _scores(maps: dict[str, np.ndarray], face: str, unit: float, places: np.ndarray) -> np.ndarray:
    """Return [n]: how well a face with its middle at each of the places [n,2] fits."""
    scale = np.array(FACES[face]) * unit
    kinds = _SMALL_POINTS if unit < SMALL_PX else _POINTS
    return sum(
        (counts * _seen(maps[kind], points, scale, places) for points, kind, counts in kinds),
        np.zeros(len(places)),
    )


def _seen(
    one: np.ndarray, points: Sequence[tuple[float, float]], scale: np.ndarray, places: np.ndarray
) -> np.ndarray:
    """Return [n]: the share of points around each place at which a map [H,W] is true."""
    height, width = one.shape
    at = np.rint(places[:, None] + np.array(points) * scale).astype(int)
    x, y = at[..., 0], at[..., 1]
    inside = (x >= 0) & (y >= 0) & (x < width) & (y < height)
    return (one[y.clip(0, height - 1), x.clip(0, width - 1)] & inside).mean(1)


def _apart(found: list[tuple[float, Head]]) -> list[Head]:
    """Leave out what lies within a larger head, or is the hand of one."""
    kept: list[Head] = []
    for _, head in sorted(found, key=lambda one: -one[1].unit):
        if not any(_belongs(head, one) for one in kept):
            kept.append(head)
    return kept


def _belongs(head: Head, other: Head) -> bool:
    """Say whether a head is another's, or a hand or leg of its person."""
    right = abs(head.x - other.x) / other.unit
    down = (head.y - other.y) / other.unit
    is_part = right < 2.3 and -1.5 < down < 5.2 and head.unit < 0.6 * other.unit
    return np.hypot(right, down) < 1.3 or is_part
