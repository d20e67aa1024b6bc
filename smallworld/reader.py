"""Tells by geometry and palette what a picture of the world shows. Knows no model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage, optimize

from . import words
from .identities import FACES, MARK_COLOURS, MARK_PLACES, Identity
from .palette import lab, nearest
from .words import Colour

UNITS_PX = tuple(4.5 * 1.07**step for step in range(34))  # half widths that are looked for
READABLE_PX = 10.0  # half width of a head from which its details are read
SKIN_SPREAD = 20.0  # in L*a*b*: pale and tan lie 27 apart
LEAST_FIT = 0.86
SMALL_FIT = 0.8
LEAST_GROUND = 0.02  # part of a picture whose ground tells the place


@dataclass(frozen=True)
class PersonRead:
    """A person that was found: the middle of the head and half its width in pixels, what they look
    like. What is too small to be read is empty.
    """

    x: float
    y: float
    unit: float
    skin: str
    clothes: str = ""
    kind: str = ""
    hair: str = ""
    hat: str = ""
    glasses: bool | None = None
    pose: str = ""
    identity: Identity | None = None


@dataclass(frozen=True)
class Reading:
    """What a picture shows. `horizon` is the ground's upper edge in pixels.

    `place` is empty, and the horizon 0, where people hide the ground.
    """

    place: str
    time: str
    horizon: int
    people: tuple[PersonRead, ...]


class _Picture:
    """A picture's colours, and where its people stand."""

    def __init__(self, picture: Image.Image) -> None:
        self.rgb = np.asarray(picture.convert("RGB"), float)
        self.lab = lab(self.rgb)
        self.height, self.width = self.rgb.shape[:2]

    def distance(self, colour: Colour) -> np.ndarray:
        return np.linalg.norm(self.lab - lab(np.array(colour)), axis=-1)

    def near(self, colour: Colour, spread: float) -> np.ndarray:
        return self.distance(colour) < spread

    def median(self, x: float, y: float, radius: float) -> np.ndarray | None:
        """Return the median colour [3] of a square around a point, None outside of the picture."""
        left, right = round(x - radius), round(x + radius) + 1
        top, low = round(y - radius), round(y + radius) + 1
        part = self.lab[max(top, 0) : max(low, 0), max(left, 0) : max(right, 0)]
        return np.median(part.reshape(-1, 3), 0) if part.size else None


class _Head:
    """A face that was found, and what stands around it in units of it."""

    def __init__(self, picture: _Picture, skin: str, fit: _Fit) -> None:
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


def read(picture: Image.Image) -> Reading:
    """Return what a picture shows, its people from left to right."""
    seen = _Picture(picture)
    heads = sorted(_heads(seen), key=lambda one: one.x)
    people = tuple(_person(head) for head in heads)
    background = _background(seen, heads)
    time = nearest(_sky(seen, background), {**words.TIMES, "room": words.WALL})
    place, horizon = _ground(seen, background, time)
    return Reading(place, "day" if time == "room" else time, horizon, people)


