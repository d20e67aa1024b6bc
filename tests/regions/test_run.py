"""Masks on the grids that models really use, odd sides and padding included."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from comfyui_astria.nodes.errors import ImageError
from comfyui_astria.nodes.regions.run import Forward, check_shape, normalised, on_latent
from comfyui_astria.tests.regions.comfy_inprocess import load
from comfyui_astria.tests.regions.regional_support import on_blocks

ODD = [(9, 7), (8, 6), (5, 1), (1, 4), (1, 1), (13, 30)]


def random_masks(height: int, width: int) -> torch.Tensor:
    return normalised(
        torch.rand(2, height, width, generator=torch.Generator().manual_seed(height * 100 + width))
    )


@pytest.mark.parametrize("size", ODD)
def test_a_token_of_flux_counts_the_pixels_that_it_paints(size: tuple[int, int]) -> None:
    """The host's own padding and packing, done to the numbers of the pixels.

    Padded ones are cut off again after the model.
    """
    masks, pixels = random_masks(*size), torch.arange(size[0] * size[1]).view(1, 1, *size)
    pad = load("comfy.ldm.common_dit").pad_to_patch_size
    numbers = pad(pixels.float(), (2, 2))  # circular: a copy of the opposite edge
    real = F.pad(
        torch.ones(1, 1, *size), (0, numbers.shape[3] - size[1], 0, numbers.shape[2] - size[0])
    )
    tokens, kept = (F.unfold(one, 2, stride=2)[0] for one in (numbers, real))  # [4, tokens]
    shares = masks.flatten(1)[:, tokens.long()] * kept
    expected = shares.sum(1) / kept.sum(0)
    grid = -(-size[0] // 2), -(-size[1] // 2)
    torch.testing.assert_close(Forward(masks).on_grid(*grid), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("size", ODD)
def test_a_cell_of_a_unet_is_the_pixels_under_it(size: tuple[int, int]) -> None:
    masks, grid = random_masks(*size), size
    for _ in range(4):
        torch.testing.assert_close(
            Forward(masks).on_grid(*grid), on_blocks(masks, *grid).flatten(1), atol=1e-6, rtol=0
        )
        grid = -(-grid[0] // 2), -(-grid[1] // 2)


@pytest.mark.parametrize("size", ODD)
def test_unets_go_down_by_rounding_up_and_up_again_by_doubling(size: tuple[int, int]) -> None:
    """What makes blocks the right cells.

    The host's own layers, from a picture of this size to the next level and back.
    """
    layers = load("comfy.ldm.modules.diffusionmodules.openaimodel")
    down, up = layers.Downsample(1, use_conv=True), layers.Upsample(1, use_conv=False)
    coarse = down.op(torch.zeros(1, 1, *size))
    assert tuple(coarse.shape[2:]) == (-(-size[0] // 2), -(-size[1] // 2))
    cells = torch.arange(coarse[0, 0].numel()).view(1, 1, *coarse.shape[2:]).float()
    rows, columns = torch.meshgrid(
        torch.arange(size[0]) // 2, torch.arange(size[1]) // 2, indexing="ij"
    )
    torch.testing.assert_close(
        up(cells, output_shape=(1, 1, *size))[0, 0], cells[0, 0][rows, columns]
    )


@pytest.mark.parametrize("grid", [(8, 12), (5, 7), (96, 130)])
def test_other_grids_are_averaged_by_area(grid: tuple[int, int]) -> None:
    masks = random_masks(50, 61)
    latent = on_latent(masks, *grid)
    torch.testing.assert_close(latent, F.adaptive_avg_pool2d(masks, grid), atol=1e-6, rtol=0)
    torch.testing.assert_close(latent.sum(0), torch.ones(grid))


@pytest.mark.parametrize("grid", [(64, 64), (72, 128), (40, 96)])
def test_error_a_latent_of_a_picture_of_another_shape(grid: tuple[int, int]) -> None:
    masks = random_masks(512, 768)
    with pytest.raises(
        ImageError, match=r"The regions are laid out for 768x512 px and a latent of"
    ):
        check_shape(masks, *grid)
    check_shape(masks, 64, 96)
    check_shape(masks, 128, 192)


@pytest.mark.parametrize("size", [(333, 500), (100, 64), (520, 520), (72, 1000)])
@pytest.mark.parametrize("multiple", [8, 16])
def test_a_latent_of_padded_sides_is_the_same_picture(size: tuple[int, int], multiple: int) -> None:
    rows, columns = (-(-side // multiple) * multiple // 8 for side in size)
    check_shape(random_masks(*size), rows, columns)


def test_a_picture_that_the_latent_reaches_beyond_keeps_its_edge() -> None:
    """100 pixels are 13 latent cells, the last one half outside."""
    masks = random_masks(100, 64)
    torch.testing.assert_close(
        on_latent(masks, 13, 8)[:, 12],
        masks[:, 96:].unflatten(2, (8, 8)).mean((1, 3)),
        atol=1e-6,
        rtol=0,
    )
