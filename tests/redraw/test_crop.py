"""Windows around faces: inside the picture, in the model's multiples, never larger than asked, and
their masks.
"""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from comfyui_astria.nodes.errors import ImageError
from comfyui_astria.nodes.faces.face import Face
from comfyui_astria.nodes.redraw.crop import (
    CropOptions,
    FaceCrop,
    cut,
    cut_hint,
    plan_crop,
    resized,
    window_mask,
)
from hypothesis import given, settings
from hypothesis import strategies as st

OPTIONS = CropOptions(face_size_px=512, context=2.0, feather=0.25, multiple=8)


def planned(
    box: tuple[float, ...], size: tuple[int, int] = (1000, 800), options: CropOptions = OPTIONS
) -> FaceCrop:
    return plan_crop(Face(box), 0, 0, size, options)


@st.composite
def cases(draw: st.DrawFn) -> tuple[tuple[float, ...], tuple[int, int], CropOptions]:
    width, height = draw(st.integers(1, 400)), draw(st.integers(1, 400))
    x, y = draw(st.floats(-0.5, 0.95)) * width, draw(st.floats(-0.5, 0.95)) * height
    across, down = draw(st.floats(0.06, 1.5)) * width, draw(st.floats(0.06, 1.5)) * height
    multiple = draw(st.sampled_from([8, 16]))
    options = CropOptions(
        draw(st.integers(16, 1100)), draw(st.floats(1, 4)), draw(st.floats(0, 1)), multiple
    )
    # At least a corner inside.
    return (x, y, max(x + across, 0.5), max(y + down, 0.5)), (width, height), options


@settings(max_examples=150)
@given(cases())
def test_a_window_lies_in_the_picture_holds_the_face_and_is_drawn_in_multiples_no_larger_than_asked(
    case: tuple,
) -> None:
    box, (width, height), options = case
    crop = planned(box, (width, height), options)
    assert 0 <= crop.left <= crop.left + crop.width <= width
    assert 0 <= crop.top <= crop.top + crop.height <= height
    left, top, right, bottom = crop.box
    assert crop.left - 0.51 <= left < right <= crop.left + crop.width + 0.51
    assert crop.top - 0.51 <= top < bottom <= crop.top + crop.height + 0.51
    for side in (crop.target_width, crop.target_height):
        assert side % options.multiple == 0
        assert options.multiple <= side <= options.face_size_px
    assert max(crop.target_width, crop.target_height) > options.face_size_px - options.multiple


@settings(max_examples=60)
@given(cases())
def test_a_mask_ends_inside_its_window_but_at_the_pictures_own_edge(case: tuple) -> None:
    box, (width, height), options = case
    crop = planned(box, (width, height), options)
    mask = window_mask(crop, crop.width * 4, crop.height * 4)
    assert mask.min() >= 0
    assert mask.max() <= 1
    # A quarter pixel inside an edge that is not the picture's, next to nothing is left; a box may
    # itself be half a pixel off by rounding.
    edges = [
        (crop.left > 0, mask[:, 0]),
        (crop.top > 0, mask[0]),
        (crop.left + crop.width < width, mask[:, -1]),
        (crop.top + crop.height < height, mask[-1]),
    ]
    if options.context >= 1.5 and min(crop.width, crop.height) > 20:
        assert all(edge.max() < 0.05 for opened, edge in edges if opened)


def test_a_window_is_moved_inside_the_picture_and_not_padded() -> None:
    crop = planned((0, 0, 100, 120))
    assert (crop.left, crop.top, crop.width, crop.height) == (0, 0, 240, 240)
    crop = planned((900, 700, 1000, 800))
    assert (crop.left, crop.top, crop.width, crop.height) == (800, 600, 200, 200)


@pytest.mark.parametrize(
    ("side", "asked", "multiple", "drawn"),
    [(700, 1024, 8, 1024), (8, 512, 8, 512), (303, 500, 8, 496), (279, 500, 16, 496)],
)
def test_large_and_tiny_faces_are_drawn_at_the_size_asked_for(
    side: int, asked: int, multiple: int, drawn: int
) -> None:
    crop = planned(
        (900, 900, 900 + side, 900 + side), (4000, 4000), CropOptions(asked, 2.0, 0.25, multiple)
    )
    assert (crop.width, crop.height) == (2 * side, 2 * side)
    assert (crop.target_width, crop.target_height) == (drawn, drawn)


def test_a_face_larger_than_a_narrow_picture_has_a_window_of_the_pictures_shape() -> None:
    crop = planned((10, 20, 500, 900), (512, 1024))
    assert (crop.width, crop.height) == (512, 1024)
    assert (crop.target_width, crop.target_height) == (256, 512)


def test_a_face_that_reaches_out_of_the_picture_counts_by_its_part_inside() -> None:
    crop = planned((-50, -10, 50, 90))
    assert crop.box == (0, 0, 50, 90)
    assert (crop.left, crop.top, crop.width) == (0, 0, 180)


