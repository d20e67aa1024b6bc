"""Tiles cover the whole, overlap as asked, and weigh 1 at every place."""

from __future__ import annotations

import itertools

import pytest
import torch
from comfyui_astria.nodes.errors import PlanError
from comfyui_astria.nodes.finish.tiles import Tile, tiling
from hypothesis import given
from hypothesis import strategies as st


@st.composite
def grids(draw: st.DrawFn) -> tuple[int, int, int, int]:
    size = draw(st.integers(2, 40))
    return (
        draw(st.integers(1, 150)),
        draw(st.integers(1, 150)),
        size,
        draw(st.integers(0, size // 2)),
    )


@given(grids())
def test_weights_sum_to_one_at_every_place(grid: tuple[int, int, int, int]) -> None:
    height, width, _, _ = grid
    total = torch.zeros(height, width)
    for tile, weight in tiling(*grid):
        assert weight.shape == (tile.height, tile.width)
        assert bool((weight >= 0).all())
        tile.of(total).add_(weight)
    assert torch.allclose(total, torch.ones(height, width), atol=1e-6)


@given(grids())
def test_tiles_are_equal_in_size_inside_and_overlap_as_asked(
    grid: tuple[int, int, int, int],
) -> None:
    height, width, size, overlap = grid
    tiles = tiling(*grid)
    for length, starts in zip((height, width), tiles.starts, strict=True):
        own = min(size, length)
        assert starts[0] == 0
        assert starts[-1] + own == length
        assert all(left + own - right >= overlap for left, right in itertools.pairwise(starts))
        if len(starts) > 1:  # one fewer would not reach
            assert (len(starts) - 1) * size - (len(starts) - 2) * overlap < length
    assert {(tile.height, tile.width) for tile, _ in tiles} == {
        (min(size, height), min(size, width))
    }
    assert len(list(tiles)) == len(tiles)


def test_weights_fade_towards_a_neighbour_and_stay_at_the_border() -> None:
    [(_, left), (_, right)] = tiling(4, 24, 16, 8)
    assert torch.equal(left[:, :8], torch.ones(4, 8))
    assert bool((left[0, 8:].diff() < 0).all())
    assert torch.allclose(left[0, 8:], right[0, :8].flip(0))
    assert left[0, 8] > 0.98
    assert left[0, -1] < 0.02


def test_a_tile_is_a_view_at_any_scale() -> None:
    whole = torch.arange(2 * 8 * 12).reshape(2, 8, 12)
    tile = Tile(1, 2, 2, 3)
    assert torch.equal(tile.of(whole), whole[:, 1:3, 2:5])
    assert torch.equal(tile.of(whole, 2), whole[:, 2:6, 4:10])
    tile.of(whole).zero_()
    assert int(whole[:, 1:3, 2:5].abs().sum()) == 0


@pytest.mark.parametrize("overlap", [-1, 9])
def test_an_overlap_that_leaves_no_tile_to_itself_is_refused(overlap: int) -> None:
    with pytest.raises(
        PlanError,
        match=(
            f"Tiles of 16 with an overlap of {overlap}; expected an overlap of 0 to 8, half a tile"
        ),
    ):
        tiling(40, 40, 16, overlap)
