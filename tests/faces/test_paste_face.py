"""Aligned crops of faces and the way back: geometry, soft borders, neighbours."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from comfyui_astria.nodes.errors import ImageError
from comfyui_astria.nodes.faces.align import arcface_template, ffhq_template
from comfyui_astria.nodes.faces.face import Face
from comfyui_astria.nodes.faces.paste_face import Placement, cut, faces_of_image, paste, soft_square
from comfyui_astria.tests.swap.swap_support import (
    blob,
    face_at,
    middle_of,
    smooth_picture,
    unchanged_outside,
)

SWAP = Placement(arcface_template(128), 128, 0.1)
RESTORE = Placement(ffhq_template(512), 512, 0.1, (0.5, 0.5, 0.5))


def unchanged(
    image: torch.Tensor, face: Face, placement: Placement
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a picture [H,W,C] whose face was cut out and put back as it is, and its mask."""
    crop = cut(image, [face], 0, placement)
    return paste(image, torch.zeros(image.shape[:2]), crop, crop.pixels)


@pytest.mark.parametrize("placement", [SWAP, RESTORE], ids=["swap", "restore"])
@pytest.mark.parametrize("turn", [0.0, 0.4, -1.2, 3.0])
@pytest.mark.parametrize("side", [60, 128, 300])
def test_what_goes_out_and_back_stays_where_it_is(
    placement: Placement, turn: float, side: float
) -> None:
    """Within a tenth of a pixel, a spot in the middle of a face that is smaller than the crop, or
    larger.
    """
    image = blob(500, 450, 240.3, 230.7, radius=side / 16)[0]
    result, mask = unchanged(image, face_at(241, 229, side, turn), placement)
    assert mask[230, 240] == 1 and not torch.equal(result, image)
    assert np.abs(np.subtract(middle_of(result), middle_of(image))).max() < 0.1


@pytest.mark.parametrize("placement", [SWAP, RESTORE], ids=["swap", "restore"])
@pytest.mark.parametrize("side", [40, 150, 320])
def test_brightness_does_not_shift(placement: Placement, side: float) -> None:
    image = smooth_picture(480, 420)[0]
    result, mask = unchanged(image, face_at(230, 200, side, 0.3), placement)
    inside = mask > 0
    assert (result[inside].mean() - image[inside].mean()).abs() < 2e-4
    assert (result - image).abs().max() < 0.02


def test_a_large_face_is_averaged_and_not_skipped_over() -> None:
    """A fine grid becomes its mean.

    Every fifth pixel alone would make it black, white or stripes.
    """
    across, down = torch.meshgrid(torch.arange(1300), torch.arange(1300), indexing="xy")
    image = ((across + down) % 2).float()[..., None].repeat(1, 1, 3)
    crop = cut(image, [face_at(650, 650, 640, 0.5)], 0, SWAP)
    assert (crop.pixels - 0.5).abs().max() < 0.05


def test_a_face_at_the_border_sees_the_colour_of_outside() -> None:
    image = torch.ones(200, 200, 3)
    face = face_at(10, 100, 100)
    black, grey = cut(image, [face], 0, SWAP).pixels, cut(image, [face], 0, RESTORE).pixels
    assert black[64, 2].tolist() == [0, 0, 0] and grey[256, 8].tolist() == pytest.approx(
        [0.5, 0.5, 0.5], abs=1e-5
    )
    assert black[64, 100].tolist() == grey[256, 400].tolist() == [1, 1, 1]


def test_a_face_at_the_border_goes_back() -> None:
    image = smooth_picture(200, 160)[0]
    result, mask = unchanged(image, face_at(3, 5, 120), SWAP)
    assert mask[5, 3] == 1 and (result - image).abs().max() < 0.02
    assert unchanged_outside(image[None], result[None], mask[None])


def test_alpha_and_everything_outside_stay_bit_for_bit() -> None:
    image = torch.rand(200, 220, 4, generator=torch.Generator().manual_seed(1))
    crop = cut(image, [face_at(100, 90, 80, 0.2)], 0, SWAP)
    result, mask = paste(image, torch.zeros(200, 220), crop, 1 - crop.pixels)
    assert torch.equal(result[..., 3], image[..., 3])
    assert unchanged_outside(image[None], result[None], mask[None])
    assert (result[mask == 1][:, :3] - (1 - image[mask == 1][:, :3])).abs().mean() < 0.2


