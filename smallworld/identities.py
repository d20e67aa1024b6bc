"""Faces that no word can say: a mark, its place and colour, and the proportions of the face."""

from __future__ import annotations

import itertools
import random
from typing import NamedTuple

from .words import Colour

# From the middle of a face, in half widths of a head: right and down.
MARK_PLACES: dict[str, tuple[tuple[float, float], ...]] = {
    "left cheek": ((-0.52, 0.38),),
    "right cheek": ((0.52, 0.38),),
    "both cheeks": ((-0.52, 0.38), (0.52, 0.38)),
    "chin": ((0.0, 0.82),),
    "nose": ((0.0, 0.2),),
}
MARK_COLOURS: dict[str, Colour] = {
    "red": (225, 20, 40),
    "blue": (30, 70, 230),
    "green": (20, 160, 60),
    "cyan": (0, 205, 225),
    "black": (15, 15, 20),
    "violet": (165, 40, 190),
}
# Width and height of a head against a round one.
FACES: dict[str, tuple[float, float]] = {
    "round": (1.0, 1.0),
    "tall": (0.86, 1.16),
    "wide": (1.16, 0.9),
}
LEARNED, HELD_OUT = 60, 20


class Identity(NamedTuple):
    """One person's face."""

    place: str
    colour: str
    face: str


def _all() -> tuple[Identity, ...]:
    found = [Identity(*one) for one in itertools.product(MARK_PLACES, MARK_COLOURS, FACES)]
    random.Random(20).shuffle(found)
    return tuple(found[: LEARNED + HELD_OUT])


ALL = _all()
# The base models saw the first; adapters and LoRAs are measured on the others.
learned = ALL[:LEARNED]
held_out = ALL[LEARNED:]
