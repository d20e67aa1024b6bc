"""insightface's own code on a pack without weights.

Where faces are found, what their embeddings say, what is wrong with a pack.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from comfyui_astria.nodes.errors import ImageError, MissingModelError
from comfyui_astria.nodes.faces import insight
from comfyui_astria.nodes.faces.detector import FaceAnalysis
from comfyui_astria.nodes.faces.face import Face, largest, left_to_right
from comfyui_astria.nodes.faces.insight import find_packs, load_pack, missing_pack
from comfyui_astria.tests.testpack.face_models import FACE_BOX, FACE_POINTS, write_face_pack
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent.parent


def alike(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_the_face_of_a_photo_is_found_with_its_points(
    analysis: FaceAnalysis, photo: np.ndarray
) -> None:
    (face,) = analysis.faces(photo)
    np.testing.assert_allclose(face.box, FACE_BOX, atol=1)
    np.testing.assert_allclose(face.points, FACE_POINTS, atol=1)
    assert face.score > 0.95
    assert face.embedding.shape == (512,)


def test_boxes_and_points_are_in_the_pixels_of_each_picture(
    analysis: FaceAnalysis, photo: np.ndarray
) -> None:
    large = photo.repeat(4, 0).repeat(4, 1)
    (face,) = analysis.faces(large)
    np.testing.assert_allclose(face.box, np.array(FACE_BOX) * 4, atol=4)
    np.testing.assert_allclose(face.points, FACE_POINTS * 4, atol=4)


def test_faces_come_from_left_to_right(analysis: FaceAnalysis, photo: np.ndarray) -> None:
    stretched = np.array(Image.fromarray(photo).resize((540, 512)).crop((14, 0, 526, 512)))
    first, second = analysis.faces(np.concatenate([stretched, photo], axis=1))
    assert first.score < second.score  # the detector names the surest first
    np.testing.assert_allclose(np.array(second.box) - first.box, [512, 0, 512, 0], atol=12)
    assert alike(first.embedding, second.embedding) > 0.8


def test_a_face_that_fills_the_photo_is_found_at_a_smaller_size(
    analysis: FaceAnalysis, photo: np.ndarray
) -> None:
    """At 640 px its 128 px are too large for this detector.

    Half of that is one of the two sizes it knows.
    """
    middle = np.array(photo[40:296, 90:346])
    large = np.array(Image.fromarray(middle).resize((1024, 1024), Image.Resampling.BILINEAR))
    (face,) = analysis.faces(large)
    np.testing.assert_allclose(face.points, (FACE_POINTS - [90, 40]) * 4, atol=12)


def test_a_batch_of_different_pictures_has_different_faces(
    analysis: FaceAnalysis, photo: np.ndarray
) -> None:
    moved = np.roll(photo, (37, 51), (0, 1))
    alpha = np.full((512, 512, 1), 128, np.uint8)
    batch = (
        torch.from_numpy(
            np.stack(
                [np.concatenate([one, alpha], -1) for one in (photo, np.zeros_like(photo), moved)]
            )
        )
        / 255
    )
    first, none, second = analysis.batch(batch)
    assert none == ()
    np.testing.assert_allclose(np.array(second[0].box) - first[0].box, [51, 37, 51, 37], atol=6)
    (alone,) = analysis.batch(batch[2:].half())[0]
    np.testing.assert_allclose(alone.box, second[0].box, atol=0.5)


def test_the_embedding_is_the_recogniser_s_own(
    analysis: FaceAnalysis, photo: np.ndarray, face_pack: Path
) -> None:
    """Against insightface's own aligned crop, put through the file."""
    import cv2
    import onnxruntime
    from comfyui_astria.nodes.faces.align import arcface_template, similarity

    (face,) = analysis.faces(photo)
    crop = cv2.warpAffine(photo, similarity(face.points, arcface_template(112)), (112, 112)).astype(
        np.float32
    )
    session = onnxruntime.InferenceSession(
        str(face_pack / "rec_test.onnx"), providers=["CPUExecutionProvider"]
    )
    (expected,) = session.run(None, {"input": ((crop - 127.5) / 127.5).transpose(2, 0, 1)[None]})
    assert alike(face.embedding, expected[0]) > 0.9999
    assert face.recogniser == face_pack.name
    np.testing.assert_allclose(
        np.linalg.norm(face.embedding), np.linalg.norm(expected[0]), rtol=0.01
    )


