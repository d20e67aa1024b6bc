"""Regions: laws that hold for any picture, borders to the pixel, people found in boxes and pose
pictures, and what is refused.
"""

from __future__ import annotations

import pytest
import torch
from comfyui_astria.nodes.errors import ImageError
from comfyui_astria.nodes.regions.layout import (
    RegionLayout,
    columns,
    from_boxes,
    from_masks,
    from_pose,
)
from comfyui_astria.tests.regions.layout_support import (
    assert_lawful,
    box,
    close,
    counts,
    owners,
    softnesses,
)
from hypothesis import given, settings
from hypothesis import strategies as st

sides = st.integers(8, 200)
# Columns


@settings(max_examples=60)
@given(counts, sides, sides, softnesses, st.sampled_from((0.0, 0.08, 0.3, 0.49)))
def test_columns_keep_the_laws_and_their_order(
    count: int, width: int, height: int, softness_px: int, margin: float
) -> None:
    layout = columns(count, width, height, softness_px=softness_px, margin=margin)
    assert_lawful(layout, count, width, height, softness_px)
    if softness_px <= width / count:
        assert_left_to_right(layout)
    if margin == 0:
        close(layout.masks.sum(0), torch.ones(height, width))


def assert_left_to_right(layout: RegionLayout) -> None:
    x = torch.arange(layout.masks.shape[2]) + 0.5
    centres = (layout.masks.sum(1) * x).sum(1) / layout.masks.sum((1, 2))
    assert (centres.diff() > 0).all()


@given(counts, sides, sides, st.sampled_from((1, 2, 7, 32)), st.sampled_from((0.0, 0.08, 0.3)))
def test_soft_columns_mirror(
    count: int, width: int, height: int, softness_px: int, margin: float
) -> None:
    masks = columns(count, width, height, softness_px=softness_px, margin=margin).masks
    close(masks.flip(2).flip(0), masks)


@given(counts, st.integers(1, 24), sides, st.sampled_from((0.0, 0.1, 0.25)))
def test_hard_columns_are_equal_and_mirror(
    count: int, column: int, height: int, margin: float
) -> None:
    masks = columns(count, count * column, height, softness_px=0, margin=margin).masks
    assert torch.equal(masks.flip(2).flip(0), masks)
    assert len(masks.sum((1, 2)).unique()) == 1
    assert torch.equal(masks[0, :, :column], masks[-1, :, -column:])


def test_a_pixel_on_the_border_of_two_hard_columns_is_the_first_ones() -> None:
    assert owners(columns(2, 5, 1, softness_px=0, margin=0)).tolist() == [[1, 1, 1, 2, 2]]


def test_margins_are_scene() -> None:
    found = owners(columns(2, 40, 20, softness_px=0, margin=0.1))
    assert (found[:2] == 0).all()
    assert found[2:].unique(dim=0).tolist() == [[0] * 2 + [1] * 16 + [0] * 4 + [2] * 16 + [0] * 2]


def test_a_border_is_a_straight_ramp_of_the_asked_width_centred_on_it() -> None:
    left, right = columns(2, 32, 3, softness_px=8, margin=0).masks[:, 1]
    ramp = torch.arange(8, 0, -1) / 9
    close(left, torch.cat([torch.ones(12), ramp, torch.zeros(12)]))
    close(right, left.flip(0))
    assert (left[:12] == 1).all()
    assert (left[20:] == 0).all()


def test_nothing_fades_at_the_edge_of_the_picture() -> None:
    masks = columns(2, 64, 64, softness_px=16, margin=0).masks
    assert (masks[0, :, 0] == 1).all()
    assert (masks[1, :, -1] == 1).all()


# Masks


def test_masks_keep_the_order_they_are_given_in() -> None:
    drawn = torch.zeros(2, 4, 6)
    drawn[0, :, 4:] = 1
    drawn[1, :, :2] = 1
    assert owners(from_masks(drawn, 2, 6, 4, softness_px=0))[0].tolist() == [2, 2, 0, 0, 1, 1]


