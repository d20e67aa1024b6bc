"""What the tests of layouts share: boxes, who owns a pixel, and the laws of every layout."""

from __future__ import annotations

import torch
from comfyui_astria.nodes.regions.layout import RegionLayout
from comfyui_astria.nodes.regions.run import normalised
from hypothesis import strategies as st

counts = st.integers(1, 8)
softnesses = st.sampled_from((0, 1, 2, 7, 32, 300))


def box(
    x: float, y: float, width: float, height: float, label: str | None = None
) -> dict[str, float | str]:
    return {"x": x, "y": y, "width": width, "height": height} | ({"label": label} if label else {})


def owners(layout: RegionLayout) -> torch.Tensor:
    """The number of the person each pixel belongs to, 0 for the scene."""
    return normalised(layout.masks).argmax(0)


def close(found: torch.Tensor, wanted: torch.Tensor) -> None:
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)


def assert_lawful(
    layout: RegionLayout, count: int, width: int, height: int, softness_px: int
) -> None:
    masks = layout.masks
    assert masks.shape == (count, height, width)
    assert masks.dtype == torch.float32
    assert len(layout.names) == count
    assert masks.min() >= 0
    assert masks.sum(0).max() <= 1 + 1e-5
    assert masks.flatten(1).amax(1).min() > 0
    close(normalised(masks)[1:], masks)
    close(normalised(masks).sum(0), torch.ones(height, width))
    if softness_px == 0:
        assert set(masks.unique().tolist()) <= {0.0, 1.0}