def test_embeddings_tell_people_apart(analysis: FaceAnalysis, photo: np.ndarray) -> None:
    (face,) = analysis.faces(photo)
    darker = analysis.faces((photo * 0.7 + 20).astype(np.uint8))[0]
    mirrored = analysis.recogniser.embed(np.array(photo[:, ::-1, ::-1]), [face.points])[0]
    assert alike(face.embedding, darker.embedding) > 0.99 > alike(face.embedding, mirrored) + 0.2


def test_a_recogniser_with_a_fixed_batch_gives_the_same(
    analysis: FaceAnalysis, photo: np.ndarray, tmp_path: Path
) -> None:
    one_by_one = load_pack(write_face_pack(tmp_path / "fixed", fixed_batch=True)).recogniser
    points = [FACE_POINTS, FACE_POINTS + 30]
    expected = analysis.recogniser.embed(photo, points)
    assert expected.shape == (2, 512)
    np.testing.assert_allclose(one_by_one.embed(photo, points), expected, rtol=1e-4, atol=1e-4)


def test_confidence_and_size_leave_faces_out(analysis: FaceAnalysis, photo: np.ndarray) -> None:
    # Unlike at every size.
    stretched = np.array(Image.fromarray(photo).resize((560, 512)).crop((24, 0, 536, 512)))
    (unsure,) = analysis.faces(stretched, min_confidence=0.1)
    assert unsure.score < 0.9
    assert analysis.faces(stretched, min_confidence=0.95) == ()
    assert len(analysis.faces(photo, min_size_px=88)) == 1
    assert analysis.faces(photo, min_size_px=91) == ()


def test_without_a_recogniser_faces_have_no_embedding(
    analysis: FaceAnalysis, photo: np.ndarray
) -> None:
    (face,) = FaceAnalysis(analysis.detector, None).faces(photo)
    assert face.embedding is None and face.recogniser is None and face.points is not None


def test_keys_tell_packs_apart_and_files_of_the_same_name(
    analysis: FaceAnalysis, tmp_path: Path
) -> None:
    same = load_pack(write_face_pack(tmp_path / "tiny_faces")).analysis
    assert same.key == analysis.key
    model = onnx.load(tmp_path / "tiny_faces" / "rec_test.onnx")
    model.doc_string = "trained anew"
    onnx.save(model, tmp_path / "tiny_faces" / "rec_test.onnx")
    other = load_pack(tmp_path / "tiny_faces").analysis
    assert other.key != analysis.key
    assert FaceAnalysis(other.detector, None).key != other.key


def test_a_pack_is_loaded_once(face_pack: Path) -> None:
    assert load_pack(face_pack) is load_pack(face_pack)


