"""Border values against brute-force sums and scipy, and the zones against a count of every
pixel.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from comfyui_astria.nodes.outpaint.border import (
    Border,
    averaged,
    blurred_along,
    edge,
    strips,
    zones,
)
from comfyui_astria.nodes.outpaint.geometry import Rect
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter1d


@st.composite
def windows(draw: st.DrawFn) -> tuple[Rect, int, int]:
    before, window, after = (
        draw(st.tuples(st.integers(low, 6), st.integers(low, 6))) for low in (0, 1, 0)
    )
    total = [sum(axis) for axis in zip(before, window, after, strict=True)]
    return Rect(*before, *window), total[0], total[1]


@given(windows(), st.none() | st.integers(1, 8))
def test_zones_cover_what_is_within_reach_once(
    case: tuple[Rect, int, int], reach: int | None
) -> None:
    window, width, height = case
    count = torch.zeros(height, width)
    steps = torch.full((height, width), -1.0)
    for zone in zones(window, width, height, reach):
        count[zone.rows, zone.columns] += 1
        steps[zone.rows, zone.columns] = zone.steps(torch.device("cpu"))[:, :, 0]
    for y in range(height):
        for x in range(width):
            down = max(window.y - y, y - window.y - window.height + 1, 0)
            across = max(window.x - x, x - window.x - window.width + 1, 0)
            within = 0 < max(down, across) <= (reach or 99)
            assert count[y, x] == within
            assert steps[y, x] == pytest.approx(
                (down**2 + across**2) ** 0.5 - 1 if within else -1, abs=1e-5
            )


@pytest.mark.parametrize(
    ("height", "width", "depth"), [(9, 7, 4), (3, 12, 5), (1, 1, 6), (6, 5, 1)]
)
def test_average_is_the_normalised_gaussian_at_the_border(
    height: int, width: int, depth: int
) -> None:
    image = torch.rand(2, height, width, 3, generator=torch.Generator().manual_seed(1))
    field = image.double().numpy()

    def brute_force(y: int, x: int) -> np.ndarray:
        rows, columns = np.arange(height) - y, np.arange(width) - x
        down = np.where(abs(rows) < depth, np.exp(-0.5 * (rows * 3 / depth) ** 2), 0)
        across = np.where(abs(columns) < depth, np.exp(-0.5 * (columns * 3 / depth) ** 2), 0)
        weight = down[:, None] * across[None, :]
        return np.einsum("yx,byxc->bc", weight, field) / weight.sum()

    expected = Border(
        top=np.stack([brute_force(0, x) for x in range(width)], axis=1),
        bottom=np.stack([brute_force(height - 1, x) for x in range(width)], axis=1),
        left=np.stack([brute_force(y, 0) for y in range(height)], axis=1),
        right=np.stack([brute_force(y, width - 1) for y in range(height)], axis=1),
    )
    found = averaged(strips(image, depth), depth)
    for side, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(side.numpy(), wanted, atol=1e-5)


def walk(border: Border) -> torch.Tensor:
    """The border pixels once around, clockwise from the upper left corner."""
    sides = (border.top, border.right, border.bottom.flip(1), border.left.flip(1))
    return torch.cat([side[:, :-1] for side in sides], dim=1)


@pytest.mark.parametrize("sigma", [2.0, 40.0])
def test_blur_runs_around_the_corners(sigma: float) -> None:
    border = edge(torch.rand(2, 11, 8, 3, generator=torch.Generator().manual_seed(2)))
    smooth = gaussian_filter1d(
        walk(border).double().numpy(), sigma, axis=1, mode="wrap", truncate=8.0
    )
    expected = Border(
        top=smooth[:, :8],
        right=smooth[:, 7:18],
        bottom=smooth[:, 24:16:-1],
        left=np.concatenate((smooth[:, :1], smooth[:, :23:-1]), axis=1),
    )
    for side, wanted in zip(blurred_along(border, sigma), expected, strict=True):
        np.testing.assert_allclose(side.numpy(), wanted, atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(1, 6), (6, 1), (2, 2)])
def test_wide_blur_of_a_thin_window_is_its_mean(height: int, width: int) -> None:
    border = edge(torch.rand(1, height, width, 3, generator=torch.Generator().manual_seed(3)))
    smooth = blurred_along(border, 50.0)
    assert [side.shape for side in smooth] == [side.shape for side in border]
    for side in smooth:
        torch.testing.assert_close(
            side, walk(border).mean(dim=1, keepdim=True).expand_as(side), atol=1e-5, rtol=0
        )


def test_blur_of_a_single_pixel_is_that_pixel() -> None:
    border = edge(torch.tensor([[[[0.2, 0.5, 0.7]]]]))
    for side in blurred_along(border, 3.0):
        assert torch.equal(side, border.top)


def test_strips_count_depth_inward() -> None:
    image = torch.arange(20.0).reshape(1, 4, 5, 1)
    found = strips(image, 2)
    assert found.top[0, :, :, 0].tolist() == [[0, 5], [1, 6], [2, 7], [3, 8], [4, 9]]
    assert found.bottom[0, :, :, 0].tolist() == [[15, 10], [16, 11], [17, 12], [18, 13], [19, 14]]
    assert found.left[0, :, :, 0].tolist() == [[0, 1], [5, 6], [10, 11], [15, 16]]
    assert found.right[0, :, :, 0].tolist() == [[4, 3], [9, 8], [14, 13], [19, 18]]
