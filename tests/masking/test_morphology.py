"""Mask arithmetic: against scipy and the host's GrowMask bit for bit, against plain slow
definitions, and by its laws.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from comfyui_astria.nodes.errors import ImageError
from comfyui_astria.nodes.masking import morphology
from comfyui_astria.nodes.masking import tensor_morphology as tensors
from comfyui_astria.nodes.masking.morphology import SHAPES, feather, grow
from comfyui_astria.tests.regions import comfy_inprocess
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from torch.overrides import TorchFunctionMode

RADII = st.integers(-9, 9)


@st.composite
def hard_masks(draw: st.DrawFn) -> torch.Tensor:
    """Masks [1,H,W] of 0 and 1: scattered pixels, which also lie on borders."""
    height, width = draw(st.integers(1, 24)), draw(st.integers(1, 24))
    share = draw(st.sampled_from([0.02, 0.1, 0.5, 0.9, 0.98]))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**16)))
    return (torch.rand(1, height, width, generator=generator) < share).float()


@st.composite
def soft_masks(draw: st.DrawFn) -> torch.Tensor:
    mask = draw(hard_masks())
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**16)))
    return mask * torch.rand(mask.shape, generator=generator)


def offsets(shape: str, radius: int) -> list[tuple[int, int]]:
    """The pixels of a shape, by its definition."""
    inside = {
        "round": lambda y, x: y * y + x * x <= radius * radius,
        "square": lambda y, x: True,
        "diamond": lambda y, x: abs(y) + abs(x) <= radius,
    }[shape]
    return [
        (y, x)
        for y in range(-radius, radius + 1)
        for x in range(-radius, radius + 1)
        if inside(y, x)
    ]


def by_definition(mask: torch.Tensor, radius: int, shape: str) -> torch.Tensor:
    """The largest (smallest) value over the shape's pixels inside the picture, one by one."""
    source = mask[0].numpy()
    result = source.copy()
    worse = min if radius < 0 else max
    around = offsets(shape, abs(radius))
    for y, x in np.ndindex(source.shape):
        for down, across in around:
            if 0 <= y + down < source.shape[0] and 0 <= x + across < source.shape[1]:
                result[y, x] = worse(result[y, x], source[y + down, x + across])
    return torch.from_numpy(result)[None]


def host_grow_mask(mask: torch.Tensor, radius: int, *, tapered: bool) -> torch.Tensor:
    return comfy_inprocess.load("comfy_extras.nodes_mask").GrowMask.execute(mask, radius, tapered)[
        0
    ]


@settings(max_examples=60)
@given(mask=hard_masks(), radius=st.integers(-5, 5), shape=st.sampled_from(SHAPES))
def test_hard_masks_grow_by_the_definition_of_the_shape(
    mask: torch.Tensor, radius: int, shape: str
) -> None:
    assert torch.equal(grow(mask, radius, shape), by_definition(mask, radius, shape))


@settings(max_examples=60)
@given(
    mask=st.one_of(hard_masks(), soft_masks()),
    radius=RADII,
    shape=st.sampled_from(["square", "diamond"]),
)
def test_square_and_diamond_equal_the_hosts_grow_mask(
    mask: torch.Tensor, radius: int, shape: str
) -> None:
    assert torch.equal(
        grow(mask, radius, shape), host_grow_mask(mask, radius, tapered=shape == "diamond")
    )


@pytest.mark.parametrize("radius", [3, 17, 40, -3, -17, -40])
@pytest.mark.parametrize("shape", ["square", "diamond"])
def test_figures_that_touch_the_border_equal_the_hosts_grow_mask(shape: str, radius: int) -> None:
    mask = torch.zeros(1, 150, 190)
    mask[:, :90, 30:140] = 1
    mask[:, 100:, 150:] = 1
    mask[:, 40:44, 60:61] = 0
    assert torch.equal(
        grow(mask, radius, shape), host_grow_mask(mask, radius, tapered=shape == "diamond")
    )


@settings(max_examples=60)
@given(
    mask=st.one_of(hard_masks(), soft_masks()),
    radius=st.integers(1, 12),
    shape=st.sampled_from(SHAPES),
)
def test_opening_and_closing_laws(mask: torch.Tensor, radius: int, shape: str) -> None:
    """Growing and shrinking are an adjunction.

    Opening shrinks, closing grows, and doing either twice changes nothing more.
    """
    opened = grow(grow(mask, -radius, shape), radius, shape)
    closed = grow(grow(mask, radius, shape), -radius, shape)
    assert (opened <= mask).all() and (mask <= closed).all()
    assert torch.equal(grow(grow(opened, -radius, shape), radius, shape), opened)
    assert torch.equal(grow(grow(closed, radius, shape), -radius, shape), closed)


