"""Faces know their picture's size: at another size of it they are scaled, at another shape
refused.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from comfyui_astria.nodes.errors import ImageError
from comfyui_astria.nodes.faces.detector import FaceAnalysis
from comfyui_astria.nodes.faces.drawing import bounding_boxes, face_masks, preview
from comfyui_astria.nodes.faces.face import Face, scale_notes
from comfyui_astria.nodes.faces.match import match_faces
from comfyui_astria.nodes.faces.paste_face import faces_of_image
from comfyui_astria.nodes.regions.layout import columns, from_boxes
from comfyui_astria.nodes.regions.person import Person
from comfyui_astria.tests.testpack.face_models import FACE_BOX
from PIL import Image

POINTS = np.array([[10.0, 20], [30, 20], [20, 30], [12, 40], [28, 40]])
SMALL = Face((8.0, 10.0, 32.0, 46.0), POINTS, picture=(100, 50))


def test_faces_of_a_photo_are_those_of_its_enlargement(
    analysis: FaceAnalysis, photo: np.ndarray
) -> None:
    """Against what the detector finds in the enlarged photo itself."""
    (face,) = analysis.faces(photo)
    assert face.picture == (512, 512)
    large = Image.fromarray(photo).resize((1024, 1024), Image.Resampling.BICUBIC)
    (found,) = analysis.faces(np.array(large))
    scaled = face.in_picture(1024, 1024)
    np.testing.assert_allclose(scaled.box, found.box, atol=2.5)
    np.testing.assert_allclose(scaled.points, found.points, atol=2.5)
    assert scaled.in_picture(512, 512).box == pytest.approx(face.box)


def test_points_stand_between_pixels_as_a_resize_puts_them() -> None:
    """The middle of pixel 10 lies 10.5 px from the edge, 21 px in twice the size."""
    scaled = SMALL.in_picture(200, 100)
    np.testing.assert_allclose(scaled.points, POINTS * 2 + 0.5)
    assert scaled.box == (16, 20, 64, 92) and scaled.picture == (200, 100)
    assert SMALL.in_picture(100, 50) is SMALL


@pytest.mark.parametrize("size", [(100, 60), (50, 100), (512, 512)])
def test_error_a_picture_of_another_shape(size: tuple[int, int]) -> None:
    with pytest.raises(ImageError, match=r"Faces of a picture of 100x50 px are used on one of"):
        SMALL.in_picture(*size)


def test_a_side_rounded_to_a_model_s_multiple_is_the_same_picture() -> None:
    assert SMALL.in_picture(200, 99).box == pytest.approx((16, 19.8, 64, 91.08))


def test_masks_and_drawings_are_of_the_picture_s_size() -> None:
    masks = face_masks([[SMALL]], 100, 200)
    rows, columns_ = np.nonzero(masks[0].numpy())
    assert (columns_.min(), rows.min(), columns_.max() + 1, rows.max() + 1) == (16, 20, 64, 92)
    drawn = preview(torch.zeros(1, 100, 200, 3), [[SMALL]])[0].any(-1).numpy()
    assert drawn[20:92, 16].all() and drawn[91, 16:64].all() and not drawn[:, 70:].any()
    with pytest.raises(ImageError, match="Faces of a picture of 100x50 px"):
        face_masks([[SMALL]], 100, 100)


def test_persons_are_matched_where_faces_stand_in_the_picture_itself() -> None:
    people = [Person([], None), Person([], None)]
    right = Face((60.0, 10.0, 90.0, 46.0), picture=(100, 50))
    found = match_faces([right], people, columns(2, 400, 200, softness_px=0), (400, 200))
    assert found.persons == {0: 1}
    with pytest.raises(ImageError, match="Faces of a picture of 100x50 px"):
        match_faces([right], people, None, (400, 400))


def test_boxes_of_faces_give_regions_at_every_size_of_the_picture() -> None:
    """Astria Detect Faces before an upscaling, Astria Regions behind it."""
    pair = [
        Face((10.0, 20, 22, 36), picture=(100, 50)),
        Face((60.0, 18, 74, 37), picture=(100, 50)),
    ]
    (early,) = bounding_boxes([pair])
    (late,) = bounding_boxes([[face.in_picture(400, 200) for face in pair]])
    found = from_boxes(early, 2, 400, 200, softness_px=0)
    assert torch.equal(found.masks, from_boxes(late, 2, 400, 200, softness_px=0).masks)
    small = from_boxes(early, 2, 100, 50, softness_px=0).masks
    assert (found.masks.mean((1, 2)) - small.mean((1, 2))).abs().max() < 0.02
    with pytest.raises(ImageError, match="A box of a picture of 100x50 px is used on one of"):
        from_boxes(early, 2, 400, 400, softness_px=0)


def test_a_batch_gets_its_faces_in_its_own_pixels(
    analysis: FaceAnalysis, photo: np.ndarray
) -> None:
    small = torch.from_numpy(photo)[None] / 255
    faces = analysis.batch(small)
    large = small.repeat_interleave(2, 1).repeat_interleave(2, 2)
    ((face,),) = faces_of_image(large, faces)
    np.testing.assert_allclose(face.box, np.array(FACE_BOX) * 2, atol=3)
    assert scale_notes(faces, 1024, 1024) == [
        "Faces that were found at 512x512 px are scaled to the picture's 1024x1024 px."
    ]
    assert scale_notes(faces, 512, 512) == []
    with pytest.raises(ImageError, match="expected the same picture, at any scale"):
        faces_of_image(large[:, :768], faces)


@pytest.mark.parametrize(
    ("own", "padded"),
    [((1000, 750), (1008, 752)), ((450, 450), (464, 464)), ((100, 50), (112, 64))],
)
def test_in_a_padded_picture_faces_stay_where_they_are(
    own: tuple[int, int], padded: tuple[int, int]
) -> None:
    """Padding to a model's multiple adds pixels right and bottom; it moves nothing."""
    face = Face((40.0, 10.0, 90.0, 48.0), POINTS, picture=own)
    kept = face.in_picture(*padded)
    assert (kept.box, kept.picture) == (face.box, padded)
    np.testing.assert_array_equal(kept.points, POINTS)
    [note] = scale_notes([[face]], *padded)
    assert note.endswith(
        f"stay where they are: the picture was padded to {padded[0]}x{padded[1]} px."
    )
    box = {"x": 40, "y": 10, "width": 50, "height": 38, "picture": own}
    plain = {key: value for key, value in box.items() if key != "picture"}
    laid_out = from_boxes([box], 1, *padded, softness_px=0)
    assert torch.equal(laid_out.masks, from_boxes([plain], 1, *padded, softness_px=0).masks)
