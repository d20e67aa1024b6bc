"""A segmenter without a model.

It draws a fixed figure for each word it knows, as large as the picture makes it.

| word | figure, in shares of width and height | |---|---| | foreground, subject | an ellipse about
the centre, 0.3 wide and 0.4 high to each side | | background | everything else | | clothes | the
lower half of the foreground | | face, head | an ellipse about (0.5, 0.3), 0.08 and 0.12 to each
side: within the foreground | | person | two ellipses about (0.3, 0.55) and (0.7, 0.55), 0.12 and
0.35 to each side: two instances | | windows | two rectangles, 0.1..0.3 and 0.7..0.9 across,
0.1..0.4 down: two instances | | door | a rectangle, 0.4..0.6 across, 0.3..1 down |

Any other word is not in the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from comfy_api.latest import io
from torch import Tensor

SCORE, NOT_FOUND_SCORE = 0.9, 0.1

_FOREGROUND = (0.5, 0.5, 0.3, 0.4)
_ELLIPSES = {
    "foreground": (_FOREGROUND,),
    "subject": (_FOREGROUND,),
    "face": ((0.5, 0.3, 0.08, 0.12),),
    "head": ((0.5, 0.3, 0.08, 0.12),),
    "person": ((0.3, 0.55, 0.12, 0.35), (0.7, 0.55, 0.12, 0.35)),
}
_RECTANGLES = {
    "windows": ((0.1, 0.1, 0.3, 0.4), (0.7, 0.1, 0.9, 0.4)),
    "door": ((0.4, 0.3, 0.6, 1.0),),
}


class Instance(NamedTuple):
    """As nodes/masking/segmenter.py has it; a pack of its own cannot import another."""

    mask: Tensor
    box: tuple[float, float, float, float]
    score: float


class Found(NamedTuple):
    """As nodes/masking/segmenter.py has it."""

    scores: Tensor
    source: str
    best: float
    instances: tuple[Instance, ...] = ()
    is_heat_map: bool = False


class ScriptedSegmenter:
    """Finds the figures of the table."""

    def find(self, image: Tensor, words: Sequence[str], threshold: float) -> dict[str, Found]:
        return {word: self._found(image, word) for word in words}

    def _found(self, image: Tensor, word: str) -> Found:
        masks = [
            mask.to(image.device)
            for mask in figures(word, image.shape[2], image.shape[1])
            if mask.any()
        ]
        scores = (
            torch.stack(
                [torch.zeros(image.shape[1:3], dtype=torch.bool, device=image.device), *masks]
            )
            .any(0)
            .float()
        )
        things = tuple(Instance(mask, _box_of(mask), SCORE) for mask in masks)
        return Found(scores, "the test segmenter", SCORE if things else NOT_FOUND_SCORE, things)


def _box_of(mask: Tensor) -> tuple[float, float, float, float]:
    rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def figures(word: str, width: int, height: int) -> list[Tensor]:
    """Return the masks of a word's figures, bool [height,width] each; none for an unknown word."""
    x = (torch.arange(width) + 0.5) / width
    y = ((torch.arange(height) + 0.5) / height)[:, None]
    if word == "background":
        return [~figures("foreground", width, height)[0]]
    if word == "clothes":
        return [figures("foreground", width, height)[0] & (y >= 0.5)]
    ellipses = [
        ((x - across) / wide) ** 2 + ((y - down) / high) ** 2 <= 1
        for across, down, wide, high in _ELLIPSES.get(word, ())
    ]
    rectangles = [
        (x >= left) & (x < right) & (y >= top) & (y < bottom)
        for left, top, right, bottom in _RECTANGLES.get(word, ())
    ]
    return ellipses + rectangles


class AstriaTestSegmenter(io.ComfyNode):
    """The scripted segmenter."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AstriaTestSegmenter",
            category="astria/test",
            inputs=[],
            outputs=[io.Custom("ASTRIA_SEGMENTER").Output(display_name="segmenter")],
        )

    @classmethod
    def execute(cls) -> io.NodeOutput:
        return io.NodeOutput(ScriptedSegmenter())