@settings(max_examples=40)
@given(mask=st.one_of(hard_masks(), soft_masks()), radius=RADII, shape=st.sampled_from(SHAPES))
def test_shrinking_is_growing_what_is_not_masked(
    mask: torch.Tensor, radius: int, shape: str
) -> None:
    assert torch.allclose(grow(mask, radius, shape), 1 - grow(1 - mask, -radius, shape), atol=1e-6)


@settings(max_examples=40)
@given(mask=st.one_of(hard_masks(), soft_masks()), shape=st.sampled_from(SHAPES))
def test_radius_nought_and_radii_beyond_the_picture(mask: torch.Tensor, shape: str) -> None:
    assert torch.equal(grow(mask, 0, shape), mask)
    assert torch.equal(grow(mask, 100_000, shape), mask.amax().expand_as(mask))
    assert torch.equal(grow(mask, -100_000, shape), mask.amin().expand_as(mask))


@pytest.mark.parametrize("shape", SHAPES)
def test_a_full_mask_is_not_eaten_from_the_border(shape: str) -> None:
    assert torch.equal(grow(torch.ones(1, 30, 20), -7, shape), torch.ones(1, 30, 20))


@settings(max_examples=60)
@given(mask=hard_masks(), radius=st.integers(1, 40))
def test_the_disc_in_torch_equals_scipys_distance(mask: torch.Tensor, radius: int) -> None:
    """What masks on a GPU go through."""
    expected = (
        torch.from_numpy(ndimage.distance_transform_edt(mask[0].numpy() == 0) <= radius)
        if mask.any()
        else mask[0] > 0
    )
    assert torch.equal(tensors.disc(mask > 0, radius)[0], expected)


@settings(max_examples=60)
@given(mask=soft_masks(), radius=st.integers(0, 40), shape=st.sampled_from(["square", "diamond"]))
def test_square_and_diamond_in_torch_equal_scipy(
    mask: torch.Tensor, radius: int, shape: str
) -> None:
    footprint = np.zeros((2 * radius + 1,) * 2, bool)
    footprint[tuple(np.array(offsets(shape, radius)).T + radius)] = True
    expected = ndimage.grey_dilation(
        mask[0].numpy(), footprint=footprint, mode="constant", cval=-np.inf
    )
    assert torch.equal(getattr(tensors, shape)(mask, radius)[0], torch.from_numpy(expected))


def test_the_octagon_of_soft_masks_stays_near_the_disc() -> None:
    for radius in (1, 5, 20, 64):
        mask = torch.zeros(1, 201, 201)
        mask[:, 100, 100] = 0.75
        reached = grow(mask, radius, "round")[0] == 0.75
        distance = torch.from_numpy(ndimage.distance_transform_edt(mask[0].numpy() == 0))
        assert reached[distance <= radius - 0.5].all()
        assert not reached[distance > radius * 1.083 + 1].any()
        assert reached[100, 100 + radius] and not reached[100, 101 + radius]


def test_a_soft_edge_is_moved_and_not_hardened() -> None:
    ramp = torch.linspace(1, 0, 11).repeat(9, 1)
    mask = torch.cat([torch.ones(9, 20), ramp, torch.zeros(9, 20)], dim=1)[None]
    for shape in SHAPES:
        assert torch.equal(grow(mask, 6, shape)[0, 4, 6:], mask[0, 4, :-6])
        assert torch.equal(grow(mask, -6, shape)[0, 4, :-6], mask[0, 4, 6:])


@settings(max_examples=60)
@given(mask=hard_masks(), feather_px=st.integers(0, 12))
def test_the_feather_of_a_hard_mask_falls_with_the_straight_distance(
    mask: torch.Tensor, feather_px: int
) -> None:
    expected = mask
    if mask.any():
        distance = torch.from_numpy(ndimage.distance_transform_edt(mask[0].numpy() == 0))
        expected = (1 - distance / (feather_px + 1)).clamp(min=0).float()[None]
    assert torch.allclose(feather(mask, feather_px), expected, atol=1e-6)
    result = feather(mask, feather_px)
    assert torch.equal(result == 1, mask == 1)


@settings(max_examples=60)
@given(mask=hard_masks(), feather_px=st.integers(1, 12))
def test_distances_in_torch_equal_scipys(mask: torch.Tensor, feather_px: int) -> None:
    if not mask.any():
        return
    distance, value = tensors.nearest(mask > 0, mask, feather_px)
    expected = torch.from_numpy(ndimage.distance_transform_edt(mask[0].numpy() == 0)).float()
    near = expected < feather_px + 1
    assert torch.equal(distance[0].isfinite(), near)
    assert torch.allclose(distance[0][near], expected[near]) and (value[0][near] == 1).all()


