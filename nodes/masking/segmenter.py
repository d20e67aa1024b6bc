"""What finds words in a picture.

The protocol, and several models behind one segmenter, each asked for the words it can do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from ..errors import MissingModelError

# What background-removal models tell apart. Models that look for things by name know no such thing.
SUBJECT_WORDS = frozenset({"foreground", "subject", "background"})


MOST_INSTANCES = 64

Box = tuple[float, float, float, float]  # left, top, right, bottom, in pixels


class Instance(NamedTuple):
    """One thing found: its mask, bool [H,W], its box, its score 0..1."""

    mask: Tensor
    box: Box
    score: float


@dataclass(frozen=True, eq=False)
class Found:
    """Where a word is in a picture.

    `scores` [H,W] float32 0..1: how sure the model is of each pixel. `is_heat_map`: the scores of
    several words can be compared pixel by pixel; otherwise a pixel is in or out. `instances` are
    the single things, empty where the model knows none. `best` is the highest score that anything
    had, above the threshold or not. `source` names the model.
    """

    scores: Tensor
    source: str
    best: float
    instances: tuple[Instance, ...] = ()
    is_heat_map: bool = False


class Segmenter(Protocol):
    """Finds words in a picture: the value of an ASTRIA_SEGMENTER socket."""

    def find(self, image: Tensor, words: Sequence[str], threshold: float) -> dict[str, Found]:
        """Return what was found for every word.

        Things and, of heat maps, pixels count above `threshold`.
        Shapes: image [1,H,W,3] float32 0..1; everything returned is on the image's device.
        Raises: MissingModelError for a word that no model at hand can look for.
        """


class Backend(Segmenter, Protocol):
    """One model behind a segmenter.

    `find` may leave out words that it cannot say anything about.
    """

    def takes(self, word: str) -> bool:
        """Return whether the model can look for the word."""


@dataclass(frozen=True)
class RoutedSegmenter:
    """Several models in order.

    Each word goes to the first that takes it, and all words of one model go there at once.

    `advice` says which models there are and where their files belong.
    """

    backends: tuple[Backend, ...]
    advice: str

    def find(self, image: Tensor, words: Sequence[str], threshold: float) -> dict[str, Found]:
        self._check(words)
        found: dict[str, Found] = {}
        for backend in self.backends:
            asked = tuple(word for word in words if word not in found and backend.takes(word))
            if asked:
                found |= backend.find(image, asked, threshold)
        for word in words:  # taken, but nothing could be said about it
            found.setdefault(word, nothing_found(image, self._taker(word)))
        return {word: found[word] for word in words}

    def _taker(self, word: str) -> str:
        return " and ".join(str(backend) for backend in self.backends if backend.takes(word))

    def _check(self, words: Sequence[str]) -> None:
        """Return when some model takes each word: before any of them loads."""
        lost = [word for word in words if not any(backend.takes(word) for backend in self.backends)]
        if not lost:
            return
        listed = ", ".join(f"'{word}'" for word in lost)
        subject = (
            " They may also be said by name, such as `person`." if SUBJECT_WORDS & set(lost) else ""
        )
        loaded = ", ".join(map(str, self.backends))
        raise MissingModelError(
            f"No model of this segmenter can look for {listed}; it has {loaded}.{subject}",
            code="segmenter-word",
            hint=f"Choose one more in Astria Load Segmenter:\n{self.advice}",
        )


def nothing_found(image: Tensor, source: str) -> Found:
    """Return the answer for a word that is not in the picture [1,H,W,3]."""
    return Found(torch.zeros(image.shape[1:3], device=image.device), source, best=0.0)


def found_things(things: Iterable[Instance], image: Tensor, source: str, best: float) -> Found:
    """Return the answer of a model that finds single things, surest first, in the picture
    [1,H,W,3]; those without a pixel do not count.

    All are in `scores`; only the first ones are kept as instances, since each mask is as large as
    the picture.
    """
    covered = torch.zeros(image.shape[1:3], dtype=torch.bool, device=image.device)
    kept = []
    for thing in things:
        if thing.mask.any():
            covered |= thing.mask
            if len(kept) < MOST_INSTANCES:
                kept.append(thing)
    return Found(covered.float(), source, best, tuple(kept))


def box_of(mask: Tensor) -> Box:
    """Return the smallest box around the pixels above 0 of a mask [H,W] that has some."""
    rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)