def test_the_mask_is_one_on_the_face_and_the_same_at_every_size() -> None:
    crop = planned((300, 300, 400, 420))
    mask = window_mask(crop, crop.width, crop.height)
    inside = mask[300 - crop.top : 420 - crop.top, 300 - crop.left : 400 - crop.left]
    assert torch.equal(inside, torch.ones_like(inside))
    assert crop.feather_px == 30
    assert ((mask > 0) & (mask < 1)).any()
    assert mask[0].max() == mask[-1].max() == mask[:, 0].max() == mask[:, -1].max() == 0
    finer = F.avg_pool2d(window_mask(crop, crop.width * 2, crop.height * 2)[None], 2)[0]
    assert (finer - mask).abs().max() < 0.01


def test_without_feather_the_edge_is_hard() -> None:
    crop = planned((300, 300, 400, 420), options=CropOptions(512, 2.0, 0.0, 8))
    assert window_mask(crop, crop.width, crop.height).unique().tolist() == [0, 1]
    assert window_mask(crop, crop.width, crop.height).sum() == 100 * 120


def test_cropping_and_resizing_keep_the_mean_and_have_no_8_bit_steps() -> None:
    x, y = torch.meshgrid(torch.arange(240.0), torch.arange(240.0), indexing="xy")
    picture = torch.stack(
        [
            0.5 + 0.3 * torch.sin(x / 7),
            0.5 + 0.3 * torch.cos(y / 9),
            0.5 + 0.3 * torch.sin((x + y) / 11),
        ],
        -1,
    )
    crop = planned((60, 60, 180, 180), (240, 240))
    enlarged = cut(picture, crop)
    assert enlarged.shape == (512, 512, 3)
    assert abs((enlarged.mean() - picture.mean()).item()) < 2e-4  # 8 bits cut off would take 2e-3
    back = resized(enlarged, 240, 240)
    assert (back - picture).abs().max() < 0.01
    assert abs((back.mean() - picture.mean()).item()) < 2e-4


def test_alpha_is_left_out_and_half_precision_comes_out_single() -> None:
    picture = torch.rand(100, 100, 4).half()
    drawn = cut(picture, planned((20, 20, 60, 60), (100, 100)))
    assert drawn.shape == (512, 512, 3)
    assert drawn.dtype == torch.float32


def test_a_hint_is_cut_where_its_face_is_whatever_its_size() -> None:
    """A hint that says each pixel's own place gives the window's places, to a fraction of its own
    coarse pixels.
    """
    crop = planned((300, 200, 420, 330))
    for scale, shape in ((1.0, (800, 1000)), (0.25, (200, 250))):
        y, x = torch.meshgrid(
            *((torch.arange(side) + 0.5) / scale for side in shape), indexing="ij"
        )
        found = cut_hint(torch.stack([x, y])[None], crop, (1000, 800))[0]
        across = crop.left + (torch.arange(512) + 0.5) * crop.width / 512
        down = crop.top + (torch.arange(512) + 0.5) * crop.height / 512
        assert (found[0] - across[None, :]).abs().max() < 1e-2
        assert (found[1] - down[:, None]).abs().max() < 1e-2


def test_a_hint_of_another_shape_covers_the_picture_about_its_centre() -> None:
    x = (torch.arange(1000) + 0.5).expand(1, 1, 400, -1)  # twice as wide as the picture's 400x400
    crop = planned((100, 100, 300, 300), (400, 400))
    assert cut_hint(x, crop, (400, 400))[0, 0, 0, [0, -1]].tolist() == pytest.approx(
        [300.4, 699.6], abs=0.1
    )


@pytest.mark.parametrize(
    ("box", "said"),
    [
        ((10, 10, 10, 30), "a width and a height above 0"),
        ((10, float("nan"), 20, 30), "a width and a height above 0"),
        ((1000, 0, 1100, 100), "outside the picture of 1000x800"),
        ((-90, 0, -10, 100), "outside the picture"),
    ],
)
def test_a_box_that_cannot_be_used_is_named(box: tuple[float, ...], said: str) -> None:
    with pytest.raises(ImageError, match=said) as raised:
        plan_crop(Face(box), 1, 2, (1000, 800), OPTIONS)
    assert "Face 3 of image 2" in raised.value.message


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ((4, 2.0, 0.2, 8), "face_size is 4"),
        ((512, 0.5, 0.2, 8), "context is 0.5"),
        ((512, 2.0, -1.0, 8), "feather is -1"),
        ((512, float("nan"), 0.1, 8), "context is nan"),
    ],
)
def test_numbers_out_of_range_are_refused(values: tuple, said: str) -> None:
    with pytest.raises(ImageError, match=said):
        CropOptions(*values)
