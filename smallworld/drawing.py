"""A scene -> its picture."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from . import words
from .identities import FACES, MARK_COLOURS, MARK_PLACES
from .scene import Figure, Scene
from .words import Colour

FINE = 4  # drawn so many times larger, then averaged: smooth edges, as in a photo
MARK = 0.19  # radius of a mark, in half widths of a head
# From the middle of a face, in half widths of a head: an eye and a corner of the mouth, right and
# down; the other is as far left.
EYE = (0.42, -0.16)
MOUTH = (0.2, 0.52)
OUTLINE = 1.1  # of a face's width and height


class Pen:
    """Draws in units of one figure: the middle of the head is 0, half its width 1."""

    def __init__(self, draw: ImageDraw.ImageDraw, x: float, y: float, unit: float) -> None:
        self._draw = draw
        self._x = x * FINE
        self._y = y * FINE
        self._unit = unit * FINE

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Return a point in pixels of the fine picture."""
        return self._x + x * self._unit, self._y + y * self._unit

    def oval(self, x: float, y: float, width: float, height: float, colour: Colour) -> None:
        """Fill an ellipse around a point; width and height are half axes."""
        box = (*self.at(x - width, y - height), *self.at(x + width, y + height))
        self._draw.ellipse(box, fill=colour)

    def area(self, colour: Colour, *points: tuple[float, float]) -> None:
        """Fill a polygon."""
        self._draw.polygon([self.at(*point) for point in points], fill=colour)

    def line(self, colour: Colour, width: float, *points: tuple[float, float]) -> None:
        """Draw a line with round joints."""
        pixels = max(1, round(width * self._unit))
        self._draw.line([self.at(*point) for point in points], fill=colour, width=pixels)


def drawn(scene: Scene) -> Image.Image:
    """Return the picture of a scene, RGB, of its size."""
    return smaller(drawn_fine(scene))


