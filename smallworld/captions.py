"""What may be said of a scene: the texts that the models learn from."""

from __future__ import annotations

import numpy as np

from . import words
from .scene import CLOSE_UP_PX, FAR_PX, Figure, Scene

SAID = 0.8  # how often something that can be said is said


def place_words(scene: Scene) -> str:
    """Return where and when, as "the beach at sunset"."""
    return scene.place if scene.place == "room" else f"{scene.place} at {scene.time}"


def figure_words(figure: Figure, rng: np.random.Generator | None = None) -> str:
    """Return what a person looks like; with `rng` some of it is left unsaid."""

    def says() -> bool:
        return rng is None or rng.random() < SAID

    parts = [figure.kind]
    if says():
        parts.append(f"with {figure.hair} hair")
    if says():
        parts.append(f"{figure.skin} skin")
    if says():
        parts.append(f"{figure.clothes} {words.GARMENTS[figure.kind]}")
    if says():
        parts.append(f"{figure.hat} hat" if figure.hat else "no hat")
    if says():
        parts.append("glasses" if figure.glasses else "no glasses")
    if says():
        parts.append(figure.pose)
    return ", ".join(parts)


def caption(scene: Scene, rng: np.random.Generator | None = None) -> str:
    """Return a text of the whole picture: the place, how many, each person from left to right."""
    parts = [_view(scene), place_words(scene), words.COUNTS[len(scene.figures)]]
    if scene.place != "room":
        parts += ["sun"] * (scene.sun_x is not None)
        parts += ["house"] * (scene.house_x is not None)
        parts += ["trees"] * bool(scene.tree_xs)
    if rng is not None:
        parts = [part for part in parts if part and rng.random() < SAID]
    people = [figure_words(figure, rng) for figure in scene.figures]
    return ", ".join([*(part for part in parts if part), *people])


def _view(scene: Scene) -> str:
    heads = [figure.head_px for figure in scene.figures]
    if not heads:
        return ""
    if max(heads) >= CLOSE_UP_PX[0]:
        return "close-up"
    return "far away" if max(heads) <= FAR_PX[1] else ""
