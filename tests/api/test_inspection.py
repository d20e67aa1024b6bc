"""What is told of a photo: measured, and nothing of a person guessed."""

from __future__ import annotations

import numpy as np
from comfyui_astria.nodes.api.pictures.inspection import NOT_GUESSED, inspected, sharpness
from comfyui_astria.nodes.faces.face import Face
from comfyui_astria.nodes.faces.photos import MIN_FACE_PX
from PIL import Image, ImageFilter

PHOTO = np.random.default_rng(0).integers(0, 255, (200, 300, 3), dtype=np.uint8)


def blurred(pixels: np.ndarray, radius: int) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(radius)))


def test_a_blurred_photo_is_less_sharp() -> None:
    found = [sharpness(blurred(PHOTO, radius)) for radius in (0, 1, 2, 6)]
    assert found == sorted(found, reverse=True)
    assert inspected(PHOTO, None, (300, 200), ())["blurry"] is False
    assert inspected(blurred(PHOTO, 6), None, (300, 200), ())["blurry"] is True
    assert sharpness(np.zeros((1, 2, 3), np.uint8)) == 0


def test_faces_are_counted_and_nothing_is_guessed() -> None:
    faces = [Face((10, 10, 60, 70)), Face((100, 20, 250, 190))]
    told = inspected(PHOTO, faces, (600, 400), ["one"])
    assert (told["faces"], told["includes_multiple_people"]) == (2, True)
    assert (told["face_width"], told["face_height"]) == (150, 170)
    assert (told["width"], told["height"], told["notices"]) == (600, 400, ["one"])
    assert told["low_resolution"] is False
    assert {told[key] for key in NOT_GUESSED} == {None}
    assert {"ethnicity", "age", "name"} <= set(NOT_GUESSED)
    small = inspected(PHOTO, [Face((0, 0, MIN_FACE_PX - 1, 90))], (300, 200), ())
    assert (small["low_resolution"], small["includes_multiple_people"]) == (True, False)


def test_sharpness_is_that_of_the_largest_face() -> None:
    photo = PHOTO.copy()
    photo[20:190, 100:250] = 128
    told = inspected(photo, [Face((100, 20, 250, 190))], (300, 200), ())
    assert (told["sharpness"], told["blurry"]) == (0, True)
    assert inspected(photo, [], (300, 200), ())["blurry"] is False


def test_without_a_face_analysis_nothing_is_said_of_faces() -> None:
    told = inspected(PHOTO, None, (300, 200), ())
    assert [told[key] for key in ("faces", "includes_multiple_people", "low_resolution")] == [
        None,
        None,
        None,
    ]
