"""The persons of a picture, one mask each, left to right."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..errors import ImageError, PromptError
from .segmenter import Found, Instance, Segmenter, box_of
from .words import split_words

THRESHOLD = 0.5
# Two finds that share this much of what they cover together are one thing found twice.
SAME_THING = 0.5
# A piece of a mask below this share of the largest one is a speck.
LEAST_PIECE = 0.05
_EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=bool)


class People(NamedTuple):
    """One mask a person [persons,H,W], float32 of 0 and 1, and notes for the artist."""

    masks: Tensor
    notes: tuple[str, ...] = ()


def find_people(image: Tensor, segmenter: Segmenter, persons: int, word: str = "person") -> People:
    """Return the masks of the `persons` largest things that `word` names in the first picture, from
    left to right by the middle of their boxes.

    Where the model knows no single things, the connected pieces of its mask are taken for them.
    That there are more, or more pictures, is noted.
    Shapes: image [B,H,W,C].
    Raises: ImageError when fewer are found; PromptError when `word` is not one word or phrase.
    """
    words = split_words(word if '"' in word or "," in word else f'"{word}"')
    if len(words) != 1:
        raise PromptError(
            f"Persons are looked for by {word!r}; expected one word or phrase.",
            code="mask-words",
            hint="Write person.",
        )
    found = segmenter.find(image[:1, ..., :3].float(), words, THRESHOLD)[words[0]]
    single = distinct(found.instances or pieces(found))
    if len(single) < persons:
        raise ImageError(
            f"Found {len(single)} of {persons} persons: '{words[0]}' by {found.source}, highest"
            f" score {found.best:.2f}.",
            code="persons-not-found",
            hint=(
                "Connect one drawn mask for each person instead, or a picture in which they stand"
                " apart."
            ),
        )
    largest = sorted(single, key=lambda one: int(one.mask.sum()), reverse=True)[:persons]
    ordered = sorted(largest, key=lambda one: (one.box[0] + one.box[2], one.box[1]))
    notes = []
    if len(single) > persons:
        notes.append(
            f"'{words[0]}' was found {len(single)} times; the largest {persons} are taken. Draw"
            " masks to choose others."
        )
    if len(image) > 1:
        notes.append(
            f"People were looked for in the first of {len(image)} pictures; they stand in the same"
            " places in all of them."
        )
    return People(torch.stack([one.mask for one in ordered]).float(), tuple(notes))


def pieces(found: Found) -> tuple[Instance, ...]:
    """Return the connected pieces of what was found, but specks.

    Pixels that touch at corners are connected.
    """
    from scipy import ndimage  # heavy: on first use

    labels, count = ndimage.label((found.scores > THRESHOLD).cpu().numpy(), _EIGHT_NEIGHBOURS)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    kept = [number for number, size in enumerate(sizes, 1) if size >= LEAST_PIECE * sizes.max()]
    masks = [torch.from_numpy(labels == number).to(found.scores.device) for number in kept]
    return tuple(Instance(mask, box_of(mask), found.best) for mask in masks)


def distinct(instances: tuple[Instance, ...]) -> list[Instance]:
    """Return the instances without those that cover the same as a surer one."""
    kept: list[Instance] = []
    for one in sorted(instances, key=lambda each: each.score, reverse=True):
        if all(_shared(one.mask, other.mask) < SAME_THING for other in kept):
            kept.append(one)
    return kept


def _shared(one: Tensor, other: Tensor) -> float:
    return float((one & other).sum() / (one | other).sum())
