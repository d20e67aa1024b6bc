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


def test_what_a_size_of_another_ratio_cuts_off_is_told() -> None:
    fit = load("comfyui_astria.nodes.base.nodes").AstriaFitImage
    wide, tall = torch.zeros(1, 64, 128, 3), torch.zeros(1, 128, 64, 3)
    for image, size, told in (
        (wide, (64, 64), "128x64 and drawn at 64x64, of another aspect ratio: 50% of its width"),
        (tall, (128, 128), "64x128 and drawn at 128x128, of another aspect ratio: 50% of its hei"),
        (wide, (256, 128), ""),
        (wide, (0, 0), ""),
    ):
        made = fit.execute(image, *size, 8)
        assert told in made.result[3] and bool(made.result[3]) == bool(told)
        assert (made.ui or {}).get("astria_notes", []) == ([made.result[3]] if told else [])
        assert "astria_warnings" not in (made.ui or {}), "a size may be set on purpose"


def test_a_size_beyond_what_the_model_paints_well_is_told() -> None:
    fit = load("comfyui_astria.nodes.base.nodes").AstriaFitImage
    image = torch.zeros(1, 60, 100, 3)
    for areas, told in (
        ({"most_px": 6000}, ""),
        ({"most_px": 5999}, "The picture is painted at 100x60, and its model paints well below"),
        ({}, ""),
    ):
        made = fit.execute(image, 0, 0, 8, **areas)  # padded to 104x64, which is not painted to see
        assert made.result[3].startswith(told) and bool(made.result[3]) == bool(told)
        assert (made.ui or {}).get("astria_warnings", []) == ([made.result[3]] if told else [])


def test_a_list_of_one_size_is_one_batch_whatever_form_each_comes_in() -> None:
    node = load("comfyui_astria.nodes.base.nodes").AstriaOneBatch
    grey = torch.rand(1, 64, 48, 1)
    colour = torch.rand(1, 64, 48, 3)
    alpha = torch.cat([colour, torch.ones(1, 64, 48, 1)], -1)
    [batch] = node.execute([grey, colour, alpha, colour[0]]).result
    assert torch.equal(batch, torch.cat([grey.repeat(1, 1, 1, 3), colour, colour, colour]))
    masks = torch.rand(2, 64, 48)
    [batch] = node.execute([masks[:1, None], masks[1:], masks[0]]).result
    assert torch.equal(batch, masks[[0, 1, 0]])
