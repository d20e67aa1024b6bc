"""Photos of a person: read, checked, remembered, and made an identity."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from comfyui_astria.nodes.errors import ImageError
from comfyui_astria.nodes.faces import photos
from comfyui_astria.nodes.faces.boxes import BoxFaceDetector
from comfyui_astria.nodes.faces.detector import FaceAnalysis
from comfyui_astria.nodes.faces.face import Face
from comfyui_astria.nodes.faces.identity import Identity, PhotoFace
from comfyui_astria.nodes.faces.photos import (
    faces_of,
    find_person,
    identity_of,
    notes,
    photo_hash,
    png_bytes,
    read_photo,
)
from comfyui_astria.nodes.tunes.face_cache import FaceCache
from comfyui_astria.tests.testpack.face_models import FACE_POINTS
from PIL import Image


@pytest.fixture
def cache(tmp_path: Path) -> FaceCache:
    return FaceCache(tmp_path)


class Counted:
    """A detector that counts how often it is asked."""

    def __init__(self, inner: FaceAnalysis) -> None:
        self.inner, self.key, self.calls = inner, inner.detector.key, 0

    def find(self, pixels: np.ndarray, min_confidence: float) -> object:
        self.calls += 1
        return self.inner.detector.find(pixels, min_confidence)


def test_a_photo_costs_one_detection_ever(
    analysis: FaceAnalysis, photo: np.ndarray, cache: FaceCache, tmp_path: Path
) -> None:
    detector = Counted(analysis)
    counted = FaceAnalysis(detector, analysis.recogniser)
    (first,) = faces_of(photo, counted, cache)
    (again,) = faces_of(photo.copy(), counted, FaceCache(tmp_path))
    assert detector.calls == 1
    (fresh,) = analysis.faces(photo)
    np.testing.assert_array_equal(first.embedding, fresh.embedding)
    np.testing.assert_array_equal(again.embedding, first.embedding)
    assert again.recogniser == first.recogniser == fresh.recogniser == "tiny_faces"
    np.testing.assert_array_equal(again.points, first.points)
    assert (again.box, again.score) == (first.box, first.score)
    faces_of(np.roll(photo, 8, 1), counted, cache)
    assert detector.calls == 2
    detector.key = "another pack"
    faces_of(photo, counted, cache)
    assert detector.calls == 3


def test_what_an_unknown_detector_found_is_not_remembered(
    analysis: FaceAnalysis, photo: np.ndarray, cache: FaceCache
) -> None:
    """Two face detectors of other packs come by the same socket.

    The second must not get what the first one missed.
    """
    blind = SimpleNamespace(detect=lambda *_: ((512, 512), []))
    seeing = SimpleNamespace(
        detect=lambda *_: ((512, 512), [SimpleNamespace(bbox=(160, 58, 288, 186), confidence=0.9)])
    )
    assert (
        faces_of(
            photo,
            FaceAnalysis(BoxFaceDetector(blind, analysis.detector), analysis.recogniser),
            cache,
        )
        == ()
    )
    assert (
        len(
            faces_of(
                photo,
                FaceAnalysis(BoxFaceDetector(seeing, analysis.detector), analysis.recogniser),
                cache,
            )
        )
        == 1
    )


def test_photos_without_a_face_are_remembered_too(analysis: FaceAnalysis, cache: FaceCache) -> None:
    detector = Counted(analysis)
    counted = FaceAnalysis(detector, analysis.recogniser)
    black = np.zeros((64, 64, 3), np.uint8)
    assert faces_of(black, counted, cache) == ()
    looks = detector.calls
    assert faces_of(black, counted, cache) == ()
    assert detector.calls == looks


def test_each_photo_is_judged_and_named(
    analysis: FaceAnalysis, photo: np.ndarray, cache: FaceCache
) -> None:
    small = np.array(Image.fromarray(photo).resize((256, 256)))
    two = np.concatenate([photo, photo], axis=1)
    findings = [
        find_person(one, analysis, cache) for one in (photo, np.zeros_like(photo), two, small)
    ]
    assert [one.face is not None for one in findings] == [True, False, True, False]
    assert notes(findings) == [
        "Photo 2: not used: no face was found.",
        "Photo 3: 2 faces were found; the largest is used.",
        "Photo 4: not used: the largest face is 44 px wide; expected at least 64 px.",
    ]
    identity = identity_of(findings, analysis, "Anna")
    assert (len(identity.photos), identity.title, identity.recogniser) == (2, "Anna", "tiny_faces")


def test_a_small_face_is_used_where_that_is_asked_for_and_noted(
    analysis: FaceAnalysis, photo: np.ndarray, cache: FaceCache
) -> None:
    small = np.array(Image.fromarray(photo).resize((256, 256)))
    findings = [find_person(small, analysis, cache, least) for least in (45, 44)]
    assert [one.face is not None for one in findings] == [False, True]
    assert notes(findings) == [
        "Photo 1: not used: the largest face is 44 px wide; expected at least 45 px.",
        "Photo 2: the largest face is 44 px wide, and below 64 px the likeness suffers.",
    ]


def test_grey_of_16_bits_keeps_its_levels(tmp_path: Path) -> None:
    levels = np.arange(256, dtype=np.uint16).reshape(16, 16)
    for name, values in (("exact", levels * 257), ("bright", 65535 - levels)):
        Image.fromarray(values).save(tmp_path / f"{name}.png")
    exact = read_photo(tmp_path / "exact.png")
    assert (exact == levels[..., None]).all() and exact.dtype == np.uint8
    assert set(read_photo(tmp_path / "bright.png").ravel()) == {254, 255}


def test_error_no_usable_photo_says_what_is_wrong_with_each(
    analysis: FaceAnalysis, cache: FaceCache
) -> None:
    findings = [find_person(np.zeros((64, 64, 3), np.uint8), analysis, cache)] * 2
    with pytest.raises(
        ImageError,
        match=(
            r"No photo of 'Anna' shows a usable face\. Photo 1: not used: no face was found\. Photo"
            r" 2: not"
        ),
    ):
        identity_of(findings, analysis, "Anna")


def test_an_identity_has_embeddings_and_crops_of_each_photo(
    analysis: FaceAnalysis, photo: np.ndarray, cache: FaceCache
) -> None:
    darker = (photo * 0.5).astype(np.uint8)
    identity = identity_of(
        [find_person(one, analysis, cache) for one in (photo, darker)], analysis, "Anna"
    )
    assert identity.embeddings.shape == (2, 512)
    np.testing.assert_array_equal(identity.embeddings[0], analysis.faces(photo)[0].embedding)
    torch.testing.assert_close(
        identity.normed, identity.embeddings / identity.embeddings.norm(dim=1, keepdim=True)
    )
    torch.testing.assert_close(identity.normed.norm(dim=1), torch.ones(2))
    crops, heads = identity.crop(224), identity.ffhq(512)
    assert crops.shape == (2, 224, 224, 3) and heads.shape == (2, 512, 512, 3)
    torch.testing.assert_close(crops[1], crops[0] / 2, atol=1 / 255, rtol=0)
    # The left eye of the photo stands where the template has it.
    eye = torch.from_numpy(photo[100:103, 203:206]).float().mean((0, 1)) / 255
    torch.testing.assert_close(heads[0, 236:244, 189:197].mean((0, 1)), eye, atol=0.06, rtol=0)
    torch.testing.assert_close(crops[0, 101:106, 74:79].mean((0, 1)), eye, atol=0.1, rtol=0)
    assert crops.min() >= 0 and crops.max() <= 1
    assert FACE_POINTS[0].round().tolist() == [204, 101]


def test_a_head_at_the_photo_s_edge_is_cut_as_facexlib_does(photo: np.ndarray) -> None:
    """By align_warp_face of its face_restoration_helper.py, on BGR pictures.

    Grey where the photo ends.
    """
    part = photo[60:260, 150:300]
    points = (FACE_POINTS - (150, 60)).astype(np.float32)
    identity = Identity((PhotoFace(part, Face((20, 10, 120, 150), points)),), "antelopev2", "Anna")
    template = [
        [192.98138, 239.94708],
        [318.90277, 240.1936],
        [256.63416, 314.01935],
        [201.26117, 371.41043],
        [313.08905, 371.15118],
    ]
    matrix = cv2.estimateAffinePartial2D(points, np.array(template), method=cv2.LMEDS)[0]
    bgr = cv2.warpAffine(
        part[..., ::-1],
        matrix,
        (512, 512),
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(135, 133, 132),
    )
    crop = identity.ffhq(512)[0].numpy() * 255
    assert (bgr[0, 0] == (135, 133, 132)).all() and (bgr[-1, -1] == (135, 133, 132)).all()
    # OpenCV rounds to levels, and places to 1/32 of a pixel.
    assert np.abs(crop - bgr[..., ::-1]).mean() < 0.6
    np.testing.assert_allclose(crop[[0, -1], [0, -1]], [(132, 133, 135)] * 2, atol=1e-3)


def test_photos_are_read_as_their_camera_held_them(photo: np.ndarray, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera lay on its side
    Image.fromarray(np.rot90(photo)).save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(read_photo(tmp_path / "turned.png"), photo)
    Image.fromarray(photo).convert("L").save(tmp_path / "grey.jpg")
    assert read_photo(tmp_path / "grey.jpg").shape == (512, 512, 3)


def test_a_photo_comes_back_from_its_png_to_the_bit(photo: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png_bytes(photo))
    back = read_photo(tmp_path / "a.png")
    np.testing.assert_array_equal(back, photo)
    assert photo_hash(back) == photo_hash(photo) != photo_hash(photo.reshape(256, 1024, 3))


def test_a_large_photo_is_scaled_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photos, "MAX_SIDE_PX", 64)
    Image.new("RGB", (128, 32), "red").save(tmp_path / "a.png")
    assert read_photo(tmp_path / "a.png").shape == (16, 64, 3)


def test_error_a_photo_of_too_many_pixels_is_not_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "MAX_PIXELS", 1000)
    Image.new("RGB", (40, 30)).save(tmp_path / "a.png")
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(whole[:60])  # the header is there, the pixels are not
    with pytest.raises(ImageError, match="it has 40x30 pixels; expected at most 1000"):
        read_photo(tmp_path / "a.png")


@pytest.mark.parametrize("content", [b"no picture", b"", b"\x89PNG\r\n\x1a\n0000", None])
def test_error_a_photo_that_is_none(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ImageError, match=r"The photo [^/]*/a\.png cannot be read") as told:
        read_photo(path)
    assert str(tmp_path) not in told.value.message, "nothing tells where photos lie"


def test_error_a_photo_that_ends_early(tmp_path: Path, photo: np.ndarray) -> None:
    (tmp_path / "a.png").write_bytes(png_bytes(photo)[:5000])
    with pytest.raises(ImageError, match=r"The photo .*a\.png cannot be read"):
        read_photo(tmp_path / "a.png")
