"""Drawn masks changed: the text of a dilation, and the order of the steps."""

from __future__ import annotations

import pytest
import torch
from comfyui_astria.nodes.base.fit import Fit, fit_image, fit_mask
from comfyui_astria.nodes.errors import ImageError
from comfyui_astria.nodes.masking.adjust import Adjustment, dilation_px
from comfyui_astria.nodes.masking.morphology import feather, grow
from comfyui_astria.tests.regions.comfy_inprocess import load


@pytest.mark.parametrize(
    ("text", "pixels"),
    [
        ("0", 0),
        ("20", 20),
        ("-20", -20),
        ("+3px", 3),
        (" -20 % ", -100),
        ("2.5%", 13),
        ("-2.5%", -13),
        (".5", 1),
        ("-0.4", 0),
        ("100%", 500),
    ],
)
def test_a_dilation_in_a_picture_of_800_by_500(text: str, pixels: int) -> None:
    assert dilation_px(text, 800, 500) == dilation_px(text, 500, 800) == pixels


@pytest.mark.parametrize("text", ["", "wide", "5 %%", "1e3", "--5", "5;6", "nan", "inf"])
def test_a_text_that_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(ImageError, match="expected pixels such as 20, or per cent"):
        dilation_px(text, 800, 500)


def test_inverted_then_grown_then_feathered() -> None:
    mask = torch.zeros(2, 60, 80)
    mask[0, 20:40, 20:60] = 1
    mask[1, 5:, :30] = 1
    change = Adjustment(invert=True, dilate="-10%", shape="square", feather_px=3)
    expected = feather(grow(1 - mask, -6, "square"), 3)
    assert torch.equal(change.applied(mask), expected)
    assert not torch.equal(expected, feather(1 - grow(mask, -6, "square"), 3))


def test_nothing_asked_changes_nothing() -> None:
    mask = torch.rand(
        2, 9, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    ).half()
    assert torch.equal(Adjustment().applied(mask), mask)
    assert Adjustment().applied(mask).dtype == torch.float16


def test_a_mask_without_a_batch_becomes_a_batch_of_one() -> None:
    assert Adjustment(invert=True).applied(torch.zeros(4, 5)).shape == (1, 4, 5)


@pytest.mark.parametrize(
    "change",
    [
        Adjustment(invert=True, dilate="10"),
        Adjustment(dilate="-10"),
        Adjustment(dilate="20%", feather_px=4),
    ],
)
def test_the_padding_of_a_fitted_picture_is_no_part_of_it(change: Adjustment) -> None:
    image, mask = torch.rand(2, 61, 97, 3), torch.zeros(2, 61, 97)
    mask[0, :, 60:] = 1
    mask[1, 40:, :50] = 1
    fitted, fit = fit_image(image, 0, 0, 8)
    padded = fit_mask(mask, image, 0, 0, 8)
    assert padded.shape[1:] == fitted.shape[1:3] == (64, 104)
    result = change.applied_within(padded, fit.width, fit.height)
    assert torch.equal(result[:, :61, :97], change.applied(mask))
    assert result.shape == padded.shape and not result[:, 61:].any() and not result[:, :, 97:].any()
    assert not torch.equal(change.applied(padded)[:, :61, :97], change.applied(mask))


def test_the_node_leaves_the_padding_out_where_it_is_told_of_it() -> None:
    node = load("comfyui_astria.nodes.masking.nodes").AstriaAdjustMask
    given = {
        "mask": torch.zeros(1, 16, 24),
        "invert": True,
        "dilate": "0",
        "shape": "round",
        "feather_px": 0,
    }
    assert node.execute(**given).result[0].all()
    within, told = node.execute(**given, fit=Fit(20, 15)).result
    assert told == ""
    assert within[:, :15, :20].all() and within.sum() == 15 * 20
