"""Detectors of others behind the same interface.

The host's MediaPipe with tiles for far faces, box detectors of other packs.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from comfyui_astria.nodes.errors import ImageError
from comfyui_astria.nodes.faces.boxes import BoxFaceDetector
from comfyui_astria.nodes.faces.detector import FaceAnalysis
from comfyui_astria.nodes.faces.face import Face
from comfyui_astria.nodes.faces.mediapipe import MediapipeDetector, five_points
from comfyui_astria.nodes.faces.tiles import OVERLAP, each_once, is_cut, windows
from comfyui_astria.tests.regions.comfy_inprocess import load
from comfyui_astria.tests.testpack.face_models import FACE_BOX, FACE_POINTS
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

RED = np.array([255, 0, 0], np.uint8)


class RedSquares:
    """Takes red patches for faces, but sees none smaller than a share of the picture, as a detector
    that shrinks what it is given.
    """

    def __init__(self, smallest: float = 0.09) -> None:
        self.smallest = smallest
        self.calls: list[tuple[int, int, str]] = []

    def detect_batch(
        self, images: list[np.ndarray], num_faces: int, score_thresh: float, variant: str
    ) -> list[list[dict[str, Any]]]:
        assert num_faces == 0 and score_thresh == 0.5
        self.calls += [(one.shape[1], one.shape[0], variant) for one in images]
        return [self._faces(one) for one in images]

    def _faces(self, image: np.ndarray) -> list[dict[str, Any]]:
        labels, _ = ndimage.label((image == RED).all(-1))
        found = []
        for rows, columns in ndimage.find_objects(labels):
            box = np.array([columns.start, rows.start, columns.stop, rows.stop], np.float32)
            if box[2] - box[0] >= self.smallest * image.shape[1]:
                landmarks = np.tile((box[:2] + box[2:]) / 2, (478, 1))
                landmarks[[33, 133]] = box[:2]
                # Surer in later tiles.
                found.append(
                    {
                        "bbox_xyxy": box,
                        "landmarks_xy": landmarks,
                        "score": 0.9 + len(self.calls) / 1000,
                    }
                )
        return found


def picture(width: int, height: int, *squares: tuple[int, int, int]) -> np.ndarray:
    """A grey picture with a red square (left, top, side) for each face."""
    pixels = np.full((height, width, 3), 128, np.uint8)
    for left, top, side in squares:
        pixels[top : top + side, left : left + side] = RED
    return pixels


def test_far_faces_are_found_in_tiles_and_each_only_once() -> None:
    squares = [(30, 40, 60), (1000, 500, 60), (995, 990, 70), (1500, 300, 400), (1900, 1960, 70)]
    faces = FaceAnalysis(MediapipeDetector(RedSquares()), None).faces(picture(2048, 2048, *squares))
    assert [face.box for face in faces] == [(x, y, x + s, y + s) for x, y, s in squares]
    np.testing.assert_allclose([face.points[0] for face in faces], [[x, y] for x, y, _ in squares])


def test_a_small_picture_is_looked_at_once_by_each_of_the_two_detectors() -> None:
    model = RedSquares()
    MediapipeDetector(model).find(picture(512, 640, (10, 10, 200)), 0.5)
    assert model.calls == [(512, 640, "short"), (512, 640, "full")]


@given(
    width=st.integers(64, 6000),
    height=st.integers(64, 6000),
    share=st.floats(0.01, 0.99),
    x=st.floats(0, 1),
    y=st.floats(0, 1),
)
def test_a_face_no_larger_than_the_overlap_stands_whole_in_a_tile_of_every_size(
    width: int, height: int, share: float, x: float, y: float
) -> None:
    by_size: dict[tuple[int, int], list[tuple[int, int, int, int]]] = {}
    for window in windows(width, height):
        assert 0 <= window[0] < window[2] <= width and 0 <= window[1] < window[3] <= height
        by_size.setdefault((window[2] - window[0], window[3] - window[1]), []).append(window)
    for tile_width, tile_height in by_size:
        side = share * (OVERLAP * min(tile_width, tile_height) - 4) * 0.9
        left, top = x * (width - side), y * (height - side)
        face = Face((left, top, left + side, top + side))
        same = [one for one in windows(width, height) if abs(one[2] - one[0] - tile_width) < 2]
        holding = [
            w
            for w in same
            if w[0] <= left and w[1] <= top and w[2] >= left + side and w[3] >= top + side
        ]
        assert any(not is_cut(face, window, width, height) for window in holding)


def test_half_a_face_at_a_tile_s_edge_is_no_second_one() -> None:
    whole = Face((0, 0, 100, 100), score=0.9)
    half = Face((0, 0, 45, 100), score=0.8)
    beside = Face((90, 0, 190, 100), score=0.7)
    surer_half = Face((0, 0, 45, 100), score=0.95)
    assert each_once([beside, half, whole]) == [whole, beside]
    assert each_once([whole, surer_half]) == [surer_half]


def test_five_points_come_from_the_landmarks_of_eyes_nose_and_mouth() -> None:
    landmarks = np.arange(478 * 2, dtype=np.float32).reshape(478, 2)
    expected = [
        (landmarks[33] + landmarks[133]) / 2,
        (landmarks[362] + landmarks[263]) / 2,
        landmarks[1],
        landmarks[61],
        landmarks[291],
    ]
    np.testing.assert_array_equal(five_points(landmarks), np.stack(expected))


def test_the_host_s_own_model_class_is_understood() -> None:
    """Its networks with random weights, at a threshold that lets everything through.

    What it answers is read.
    """
    module = load("comfy_extras.nodes_mediapipe")
    parts = (
        "face_oval",
        "left_eye",
        "right_eye",
        "left_eyebrow",
        "right_eyebrow",
        "lips",
        "irises",
        "nose",
    )
    state = {f"topology.{part}": torch.zeros(1, 2, dtype=torch.int32) for part in parts}
    state |= {
        name: torch.zeros(1)
        for name in ("canonical_vertices", "procrustes_indices", "procrustes_weights")
    }
    torch.manual_seed(0)
    model = module.FaceLandmarkerModel(state)

    class FirstTwo:  # of the hundreds that random weights see, for the time the meshes would take
        def detect_batch(
            self, images: list[np.ndarray], num_faces: int, **options: Any
        ) -> list[list[dict[str, Any]]]:
            return model.detect_batch(images, 2, **options)

    noise = np.random.default_rng(0).integers(0, 255, (96, 128, 3), dtype=np.uint8)
    with torch.inference_mode():  # as the host runs nodes
        faces = MediapipeDetector(FirstTwo()).find(noise, 0.0)
    assert faces
    assert all(
        face.points.shape == (5, 2) and np.isfinite(face.points).all() and len(face.box) == 4
        for face in faces
    )


class Boxes:
    """A BBOX_DETECTOR that answers with fixed boxes, in the form of the packs that have such."""

    def __init__(self, *boxes: tuple[float, ...], confidence: float = 0.8) -> None:
        self.boxes, self.confidence = boxes, confidence

    def detect(
        self,
        image: torch.Tensor,
        threshold: float,
        dilation: int,
        crop_factor: float,
        drop_size: int,
        detailer_hook: object = None,
    ) -> Any:
        assert image.shape[0] == 1 and image.dtype == torch.float32 and image.max() <= 1
        assert (dilation, crop_factor) == (0, 1.0)
        segments = [
            SimpleNamespace(bbox=np.array(box), confidence=np.array([self.confidence]))
            for box in self.boxes
        ]
        return tuple(image.shape[1:3]), [one for one in segments if self.confidence >= threshold]


def test_a_box_detector_alone_gives_places_only(photo: np.ndarray) -> None:
    faces = FaceAnalysis(
        BoxFaceDetector(Boxes((300, 10, 400, 120), (-20, 5, 90, 600)), None), None
    ).faces(photo)
    assert [face.box for face in faces] == [(0, 5, 90, 512), (300, 10, 400, 120)]
    assert [(face.points, face.embedding, face.score) for face in faces] == [(None, None, 0.8)] * 2


def test_with_a_pack_a_box_detector_s_faces_are_recognised(
    analysis: FaceAnalysis, photo: np.ndarray
) -> None:
    both = FaceAnalysis(
        BoxFaceDetector(Boxes((160, 58, 288, 186), (400, 300, 480, 400)), analysis.detector),
        analysis.recogniser,
    )
    face, stranger = both.faces(photo)
    # Its surroundings are 256 px wide: one of the sizes that the pack's detector knows.
    assert face.box == (160, 58, 288, 186)
    np.testing.assert_allclose(face.points, FACE_POINTS, atol=4)
    (own,) = analysis.faces(photo)
    assert (
        float(
            torch.cosine_similarity(
                *(torch.from_numpy(one.embedding) for one in (face, own)), dim=0
            )
        )
        > 0.9
    )
    assert stranger.points is None and stranger.embedding is None
    np.testing.assert_allclose(own.box, FACE_BOX, atol=1)


def test_error_a_detector_that_answers_otherwise(photo: np.ndarray) -> None:
    class Other:
        def detect(self, *arguments: object) -> list[int]:
            return [1, 2]

    with pytest.raises(ImageError, match="The connected bbox_detector returned list; expected"):
        FaceAnalysis(BoxFaceDetector(Other(), None), None).faces(photo)