def test_overlaps_are_shared_by_weight_and_hard_ones_go_to_the_stronger_then_the_first() -> None:
    drawn = torch.tensor([[[1.0, 1.0, 1.0, 0.4]], [[0.0, 1.0, 0.5, 0.5]]])
    close(
        from_masks(drawn, 2, 4, 1, softness_px=1).masks[:, 0],
        torch.tensor([[1, 1 / 2, 2 / 3, 0.4], [0, 1 / 2, 1 / 3, 0.5]]),
    )
    assert owners(from_masks(drawn, 2, 4, 1, softness_px=0)).tolist() == [[1, 1, 1, 2]]


def test_the_soft_edges_of_a_drawing_stay() -> None:
    drawn = torch.linspace(0, 1, 16).expand(1, 8, 16)
    close(from_masks(drawn, 1, 16, 8, softness_px=1).masks, drawn)


@given(st.lists(st.integers(0, 3), min_size=2, max_size=12), st.integers(1, 6), st.booleans())
def test_hard_masks_of_any_resolution_give_the_same_regions(
    strips: list[int], factor: int, grow: bool
) -> None:
    """The picture is so many strips, person 0 is the scene.

    Drawn finer or coarser than the picture, the borders are the same.
    """
    picture = torch.tensor([*strips, 1, 2, 3]).repeat_interleave(4).expand(8, -1)
    fine = picture.repeat_interleave(factor, 0).repeat_interleave(factor, 1)
    drawn, wanted = (picture, fine) if grow else (fine, picture)
    masks = torch.stack([drawn == person for person in (1, 2, 3)]).float()
    layout = from_masks(masks, 3, wanted.shape[1], wanted.shape[0], softness_px=0)
    assert torch.equal(owners(layout), wanted)


def test_fine_details_of_a_larger_drawing_keep_their_weight() -> None:
    drawn = torch.zeros(1, 256, 256)
    drawn[..., ::16] = 1
    inner = from_masks(drawn, 1, 16, 16, softness_px=1).masks[..., 2:-2]
    close(inner, torch.full_like(inner, 1 / 16))


def test_shares_that_nobody_sees_are_nothing() -> None:
    drawn = torch.zeros(1, 64, 64)
    drawn[:, 16:48, 16:48] = 1
    soft = from_masks(drawn, 1, 64, 64, softness_px=40).masks
    assert soft[soft > 0].min() >= 1e-3  # in a corner the average would go down to (1/41)^2
    faint = torch.cat([torch.ones(1, 1, 8), torch.full((1, 1, 8), 1e-4)], 2)
    assert torch.equal(
        from_masks(faint, 1, 16, 1, softness_px=1).masks[0, 0], (faint == 1).float()[0, 0]
    )


@settings(max_examples=40)
@given(counts, sides, sides, softnesses, st.integers(0, 99))
def test_any_masks_keep_the_laws(
    count: int, width: int, height: int, softness_px: int, seed: int
) -> None:
    drawn = torch.rand(count, 9, 13, generator=torch.Generator().manual_seed(seed)) * 0.4
    for person in range(count):
        drawn[person, :, person] = 1
    assert_lawful(
        from_masks(drawn, count, width, height, softness_px=max(softness_px, 1)),
        count,
        width,
        height,
        1,
    )


def test_a_mask_on_its_own_is_softened_on_both_sides_of_its_border() -> None:
    drawn = torch.zeros(1, 1, 40)
    drawn[..., 10:30] = 1
    row = from_masks(drawn, 1, 40, 1, softness_px=4).masks[0, 0]
    close(row[8:12], torch.tensor([0.2, 0.4, 0.6, 0.8]))
    close(row.flip(0), row)
    assert (row[:8] == 0).all()
    assert (row[12:28] == 1).all()


# Boxes

# Pose pictures

# What is refused, and how


def test_names_are_numbered() -> None:
    layout = columns(2, 32, 32, softness_px=0)
    assert layout.names == ("1", "2")
    named = layout.named(["ohwx woman", "ohwx man"])
    assert named.names == ("1: ohwx woman", "2: ohwx man")
    assert torch.equal(named.masks, layout.masks)
    with pytest.raises(ImageError, match="3 names for 2 regions"):
        layout.named(["a", "b", "c"])