def smaller(fine: Image.Image) -> Image.Image:
    """Return a fine picture FINE times smaller, each pixel the mean of those that it covers."""
    return fine.resize((fine.width // FINE, fine.height // FINE), Image.Resampling.BOX)


def drawn_fine(scene: Scene) -> Image.Image:
    """Return the picture of a scene, RGB, FINE times as large."""
    fine = Image.new("RGB", (scene.width * FINE, scene.height * FINE), _sky(scene))
    draw = ImageDraw.Draw(fine)
    _draw_place(draw, scene)
    for figure in sorted(scene.figures, key=lambda one: one.head_px):
        draw_figure(Pen(draw, figure.x, figure.y, figure.head_px), figure)
    return fine


def _sky(scene: Scene) -> Colour:
    return words.WALL if scene.place == "room" else words.TIMES[scene.time]


def _shaded(colour: Colour, light: float) -> Colour:
    return tuple(max(0, min(255, round(one * light))) for one in colour)


def _draw_place(draw: ImageDraw.ImageDraw, scene: Scene) -> None:
    light = 0.55 if scene.time == "night" else 1.0
    width, height = scene.width * FINE, scene.height * FINE
    horizon = scene.horizon * FINE
    pen = Pen(draw, 0, scene.horizon, scene.height)
    if scene.sun_x is not None:
        colour = (214, 226, 255) if scene.time == "night" else (255, 225, 60)
        up = -0.08 if scene.time == "sunset" else -0.38
        Pen(draw, scene.sun_x, scene.horizon, scene.height).oval(0, up, 0.07, 0.07, colour)
    _draw_horizon(pen, scene, light)
    ground = _shaded(words.PLACES[scene.place].ground, light)
    draw.rectangle((0, horizon, width, height), fill=ground)
    if scene.house_x is not None:
        _draw_house(Pen(draw, scene.house_x, scene.horizon, scene.height), light)
    for x in scene.tree_xs:
        _draw_tree(Pen(draw, x, scene.horizon, scene.height), light)
    if scene.place == "garden":
        _draw_flowers(draw, scene, light)


def _draw_horizon(pen: Pen, scene: Scene, light: float) -> None:
    """Draw what is seen above the ground's edge, over the whole width."""
    kind = words.PLACES[scene.place].horizon
    wide = scene.width / scene.height
    colours = [_shaded(one, light) for one in words.HORIZONS.get(kind, ())]
    if kind == "sea":
        [colour] = colours
        pen.area(colour, (0, -0.12), (wide, -0.12), (wide, 0), (0, 0))
    elif kind == "dunes":
        for start in (-0.1, 0.45, 0.95):
            pen.area(colours[0], (start, 0), (start + 0.3, -0.13), (start + 0.65, 0))
    elif kind == "trees":
        for x in np.arange(0, wide + 0.1, 0.12):
            pen.area(colours[0], (x - 0.1, 0), (x, -0.34), (x + 0.1, 0))
    elif kind == "buildings":
        heights = (0.3, 0.2, 0.38, 0.25, 0.33, 0.18)
        for number, x in enumerate(np.arange(0, wide, 0.16)):
            colour = colours[number % len(colours)]
            top = -heights[number % len(heights)]
            pen.area(colour, (x, 0), (x, top), (x + 0.15, top), (x + 0.15, 0))
    elif kind == "panels":
        for x in np.arange(0, wide, 0.14):
            pen.area(colours[0], (x, 0), (x, -1), (x + 0.02, -1), (x + 0.02, 0))


def _draw_house(pen: Pen, light: float) -> None:
    wall = _shaded((205, 222, 236), light)
    pen.area(wall, (-0.1, 0.02), (-0.1, -0.13), (0.1, -0.13), (0.1, 0.02))
    pen.area(_shaded((150, 40, 40), light), (-0.13, -0.13), (0, -0.25), (0.13, -0.13))
    pen.area(
        _shaded((90, 60, 40), light), (-0.025, 0.02), (-0.025, -0.06), (0.025, -0.06), (0.025, 0.02)
    )


def _draw_tree(pen: Pen, light: float) -> None:
    trunk = _shaded((95, 60, 35), light)
    pen.area(trunk, (-0.018, 0.03), (-0.018, -0.15), (0.018, -0.15), (0.018, 0.03))
    pen.oval(0, -0.21, 0.085, 0.1, _shaded((35, 120, 50), light))


def _draw_flowers(draw: ImageDraw.ImageDraw, scene: Scene, light: float) -> None:
    rng = np.random.default_rng(scene.horizon)
    colours = (words.PETAL, (250, 220, 60))
    for number in range(scene.width // 3):
        x = rng.uniform(0, scene.width)
        y = rng.uniform(scene.horizon + 3, scene.height)
        colour = _shaded(colours[number % len(colours)], light)
        Pen(draw, x, y, 2.0).oval(0, 0, 1, 1, colour)


def draw_figure(pen: Pen, figure: Figure) -> None:
    """Draw a person from the back to the front."""
    wide, high = FACES[figure.identity.face] if figure.identity else (1.0, 1.0)
    hair = words.HAIRS[figure.hair]
    skin = words.SKINS[figure.skin]
    pen.oval(0, -0.15, wide * 1.28, high * 1.2, hair)
    if figure.kind == "woman":
        for side in (-1, 1):
            x = side * wide * 0.98
            pen.area(hair, (x - 0.3, -0.1), (x + 0.3, -0.1), (x + 0.3, 1.5), (x - 0.3, 1.5))
    _draw_body(pen, figure, skin)
    pen.oval(0, 0, wide * OUTLINE, high * OUTLINE, words.INK)
    pen.oval(0, 0, wide, high, skin)
    _draw_face(pen, figure)
    if not figure.hat:
        fringe = [(x, -0.52 * high) for x in (wide * 0.86, -wide * 0.86)]
        top = [(-wide * 0.6, -high * 0.95), (0, -high * 1.12), (wide * 0.6, -high * 0.95)]
        pen.area(hair, *fringe, *top)
    else:
        _draw_hat(pen, wide, high, words.HATS[figure.hat])


def _draw_body(pen: Pen, figure: Figure, skin: Colour) -> None:
    clothes = words.CLOTHES[figure.clothes]
    edge = words.INK
    up = {"standing": 0, "waving": 1, "cheering": 2}[figure.pose]
    for number, side in enumerate((1, -1)):
        hand = (side * 1.7, 0.2) if number < up else (side * 1.25, 2.75)
        pen.line(edge, 0.58, (side * 0.7, 1.5), hand)
        pen.line(clothes, 0.46, (side * 0.7, 1.5), hand)
        pen.oval(*hand, 0.27, 0.27, skin)
    if figure.kind == "woman":
        for side in (-0.35, 0.35):
            pen.line(skin, 0.3, (side, 3.8), (side, 4.5))
        pen.area(edge, (-0.72, 1.12), (0.72, 1.12), (1.42, 4.05), (-1.42, 4.05))
        pen.area(clothes, (-0.65, 1.18), (0.65, 1.18), (1.33, 3.98), (-1.33, 3.98))
    else:
        for side in (-0.45, 0.45):
            pen.line(words.LEGS, 0.62, (side, 3.0), (side, 4.5))
        pen.area(edge, (-1.02, 1.12), (1.02, 1.12), (0.92, 3.28), (-0.92, 3.28))
        pen.area(clothes, (-0.95, 1.18), (0.95, 1.18), (0.85, 3.2), (-0.85, 3.2))
    pen.line(skin, 0.5, (0, 0.8), (0, 1.3))


def _draw_face(pen: Pen, figure: Figure) -> None:
    wide, high = FACES[figure.identity.face] if figure.identity else (1.0, 1.0)
    for side in (-1, 1):
        x, y = side * EYE[0] * wide, EYE[1] * high
        if figure.glasses:
            pen.oval(x, y, 0.32, 0.24, words.INK)
        else:
            pen.oval(x, y, 0.2, 0.17, words.EYE_WHITE)
            pen.oval(x, y, 0.12, 0.13, words.INK)
    if figure.glasses:
        pen.line(words.INK, 0.12, (-wide, -0.2 * high), (wide, -0.2 * high))
    mouth = [(side * MOUTH[0] * wide, MOUTH[1] * high) for side in (-1, 1)]
    pen.line(words.INK, 0.09, *mouth)
    if figure.identity:
        colour = MARK_COLOURS[figure.identity.colour]
        for x, y in MARK_PLACES[figure.identity.place]:
            pen.oval(x * wide, y * high, MARK, MARK, colour)


def _draw_hat(pen: Pen, wide: float, high: float, colour: Colour) -> None:
    brim, crown = wide * 1.5, wide * 0.95
    low, top = -0.5 * high, -1.6 * high
    for grow, fill in ((0.06, words.INK), (0.0, colour)):
        pen.area(fill, *_box(crown + grow, top - grow, low))
        pen.area(fill, *_box(brim + grow, low - 0.26 - grow, low + grow))


def _box(half: float, top: float, low: float) -> tuple[tuple[float, float], ...]:
    return (-half, top), (half, top), (half, low), (-half, low)
