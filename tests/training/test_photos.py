"""Photos as a training takes them: sizes, crops, captions, and what is said about them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from comfyui_astria.nodes.errors import ImageError
from comfyui_astria.nodes.faces.detector import FaceAnalysis
from comfyui_astria.nodes.faces.face import Face
from comfyui_astria.nodes.masking.segmenter import Found
from comfyui_astria.nodes.training.errors import TrainingError
from comfyui_astria.nodes.training.outcome import likeness_note
from comfyui_astria.nodes.training.photos import (
    BACKGROUND,
    face_square,
    fitted,
    fitted_size,
    parse_sizes,
)
from comfyui_astria.nodes.training.prepare import Helpers, Wanted, prepare
from comfyui_astria.nodes.tunes.face_cache import FaceCache
from comfyui_astria.tests.regions.comfy_inprocess import load

WANTED = Wanted("ohwx", "woman", (128,))
CROPPED = Wanted("ohwx", "woman", (128,), face_crop=True)


def photos(count: int = 4, width: int = 300, height: int = 200) -> list[np.ndarray]:
    """Grey photos of growing brightness."""
    return [np.full((height, width, 3), 40 + number, np.uint8) for number in range(count)]


class Finder:
    """Finds one face at a box in each photo but the dark ones; all faces are of one person."""

    key = "finder"
    name = "pack"

    def __init__(self, box: tuple[float, ...] = (120, 40, 200, 140), darkest: int = 0) -> None:
        self._box, self._darkest = box, darkest

    def find(self, pixels: np.ndarray, min_confidence: float) -> list[Face]:
        if pixels[0, 0, 0] < self._darkest:
            return []
        left, top, right, bottom = self._box
        points = np.array(
            [
                (left + x * (right - left), top + y * (bottom - top))
                for x, y in ((0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8))
            ],
            np.float32,
        )
        return [Face(self._box, points, 0.9)]

    def embed(self, pixels: np.ndarray, points: Any) -> np.ndarray:
        vector = np.zeros((len(points), 512), np.float32)
        # Photo 43 shows somebody else.
        vector[:, 1 if pixels[0, 0, 0] == 43 else 0] = 1
        return vector


def helpers(tmp_path: Path, finder: Finder | None = None) -> Helpers:
    finder = finder or Finder()
    return Helpers(FaceAnalysis(finder, finder), FaceCache(tmp_path))


@pytest.mark.parametrize(
    ("size", "expected"),
    [((300, 200), (624, 416)), ((200, 300), (416, 624)), ((900, 300), (720, 368))],
)
def test_a_photo_keeps_its_ratio_up_to_2_to_1(
    size: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert fitted_size(*size, 512) == expected


def test_a_photo_is_scaled_to_cover_and_cut_in_the_middle() -> None:
    wide = np.zeros((100, 400, 3), np.uint8)
    wide[:, 200:] = 255
    scaled = fitted(wide, 128)
    assert scaled.shape == (96, 176, 3)
    assert scaled[:, :80].max() == 0
    assert scaled[:, -80:].min() == 255


@pytest.mark.parametrize("text", ["", "a", "500", "512 768", "-64", "51200000"])
def test_sizes_that_cannot_be_are_refused(text: str) -> None:
    with pytest.raises(TrainingError):
        parse_sizes(text)


def test_sizes_are_read_once_each() -> None:
    assert parse_sizes(" 512,768, 512 ") == (512, 768)


def test_a_crop_is_twice_the_face_and_stays_inside() -> None:
    face = Face((0, 0, 40, 50), np.zeros((5, 2), np.float32), 1.0)
    assert face_square(face, 200, 300) == (0, 0, 100)
    large = Face((150, 0, 290, 190), np.zeros((5, 2), np.float32), 1.0)
    assert face_square(large, 200, 300) == (100, 0, 200)


def test_photos_crops_and_others_come_at_every_size_with_their_captions(tmp_path: Path) -> None:
    wanted = Wanted("ohwx", "woman", (128, 192), face_crop=True)
    found = prepare(photos(), photos(2), wanted, helpers(tmp_path))
    assert [(one.kind, one.caption) for one in found.pictures[::2]] == [
        *[("photo", "photo of ohwx woman")] * 4,
        *[("crop", "close-up photo of ohwx woman")] * 4,
        *[("class", "photo of woman")] * 2,
    ]
    assert found.photos == 4
    assert found.embeddings.shape == (4, 512)
    sizes = {tuple(one.pixels.shape[1:3]) for one in found.pictures}
    assert sizes == {(112, 160), (160, 240), (128, 128), (192, 192)}


def test_a_photo_whose_ends_are_cut_is_named() -> None:
    given = [*photos(4, width=400), *photos(1, width=402), *photos(1, width=90)]
    assert prepare(given, (), WANTED, Helpers()).notes == (
        "Photo 5 is longer than 2:1: both its ends are cut off.",
        "Photo 6 is longer than 2:1: both its ends are cut off.",
    )


def test_without_analysis_photos_are_taken_as_they_are() -> None:
    found = prepare(photos(), [], WANTED, Helpers())
    assert len(found.pictures) == 4
    assert not found.is_judged
    with pytest.raises(TrainingError, match="no analysis is connected"):
        prepare(photos(), [], CROPPED, Helpers())


@pytest.mark.parametrize("count", [3, 21])
def test_too_few_and_too_many_photos_are_refused(count: int) -> None:
    with pytest.raises(TrainingError, match=f"There are {count} photos; expected 4 to 20"):
        prepare(photos(count), [], WANTED, Helpers())


def test_photos_without_a_face_are_learned_and_named(tmp_path: Path) -> None:
    found = prepare(photos(), [], CROPPED, helpers(tmp_path, Finder(darkest=41)))
    assert "Photo 1: no face was found; it is learned all the same." in found.notes
    assert [one.kind for one in found.pictures].count("crop") == 3
    with pytest.raises(ImageError, match="No photo shows a usable face"):
        prepare(photos(), [], WANTED, helpers(tmp_path / "dark", Finder(darkest=99)))


def test_a_photo_of_another_person_is_named(tmp_path: Path) -> None:
    found = prepare(photos(), [], WANTED, helpers(tmp_path))
    assert found.notes == ("Photo 4 seems to show another person than the others.",)


def test_small_photos_and_faces_are_named(tmp_path: Path) -> None:
    tiny = Wanted("ohwx", "woman", (512,), face_crop=True)
    found = prepare(photos(), [], tiny, helpers(tmp_path))
    assert "Photo 1 is small, 200 px on its shorter side: it will be blurred." in found.notes
    assert "Photo 1: its face is too small for a crop, 200 px wide." in found.notes
    assert [one.kind for one in found.pictures] == ["photo"] * 4


def test_faces_are_corrected_before_anything_is_cut(tmp_path: Path) -> None:
    given = helpers(tmp_path)
    white = Helpers(given.analysis, given.cache, lambda image, faces: torch.ones_like(image))
    found = prepare(photos(), [], CROPPED, white)
    assert all(one.pixels.min() == 1 for one in found.pictures)


class LeftHalf:
    """A segmenter for which the left half of every picture is a person."""

    def find(self, image: torch.Tensor, words: Any, threshold: float) -> dict[str, Found]:
        scores = torch.zeros(image.shape[1:3])
        scores[:, : scores.shape[1] // 2] = 1
        return {word: Found(scores, "left half", 1.0) for word in words}


def test_the_background_counts_a_tenth_and_class_pictures_count_as_a_whole() -> None:
    found = prepare(photos(), photos(1), WANTED, Helpers(segmenter=LeftHalf()))
    weights = found.pictures[0].weights
    assert weights.shape == (1, 112, 160)
    assert weights[..., :76].min() == 1
    assert weights[..., 84:].max() == pytest.approx(BACKGROUND)
    assert found.pictures[-1].weights is None


def test_a_face_counts_as_often_as_is_asked_for_in_its_photo_and_in_its_crop(
    tmp_path: Path,
) -> None:
    wanted = Wanted("ohwx", "woman", (128,), face_crop=True, face_weight=20)
    given = replace(helpers(tmp_path, Finder(darkest=41)), segmenter=LeftHalf())
    dark, photo, *_, crop = prepare(photos(), [], wanted, given).pictures
    assert (photo.kind, crop.kind) == ("photo", "crop")
    assert dark.weights.max() == 1, "which shows no face"
    # The box 120..200, 40..140 of 300x200 px, at 160x112 px.
    counts = photo.weights[0]
    assert counts[26:75, 66:105].min() == 20
    assert counts[:, :60].max() == 1
    assert counts[:, 112:].max() == pytest.approx(BACKGROUND)
    # In the square of 200 px around it, from 60, 0 on, at 128x128 px.
    assert crop.weights[0, 28:87, 41:87].min() == 20
    assert crop.weights[0, :, :35].max() == 1
    assert crop.weights[0, 94:].max() == 1


def test_the_node_lets_faces_count_as_often_as_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = load("comfyui_astria.nodes.training.nodes")
    hosts = load("comfyui_astria.nodes.training.host.photos")
    monkeypatch.setattr(hosts, "state_folder", lambda: tmp_path)
    images = [torch.from_numpy(one)[None] / 255 for one in photos()]
    said = {"tune": "", "token": "ohwx", "name": "woman", "sizes": "128", "face_crop": False}
    given = {name: [value] for name, value in said.items()}
    analysis = helpers(tmp_path).analysis
    of = module.AstriaTunePhotos.execute
    weighed = of(images, analysis=[analysis], face_weight=[20.0], **given).args[2]
    assert [one.weights.max() for one in weighed.pictures] == [20] * 4
    before = of(images, analysis=[analysis], **given).args[2]  # a workflow saved before it
    assert all(one.weights is None for one in before.pictures)


def test_faces_that_count_as_all_else_leave_pictures_without_weights(tmp_path: Path) -> None:
    assert all(
        one.weights is None for one in prepare(photos(), [], CROPPED, helpers(tmp_path)).pictures
    )


@pytest.mark.parametrize("weight", [0.5, 101, float("nan")])
def test_a_face_counts_once_to_a_hundred_times_and_has_to_be_found(weight: float) -> None:
    with pytest.raises(TrainingError, match="face_crop, face_weight and"):
        prepare(photos(), [], Wanted("ohwx", "woman", (128,), face_weight=2), Helpers())
    with pytest.raises(TrainingError, match=rf"face_weight {weight}: expected 1 to 100"):
        prepare(photos(), [], Wanted("ohwx", "woman", (128,), face_weight=weight), Helpers())


@pytest.mark.parametrize(
    ("likeness", "said"),
    [
        ((), ""),
        (((10, 0.2), (20, 0.3)), ""),
        (((10, 0.3), (20, 0.28)), ""),
        (((10, 0.3), (20, 0.1)), "fell from +0.30 at step 10 to +0.10 at step 20"),
        (((10, -0.1), (20, 0.0)), "never rose"),
    ],
)
def test_falling_likeness_is_told(likeness: tuple, said: str) -> None:
    assert said in likeness_note(likeness)
    assert bool(said) == bool(likeness_note(likeness))
