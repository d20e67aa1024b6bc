"""Input images brought to a size and a multiple, and back, without touching a pixel that need not
change.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from comfyui_astria.nodes.base.fit import Fit, fit_image, fit_mask, keep_unmasked, restore_size
from comfyui_astria.nodes.errors import ImageError
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

SIDES = st.integers(1, 40)


def picture(height: int, width: int, channels: int = 3, batch: int = 1) -> torch.Tensor:
    return torch.rand(
        batch,
        height,
        width,
        channels,
        generator=torch.Generator().manual_seed(height * 100 + width),
    )


@given(SIDES, SIDES, st.sampled_from([1, 8, 16]))
def test_own_size_goes_there_and_back_bit_for_bit(height: int, width: int, multiple: int) -> None:
    image = picture(height, width, batch=2)
    fitted, fit = fit_image(image, 0, 0, multiple)
    assert fitted.shape[1] % multiple == fitted.shape[2] % multiple == 0
    assert fitted.shape[1] - height < multiple
    assert fitted.shape[2] - width < multiple
    assert torch.equal(restore_size(fitted, fit), image)
    assert torch.equal(
        fitted[:, height:, :width], image[:, -1:].expand(-1, fitted.shape[1] - height, -1, -1)
    )


@settings(max_examples=50)
@given(SIDES, SIDES, SIDES, SIDES)
def test_another_size_is_covered_exactly(
    height: int, width: int, to_height: int, to_width: int
) -> None:
    fitted, fit = fit_image(picture(height, width), to_width, to_height, 1)
    assert (fit.width, fit.height) == (to_width, to_height)
    assert fitted.shape == (1, to_height, to_width, 3)
    assert 0 <= float(fitted.min()) <= float(fitted.max()) <= 1


def test_cover_scales_as_pillow_does_and_crops_about_the_centre() -> None:
    levels = np.random.default_rng(5).integers(0, 256, (60, 80), dtype=np.uint8)
    expected = (
        np.asarray(
            Image.fromarray(levels).resize((40, 30), Image.Resampling.BICUBIC), dtype=np.float32
        )[:, 10:30]
        / 255
    )
    fitted, _ = fit_image(torch.from_numpy(levels / 255.0).float()[None, :, :, None], 20, 30, 1)
    assert torch.allclose(fitted[0, :, :, 0], torch.from_numpy(expected), atol=1.01 / 255)


def test_half_a_size_is_refused() -> None:
    with pytest.raises(ImageError, match="512x0"):
        fit_image(picture(8, 8), 512, 0, 8)


def test_a_mask_moves_with_its_image_and_padding_is_never_painted() -> None:
    mask = torch.zeros(1, 20, 30)
    mask[:, 5:15, 10:20] = 1
    image = picture(20, 30)
    moved = fit_mask(mask, image, 0, 0, 16)
    assert moved.shape == (1, 32, 32)
    assert torch.equal(moved[:, :20, :30], mask)
    assert moved[:, 20:].sum() == moved[:, :, 30:].sum() == 0
    smaller = fit_mask(mask[:, ::2, ::2], image, 0, 0, 1)
    assert smaller.shape == (1, 20, 30)
    assert abs(float(smaller.mean() - mask.mean())) < 0.02
    covered = fit_mask(mask, image, 20, 20, 1)
    assert torch.equal(covered, mask[:, :, 5:25])


def test_alpha_is_cut_off_since_models_paint_colours_only() -> None:
    image = picture(10, 12, channels=4)
    for fitted in (fit_image(image, 0, 0, 1)[0], fit_image(image, 12, 10, 1)[0]):
        assert torch.equal(fitted, image[..., :3])


def test_masks_are_one_or_one_for_each_image() -> None:
    images = picture(8, 8, batch=3)
    masks = torch.rand(3, 8, 8)
    assert torch.equal(fit_mask(masks, images, 0, 0, 8), masks)
    assert torch.equal(fit_mask(masks[:1], images, 0, 0, 8), masks[:1].repeat(3, 1, 1))
    with pytest.raises(ImageError, match=r"2 masks are given for 3 image\(s\)"):
        fit_mask(masks[:2], images, 0, 0, 8)


def test_a_mask_comes_to_its_images_device() -> None:
    assert fit_mask(torch.ones(1, 8, 8), picture(8, 8).to("meta"), 0, 0, 8).device.type == "meta"


def test_unmasked_pixels_are_bit_identical_even_beside_nan() -> None:
    original, painted = picture(9, 9, batch=2), picture(9, 10, batch=2)[:, :, :9]
    mask = torch.zeros(1, 9, 9)
    mask[:, 2:5, 2:5] = 1
    mask[:, 5, 2:5] = 0.25
    broken = painted.clone()
    broken[:, :2] = float("nan")
    result = keep_unmasked(broken, original, mask)
    assert torch.equal(result[:, mask[0] == 0], original[:, mask[0] == 0])
    assert torch.allclose(result[:, 2:5, 2:5], painted[:, 2:5, 2:5])
    assert torch.allclose(result[:, 5, 2:5], 0.75 * original[:, 5, 2:5] + 0.25 * painted[:, 5, 2:5])


def test_pictures_of_different_sizes_are_refused() -> None:
    with pytest.raises(ImageError, match="painted 8x9, original 9x9, mask 9x9"):
        keep_unmasked(picture(9, 8), picture(9, 9), torch.zeros(1, 9, 9))
    with pytest.raises(ImageError, match="painted 2 of 3, original 3 of 3"):
        keep_unmasked(picture(9, 9, batch=2), picture(9, 9, batch=3), torch.zeros(1, 9, 9))
    with pytest.raises(ImageError, match="painted 1 of 3, original 1 of 4"):
        keep_unmasked(picture(9, 9), picture(9, 9, channels=4), torch.zeros(1, 9, 9))
    with pytest.raises(ImageError, match="4x4, smaller than the 5x5"):
        restore_size(picture(4, 4), Fit(5, 5))
