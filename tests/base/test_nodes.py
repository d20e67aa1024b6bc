"""What the nodes of noise and fitting tell where they stand alone."""

from __future__ import annotations

import torch
from comfyui_astria.tests.regions.comfy_inprocess import load


def test_a_node_that_stands_alone_warns_of_a_mask_that_cannot_be_meant() -> None:
    fit = load("comfyui_astria.nodes.base.nodes").AstriaFitImage
    image = torch.zeros(1, 64, 128, 3)
    made = fit.execute(image, 0, 0, 8, mask=torch.zeros(1, 64, 64))
    [warning] = made.ui["astria_warnings"]
    assert "The mask is empty (64x64" in warning
    assert made.ui["astria_notes"] == [warning], "which a report above it shows in its place"
    stretched = fit.execute(image, 0, 0, 8, mask=torch.ones(1, 64, 64))
    [warning] = stretched.ui["astria_warnings"]
    assert "64x64" in warning and "128x64" in warning
    assert fit.execute(image, 0, 0, 8, mask=torch.ones(1, 64, 128)).ui is None
