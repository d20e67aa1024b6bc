"""A box detector of another pack, such as a YOLO model for faces, people or clothes.

It knows the classes it was trained on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ..errors import ImageError
from .grounding import Cutter
from .segmenter import Box, Found, Instance, found_things

NAME = "the connected detector"


class BoxDetector(Protocol):
    """What a BBOX_DETECTOR of other packs can do."""

    def detect(
        self, image: Tensor, threshold: float, dilation: int, crop_factor: float, drop_size: int
    ) -> Any:
        """Return SEGS: ((height, width), [SEG]), a SEG with `label`, `confidence`, `bbox`,
        `cropped_mask` and its place `crop_region`.
        """


class DetectedClasses:
    """Things of the classes of a detector.

    A word is its class of the same name; words without one are left to the next model.

    With `cut` the masks are cut out of the boxes, else they are the detector's own: often the boxes
    themselves.
    """

    def __init__(self, detector: BoxDetector, cut: Cutter | None = None) -> None:
        self._detector = detector
        self._cut = cut

    def __str__(self) -> str:
        return NAME

    def takes(self, word: str) -> bool:
        return True  # it cannot list its classes: they are read off its finds

    def find(self, image: Tensor, words: Sequence[str], threshold: float) -> dict[str, Found]:
        returned = self._detector.detect(image, threshold, 0, 1.0, 1)
        try:
            classes = [(_class_of(one), one) for one in returned[1]]
        except (TypeError, AttributeError, IndexError, KeyError) as error:
            text = (
                f"The connected detector returned {type(returned).__name__}; expected ((height,"
                " width), segments with label, confidence and bbox)."
            )
            raise ImageError(
                text, code="detector-result", hint="Connect a BBOX_DETECTOR that returns segments."
            ) from error
        by_word = {word: [one for name, one in classes if name == word] for word in words}
        return {word: self._found(image, ones) for word, ones in by_word.items() if ones}

    def _found(self, image: Tensor, segments: list[Any]) -> Found:
        ordered = sorted(segments, key=_score, reverse=True)
        boxes: list[Box] = [tuple(map(float, one.bbox)) for one in ordered]
        masks = self._cut(image, boxes) if self._cut is not None else _own_masks(image, ordered)
        things = (
            Instance(mask, box, _score(one))
            for mask, box, one in zip(masks, boxes, ordered, strict=True)
        )
        return found_things(things, image, NAME, best=_score(ordered[0]))


def _class_of(segment: Any) -> str:
    return " ".join(str(segment.label).lower().replace("_", " ").split())


def _score(segment: Any) -> float:
    return float(np.max(segment.confidence))  # some write it as a list of one


def _own_masks(image: Tensor, segments: Sequence[Any]) -> Iterator[Tensor]:
    for one in segments:
        mask = torch.zeros(image.shape[1:3], dtype=torch.bool, device=image.device)
        left, top, right, bottom = (int(edge) for edge in one.crop_region)
        mask[top:bottom, left:right] = torch.as_tensor(one.cropped_mask, device=image.device) > 0.5
        yield mask
