"""Tells by geometry and palette what a picture of the world shows. Knows no model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

from . import words
from .heads import Head, Picture, heads
from .identities import MARK_COLOURS, MARK_PLACES, Identity
from .palette import lab, nearest
from .words import Colour

READABLE_PX = 10.0  # half width of a head from which its details are read
# In L*a*b*: no hair is as near to a hat's crown; a brim is blurred with what is behind it.
CROWN_SPREAD, BRIM_SPREAD = 26.0, 42.0
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


def read(picture: Image.Image) -> Reading:
    """Return what a picture shows, its people from left to right."""
    seen = Picture(picture)
    found = sorted(heads(seen), key=lambda one: one.x)
    people = tuple(_person(head) for head in found)
    background = _background(seen, found)
    time = nearest(_sky(seen, background), {**words.TIMES, "room": words.WALL})
    place, horizon = _ground(seen, background, time)
    return Reading(place, "day" if time == "room" else time, horizon, people)


def _sky(picture: Picture, free: np.ndarray) -> np.ndarray:
    """Return the median colour [3] of the upper edge, beside the people where there is room."""
    rows = max(picture.height // 12, 2)
    top = picture.lab[:rows]
    beside = top[free[:rows]]
    return np.median(beside if len(beside) else top.reshape(-1, 3), 0)


def _person(head: Head) -> PersonRead:
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


def _hat(head: Head) -> str:
    """Return the colour of the hat: a crown, and either a brim wider than the hair on one side at
    least, for the other may be lost in what is behind, or a crown higher than hair.
    """
    middle = -0.5 * head.high - 0.13
    brim = [(side * 1.28 * head.wide, middle) for side in (-1, 1)]
    crown, top = (
        [(x * head.wide, y * head.high) for x in (-0.5, 0.0, 0.5)] for y in (-1.05, -1.35)
    )
    for name, colour in words.HATS.items():
        is_wide = any(head.is_like(*place, colour, BRIM_SPREAD) for place in brim)
        is_high = sum(_is_of_hat(head, place, colour) for place in top) >= 2
        is_crown = sum(_is_of_hat(head, place, colour) for place in crown) >= 2
        if is_crown and (is_wide or is_high):
            return name
    return ""


def _is_of_hat(head: Head, place: tuple[float, float], colour: Colour) -> bool:
    """Say whether a point has about the colour of a hat, and no hair's."""
    hair = min(head.differs(*place, one) for one in words.HAIRS.values())
    return head.differs(*place, colour) < min(CROWN_SPREAD, hair)


def _hair(head: Head, hat: str) -> str:
    places = [(side * 1.17 * head.wide, y) for side in (-1, 1) for y in (-0.25, -0.1, 0.05)]
    if not hat:
        places += [(x * head.wide, -1.0 * head.high) for x in (-0.35, 0.0, 0.35) for _ in range(3)]
    votes: dict[str, float] = {}
    for place in places:
        seen = head.seen(*place, 0.08)
        if seen is not None:
            for name, colour in words.HAIRS.items():
                distance = np.linalg.norm(seen - lab(np.array(colour)))
                votes[name] = votes.get(name, 0) + min(distance, 45)
    return min(votes, key=votes.__getitem__) if votes else ""


def _kind(head: Head, hair: str, clothes: str) -> str:
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


def _glasses(head: Head) -> bool:
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


def _pose(head: Head, clothes: str) -> str:
    skin, cloth = words.SKINS[head.skin], words.CLOTHES[clothes]
    up = 0
    for side in (-1, 1):
        high = head.differs(side * 1.7, 0.2, skin)
        low = head.differs(side * 1.25, 2.75, skin)
        arm = head.differs(side * 1.42, 0.56, cloth)
        up += high < low if min(high, low) < 25 else arm < 25
    return words.POSES[up]


def _identity(head: Head) -> Identity | None:
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


def _background(picture: Picture, heads: list[Head]) -> np.ndarray:
    """Return [H,W], True where no person stands."""
    free = np.ones((picture.height, picture.width), bool)
    for head in heads:
        for side, top, low in ((1.7, -1.9, 1.0), (2.05, -0.15, 2.0), (1.6, 1.0, 4.7)):
            left, right = (round(head.x + one * head.unit) for one in (-side, side))
            above, below = (round(head.y + one * head.unit) for one in (top, low))
            free[max(above, 0) : max(below, 0), max(left, 0) : max(right, 0)] = False
    return free


def _ground(picture: Picture, free: np.ndarray, time: str) -> tuple[str, int]:
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
    is_above = np.linalg.norm(picture.lab - _sky(picture, free), axis=-1) < 8
    for colour in words.HORIZONS.get(words.PLACES[place].horizon, ()):
        is_above |= picture.near(tuple(round(one * light) for one in colour), 8)
    near_people = np.where(is_ground, 1.0, np.where(is_above, -1.0, 0.0))
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
