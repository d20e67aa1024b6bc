"""What is painted and read for the figures of people who are replaced in a picture of the small
world: `BREAK BREAK` with an input image, whose background stays.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from comfyui_astria.bench._world import (
    HEIGHT,
    Scene,
    compiled,
    people_of,
    png_of,
    scene_of,
    with_inputs,
)
from comfyui_astria.nodes.graph.graph import Graph
from comfyui_astria.smallworld.drawing import drawn
from comfyui_astria.smallworld.scene import NEAR_PX, random_scene
from comfyui_astria.smallworld.scene import Scene as Drawn
from PIL import Image

ROOM_SIDE, ROOM_TOP, ROOM_BOTTOM = 1.85, 1.8, 4.6  # of a person's box, in half widths of the head
SOFT_PX = 8  # of the boxes' edges: half of it lies outside


@dataclass(frozen=True)
class Replaced:
    """A drawn picture of two people, and who shall stand in their places."""

    drawn: Drawn
    wanted: Scene

    @property
    def seed(self) -> int:
        """Of the picture and of the people."""
        return self.wanted.seed

    @property
    def name(self) -> str:
        """Its file in the host's input folder."""
        return f"replaced_{self.seed}.png"

    @property
    def file(self) -> bytes:
        """The picture as PNG."""
        return png_of(drawn(self.drawn))

    @property
    def boxes(self) -> list[tuple[float, float, float, float]]:
        """Left, top, width and height of each person in parts of the picture, from left to
        right.
        """
        found = []
        for one in self.drawn.figures:
            left = (one.x - ROOM_SIDE * one.head_px) / self.drawn.width
            top = max((one.y - ROOM_TOP * one.head_px) / self.drawn.height, 0.0)
            bottom = min((one.y + ROOM_BOTTOM * one.head_px) / self.drawn.height, 1.0)
            width = 2 * ROOM_SIDE * one.head_px / self.drawn.width
            found.append((left, top, width, bottom - top))
        return found


def replaced_of(seed: int, numbers: list[int]) -> Replaced:
    """Return the picture of this seed; the new people are those of `scene_of`."""
    wanted = scene_of(seed, 2, numbers)
    rng = np.random.default_rng(seed)
    there = random_scene(seed, 2, (wanted.width, HEIGHT))
    room = there.width / 2
    figures = tuple(
        replace(one, x=room * (at + 0.5), y=58.0, head_px=float(rng.uniform(*NEAR_PX)) * 0.9)
        for at, one in enumerate(there.figures)
    )
    place, _, time = wanted.place.partition(" at ")
    return Replaced(replace(there, place=place, time=time, figures=figures), wanted)


def ours(family: str, replaced: Replaced) -> Graph:
    """Return the pack's way, with boxes drawn around the people."""
    size = f"w={replaced.wanted.width}\nh={HEIGHT}\ndenoising_strength=1"
    text = f"BREAK{people_of(replaced.wanted)}\n{size}"
    graph = compiled(family, text, replaced.seed, image=replaced.name)
    drawn_boxes = " | ".join(" ".join(f"{one:.4f}" for one in box) for box in replaced.boxes)
    return with_inputs(graph, "AstriaRegions", drawn_boxes=drawn_boxes)


def kept_of(replaced: Replaced, picture: Image.Image) -> float:
    """Return which share of the pixels outside of all boxes and their soft edges is the drawn
    picture's.
    """
    before, after = np.asarray(drawn(replaced.drawn)), np.asarray(picture.convert("RGB"))
    height, width = before.shape[:2]
    outside = np.ones((height, width), bool)
    for left, top, wide, high in replaced.boxes:
        first, last = round(left * width) - SOFT_PX, round((left + wide) * width) + SOFT_PX
        upper, lower = round(top * height) - SOFT_PX, round((top + high) * height) + SOFT_PX
        outside[max(upper, 0) : lower, max(first, 0) : last] = False
    return float((before == after).all(2)[outside].mean())
