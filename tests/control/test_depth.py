"""The depth map against the formula by which the depth model's authors show depth."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from comfyui_astria.nodes.control.depth import depth_map


def as_its_authors_show_it(depth: np.ndarray) -> np.ndarray:
    """`visualize_depth` of Depth Anything 3 before its colours: near is 1."""
    inverse, is_valid = depth.copy(), depth > 0
    inverse[is_valid] = 1 / inverse[is_valid]
    low = np.percentile(inverse[is_valid], 2)
    high = np.percentile(inverse[is_valid], 98)
    return ((inverse - low) / (high - low)).clip(0, 1)


def scene() -> torch.Tensor:
    """A person at 1.5 m before a wall at 5 m, beside a view of 100 m."""
    depth = torch.full((60, 80), 5.0)
    depth[10:, 20:40] = 1.5
    depth[:30, 60:] = 100.0
    return depth


def test_the_map_is_the_authors() -> None:
    depth = torch.rand(2, 50, 70, generator=torch.Generator().manual_seed(1)) * 30 + 0.5
    depth[0, :4, :9] = 0
    found = depth_map(depth)
    assert found.shape == (2, 50, 70, 3) and found.dtype == torch.float32
    for own, one in zip(found, depth.double().numpy(), strict=True):
        expected = torch.from_numpy(as_its_authors_show_it(one)).float()
        assert torch.allclose(own, expected[..., None].expand(-1, -1, 3), atol=1e-6)


def test_a_far_view_leaves_person_and_wall_apart() -> None:
    found = depth_map(scene()[None])[0, ..., 0]
    person, wall, view = found[30, 30], found[50, 5], found[5, 70]
    assert person == pytest.approx(1.0, abs=1e-6) and view == pytest.approx(0.0, abs=1e-6)
    assert wall == pytest.approx((1 / 5 - 1 / 100) / (1 / 1.5 - 1 / 100), abs=1e-5)
    assert wall == pytest.approx(0.29, abs=0.005), "0.96 linear in the distance"


def test_sky_stands_where_the_farthest_ground_does() -> None:
    depth = scene()
    sky = torch.zeros_like(depth)
    sky[:10, :60] = torch.linspace(0.3, 1, 60)
    unlike = depth.clone()
    unlike[:10, :60] = torch.rand(10, 60, generator=torch.Generator().manual_seed(2)) * 3 + 0.1
    far = float(np.percentile(depth[sky < 0.3].numpy(), 99))
    clipped = torch.where(sky >= 0.3, torch.tensor(far), depth)
    expected = as_its_authors_show_it(clipped.double().numpy())
    for one in (depth, unlike):
        found = depth_map(one[None], sky[None])[0, ..., 0]
        assert torch.allclose(found, torch.from_numpy(expected).float(), atol=1e-5)
        assert found[:10, :60].amax() < 0.01


def test_pictures_do_not_depend_on_each_other_and_repeat() -> None:
    depth = torch.rand(3, 400, 600, generator=torch.Generator().manual_seed(3)) + 0.1
    sky = torch.rand(3, 400, 600, generator=torch.Generator().manual_seed(4))
    together = depth_map(depth, sky)
    alone = torch.cat([depth_map(depth[i : i + 1], sky[i : i + 1]) for i in range(3)])
    assert torch.equal(together, alone)
    assert torch.equal(together, depth_map(depth.clone(), sky.clone())), "no sample is drawn"


def test_what_has_no_depth_is_far_and_a_plane_is_grey() -> None:
    depth = scene()
    depth[0, :4] = torch.tensor([float("nan"), float("inf"), -2.0, 0.0])
    found = depth_map(depth[None])
    assert torch.isfinite(found).all()
    assert found[0, 0, :4].eq(0).all()
    assert depth_map(torch.full((1, 8, 9), 2.0)).eq(0.5).all()
    assert depth_map(torch.zeros(1, 8, 9)).eq(0).all()
