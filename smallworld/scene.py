"""One picture of the world before it is drawn, and random ones by seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import identities, words
from .identities import Identity

SIZES = ((128, 128), (128, 128), (192, 128), (128, 192))
# Half the width of a head, in pixels.
CLOSE_UP_PX = (30, 40)
NEAR_PX = (14, 18)
FAR_PX = (5, 7)
LEAST_PX = 12.5  # of a head in a crowd
# A person's height from the middle of the head to the feet, and their room to each side, in half
# widths of a head.
TO_FEET = 4.5
TO_SIDE = 1.9


@dataclass(frozen=True)
class Figure:
    """A person: what words say of them, where the head stands (pixels), and whose face it is.

    `head_px` is half the width of a round head.
    """

    kind: str
    hair: str
    skin: str
    clothes: str
    x: float
    y: float
    head_px: float
    hat: str = ""
    glasses: bool = False
    pose: str = "standing"
    identity: Identity | None = None


@dataclass(frozen=True)
class Scene:
    """A picture: where, when, who. `horizon` is the ground's upper edge in pixels."""

    width: int
    height: int
    place: str
    time: str
    horizon: int
    sun_x: int | None = None
    house_x: int | None = None
    tree_xs: tuple[int, ...] = ()
    figures: tuple[Figure, ...] = ()


def random_scene(
    seed: int, people: int | None = None, size: tuple[int, int] | None = None
) -> Scene:
    """Return the scene of this seed: up to four people, close up, near or far, on any size."""
    rng = np.random.default_rng(seed)
    width, height = size or SIZES[rng.integers(len(SIZES))]
    room = max(1, int(width / (2 * TO_SIDE * LEAST_PX)))
    if people is None:
        people = int(rng.choice([0, 1, 1, 1, 2, 2, 2, 3, 4]))
    people = min(people, room)
    place = _one(rng, words.PLACES)
    scene = Scene(
        width,
        height,
        place,
        "day" if place == "room" else _one(rng, words.TIMES),
        int(height * rng.uniform(0.5, 0.68)),
    )
    return Scene(
        **{**vars(scene), **_things(rng, scene), "figures": random_figures(rng, scene, people)}
    )


def random_figures(rng: np.random.Generator, scene: Scene, people: int) -> tuple[Figure, ...]:
    """Return that many people side by side, from left to right."""
    if people == 1 and rng.random() < 0.3:
        head = rng.uniform(*CLOSE_UP_PX)
        x = scene.width / 2 + rng.uniform(-6, 6)
        return (random_figure(rng, x, scene.height * rng.uniform(0.42, 0.5), head),)
    is_far = people and rng.random() < 0.2
    room = scene.width / max(people, 1)
    found = []
    for number in range(people):
        head = rng.uniform(*(FAR_PX if is_far else NEAR_PX))
        head = min(head, room / (2 * TO_SIDE))
        spare = room / 2 - TO_SIDE * head
        x = room * (number + 0.5) + rng.uniform(-spare, spare) * 0.8
        feet = scene.height - rng.uniform(2, 8)
        if is_far:
            feet = min(scene.horizon + head * rng.uniform(1.5, 4), feet)
        found.append(random_figure(rng, x, feet - TO_FEET * head, head))
    return tuple(found)


def random_figure(rng: np.random.Generator, x: float, y: float, head_px: float) -> Figure:
    """Return a person with random looks; four of five have one of the learned faces."""
    return Figure(
        kind=_one(rng, words.KINDS),
        hair=_one(rng, words.HAIRS),
        skin=_one(rng, words.SKINS),
        clothes=_one(rng, words.CLOTHES),
        x=x,
        y=y,
        head_px=head_px,
        hat=_one(rng, words.HATS) if rng.random() < 0.3 else "",
        glasses=rng.random() < 0.3,
        pose=_one(rng, words.POSES),
        identity=(
            identities.learned[rng.integers(len(identities.learned))]
            if rng.random() < 0.8
            else None
        ),
    )


def _things(rng: np.random.Generator, scene: Scene) -> dict:
    if scene.place == "room":
        return {}
    clear = int(scene.width * 0.1)
    trees = rng.integers(clear, scene.width - clear, rng.integers(1, 3))
    return {
        "sun_x": int(rng.integers(clear, scene.width - clear)) if rng.random() < 0.5 else None,
        "house_x": int(rng.integers(clear, scene.width - clear)) if rng.random() < 0.3 else None,
        "tree_xs": tuple(int(x) for x in trees) if rng.random() < 0.4 else (),
    }


def _one(rng: np.random.Generator, choices) -> str:
    found = list(choices)
    return found[rng.integers(len(found))]
