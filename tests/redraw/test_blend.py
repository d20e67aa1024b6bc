"""Drawn faces in their picture.

Outside the masks the very pixels of before, and nobody painted into somebody else.
"""

from __future__ import annotations

import itertools

import pytest
import torch
from comfyui_astria.nodes.faces.face import Face
from comfyui_astria.nodes.redraw.blend import levelled, paste_faces
from comfyui_astria.nodes.redraw.crop import CropOptions, FaceCrop, cut, plan_crop, window_mask
from torch import Tensor

SIZE = (160, 120)
OPTIONS = CropOptions(face_size_px=64, context=2.0, feather=0.25, multiple=8)
RED, GREEN, BLUE = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)


def crop_of(
    *box: float, image: int = 0, number: int = 0, options: CropOptions = OPTIONS
) -> FaceCrop:
    return plan_crop(Face(box), image, number, SIZE, options)


def pictures(batch: int = 1, channels: int = 3) -> Tensor:
    return torch.rand(batch, SIZE[1], SIZE[0], channels, generator=torch.Generator().manual_seed(0))


def plain(crop: FaceCrop, colour: tuple[float, ...]) -> Tensor:
    return torch.tensor(colour).expand(crop.target_height, crop.target_width, 3)


def inside(picture: Tensor, crop: FaceCrop) -> Tensor:
    """Return the pixels [h,w,C] of the face's box."""
    left, top, right, bottom = map(round, crop.box)
    return picture[top:bottom, left:right]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("channels", [3, 4])
def test_outside_the_mask_and_in_alpha_every_pixel_is_the_one_of_before(
    dtype: torch.dtype, channels: int
) -> None:
    image = pictures(2, channels).to(dtype)
    before = image.clone()
    crop = crop_of(50, 40, 80, 76, image=1)
    result, mask = paste_faces(image, [(crop, plain(crop, RED))])
    assert torch.equal(image, before)
    assert result.dtype == dtype
    assert torch.equal(result[..., :3][mask == 0], image[..., :3][mask == 0])
    assert torch.equal(result[..., 3:], image[..., 3:])
    assert not mask[0].any()
    assert (mask[1] > 0).sum() > 30 * 36
    assert (inside(result[1], crop)[..., :3] - torch.tensor(RED, dtype=dtype)).abs().max() < 1e-6
    expected = torch.zeros(*SIZE[::-1])
    expected[crop.top : crop.top + crop.height, crop.left : crop.left + crop.width] = window_mask(
        crop, crop.width, crop.height
    )
    assert torch.equal(mask[1], expected)


@pytest.mark.parametrize(
    "box",
    [
        (0, 0, 30, 30),
        (130, 90, 160, 120),
        (-20, 50, 20, 90),
        (70, 50, 78, 58),
        (0, 0, 160, 120),
        (60, 50, 61, 51),
    ],
)
def test_faces_at_borders_tiny_and_huge_ones(box: tuple[float, ...]) -> None:
    image, crop = pictures(), crop_of(*box)
    result, mask = paste_faces(image, [(crop, plain(crop, RED))])
    assert torch.equal(result[mask == 0], image[mask == 0])
    assert (inside(result[0], crop) - torch.tensor(RED)).abs().max() < 1e-6


def test_drawing_what_was_cut_changes_nearly_nothing() -> None:
    x, y = torch.meshgrid(torch.arange(float(SIZE[0])), torch.arange(float(SIZE[1])), indexing="xy")
    image = torch.stack([0.5 + 0.4 * torch.sin(x / 9), 0.5 + 0.4 * torch.cos(y / 8), x / 200], -1)[
        None
    ]
    for box in ((50, 40, 81, 76), (0, 0, 33, 35), (100, 60, 108, 68)):
        crop = crop_of(*box)
        result, _ = paste_faces(image, [(crop, cut(image[0], crop))])
        assert (result - image).abs().max() < 0.02
        assert abs((result - image).mean().item()) < 1e-5


def test_a_drawing_that_holds_nan_leaves_every_other_pixel_alone() -> None:
    image, crop = pictures(), crop_of(50, 40, 80, 76)
    result, mask = paste_faces(image, [(crop, plain(crop, RED) * float("nan"))])
    assert torch.equal(result[mask == 0], image[mask == 0])
    assert result[mask > 0].isnan().any()


OVERLAPPING = [
    crop_of(40, 40, 70, 76, number=0),
    crop_of(60, 44, 90, 80, number=1),
    crop_of(84, 30, 108, 60, number=2),
]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_faces_that_overlap_do_not_depend_on_their_order(order: tuple[int, ...]) -> None:
    image = pictures()
    drawn = list(
        zip(
            OVERLAPPING,
            (
                plain(crop, colour)
                for crop, colour in zip(OVERLAPPING, (RED, GREEN, BLUE), strict=True)
            ),
            strict=True,
        )
    )
    expected, expected_mask = paste_faces(image, drawn)
    result, mask = paste_faces(image, [drawn[place] for place in order])
    assert (result - expected).abs().max() < 1e-6
    assert (mask - expected_mask).abs().max() < 1e-6


def test_no_face_is_painted_into_another_and_no_old_face_shows_through() -> None:
    image = torch.full((1, SIZE[1], SIZE[0], 3), 0.5)
    left, right = crop_of(40, 40, 70, 76), crop_of(66, 40, 96, 76, number=1)
    result, mask = paste_faces(image, [(left, plain(left, RED)), (right, plain(right, GREEN))])
    # The right face's feather reaches 9 px into the left one and the other way round.
    assert (result[0, 45:70, 42:62] - torch.tensor(RED)).abs().max() < 1e-3
    assert (result[0, 45:70, 74:94] - torch.tensor(GREEN)).abs().max() < 1e-3
    assert result[0, 40:76, 40:96, 2].max() < 1e-6  # the old grey
    assert (mask[0, 40:76, 40:96] - 1).abs().max() < 1e-6
    assert torch.equal(result[mask == 0], image[mask == 0])


def test_faces_of_other_pictures_do_not_meet() -> None:
    image = pictures(2)
    first, second = crop_of(40, 40, 70, 76), crop_of(44, 40, 74, 76, image=1)
    both, _ = paste_faces(image, [(first, plain(first, RED)), (second, plain(second, GREEN))])
    alone, _ = paste_faces(image[1:], [(crop_of(44, 40, 74, 76), plain(second, GREEN))])
    assert torch.equal(both[1:], alone)


def test_colours_are_moved_back_by_what_the_kept_part_shows() -> None:
    crop = crop_of(50, 40, 80, 76)
    source = (
        torch.rand(
            crop.target_height, crop.target_width, 3, generator=torch.Generator().manual_seed(1)
        )
        * 0.5
        + 0.2
    )
    mask = window_mask(crop, crop.target_width, crop.target_height)
    shift = torch.tensor([0.03, -0.02, 0.01])
    face = (mask > 0)[..., None]
    drawn = torch.where(face, torch.full_like(source, 0.4), source) + shift
    back = levelled(drawn, source, mask)
    assert (back - torch.where(face, torch.full_like(source, 0.4), source)).abs().max() < 1e-5
    assert torch.equal(levelled(drawn, source, torch.ones_like(mask)), drawn)