def test_a_folder_of_the_same_name_where_comfyui_was_started_is_not_taken(
    face_pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tiny_faces").mkdir()
    monkeypatch.chdir(tmp_path)
    copy = shutil.copytree(face_pack, tmp_path / "models" / "tiny_faces")
    assert load_pack(copy).recogniser.name == "tiny_faces"


def test_faces_are_ordered_by_place_and_chosen_by_size() -> None:
    wide = Face((10, 0, 90, 80), score=0.6)
    small = Face((0, 0, 20, 20), score=0.9)
    right = Face((50, 0, 110, 60), score=0.99)
    assert left_to_right([right, wide, small]) == (small, wide, right)
    assert largest([small, wide, right]) is wide
    assert largest([]) is None


def test_packs_are_folders_below_models(tmp_path: Path) -> None:
    for place in (
        "a/models/buffalo_l",
        "a/models/antelopev2",
        "b/models/buffalo_l",
        "b/models/own",
    ):
        (tmp_path / place).mkdir(parents=True)
    (tmp_path / "a" / "models" / "notes.txt").touch()
    (tmp_path / "a" / "inswapper_128.onnx").touch()
    packs = find_packs([str(tmp_path / "a"), str(tmp_path / "b"), str(tmp_path / "nowhere")])
    assert packs["buffalo_l"] == tmp_path / "a" / "models" / "buffalo_l"
    assert sorted(packs) == ["antelopev2", "buffalo_l", "own"]


def test_error_a_pack_that_is_absent_says_what_to_put_where(tmp_path: Path) -> None:
    error = missing_pack("buffalo_l", ["own"], [str(tmp_path)])
    assert error.message == "The face model pack 'buffalo_l' was not found. Packs there: own."
    assert str(tmp_path / "models" / "buffalo_l") in error.hint
    assert (
        "buffalo_l.zip" in error.hint
        and "github.com/deepinsight/insightface" in error.hint
        and "non-commercial" in error.hint
    )


def test_error_a_pack_unpacked_one_folder_too_deep(face_pack: Path, tmp_path: Path) -> None:
    shutil.copytree(face_pack, tmp_path / "antelopev2" / "antelopev2")
    with pytest.raises(
        MissingModelError,
        match=r"holds no \.onnx file\.\nMove the files of .*antelopev2.antelopev2 to",
    ):
        load_pack(tmp_path / "antelopev2")
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        MissingModelError,
        match=r"holds no \.onnx file\.\nUnpack a whole pack such as buffalo_l into it, from https",
    ):
        load_pack(tmp_path / "empty")


@pytest.mark.parametrize(
    ("library", "asked"),
    [("insightface", '"insightface>=1.0.1,<3"'), ("onnxruntime", "onnxruntime")],
)
def test_error_a_library_that_is_not_installed(
    face_pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str, asked: str
) -> None:
    """Only what is absent is asked for: onnxruntime would take CUDA from onnxruntime-gpu."""
    pack = shutil.copytree(face_pack, tmp_path / library)  # not loaded before
    for name in [
        name for name in sys.modules if name.split(".")[0] in ("insightface", "onnxruntime")
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingModelError, match="needs insightface and onnxruntime; ") as caught:
        load_pack(pack)
    lines = caught.value.hint.splitlines()
    assert lines[0].endswith(f"Install PIP Packages: {asked.strip(chr(34))}")
    assert lines[1] == f'In a terminal: "{sys.executable}" -m pip install {asked}'


def test_error_a_picture_of_another_shape(analysis: FaceAnalysis) -> None:
    with pytest.raises(ImageError, match=r"Faces are looked for in an image of shape \(8, 8, 3\)"):
        analysis.batch(torch.zeros(8, 8, 3))


def test_listing_packs_loads_no_library(tmp_path: Path) -> None:
    program = f"""
import importlib.util, sys
spec = importlib.util.spec_from_file_location("pack_loader", {str(ROOT / "pack_loader.py")!r})
loader = importlib.util.module_from_spec(spec); spec.loader.exec_module(loader); loader.load()
from comfyui_astria.nodes.faces import boxes, drawing, identity, insight, mediapipe, photos
insight.find_packs([{str(tmp_path)!r}])
print(*({{"insightface", "onnxruntime", "onnx", "cv2", "skimage"}} & set(sys.modules)))
"""
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == ""


def test_the_detector_looks_at_640_px_first(analysis: FaceAnalysis) -> None:
    assert insight.SIZES[0] == 640
    assert analysis.detector._model.input_size == (640, 640)