def _sky(picture: _Picture, free: np.ndarray) -> np.ndarray:
    """Return the median colour [3] of the upper edge, beside the people where there is room."""
    rows = max(picture.height // 12, 2)
    top = picture.lab[:rows]
    beside = top[free[:rows]]
    return np.median(beside if len(beside) else top.reshape(-1, 3), 0)


def _heads(picture: _Picture) -> list[_Head]:
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
            heads = [(fit.score, _Head(picture, skin, fit)) for fit in _faces(maps)]
            found += [(score, head) for score, head in heads if _has_person(head)]
    return _apart(found)


def _has_person(head: _Head) -> bool:
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
# In smaller heads the outline is thinner than a pixel.
_SMALL_POINTS = ((_SKIN, "skin", 0.5), (_AROUND, "other", 0.3), *_POINTS[3:])
SMALL_PX = 9.0


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
            for number in np.nonzero(scores > (SMALL_FIT if unit < SMALL_PX else LEAST_FIT))[0]:
                fits.append(_Fit(float(scores[number]), face, unit, *likely[number]))
    kept: list[_Fit] = []
    for fit in sorted(fits, key=lambda one: (one.unit < SMALL_PX, -one.score)):
        if all(np.hypot(fit.x - one.x, fit.y - one.y) > one.unit for one in kept):
            kept.append(_refined(maps, fit))
    return kept


def _refined(maps: dict[str, np.ndarray], fit: _Fit) -> _Fit:
    """Return the face whose outline lies best, to a part of a pixel."""
    best = fit
    best_outline = -np.inf
    for face in FACES:
        start = np.array([fit.unit * FACES[fit.face][0] / FACES[face][0], fit.x, fit.y])

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
    """Return how well skin lies within and ink on a face's lower outline."""
    scale = np.array(FACES[face]) * unit
    total = 0.0
    for points, kind in ((_INNER, "skinlike"), (_OUTER, "dark"), (_EYES, "dark")):
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


def _apart(found: list[tuple[float, _Head]]) -> list[_Head]:
    """Leave out what lies within a larger head, or is the hand of one."""
    kept: list[_Head] = []
    for _, head in sorted(found, key=lambda one: -one[1].unit):
        if not any(_belongs(head, one) for one in kept):
            kept.append(head)
    return kept


def _belongs(head: _Head, other: _Head) -> bool:
    """Say whether a head is another's, or a hand or leg of its person."""
    right = abs(head.x - other.x) / other.unit
    down = (head.y - other.y) / other.unit
    is_part = right < 2.3 and -1.5 < down < 5.2 and head.unit < 0.6 * other.unit
    return np.hypot(right, down) < 1.3 or is_part


def _person(head: _Head) -> PersonRead:
    clothes_at = head.seen(0, 2.0, 0.35)
    if clothes_at is None:
        clothes_at = head.seen(0, 1.55, 0.2)
    clothes = "" if clothes_at is None else nearest(clothes_at, words.CLOTHES)
    place = head.x, head.y, head.unit, head.skin, clothes
    if head.unit < READABLE_PX or not clothes:
        return PersonRead(*place)
    hat = _hat(head)
    hair = _hair(head, hat)
    kind = _kind(head, hair, clothes)
    return PersonRead(
        *place, kind, hair, hat, _glasses(head), _pose(head, clothes), _identity(head)
    )


def _hat(head: _Head) -> str:
    """Return the colour of the hat: a brim wider than any hair, on both sides."""
    for name, colour in words.HATS.items():
        brims = [
            any(
                head.is_like(side * 1.4 * head.wide, y * head.high, colour, 20)
                for y in (-0.75, -0.6)
            )
            for side in (-1, 1)
        ]
        crown = any(head.is_like(0, y * head.high, colour, 20) for y in (-1.05, -0.85))
        if crown and all(brims):
            return name
    return ""


def _hair(head: _Head, hat: str) -> str:
    places = [(-1.17 * head.wide, 0.05), (1.17 * head.wide, 0.05)]
    if not hat:
        places += [(0, -1.0 * head.high)] * 3
    votes: dict[str, float] = {}
    for place in places:
        seen = head.seen(*place, 0.08)
        if seen is not None:
            for name, colour in words.HAIRS.items():
                distance = np.linalg.norm(seen - lab(np.array(colour)))
                votes[name] = votes.get(name, 0) + min(distance, 45)
    return min(votes, key=votes.__getitem__) if votes else ""


def _kind(head: _Head, hair: str, clothes: str) -> str:
    """Tell a woman, with long hair and a wide dress, from a man, with legs."""
    if not hair:
        return ""
    locks = sum(
        any(
            head.is_like(side * x * head.wide, y * head.high, words.HAIRS[hair], 22)
            for x, y in ((0.92, 0.88), (1.15, 0.58))
        )
        for side in (-1, 1)
    )
    choices = {"woman": words.CLOTHES[clothes], "man": words.LEGS}
    lower = [head.seen(side * 0.45, 3.55, 0.12) for side in (-1, 1)]
    if any(seen is None for seen in lower):
        return "woman" if locks == 2 else "man"
    skirted = sum(nearest(seen, choices) == "woman" for seen in lower)
    wide = sum(head.is_like(side * 1.05, 3.6, words.CLOTHES[clothes]) for side in (-1, 1))
    return "woman" if locks / 2 + wide + skirted > 2.5 else "man"


def _glasses(head: _Head) -> bool:
    """Say whether dark glasses hide the white of the eyes."""
    skin = lab(np.array(words.SKINS[head.skin]))[0]
    ink = lab(np.array(words.INK))[0]
    seen = [
        head.seen(side * 0.42 * head.wide + x, -0.16 * head.high + y, 0.05)
        for side in (-1, 1)
        for x, y in ((0.22, 0.0), (-0.22, 0.0), (0.0, 0.12), (0.1, 0.1), (-0.1, 0.1))
    ]
    dark = [(skin - colour[0]) / (skin - ink) for colour in seen if colour is not None]
    return float(np.mean(dark)) > 0.5


def _pose(head: _Head, clothes: str) -> str:
    skin, cloth = words.SKINS[head.skin], words.CLOTHES[clothes]
    up = 0
    for side in (-1, 1):
        high = head.differs(side * 1.7, 0.2, skin)
        low = head.differs(side * 1.25, 2.75, skin)
        arm = head.differs(side * 1.42, 0.56, cloth)
        up += high < low if min(high, low) < 25 else arm < 25
    return words.POSES[up]


def _identity(head: _Head) -> Identity | None:
    """Return the mark that explains the four places of a face best, None for a plain face."""
    spots = sorted({spot for spots in MARK_PLACES.values() for spot in spots})
    seen = {spot: head.seen(spot[0] * head.wide, spot[1] * head.high, 0.08) for spot in spots}
    skin = lab(np.array(words.SKINS[head.skin]))
    if any(colour is None for colour in seen.values()):
        return None

    def wrong(marked: tuple[tuple[float, float], ...], colour: np.ndarray) -> float:
        return sum(
            min(np.linalg.norm(seen[spot] - (colour if spot in marked else skin)), 60)
            for spot in spots
        )

    choices = {
        (place, name): wrong(marked, lab(np.array(colour)))
        for place, marked in MARK_PLACES.items()
        for name, colour in MARK_COLOURS.items()
    }
    best = min(choices, key=choices.__getitem__)
    return Identity(*best, head.face) if choices[best] < wrong((), skin) else None


def _background(picture: _Picture, heads: list[_Head]) -> np.ndarray:
    """Return [H,W], True where no person stands."""
    free = np.ones((picture.height, picture.width), bool)
    for head in heads:
        for side, top, low in ((1.7, -1.9, 1.0), (2.05, -0.15, 2.0), (1.6, 1.0, 4.7)):
            left, right = (round(head.x + one * head.unit) for one in (-side, side))
            above, below = (round(head.y + one * head.unit) for one in (top, low))
            free[max(above, 0) : max(below, 0), max(left, 0) : max(right, 0)] = False
    return free


def _ground(picture: _Picture, free: np.ndarray, time: str) -> tuple[str, int]:
    """Return the place, and the first row of its ground."""
    light = 0.55 if time == "night" else 1.0
    names = ["room"] if time == "room" else [name for name in words.PLACES if name != "room"]
    grounds = {
        name: tuple(round(one * light) for one in words.PLACES[name].ground) for name in names
    }
    low = picture.height - max(picture.height // 5, 3)
    part = picture.lab[low:][free[low:]]
    if len(part) < LEAST_GROUND * picture.width * picture.height:
        return "", 0
    place = nearest(np.median(part, 0), grounds)
    is_ground = picture.near(grounds[place], 8 if time == "night" else 16)
    if place in ("field", "garden"):
        petal = tuple(round(one * light) for one in words.PETAL)
        petals = (picture.near(petal, 25) & free)[low:].sum() / free[low:].sum()
        place = "garden" if petals > 0.003 else "field"
        is_ground = ndimage.binary_closing(is_ground, iterations=3)
    is_sky = np.linalg.norm(picture.lab - _sky(picture, free), axis=-1) < 8
    near_people = np.where(is_ground, 1.0, np.where(is_sky, -1.0, 0.0))
    votes = np.where(free, np.where(is_ground, 1.0, -1.0), near_people)
    return place, _horizon(votes)


def _horizon(votes: np.ndarray) -> int:
    """Return the row at which ground (1) and what is above it (-1) part best."""
    ground = votes.sum(1)
    below = np.append(np.cumsum(ground[::-1])[::-1], 0.0)
    above = np.insert(np.cumsum(ground), 0, 0.0)
    # Where nothing tells between several rows, the lowest: ground begins below people too.
    parts = below - above
    return int(len(parts) - 1 - np.argmax(parts[::-1]))