def test_what_cannot_be_painted_stays_inside_the_mask() -> None:
    image = smooth_picture(200, 200)[0]
    crop = cut(image, [face_at(100, 100, 60)], 0, SWAP)
    result, mask = paste(
        image, torch.zeros(200, 200), crop, torch.full_like(crop.pixels, torch.nan)
    )
    assert torch.equal(result.isnan().any(-1), mask > 0) and 0 < (mask > 0).float().mean() < 0.2


def test_the_soft_border_is_the_published_one() -> None:
    """Erosion by a tenth and OpenCV's blur by a twentieth, of a white square with nothing around
    it.
    """
    white = np.pad(np.ones((400, 400), np.float32), 40)
    eroded = cv2.erode(white, np.ones((41, 41), np.uint8))
    blurred = cv2.GaussianBlur(eroded, (41, 41), 0)[40:-40, 40:-40]
    np.testing.assert_allclose(soft_square(400, 0.1).numpy(), blurred, atol=1e-5)


def test_without_feather_the_whole_crop_counts() -> None:
    assert soft_square(64, 0).eq(1).all()


def test_of_two_faces_that_overlap_each_keeps_its_own_half() -> None:
    image = smooth_picture(300, 200)[0]
    faces = [face_at(110, 100, 100), face_at(170, 100, 100)]
    masks = [
        paste(image, torch.zeros(200, 300), crop, crop.pixels)[1]
        for crop in (cut(image, faces, number, SWAP) for number in (0, 1))
    ]
    alone = unchanged(image, faces[0], SWAP)[1]
    assert alone[100, 160] > 0.5
    assert masks[0][100, 110] == masks[1][100, 170] == 1
    assert masks[0][100, 160] == masks[1][100, 120] == 0
    between = masks[0][100, 110:170] + masks[1][100, 110:170]
    assert (between - 1).abs().max() < 0.05


def test_a_small_face_in_front_of_a_large_one_is_left_out_of_it() -> None:
    image = smooth_picture(400, 400)[0]
    faces = [face_at(200, 200, 240), face_at(270, 240, 40)]
    mask = unchanged_mask(image, faces)
    assert mask[200, 200] == 1 and mask[240, 180] == 1
    assert mask[240, 270] == 0


def unchanged_mask(image: torch.Tensor, faces: list[Face]) -> torch.Tensor:
    crop = cut(image, faces, 0, SWAP)
    return paste(image, torch.zeros(image.shape[:2]), crop, crop.pixels)[1]


def test_half_precision_stays_half_precision() -> None:
    image = smooth_picture(120, 120)[0].half()
    result, mask = unchanged(image, face_at(20, 60, 60), SWAP)
    assert result.dtype == torch.float16 and mask.dtype == torch.float32
    assert (result.float() - image.float()).abs().max() < 0.02


def test_a_face_without_points_is_an_error() -> None:
    with pytest.raises(ImageError, match="Face 2 of 2, at 5, 6, has no points"):
        cut(torch.zeros(50, 50, 3), [face_at(20, 20, 20), Face((5, 6, 20, 20))], 1, SWAP)


@pytest.mark.parametrize(
    ("shape", "faces", "message"),
    [
        (
            (1, 50, 40, 3),
            ((Face((45, 5, 60, 20)),),),
            "A face of image 1 at 45, 5 lies outside the picture of 40x50 px",
        ),
        ((2, 8, 8, 3), ((),), r"The faces of 1 image\(s\) are given for 2 image\(s\)"),
        ((8, 8, 3), (), "An image of shape"),
        ((1, 8, 8, 1), ((),), "An image of shape"),
    ],
)
def test_images_and_faces_must_belong_together(
    shape: tuple[int, ...], faces: tuple, message: str
) -> None:
    with pytest.raises(ImageError, match=message):
        faces_of_image(torch.zeros(shape), faces)