@pytest.mark.parametrize("feather_px", [1, 4, 30])
def test_the_feather_of_a_hard_mask_on_a_gpu_is_that_on_the_processor(
    feather_px: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    mask = (torch.rand(2, 90, 70, generator=torch.Generator().manual_seed(2)) < 0.003).float()
    expected = feather(mask, feather_px)

    def in_torch(
        core: torch.Tensor, values: torch.Tensor, reach_px: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        distance, value = tensors.nearest(core[None], values[None], reach_px)
        return distance[0], value[0]

    monkeypatch.setattr(morphology, "_nearest", in_torch)
    assert torch.allclose(feather(mask, feather_px), expected, atol=1e-6)
    assert (expected > 0).sum() > (mask > 0).sum()


@settings(max_examples=40)
@given(mask=hard_masks(), reach=st.integers(1, 12))
def test_the_value_in_torch_is_that_of_a_nearest_pixel(mask: torch.Tensor, reach: int) -> None:
    if not mask.any():
        return
    values = torch.rand(mask.shape, generator=torch.Generator().manual_seed(0))
    distance, value = tensors.nearest(mask > 0, values, reach)
    points = mask[0].nonzero()
    for y, x in distance[0].isfinite().nonzero().tolist():
        squares = ((points - torch.tensor([y, x])) ** 2).sum(1)
        assert value[0, y, x] in [
            values[0, row, column] for row, column in points[squares == squares.min()].tolist()
        ]


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 300), (300, 1), (257, 200), (64, 128)])
@pytest.mark.parametrize("share", [0.0005, 0.02])
def test_distances_over_a_whole_picture_in_torch_equal_scipys(
    height: int, width: int, share: float
) -> None:
    core = torch.rand(2, height, width, generator=torch.Generator().manual_seed(1)) < share
    core[:, height // 2, width // 3] = True
    distance, _ = tensors.nearest(core, core.float(), 1000)
    assert torch.allclose(
        distance,
        torch.from_numpy(
            np.stack([ndimage.distance_transform_edt(~one.numpy()) for one in core])
        ).float(),
    )


class CallsOfTorch(TorchFunctionMode):
    count = 0

    def __torch_function__(
        self, function: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        self.count += 1
        return function(*args, **(kwargs or {}))


def test_a_large_reach_takes_no_more_steps_on_a_gpu() -> None:
    core = torch.zeros(1, 40, 700, dtype=torch.bool)
    core[:, 20, 350] = True
    calls = []
    for reach in (2, 400):
        with CallsOfTorch() as counting:
            tensors.nearest(core, core.float(), reach)
        calls.append(counting.count)
    assert 0 < calls[0] == calls[1]


@settings(max_examples=40)
@given(mask=soft_masks(), feather_px=st.integers(1, 12))
def test_the_feather_of_a_soft_mask_takes_nothing_away(mask: torch.Tensor, feather_px: int) -> None:
    result = feather(mask, feather_px)
    assert (result >= mask).all() and torch.equal(result.amax(), mask.amax())


def test_a_feather_goes_on_from_the_value_of_the_edge() -> None:
    mask = torch.zeros(1, 20, 40)
    mask[:, :, 10:20], mask[:, :, 20:25] = 1, 0.6
    row = feather(mask, 4)[0, 10]
    assert torch.allclose(row[5:10], torch.tensor([0, 0.2, 0.4, 0.6, 0.8]), atol=1e-6)
    assert torch.allclose(row[25:30], 0.6 * torch.tensor([0.8, 0.6, 0.4, 0.2, 0]), atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_each_mask_of_a_batch_is_treated_by_itself_in_its_own_precision(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    hard = (torch.rand(1, 40, 50, generator=generator) < 0.01).to(dtype)
    soft = hard * torch.rand(1, 40, 50, generator=generator).to(dtype)
    batch = torch.cat([hard, torch.zeros_like(hard), soft])
    for shape in SHAPES:
        for radius in (4, -1):
            both = feather(grow(batch, radius, shape), 3)
            assert both.dtype == dtype
            assert torch.equal(
                both, torch.cat([feather(grow(one[None], radius, shape), 3) for one in batch])
            )


def test_masks_that_cannot_be_used_are_refused() -> None:
    with pytest.raises(ImageError, match="no numbers"):
        grow(torch.full((1, 4, 4), float("nan")), 2)
    with pytest.raises(ImageError, match=r"shape \(4,\); expected \[batch, height, width\]"):
        grow(torch.zeros(4), 2)
    with pytest.raises(ImageError, match="'oval'; expected one of round, square, diamond"):
        grow(torch.zeros(1, 4, 4), 2, "oval")
