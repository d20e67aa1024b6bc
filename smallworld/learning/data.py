"""What is learned from: pictures' latents, and texts as rows of short token tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...devtools.console import DevError
from ..scene import Scene, random_scene
from .texts import taught, vocabulary

FIRST_SEED = 1_000_000  # of the pictures that are learned; others measure


class Rows:
    """Texts as rows of a token table that holds only the tokens `ids` [n] of the world's words.

    `tokens_of` gives a text's token ids as the host's tokenizer does; `more` are tokens that no
    text holds.
    """

    def __init__(self, tokens_of: Callable[[str], list[int]], more: Sequence[int] = ()) -> None:
        self._tokens_of = tokens_of
        self._known: dict[str, list[int]] = {}
        self.ids = torch.tensor(sorted({*tokens_of(vocabulary()), *more}))
        self._rows = {token: row for row, token in enumerate(self.ids.tolist())}

    def of(self, text: str) -> list[int]:
        """Return the rows of a text's tokens. Raises KeyError for a word the world has not."""
        if text not in self._known:
            self._known[text] = [self._rows[token] for token in self._tokens_of(text)]
        return self._known[text]

    def __getitem__(self, token: int) -> int:
        return self._rows[token]


def fitting(
    scene: Scene, rng: np.random.Generator, length_of: Callable[[str], int], most: int
) -> str:
    """Return a text of this scene of at most that many tokens."""
    for text in taught(scene, rng):
        if length_of(text) <= most:
            return text
    return ""


class Pictures:
    """Latents of pictures, with mean 0 and variance 1 in each channel, and their scenes.

    Raises: DevError where none `is_wanted`.
    """

    def __init__(
        self, work: Path, channels: int, is_wanted: Callable[[Scene], bool] = lambda scene: True
    ) -> None:
        found: dict[tuple[int, int], list[tuple[list[int], Tensor]]] = {}
        for file in sorted(work.glob(f"latents{channels}_*.pt")):
            for size, part in torch.load(file, weights_only=False).items():
                found.setdefault(size, []).append(part)
        self._by_size = [
            ([seed for seeds, _ in parts for seed in seeds], torch.cat([one for _, one in parts]))
            for parts in found.values()
        ]
        flat = [one.float().movedim(1, -1).flatten(0, 2) for _, one in self._by_size]
        every = torch.cat(flat)
        self.mean, self.spread = every.mean(0), every.std(0)
        self._by_size = [
            (seeds, latents)
            for seeds, latents in (_wanted(*part, is_wanted) for part in self._by_size)
            if seeds
        ]
        if not self._by_size:
            raise DevError(
                f"None of the pictures whose latents are in {work} can be learned from.",
                f"Draw more: python dev.py learn latents --channels {channels} --count 24000",
            )
        counts = np.array([len(seeds) for seeds, _ in self._by_size], float)
        self._shares = counts / counts.sum()

    def some(self, rng: np.random.Generator, count: int) -> tuple[Tensor, list[Scene]]:
        """Return latents [count,C,h,w] of one size and their scenes."""
        seeds, latents = self._by_size[rng.choice(len(self._shares), p=self._shares)]
        chosen = rng.integers(len(seeds), size=count)
        shape = (1, -1, 1, 1)
        x = (latents[chosen].float() - self.mean.view(shape)) / self.spread.view(shape)
        return x, [random_scene(seeds[one]) for one in chosen]


def _wanted(
    seeds: list[int], latents: Tensor, is_wanted: Callable[[Scene], bool]
) -> tuple[list[int], Tensor]:
    """Return the seeds and latents of the scenes that are wanted."""
    kept = [place for place, seed in enumerate(seeds) if is_wanted(random_scene(seed))]
    return [seeds[place] for place in kept], latents[kept]
