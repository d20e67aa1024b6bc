"""Which found faces count: the largest so many, none too small, and what is left out is told."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from comfyui_astria.nodes.faces.detector import FaceAnalysis
from comfyui_astria.nodes.faces.face import Face
from comfyui_astria.nodes.faces.limits import Detection, Limits, report
from comfyui_astria.tests.regions.comfy_inprocess import load
from comfyui_astria.tests.testpack.face_models import FACE_POINTS


def square(left: float, side: float) -> Face:
    return Face((left, 10.0, left + side, 10.0 + side))


CROWD = [square(100.0 * place, side) for place, side in enumerate((40, 12, 80, 60, 20, 30))]


@pytest.mark.parametrize(
    ("limits", "sides", "left_out"),
    [
        (Limits(), [40, 12, 80, 60, 20, 30], []),
        (Limits(max_faces=6), [40, 12, 80, 60, 20, 30], []),
        (Limits(max_faces=3), [40, 80, 60], ["3 smaller than the 3 largest"]),
        (Limits(min_size_px=25), [40, 80, 60, 30], ["2 smaller than 25 px"]),
        (Limits(min_size=0.1), [40, 80, 60], ["3 smaller than 40 px"]),
        (Limits(min_size_px=13, min_size=0.05), [40, 80, 60, 20, 30], ["1 smaller than 20 px"]),
        (
            Limits(min_size=0.05, max_faces=2),
            [80, 60],
            ["1 smaller than 20 px", "3 smaller than the 2 largest"],
        ),
    ],
)
def test_the_largest_count_in_their_own_order(
    limits: Limits, sides: list[int], left_out: list[str]
) -> None:
    kept, said = limits.applied(CROWD, 700, 400)
    assert [face.width for face in kept] == sides and said == left_out


def test_of_equal_faces_as_many_count_as_asked() -> None:
    twins = [square(100.0 * place, 40) for place in range(4)]
    kept, _ = Limits(max_faces=2).applied(twins, 700, 400)
    assert kept == twins[:2]


def test_the_report_says_what_was_left_out_and_what_faces_lack() -> None:
    pointed = Face((0, 0, 50, 60), FACE_POINTS)
    looks = [
        Detection((pointed, CROWD[0]), ("1 smaller than 20 px", "3 smaller than the 2 largest")),
        Detection(()),
        Detection((pointed,), turned=True),
    ]
    assert report(looks).splitlines() == [
        "Image 1: 2 face(s); face 2 without points, which face swap and correction leave as it is;"
        " left out: 1 smaller than 20 px; left out: 3 smaller than the 2 largest.",
        "Image 2: no face.",
        "Image 3: 1 face(s); of heads that lie or hang, found in turned copies.",
    ]


def test_the_node_takes_the_largest_and_says_so(analysis: FaceAnalysis, photo: np.ndarray) -> None:
    node = load("comfyui_astria.nodes.faces.nodes").AstriaDetectFaces
    pair = np.concatenate([photo, photo], axis=1)
    image = torch.from_numpy(pair)[None] / 255

    def detect(**limits: float) -> tuple:
        return node.execute(image, analysis, 0.5, 0, **limits).result

    (everybody,), _, _, _, info = detect()
    assert len(everybody) == 2 and info == "Image 1: 2 face(s)."
    (largest,), masks, boxes, _, info = detect(max_faces=1)
    assert len(largest) == len(boxes[0]) == 1
    assert info == "Image 1: 1 face(s); left out: 1 smaller than the 1 largest."
    assert masks.sum() == pytest.approx(np.pi / 4 * largest[0].area, rel=0.05)
    (nobody,), _, _, _, info = detect(min_size=0.5)
    assert nobody == () and info == "Image 1: no face; left out: 2 smaller than 256 px."
