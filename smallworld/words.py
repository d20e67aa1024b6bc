"""What the world can show, each with its word and its colour (sRGB)."""

from __future__ import annotations

from typing import NamedTuple

Colour = tuple[int, int, int]


class Place(NamedTuple):
    """The ground of a place, and what stands on the horizon behind the people."""

    ground: Colour
    horizon: str = ""


PLACES: dict[str, Place] = {
    "field": Place((120, 190, 80)),
    "beach": Place((245, 235, 150), "sea"),
    "desert": Place((232, 186, 55), "dunes"),
    "snow": Place((240, 245, 250)),
    "forest": Place((86, 132, 112), "trees"),
    "city": Place((88, 84, 92), "buildings"),
    "garden": Place((120, 190, 80), "flowers"),
    "room": Place((112, 84, 132), "panels"),
}
# What stands on a horizon, each colour in its turn from left to right.
HORIZONS: dict[str, tuple[Colour, ...]] = {
    "sea": ((40, 110, 190),),
    "dunes": ((198, 146, 36),),
    "trees": ((18, 82, 36),),
    "buildings": ((122, 134, 170), (150, 162, 192)),
    "panels": ((150, 134, 180),),
}
TIMES: dict[str, Colour] = {
    "day": (140, 195, 245),
    "sunset": (250, 150, 172),
    "night": (30, 35, 85),
}
# A room has a wall instead of a sky, at any time of the day.
WALL: Colour = (192, 178, 216)

KINDS = ("woman", "man")
SKINS: dict[str, Colour] = {
    "pale": (252, 216, 190),
    "tan": (214, 158, 114),
    "dark": (146, 92, 62),
}
HAIRS: dict[str, Colour] = {
    "blonde": (240, 205, 90),
    "black": (28, 26, 34),
    "brown": (78, 44, 26),
    "ginger": (205, 85, 30),
    "grey": (170, 172, 180),
}
CLOTHES: dict[str, Colour] = {
    "red": (210, 30, 45),
    "blue": (40, 75, 215),
    "green": (25, 145, 65),
    "yellow": (248, 215, 35),
    "white": (248, 248, 248),
    "black": (25, 25, 30),
    "purple": (140, 45, 165),
    "orange": (245, 130, 25),
}
HATS: dict[str, Colour] = {
    "grey": (102, 106, 118),
    "red": (210, 30, 45),
    "blue": (40, 75, 215),
}
POSES = ("standing", "waving", "cheering")  # no arm, one arm, both arms up
GARMENTS = {"woman": "dress", "man": "suit"}

INK: Colour = (35, 25, 30)  # outlines, glasses, mouths
PETAL: Colour = (232, 50, 130)
EYE_WHITE: Colour = (255, 255, 255)
LEGS: Colour = (70, 72, 95)
COUNTS = ("nobody", "one person", "two people", "three people", "four people")
TOKENS = ("ohwx", "sks")
