"""What the models are told of a picture, and the tokens that this takes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .. import words
from ..captions import caption, figure_words, place_words
from ..scene import Scene

EMPTY = 0.1  # how often nothing is said, for classifier-free guidance
TOKEN = 0.15  # how often a token stands before a person's kind
LONGEST = 75  # tokens, the host's chunk
SMALL_WORDS = "a an and the of in on with at is are two three four one person people portrait photo"
SMALL_WORDS += " picture standing beside left right . , ; face head nobody painting drawn world"


def taught(scene: Scene, rng: np.random.Generator) -> list[str]:
    """Return texts of a scene, the one that says most first; the first that is short enough is
    what is learned.
    """
    if rng.random() < EMPTY:
        return [""]
    said = [caption(scene, rng) for _ in range(3)]
    said += [caption_of_places(scene, rng), place_words(scene)]
    if rng.random() < TOKEN:
        token = words.TOKENS[rng.integers(len(words.TOKENS))]
        for kind in words.KINDS:
            said = [f", {token} {kind}".join(text.split(f", {kind}")) for text in said]
    return sorted(said[:3], key=len, reverse=True)[rng.integers(2) :] + said[3:]


def caption_of_places(scene: Scene, rng: np.random.Generator) -> str:
    """Return a text that says of each person the kind, the hair and the clothes only."""
    parts = [place_words(scene), words.COUNTS[len(scene.figures)]]
    for figure in scene.figures:
        short = figure_words(replace(figure, hat="", glasses=False, pose="standing"), None)
        parts.append(", ".join(part for part in short.split(", ") if "no " not in part))
    return ", ".join(part for part in parts if rng.random() < 0.9)


def vocabulary() -> str:
    """Return a text of every word that the world knows."""
    known = [*words.PLACES, *words.TIMES, *words.KINDS, *words.SKINS, *words.HAIRS]
    known += [*words.CLOTHES, *words.HATS, *words.POSES, *words.COUNTS, *words.TOKENS]
    known += [
        *words.GARMENTS.values(),
        "hair skin hat no glasses sun house trees close-up far away",
    ]
    return ", ".join([*known, SMALL_WORDS])
