"""Stand-ins for models: each says for a word what the test tells it to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from comfyui_astria.nodes.masking.segmenter import Box, Found, Instance, found_things


@dataclass
class Scripted:
    """A model that takes the words of `answers` and gives their scores, as heat maps or as things.

    Notes what it was asked.
    """

    answers: Mapping[str, torch.Tensor | Sequence[Box]]
    name: str = "scripted"
    asked: list[tuple[str, ...]] = field(default_factory=list)

    def __str__(self) -> str:
        return self.name

    def takes(self, word: str) -> bool:
        return word in self.answers

    def find(self, image: torch.Tensor, words: Sequence[str], threshold: float) -> dict[str, Found]:
        self.asked.append(tuple(words))
        return {word: self._found(image, self.answers[word]) for word in words}

    def _found(self, image: torch.Tensor, answer: torch.Tensor | Sequence[Box]) -> Found:
        if isinstance(answer, torch.Tensor):
            return Found(answer, self.name, float(answer.max()), is_heat_map=True)
        things = [
            Instance(rectangle(box, image.shape[2], image.shape[1]), box, 0.9 - 0.1 * number)
            for number, box in enumerate(answer)
        ]
        return found_things(things, image, self.name, best=0.9 if things else 0.2)


def rectangle(box: Box, width: int, height: int) -> torch.Tensor:
    left, top, right, bottom = map(int, box)
    mask = torch.zeros(height, width, dtype=torch.bool)
    mask[top:bottom, left:right] = True
    return mask


@dataclass
class ByBrightness:
    """A segmenter whose every word is the bright pixels of the picture it is shown, so that
    pictures of a batch differ.
    """

    def find(self, image: torch.Tensor, words: Sequence[str], threshold: float) -> dict[str, Found]:
        scores = image[0].mean(-1)
        return {word: Found(scores, "brightness", float(scores.max())) for word in words}
