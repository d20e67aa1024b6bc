"""Looking at a picture several times: at several sizes, and turned where no head stands upright."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from comfyui_astria.nodes.faces.detector import FaceAnalysis, turned_back
from comfyui_astria.nodes.faces.face import Face
from comfyui_astria.nodes.faces.tiles import finest_first
from comfyui_astria.tests.testpack.face_models import FACE_BOX, FACE_POINTS
from PIL import Image


def close_up(photo: np.ndarray) -> np.ndarray:
    """The face of the photo, four times as large, in 1024x1024 px."""
    middle = Image.fromarray(photo[40:296, 90:346])
    return np.array(middle.resize((1024, 1024), Image.Resampling.BILINEAR))


def test_a_close_up_is_found_beside_a_bystander_whom_the_first_size_shows(
    analysis: FaceAnalysis, photo: np.ndarray
) -> None:
    picture = close_up(photo)
    picture[768:, 768:] = photo[0:256, 128:384]
    large, bystander = analysis.faces(picture)
    np.testing.assert_allclose(large.points, (FACE_POINTS - [90, 40]) * 4, atol=12)
    np.testing.assert_allclose(bystander.points, np.add(FACE_POINTS, (640, 768)), atol=4)


def test_a_face_that_every_size_shows_counts_once_as_the_finest_sees_it() -> None:
    fine, coarse = Face((10, 10, 110, 140), score=0.8), Face((14, 8, 118, 140), score=0.9)
    other = Face((300, 10, 400, 140), score=0.6)
    assert finest_first([[fine], [coarse, other], [coarse]]) == [fine, other]


def test_a_part_taken_for_a_face_gives_way_to_the_surer_whole() -> None:
    eye, mouth = Face((120, 100, 200, 160), score=0.6), Face((180, 300, 320, 380), score=0.55)
    bystander = Face((700, 20, 760, 90), score=0.9)
    whole = Face((50, 20, 500, 560), score=0.95)
    assert finest_first([[eye, bystander, mouth], [], [whole]]) == [bystander, whole]
    unsure = Face(whole.box, score=0.5)
    assert finest_first([[eye, bystander, mouth], [unsure]]) == [eye, bystander, mouth]


def test_two_faces_of_one_size_stay_two_however_near() -> None:
    parent, child = Face((0, 0, 200, 260), score=0.9), Face((90, 120, 170, 220), score=0.8)
    assert finest_first([[parent, child], [parent]]) == [parent, child]


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_head_that_lies_or_hangs_is_found_where_it_is(
    analysis: FaceAnalysis, photo: np.ndarray, quarters: int
) -> None:
    picture = np.rot90(photo[:448], quarters)
    height, width = picture.shape[:2]
    (face,) = analysis.faces(np.ascontiguousarray(picture))
    marks = np.zeros(photo[:448].shape[:2], int)
    for number, (x, y) in enumerate(FACE_POINTS.round().astype(int), 1):
        marks[y, x] = number
    turned = np.rot90(marks, quarters)
    expected = np.array([np.argwhere(turned == number)[0][::-1] for number in range(1, 6)])
    np.testing.assert_allclose(face.points, expected, atol=2)
    inside = np.zeros(photo[:448].shape[:2], bool)
    left, top, right, bottom = map(int, FACE_BOX)
    inside[top:bottom, left:right] = True
    rows, columns = np.nonzero(np.rot90(inside, quarters))
    edges = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    np.testing.assert_allclose(face.box, edges, atol=2)
    (upright,) = analysis.faces(photo)
    vectors = [one.embedding / np.linalg.norm(one.embedding) for one in (face, upright)]
    assert vectors[0] @ vectors[1] > 0.95
    assert 0 <= face.box[0] < face.box[2] <= width and 0 <= face.box[1] < face.box[3] <= height


class Counting:
    """A detector that sees what is given, and counts how often it is asked."""

    key = None

    def __init__(self, *faces: Face) -> None:
        self.faces, self.shapes = faces, []

    def find(self, pixels: np.ndarray, min_confidence: float) -> Sequence[Face]:
        self.shapes.append(pixels.shape[:2])
        return self.faces


def test_turned_copies_are_looked_at_once_and_only_where_nothing_is_found() -> None:
    picture = np.zeros((40, 60, 3), np.uint8)
    blind = Counting()
    assert FaceAnalysis(blind, None).faces(picture) == ()
    assert blind.shapes == [(40, 60), (60, 40), (40, 60), (60, 40)]
    seeing = Counting(Face((5, 5, 25, 25)))
    # Too small is not nothing: a head that stands was seen.
    assert FaceAnalysis(seeing, None).faces(picture, min_size_px=30) == ()
    assert len(seeing.shapes) == 1


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_turn_back_is_the_turn_undone(quarters: int) -> None:
    pixels = np.arange(40 * 60).reshape(40, 60)
    copy = np.rot90(pixels, quarters)
    face = Face((3, 5, 9, 16), np.array([[4.0, 6], [7, 6], [6, 9], [5, 12], [7, 12]]))
    back = turned_back(face, quarters, 60, 40)
    for (x, y), (own_x, own_y) in zip(face.points, back.points, strict=True):
        assert copy[int(y), int(x)] == pixels[int(own_y), int(own_x)]
    left, top, right, bottom = map(int, back.box)
    assert set(pixels[top:bottom, left:right].ravel()) == set(copy[5:16, 3:9].ravel())


@pytest.mark.parametrize(
    "points",
    [None, np.full((5, 2), np.nan), np.full((5, 2), 30.0), np.full((5, 2), np.inf)],
    ids=["none", "nan", "one place", "infinite"],
)
def test_a_face_without_usable_points_is_kept_without_points(
    analysis: FaceAnalysis, photo: np.ndarray, points: np.ndarray | None
) -> None:
    both = Counting(Face(FACE_BOX, FACE_POINTS), Face((300, 20, 360, 90), points))
    sound, bare = FaceAnalysis(both, analysis.recogniser).faces(photo)
    assert sound.embedding is not None
    assert bare.points is None and bare.embedding is None
