"""Shapes drawn by hand: read, refused, written for the editor."""

from __future__ import annotations

import pytest
import torch
from comfyui_astria.nodes.base.drawn import CELLS, parsed, written


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0 0 1",
        "0 0 1 1 4",
        "0 0 1 1 4x2 1.5",
        "0 0 1 1 4x2 -1 9",
        "0 0 1 1 4x2 1 8",  # more than there are cells
        "0 0 1 1 4x2 8",  # nothing drawn
        "0 0 1 1 0x2 0 1",
        "0 0 1 1 513x1 0 1",
        "0 0 1 1 4x2 \u0661 2",  # digits of another script
        "0 0 inf 1",
        "1 0 1 1",
    ],
)
def test_what_is_no_shape_is_none(text: str) -> None:
    assert parsed(text) is None


def test_a_shape_without_cells_is_its_box() -> None:
    shape = parsed(" 0.25 0.5 0.5  0.5 ")
    assert shape is not None
    wanted = torch.zeros(8, 16, dtype=torch.bool)
    wanted[4:, 4:12] = True
    assert torch.equal(shape.pixels(16, 8), wanted)


def test_runs_begin_without_and_what_they_leave_over_is_without() -> None:
    shape = parsed("0 0 1 1 3x2 0 1 3 1")
    assert shape is not None and shape.cells is not None
    assert shape.cells.tolist() == [[True, False, False], [False, True, False]]


@pytest.mark.parametrize("size", [(40, 24), (256, 128), (1000, 400)])
def test_what_is_written_is_read_as_the_same_mask(size: tuple[int, int]) -> None:
    width, height = size
    mask = torch.zeros(height, width)
    mask[: height // 2, width // 3 :] = 1
    shape = parsed(written(mask))
    assert shape is not None and shape.cells is not None
    assert shape.cells.shape[1] == min(CELLS, width)
    assert (shape.pixels(width, height).float() - mask).abs().mean() < 0.02
    assert written(1 - mask).split()[5] == "0"  # the first cell is drawn


def test_an_empty_mask_is_written_too() -> None:
    assert written(torch.zeros(4, 8)) == "0 0 1 1 8x4 32"


def test_a_long_thin_mask_keeps_a_cell_across() -> None:
    assert written(torch.ones(500, 3)) == "0 0 1 1 1x128 0 128"
