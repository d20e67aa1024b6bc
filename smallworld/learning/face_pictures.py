"""Pictures with faces as a detector sees them, and crops of faces as a recogniser does."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np

from ...nodes.faces.align import arcface_template, similarity
from ..drawing import MARK, drawn
from ..identities import Identity
from ..landmarks import face_box, face_points, mark_points
from ..scene import SIZES, Figure, Scene, random_scene
from .face_nets import CROP

JOINED = 0.25  # how often several pictures are seen as one
ALONE = 0.4  # how often one person stands in it, in three of ten cases close up
PART = 0.4  # how often only a part of a picture is seen, so that heads have every size
LARGEST = 0.75  # of a part's shorter side, a face
TURNED = 0.1  # how often a picture lies on its side or head, where no face counts
# Spread of what a detector is wrong by: each point and all of them, in half widths of a head; width
# and height of the face, as a part.
POINTS_OFF, SIDES_OFF = 0.04, 0.08
LOOKS = 2  # crops of a face that was drawn once
FINE_BITS = 4  # of a place in a pixel
REPAINTED = 0.5  # how often a mark has any colour, so that no colour goes with certain proportions


class Seen(NamedTuple):
    """A picture, uint8 [H,W,3] RGB, the boxes [n,4] and points [n,5,2] of its faces in pixels."""

    pixels: np.ndarray
    boxes: np.ndarray
    points: np.ndarray


def seen(scene: Scene) -> Seen:
    """Return a scene's picture and its faces."""
    figures = scene.figures
    boxes = np.array([face_box(one) for one in figures]).reshape(-1, 4)
    points = np.array([face_points(one) for one in figures]).reshape(-1, 5, 2)
    return Seen(np.array(drawn(scene)), boxes, points)


def random_picture(rng: np.random.Generator) -> Seen:
    """Return a picture to learn from, or several as one, as poor as painted ones may be."""
    across, down = (1, 1) if rng.random() > JOINED else ((2, 1), (1, 2), (2, 2))[rng.integers(3)]
    size = SIZES[rng.integers(len(SIZES))]
    people = 1 if rng.random() < ALONE else None
    parts = [
        [seen(random_scene(int(rng.integers(1 << 40)), people, size)) for _ in range(across)]
        for _ in range(down)
    ]
    pixels = np.concatenate([np.concatenate([one.pixels for one in row], 1) for row in parts])
    found = [
        (part.boxes + np.tile(place, 2), part.points + place)
        for row, line in enumerate(parts)
        for column, part in enumerate(line)
        for place in [np.array([column * size[0], row * size[1]])]
    ]
    whole = Seen(pixels, *(np.concatenate(one) for one in zip(*found, strict=True)))
    pixels, boxes, points = _part(whole, rng) if rng.random() < PART else whole
    if rng.random() < TURNED:
        pixels, boxes, points = np.rot90(pixels, rng.integers(1, 4)), boxes[:0], points[:0]
    return Seen(poorer(pixels, rng), boxes, points)


def _part(picture: Seen, rng: np.random.Generator) -> Seen:
    """Return a part of a picture, around a face where there is one, with the faces that have their
    middle in it.
    """
    height, width = picture.pixels.shape[:2]
    largest = (picture.boxes[:, 2:] - picture.boxes[:, :2]).max(initial=0)
    least = max(0.45, largest / (LARGEST * min(width, height)))
    size = (np.array([width, height]) * min(rng.uniform(least, 1.1), 1)).astype(int)
    middles = (picture.boxes[:, :2] + picture.boxes[:, 2:]) / 2
    around = rng.uniform(0, (width, height))
    if len(middles):
        around = middles[rng.integers(len(middles))] + rng.uniform(-0.3, 0.3, 2) * size
    place = (around - size / 2).clip(0, np.array([width, height]) - size).astype(int)
    pixels = picture.pixels[place[1] : place[1] + size[1], place[0] : place[0] + size[0]]
    kept = ((middles > place) & (middles < place + size)).all(1)
    return Seen(pixels, picture.boxes[kept] - np.tile(place, 2), picture.points[kept] - place)


def poorer(pixels: np.ndarray, rng: np.random.Generator, light: bool = True) -> np.ndarray:
    """Return a picture that is blurred and has noise in half of the cases, and has other light."""
    found = np.ascontiguousarray(pixels)
    if rng.random() < 0.5:
        found = cv2.GaussianBlur(found, (0, 0), rng.uniform(0.3, 1.0))
    if light:
        lights = rng.uniform(0.9, 1.1, 3) * rng.uniform(0.9, 1.1)
        levels = np.arange(256)[:, None] * lights + rng.uniform(-8, 8)
        found = cv2.LUT(found, levels.clip(0, 255).astype(np.uint8)[:, None])
    if rng.random() < 0.5:
        noise = rng.standard_normal(found.shape, np.float32) * np.float32(rng.uniform(1, 10))
        found = (found + noise).clip(0, 255).astype(np.uint8)
    return found


def on_canvas(picture: Seen, side: int) -> Seen:
    """Return a picture as InsightFace's detectors get it: scaled into a square, black beside it."""
    height, width = picture.pixels.shape[:2]
    scale = side / max(height, width)
    canvas = np.zeros((side, side, 3), np.uint8)
    size = int(width * scale), int(height * scale)
    canvas[: size[1], : size[0]] = cv2.resize(picture.pixels, size)
    return Seen(canvas, picture.boxes * scale, picture.points * scale)


class Crop(NamedTuple):
    """A face, aligned, uint8 [112,112,3] RGB; whose it is; whether its mark has any colour."""

    pixels: np.ndarray
    identity: Identity | None
    is_repainted: bool


def random_faces(rng: np.random.Generator) -> Iterator[Crop]:
    """Yield aligned faces to learn from, without end."""
    while True:
        scene = random_scene(int(rng.integers(1 << 40)))
        pixels = np.array(drawn(scene))
        repainted = [one.identity is not None and rng.random() < REPAINTED for one in scene.figures]
        for figure in itertools.compress(scene.figures, repainted):
            _repaint(pixels, figure, rng)
        pixels = poorer(pixels, rng)
        for figure, is_repainted in zip(scene.figures, repainted, strict=True):
            for _ in range(LOOKS):
                matrix = similarity(_found_points(figure, rng), arcface_template(CROP))
                crop = cv2.warpAffine(pixels, matrix, (CROP, CROP))
                yield Crop(crop, figure.identity, is_repainted)


def _found_points(figure: Figure, rng: np.random.Generator) -> np.ndarray:
    """Return the points [5,2] of a face as a detector may find them."""
    points = face_points(figure)
    middle = points.mean(0)
    off = rng.normal(0, POINTS_OFF * figure.head_px, (6, 2))
    return middle + (points - middle) * np.exp(rng.normal(0, SIDES_OFF, 2)) + off[:5] + off[5]


def _repaint(pixels: np.ndarray, figure: Figure, rng: np.random.Generator) -> None:
    """Give the mark of a drawn face any colour."""
    colour = rng.integers(0, 256, 3).tolist()
    fine = 1 << FINE_BITS
    radius = round(1.05 * MARK * figure.head_px * fine)
    for middle in mark_points(figure):
        place = tuple((middle * fine).round().astype(int).tolist())
        cv2.circle(pixels, place, radius, colour, cv2.FILLED, cv2.LINE_AA, FINE_BITS)