@pytest.mark.parametrize(
    ("made", "message", "hint"),
    [
        (
            lambda: from_masks(torch.ones(3, 8, 8), 2, 64, 64, softness_px=0),
            "3 masks for 2 persons; expected one mask for each.",
            "one mask for each person",
        ),
        (
            lambda: from_masks(torch.ones(1, 8, 8), 2, 64, 64, softness_px=0),
            "1 mask for 2 persons; expected one mask for each.",
            "equal columns",
        ),
        (
            lambda: from_masks(torch.ones(8, 8), 2, 64, 64, softness_px=0),
            "Region masks of shape (8, 8); expected [persons, height, width].",
            "",
        ),
        (
            lambda: from_masks(torch.full((1, 8, 8), torch.nan), 1, 8, 8, softness_px=0),
            "A region mask holds values that are no numbers (NaN or infinite); expected 0..1.",
            "",
        ),
        (
            lambda: from_masks(
                torch.stack([torch.ones(8, 8), torch.zeros(8, 8)]), 2, 64, 32, softness_px=8
            ),
            "Mask 2 of 2: no pixel of the 64x32 picture is left to this person.",
            "an area of their own",
        ),
        (
            lambda: from_masks(torch.ones(3, 8, 8), 3, 64, 32, softness_px=0),
            "Mask 2, 3 of 3: no pixel of the 64x32 picture is left to this person.",
            "covered",
        ),
        (
            lambda: from_boxes([], 2, 64, 64, softness_px=0),
            "0 boxes found for 2 persons; expected one for each.",
            "BREAK segment",
        ),
        (
            lambda: from_boxes(
                [box(0, 0, 9, 9, "person"), box(9, 0, 9, 9, "chair"), box(30, 0, 9, 9)],
                1,
                64,
                64,
                softness_px=0,
            ),
            "3 boxes (1 person, 1 chair, 1 no label) found for 1 person; expected one for each.",
            "leave out boxes that are no person",
        ),
        (
            lambda: from_boxes([{"x": 1, "y": 2, "width": 3}], 1, 64, 64, softness_px=0),
            "Box 1 is {'x': 1, 'y': 2, 'width': 3}; expected numbers x, y, width and height.",
            "",
        ),
        (
            lambda: from_boxes([box(0, 0, 9, 9), box(5, 6, 0, 9)], 2, 64, 64, softness_px=0),
            "Box 2 at 5, 6 is 0 x 9 px; expected a width and a height above 0.",
            "another detector",
        ),
        (
            lambda: from_boxes([box(0, 0, 9, 9), box(500, 0, 9, 9)], 2, 64, 64, softness_px=0),
            "Box (left to right) 2 of 2: no pixel of the 64x64 picture is left to this person.",
            "inside the picture",
        ),
        (
            lambda: columns(0, 64, 64, softness_px=0),
            "Regions for 0 persons in a picture of 64x64 px; expected 1 or more of each.",
            "",
        ),
        (
            lambda: columns(8, 7, 64, softness_px=0),
            "8 columns in a picture 7 px wide; expected a pixel or more for each.",
            "fewer persons",
        ),
        (
            lambda: columns(2, 64, 64, softness_px=-1),
            "Region borders -1 px soft; expected 0 (hard) or more.",
            "",
        ),
        (
            lambda: columns(2, 64, 64, softness_px=0, margin=0.5),
            "A margin of 0.5 of a column; expected 0 or more, and below 0.5.",
            "",
        ),
        (
            lambda: from_pose(torch.zeros(2, 8, 8, 3)),
            "A pose picture of shape (2, 8, 8, 3); expected one picture, [1, height, width, 3].",
            "",
        ),
        (
            lambda: from_pose(torch.ones(1, 8, 8, 3)),
            "100% of the pose picture is not black; expected coloured skeletons on black.",
            "preprocessor",
        ),
    ],
)
def test_what_cannot_be_laid_out_is_refused_with_numbers_and_a_way_out(
    made, message: str, hint: str
) -> None:
    with pytest.raises(ImageError) as caught:
        made()
    assert caught.value.message == message
    assert hint in caught.value.hint
