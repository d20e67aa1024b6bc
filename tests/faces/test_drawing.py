"""Faces as masks, boxes and drawn into their pictures."""

from __future__ import annotations

import numpy as np
import torch
from comfyui_astria.nodes.faces.drawing import LINE, POINT, bounding_boxes, face_masks, preview
from comfyui_astria.nodes.faces.face import Face
from skimage.draw import ellipse

WIDE = Face(
    (10.0, 8.0, 50.0, 30.0),
    np.array([[20, 15], [40, 15], [30, 20], [24, 25], [36, 25]], np.float32),
    0.9,
)
TALL = Face((70.0, 4.0, 90.0, 44.0), score=0.6)


def test_a_mask_joins_the_ellipses_in_the_boxes_of_its_picture() -> None:
    masks = face_masks([[WIDE, TALL], [], [TALL]], 48, 96)
    expected = np.zeros((48, 96))
    for face in (WIDE, TALL):
        left, top, right, bottom = face.box
        expected[
            ellipse(
                (top + bottom) / 2 - 0.5,
                (left + right) / 2 - 0.5,
                face.height / 2,
                face.width / 2,
                shape=expected.shape,
            )
        ] = 1
    assert masks.shape == (3, 48, 96)
    np.testing.assert_array_equal(masks[0].numpy(), expected)
    assert masks[1].sum() == 0
    assert torch.equal(masks[2], face_masks([[TALL]], 48, 96)[0])


def test_boxes_are_the_host_s() -> None:
    assert bounding_boxes([[TALL], []]) == [
        [{"x": 70.0, "y": 4.0, "width": 20.0, "height": 40.0, "label": "face", "score": 0.6}],
        [],
    ]


def test_the_preview_draws_on_the_faces_only() -> None:
    images = torch.rand(2, 48, 96, 4)
    drawn = preview(images, [[WIDE], []])
    assert drawn.shape == (2, 48, 96, 3)
    assert (drawn[1] - images[1, ..., :3]).abs().max() <= 0.5 / 255 + 1e-6
    changed = (drawn[0] - images[0, ..., :3]).abs().amax(-1) > 0.01
    assert not changed[:, 60:].any() and not changed[40:].any()
    assert torch.equal((drawn[0, 8, 12:50] * 255).round().int(), torch.tensor(LINE).expand(38, 3))
    assert torch.equal(
        (drawn[0, 15, 40] * 255).round().int(), torch.tensor(POINT, dtype=torch.int32)
    )
