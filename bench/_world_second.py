"""What is painted and read for the figures of a second person in the small world: a picture of one
person is extended to the right, where somebody else is to stand.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from comfyui_astria.bench._world import (
    HEIGHT,
    WIDTH,
    Scene,
    Sitter,
    compiled,
    person_in,
    png_of,
    read_of,
)
from comfyui_astria.bench._world_outpaint import padded
from comfyui_astria.nodes.graph.graph import Graph
from comfyui_astria.nodes.outpaint.geometry import Canvas, place
from comfyui_astria.smallworld import identities, words
from comfyui_astria.smallworld.captions import figure_words, place_words
from comfyui_astria.smallworld.comparing import asked, person_words
from comfyui_astria.smallworld.drawing import drawn
from comfyui_astria.smallworld.reader import Reading
from comfyui_astria.smallworld.scene import NEAR_PX, random_scene
from comfyui_astria.smallworld.scene import Scene as Drawn
from PIL import Image

ANCHOR = "left-center"
ROOM = WIDTH // 2  # of each person; the source is as wide


@dataclass(frozen=True)
class Second:
    """A place with two people, of whom a drawn picture shows the left one."""

    drawn: Drawn
    wanted: Scene

    @property
    def seed(self) -> int:
        """Of the place and of the people."""
        return self.wanted.seed

    @property
    def name(self) -> str:
        """Its file in the host's input folder."""
        return f"second_{self.seed}.png"

    @property
    def picture(self) -> Image.Image:
        """The left half, with the left person alone."""
        alone = replace(self.drawn, figures=self.drawn.figures[:1])
        return drawn(alone).crop((0, 0, ROOM, HEIGHT))

    @property
    def file(self) -> bytes:
        """The picture as PNG."""
        return png_of(self.picture)

    @property
    def canvas(self) -> Canvas:
        """The new picture."""
        return place(ROOM, HEIGHT, WIDTH, HEIGHT, ANCHOR)

    def text(self, *, says_both: bool) -> str:
        """Return the words of the new picture: of both people, or as if the new one were alone."""
        if says_both:
            return self.wanted.everything
        return f"{self.wanted.place}, {words.COUNTS[1]}, {self.wanted.sitters[1].text}"


def second_of(seed: int) -> Second:
    """Return the picture of this seed: a place outdoors, and people near."""
    rng = np.random.default_rng(seed)
    there = random_scene(seed, 2, (WIDTH, HEIGHT))
    while there.place == "room":
        seed += 1_000_000
        there = random_scene(seed, 2, (WIDTH, HEIGHT))
    numbers = rng.permutation(len(identities.ALL))[:2]
    figures = tuple(
        replace(
            one,
            x=ROOM * (at + 0.5),
            y=58.0,
            head_px=float(rng.uniform(*NEAR_PX)) * 0.9,
            identity=identities.ALL[number],
        )
        for at, (one, number) in enumerate(zip(there.figures, numbers, strict=True))
    )
    sitters = tuple(
        Sitter(int(number), figure_words(one)) for one, number in zip(figures, numbers, strict=True)
    )
    wanted = Scene(seed, place_words(there), sitters)
    return Second(replace(there, figures=figures), wanted)


SecondWay = Callable[[str, Second], Graph]


def ours(*, says_both: bool = True, has_painter: bool = True) -> SecondWay:
    """Return the pack's way, the new area told both people or the new one alone; without
    `has_painter` the base itself paints.
    """

    def way(family: str, second: Second) -> Graph:
        first = second.wanted.sitters[0].text
        asked_for = f"--outpaint {ANCHOR} --outpaint_width {WIDTH} --outpaint_height {HEIGHT}"
        told = f"--outpaint_prompt '{second.text(says_both=says_both)}'"
        text = f"{second.wanted.place}, {words.COUNTS[1]}, {first} {asked_for} {told}"
        size = f"w={ROOM}\nh={HEIGHT}\ndenoising_strength=0"
        return compiled(
            family, f"{text}\n{size}", second.seed, image=second.name, has_painter=has_painter
        )

    return way


def hosts(family: str, second: Second) -> Graph:
    """Return the host's own way: the picture padded, its margin painted by a noise mask."""
    text = second.text(says_both=True)
    return padded(family, second.name, text, second.canvas, second.seed)


@dataclass(frozen=True)
class Found:
    """What of a new picture is right, each a share of 1: the words of both people, those of the new
    one, `leak` of what only the other was told, how many pixels of the source are kept.
    """

    words: float
    new: float
    leak: float
    kept: float


def found_in(second: Second, picture: Image.Image, reading: Reading) -> Found:
    """Return what is right in a picture; each person is who stands in their half."""
    both = read_of(second.wanted, reading)
    new = person_in(reading, ROOM, WIDTH)
    own = asked(second.wanted.sitters[1].text)
    seen = frozenset() if new is None else person_words(new)
    before = np.asarray(second.picture)
    after = np.asarray(picture.convert("RGB"))[:, :ROOM]
    kept = float((before == after).all(2).mean())
    return Found(both.words, len(own & seen) / len(own), both.leak, kept)
