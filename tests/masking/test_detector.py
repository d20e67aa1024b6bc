"""Detectors of other packs: their classes are words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pytest
import torch
from comfyui_astria.nodes.errors import ImageError
from comfyui_astria.nodes.masking.detector import DetectedClasses
from comfyui_astria.nodes.masking.segmenter import Box, RoutedSegmenter
from comfyui_astria.tests.masking.scripted import Scripted, rectangle

IMAGE = torch.zeros(1, 40, 60, 3)


class Segment(NamedTuple):
    """As the packs write it."""

    cropped_image: object
    cropped_mask: np.ndarray
    confidence: float | np.ndarray
    crop_region: tuple[int, int, int, int]
    bbox: tuple[int, int, int, int]
    label: str
    control_net_wrapper: object = None


class Detector:
    """Finds two faces and one pair of trousers, whatever the picture."""

    def __init__(self) -> None:
        self.calls: list[tuple] = []

    def detect(self, image, threshold, dilation, crop_factor, drop_size=1, detailer_hook=None):
        self.calls.append((threshold, dilation, crop_factor))
        ellipse = np.zeros((10, 8), np.float32)
        ellipse[2:8, 1:7] = 1
        whole = np.ones((10, 10), np.float32)
        return (40, 60), [
            Segment(None, ellipse, 0.6, (4, 5, 12, 15), (5, 7, 11, 13), "Face"),
            Segment(
                None, whole, np.array([0.8], np.float32), (30, 20, 40, 30), (30, 20, 40, 30), "face"
            ),
            Segment(None, whole, 0.7, (50, 30, 60, 40), (50, 30, 60, 40), "long_trousers"),
        ]


def test_words_are_classes_and_all_are_asked_at_once() -> None:
    detector = Detector()
    found = DetectedClasses(detector).find(IMAGE, ("face", "hat", "long trousers"), 0.4)
    assert detector.calls == [(0.4, 0, 1.0)]
    assert list(found) == ["face", "long trousers"]
    assert [(one.box, round(one.score, 3)) for one in found["face"].instances] == [
        ((30, 20, 40, 30), 0.8),
        ((5, 7, 11, 13), 0.6),
    ]
    assert torch.equal(
        found["face"].scores > 0,
        rectangle((30, 20, 40, 30), 60, 40) | rectangle((5, 7, 11, 13), 60, 40),
    )


def test_a_cutter_makes_the_masks_of_the_boxes() -> None:
    def corner(image: torch.Tensor, boxes: Sequence[Box]) -> Iterator[torch.Tensor]:
        for left, top, _, _ in boxes:
            yield rectangle((left, top, left + 2, top + 2), 60, 40)

    found = DetectedClasses(Detector(), corner).find(IMAGE, ("long trousers",), 0.4)
    assert torch.equal(found["long trousers"].scores > 0, rectangle((50, 30, 52, 32), 60, 40))


def test_a_word_that_is_no_class_goes_to_the_next_model_or_is_not_found() -> None:
    both = RoutedSegmenter(
        (DetectedClasses(Detector()), Scripted({"hat": [(0, 0, 5, 5)], "face": []}, "next")), ""
    )
    found = both.find(IMAGE, ("face", "hat"), 0.5)
    assert (found["face"].source, found["hat"].source) == ("the connected detector", "next")
    nothing = RoutedSegmenter((DetectedClasses(Detector()),), "").find(IMAGE, ("hat",), 0.5)["hat"]
    assert (nothing.source, nothing.best) == (
        "the connected detector",
        0.0,
    ) and not nothing.scores.any()


def test_a_detector_that_returns_something_else_is_said() -> None:
    class Other:
        def detect(self, *arguments):
            return None

    with pytest.raises(ImageError, match="The connected detector returned NoneType; expected"):
        DetectedClasses(Other()).find(IMAGE, ("face",), 0.5)
