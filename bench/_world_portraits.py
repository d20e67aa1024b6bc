"""What is painted and read for the figures of masked portraits in the small world: everything but
the head of a drawn person is painted anew.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from comfyui_astria.bench._world import compiled, person_in, png_of
from comfyui_astria.devtools import small_world
from comfyui_astria.nodes.graph.graph import Graph
from comfyui_astria.smallworld import identities, words
from comfyui_astria.smallworld.captions import figure_words, place_words
from comfyui_astria.smallworld.comparing import asked, person_words, scene_words
from comfyui_astria.smallworld.drawing import drawn
from comfyui_astria.smallworld.reader import read
from comfyui_astria.smallworld.scene import Scene, random_scene
from PIL import Image

SIDE = 128
HEAD_PX = 18.0  # half its width: the whole person is seen


@dataclass(frozen=True)
class Portrait:
    """A drawn person, and what is to stand around its head."""

    seed: int
    drawn: Scene
    wanted: Scene

    @property
    def name(self) -> str:
        """Its file in the host's input folder; the mask's has `mask_` before it."""
        return f"portrait_{self.seed}.png"

    @property
    def files(self) -> dict[str, bytes]:
        """Name -> PNG of the picture and of the mask, white where it is painted."""
        mask = small_world.mask_around_heads(self.drawn)
        return {self.name: png_of(drawn(self.drawn)), f"mask_{self.name}": png_of(mask)}

    @property
    def person(self) -> str:
        """The words of the person with new clothes."""
        [figure] = self.wanted.figures
        return figure_words(figure)

    @property
    def scene(self) -> str:
        """The words of the new place."""
        return f"{place_words(self.wanted)}, one person"


def portrait_of(seed: int) -> Portrait:
    """Return the portrait of this seed: a face that no model has learned, a new place and clothes.

    Hair and hat stand at the mask's edge, so they stay what they are.
    """
    rng = np.random.default_rng(seed)
    scene = random_scene(seed, 1, (SIDE, SIDE))
    while scene.place == "room":
        seed += 1_000_000
        scene = random_scene(seed, 1, (SIDE, SIDE))
    [figure] = scene.figures
    number = int(rng.integers(len(identities.learned), len(identities.ALL)))
    figure = replace(
        figure, x=SIDE / 2, y=42, head_px=HEAD_PX, hat="", identity=identities.ALL[number]
    )
    places = [one for one in words.PLACES if one not in (scene.place, "room")]
    clothes = [one for one in words.CLOTHES if one != figure.clothes]
    other = replace(figure, clothes=str(rng.choice(clothes)))
    plain = replace(scene, sun_x=None, house_x=None, tree_xs=(), figures=(figure,))
    wanted = replace(plain, place=str(rng.choice(places)), figures=(other,))
    return Portrait(seed, plain, wanted)


def ours(family: str, portrait: Portrait) -> Graph:
    """Return the pack's way."""
    text = f"{portrait.scene}, {portrait.person}\ndenoising_strength=1"
    name = portrait.name
    return compiled(family, text, portrait.seed, image=name, mask=f"mask_{name}")


@dataclass(frozen=True)
class Kept:
    """What of a picture is right, each a share of 1: the face, pixels of the head, the new clothes
    and whatever else is said of the person, the new place.
    """

    identity: float
    kept: float
    words: float
    scene: float


def kept_of(portrait: Portrait, picture: Image.Image) -> Kept:
    """Return what is right in the picture of a portrait."""
    reading = read(picture)
    person = person_in(reading, 0, SIDE)
    told, of_scene = asked(portrait.person), asked(portrait.scene)
    seen = frozenset() if person is None else person_words(person)
    if not reading.place:  # the person hides the ground that tells it
        of_scene -= frozenset(words.PLACES)
    [figure] = portrait.drawn.figures
    side = round(figure.head_px * 0.7)
    there = np.s_[int(figure.y) - side : int(figure.y) + side, SIDE // 2 - side : SIDE // 2 + side]
    same = np.asarray(picture)[there] == np.asarray(drawn(portrait.drawn))[there]
    return Kept(
        float(person is not None and person.identity == figure.identity),
        float(same.all(2).mean()),
        len(told & seen) / len(told),
        len(of_scene & scene_words(reading)) / len(of_scene),
    )
