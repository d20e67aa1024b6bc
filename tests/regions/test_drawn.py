"""Regions drawn by hand: as drawn, in the order of the prompt, and refused with numbers."""

from __future__ import annotations

import pytest
import torch
from comfyui_astria.nodes.errors import ImageError
from comfyui_astria.nodes.regions.drawn import from_drawn
from comfyui_astria.nodes.regions.layout import from_masks
from comfyui_astria.tests.regions.layout_support import assert_lawful, close, owners


def test_boxes_are_kept_as_drawn_and_in_their_order() -> None:
    layout = from_drawn("0.6 0.1 0.3 0.9 | 0.1 0.2 0.4 0.5", 2, 100, 50, softness_px=0)
    wanted = torch.zeros(50, 100, dtype=torch.long)
    wanted[5:, 60:90] = 1
    wanted[10:35, 10:50] = 2
    assert torch.equal(owners(layout), wanted)
    assert layout.names == ("1", "2")


def test_a_soft_edge_is_that_of_masks_drawn_alike() -> None:
    masks = torch.zeros(2, 50, 100)
    masks[0, 5:, 60:90] = 1
    masks[1, 10:35, 10:50] = 1
    text = "0.6 0.1 0.3 0.9 | 0.1 0.2 0.4 0.5"
    drawn = from_drawn(text, 2, 100, 50, softness_px=12)
    assert_lawful(drawn, 2, 100, 50, 12)
    close(drawn.masks, from_masks(masks, 2, 100, 50, softness_px=12).masks)


def test_boxes_that_meet_share_by_their_widths_and_a_box_inside_stands_in_front() -> None:
    layout = from_drawn("0 0 0.6 1 | 0.4 0 0.6 1", 2, 100, 10, softness_px=0)
    assert (owners(layout)[:, :50] == 1).all() and (owners(layout)[:, 50:] == 2).all()
    layout = from_drawn("0 0 1 1 | 0.4 0.5 0.2 0.5", 2, 100, 10, softness_px=0)
    assert (owners(layout)[5:, 40:60] == 2).all()
    assert (owners(layout) == 2).sum() == 5 * 20


def test_a_box_may_reach_out_of_the_picture() -> None:
    layout = from_drawn("-0.5 -1 1 3", 1, 100, 10, softness_px=0)
    assert (owners(layout)[:, :50] == 1).all() and (owners(layout)[:, 50:] == 0).all()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("0.1 0.1 0.5", "Box 1 of drawn_boxes is '0.1 0.1 0.5'; expected x, y, width and height"),
        ("0 0 1 1 | a b c d", "Box 2 of drawn_boxes is 'a b c d'"),
        ("0 0 nan 1 | 0 0 1 1", "Box 1 of drawn_boxes is '0 0 nan 1'"),
        ("0 0 0 1 | 0 0 1 1", "Box 1 of drawn_boxes is '0 0 0 1'"),
        ("1 0 1 1 | 0 0 1 1", "Box 1 of drawn_boxes is '1 0 1 1'"),
        ("0 0 1 1", "1 box is drawn for 2 persons; expected one for each."),
        ("0 0 1 1 | 0 0 1 1 | 0 0 1 1", "3 boxes are drawn for 2 persons"),
    ],
)
def test_what_is_no_box_for_each_person_is_refused_with_its_value(text: str, says: str) -> None:
    with pytest.raises(ImageError) as raised:
        from_drawn(text, 2, 100, 50, softness_px=0)
    assert says in raised.value.message
    assert raised.value.hint


BRUSHED = "0.2 0 0.4 1 4x2 1 2 3 1"  # of 4x2 cells: two in the middle above, one below at the left


def test_a_brushed_mask_is_its_cells_in_its_box() -> None:
    layout = from_drawn(BRUSHED, 1, 100, 20, softness_px=0)
    mine = owners(layout) == 1
    # In the middle of each cell it is the cell's own.
    middles = [[bool(mine[y, x]) for x in (25, 35, 45, 55)] for y in (3, 16)]
    assert middles == [[False, True, True, False], [False, False, True, False]]
    assert not mine[:, :20].any() and not mine[:, 60:].any()
    moved = from_drawn("0.4 0 0.4 1 4x2 1 2 3 1", 1, 100, 20, softness_px=0)
    assert torch.equal(owners(moved)[:, 20:] == 1, mine[:, :-20])


def test_a_brushed_mask_has_no_resolution() -> None:
    small, large = (
        owners(from_drawn(BRUSHED, 1, side, side, softness_px=0)) == 1 for side in (100, 400)
    )
    assert abs(small.float().mean() - large.float().mean()) < 0.01


def test_a_brushed_mask_stands_in_front_of_boxes_and_meets_others_as_they_do() -> None:
    whole = "0 0 1 1 2x1 0 2"
    for text in (f"0.4 0 0.2 1 | {whole}", f"{whole} | 0 0 1 1"):
        with pytest.raises(ImageError, match="no pixel"):
            from_drawn(text, 2, 100, 10, softness_px=0)
    layout = from_drawn("0 0 0.6 1 2x1 0 2 | 0.4 0 0.6 1 2x1 0 2", 2, 100, 10, softness_px=0)
    assert (owners(layout)[:, :50] == 1).all() and (owners(layout)[:, 50:] == 2).all()
