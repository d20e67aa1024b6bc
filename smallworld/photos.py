"""The photos of a person of the small world, which a training or a FaceID knows them by."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from . import identities
from .captions import caption
from .drawing import drawn
from .scene import CLOSE_UP_PX, NEAR_PX, Scene, random_scene
from .words import KINDS

PHOTOS = 8
SIDE = 128
FIRST_SEED = 8_000_000
TOKEN = "ohwx"


def kind_of(number: int) -> str:
    """Return whether an identity is a woman or a man, in turn."""
    return KINDS[number % len(KINDS)]


def draw_photos(number: int, folder: Path) -> Path:
    """Draw the photos of an identity into a folder, and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    for photo, scene in enumerate(photos_of(number)):
        drawn(scene).save(folder / f"{photo}.png")
    return folder


def photos_of(number: int) -> list[Scene]:
    """Return what the photos of an identity show: alone, half of them close up, with ever other
    looks and places, so that only the face is the same in all.
    """
    found = []
    rng = np.random.default_rng(number)
    seed = FIRST_SEED + number * 1000
    for photo in range(PHOTOS):
        scene = random_scene(seed, people=1, size=(SIDE, SIDE))
        while not is_wanted(scene.figures[0].head_px, photo % 2 == 0):
            seed += 1
            scene = random_scene(seed, people=1, size=(SIDE, SIDE))
        [figure] = scene.figures
        own = replace(
            figure,
            kind=kind_of(number),
            glasses=False,
            hat="" if photo % 4 else figure.hat,
            x=figure.x + rng.uniform(-3, 3),
            identity=identities.ALL[number],
        )
        found.append(replace(scene, figures=(own,)))
        seed += 1
    return found


def text_of(photo: Scene) -> str:
    """Return what a photo shows, its person by the token; nothing is said of the face."""
    [figure] = photo.figures
    return caption(photo).replace(figure.kind, f"{TOKEN} {figure.kind}")


def is_wanted(head_px: float, is_close_up: bool) -> bool:
    """Say whether a head has the size of a close-up, or else of someone near."""
    least, most = CLOSE_UP_PX if is_close_up else NEAR_PX
    return least <= head_px <= most
