"""Fitted source, mask and fills, against torch's and numpy's own padding and Pillow's resize."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from comfyui_astria.nodes.errors import ImageError
from comfyui_astria.nodes.outpaint.border import averaged, blurred_along, strips
from comfyui_astria.nodes.outpaint.fill import (
    canvas_mask,
    edge_extended,
    fit_source,
    neutral,
    place_masks,
)
from comfyui_astria.nodes.outpaint.geometry import ANCHORS, Canvas, place
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

sizes = st.tuples(st.integers(1, 24), st.integers(1, 24))
anchors = st.sampled_from(ANCHORS)
multiples = st.sampled_from((8, 16))
policies = st.sampled_from(("crop", "shrink"))


def picture(width: int, height: int, *, batch: int = 1, channels: int = 3) -> torch.Tensor:
    seed = torch.Generator().manual_seed(width * 100 + height)
    return torch.rand(batch, height, width, channels, generator=seed)


def final(padded: torch.Tensor, canvas: Canvas) -> torch.Tensor:
    x, y = canvas.padded_offset
    return padded[:, y : y + canvas.height, x : x + canvas.width]


def pads(canvas: Canvas) -> tuple[int, int, int, int]:
    """Left, right, top, bottom of the padded canvas around the window."""
    window = canvas.padded_window
    right = canvas.padded_width - window.x - window.width
    bottom = canvas.padded_height - window.y - window.height
    return window.x, right, window.y, bottom


def test_crop_takes_the_pixels_as_they_are() -> None:
    image = picture(10, 12)
    assert torch.equal(fit_source(image, place(10, 12, 7, 20, "top-center")), image[:, :, 1:8])
    assert torch.equal(fit_source(image, place(10, 12, 6, 5, "bottom-right")), image[:, 7:, 4:])
    assert torch.equal(fit_source(image, place(10, 12, 99, 99, "center", smaller="shrink")), image)


@pytest.mark.parametrize("channels", [3, 4])
def test_shrink_is_an_antialiased_bicubic(channels: int) -> None:
    image = picture(40, 64, batch=2, channels=channels)
    canvas = place(40, 64, 50, 24, "center", smaller="shrink")
    found = fit_source(image, canvas)
    assert found.shape == (2, 24, 15, channels)
    for index in range(2):
        for channel in range(channels):
            plane = Image.fromarray(image[index, :, :, channel].numpy()).resize(
                (15, 24), Image.Resampling.BICUBIC
            )
            np.testing.assert_allclose(
                found[index, :, :, channel].numpy(), np.asarray(plane).clip(0, 1), atol=1e-4
            )


def test_shrink_stays_between_0_and_1() -> None:
    image = (picture(64, 64) > 0.5).float()
    found = fit_source(image, place(64, 64, 40, 40, "center", smaller="shrink"))
    assert found.min() >= 0.0
    assert found.max() <= 1.0


def test_fit_refuses_an_image_of_another_size() -> None:
    canvas = place(40, 64, 50, 70, "center")
    with pytest.raises(
        ImageError,
        match="the source image is 41x64, but the canvas was laid out for a source of 40x64",
    ):
        fit_source(picture(41, 64), canvas)
    with pytest.raises(
        ImageError,
        match=r"an image of shape \(64, 40, 3\); expected \[batch, height, width, channels\]",
    ):
        fit_source(picture(40, 64)[0], canvas)


@given(sizes, sizes, anchors, multiples, policies)
def test_mask_is_zero_on_the_window_and_one_elsewhere(
    source: tuple[int, int], target: tuple[int, int], anchor: str, multiple: int, policy: str
) -> None:
    canvas = place(*source, *target, anchor, multiple=multiple, smaller=policy)
    mask = canvas_mask(canvas, 2)
    window = torch.zeros(2, canvas.window.height, canvas.window.width)
    assert torch.equal(mask, F.pad(window, pads(canvas), value=1.0))
    kept = min(canvas.source_width, target[0]) * min(canvas.source_height, target[1])
    assert final(mask[..., None], canvas)[0].sum() == target[0] * target[1] - kept
    assert canvas.is_empty_mask == (not final(mask[..., None], canvas).any())


@pytest.mark.parametrize(
    ("source", "target", "anchor", "kept"),
    [
        ((20, 20), (32, 32), "center", (6 + 3, 6 + 3, 14, 14)),
        ((20, 20), (32, 32), "top-left", (0, 0, 17, 17)),
        ((20, 20), (32, 32), "right-center", (12 + 3, 6 + 3, 17, 14)),
        ((20, 20), (20, 32), "bottom-left", (0, 12 + 3, 20, 17)),
        ((40, 20), (20, 32), "center", (0, 6 + 3, 20, 14)),
        ((20, 20), (20, 20), "center", (0, 0, 20, 20)),
    ],
)
def test_overlap_runs_along_the_sides_with_new_area(
    source: tuple[int, int], target: tuple[int, int], anchor: str, kept: tuple[int, int, int, int]
) -> None:
    canvas = place(*source, *target, anchor, multiple=4)
    mask = canvas_mask(canvas, 1, overlap_px=3)[0]
    x, y, width, height = kept
    expected = torch.ones(canvas.padded_height, canvas.padded_width)
    expected[y : y + height, x : x + width] = 0
    assert torch.equal((mask > 0).float(), expected)
    window = canvas.padded_window
    inside = torch.zeros_like(expected, dtype=torch.bool)
    inside[window.y : window.y + window.height, window.x : window.x + window.width] = True
    assert (mask[~inside] == 1).all()
    assert (mask[inside] < 1).all()


def test_the_overlap_falls_in_equal_steps_from_the_side_inward() -> None:
    mask = canvas_mask(place(20, 20, 32, 20, "right-center", multiple=4), 1, overlap_px=3)[0]
    assert torch.allclose(mask[0, 11:17], torch.tensor([1.0, 0.75, 0.5, 0.25, 0.0, 0.0]))
    corner = canvas_mask(place(20, 20, 32, 32, "bottom-right", multiple=4), 1, overlap_px=3)[0]
    assert torch.allclose(corner[12, 12:16], torch.tensor([0.75, 0.75, 0.75, 0.75]))
    assert torch.allclose(corner[14, 12:16], torch.tensor([0.75, 0.5, 0.25, 0.25]))


@pytest.mark.parametrize("overlap", [-1, 10])
def test_overlap_must_leave_some_source(overlap: int) -> None:
    with pytest.raises(
        ImageError, match=f"an overlap of {overlap} px does not fit a source of 20x20"
    ) as caught:
        canvas_mask(place(20, 20, 32, 32, "center"), 1, overlap_px=overlap)
    assert caught.value.code == "outpaint_overlap"
    assert canvas_mask(place(20, 20, 32, 32, "center"), 1, overlap_px=9).eq(0).sum() == 4


@given(sizes, sizes, anchors, multiples, policies, st.sampled_from((3, 4)))
def test_fills_equal_the_library_paddings(
    source: tuple[int, int],
    target: tuple[int, int],
    anchor: str,
    multiple: int,
    policy: str,
    channels: int,
) -> None:
    canvas = place(*source, *target, anchor, multiple=multiple, smaller=policy)
    fitted = fit_source(picture(*source, batch=2, channels=channels), canvas)
    left, right, top, bottom = pads(canvas)
    grey = F.pad(fitted, (0, 0, left, right, top, bottom), value=0.5)
    assert torch.equal(neutral(fitted, canvas), grey)
    repeated = np.pad(fitted.numpy(), ((0, 0), (top, bottom), (left, right), (0, 0)), mode="edge")
    assert np.array_equal(edge_extended(fitted, canvas, blur_px=0).numpy(), repeated)


@given(sizes, sizes, anchors, multiples, st.integers(1, 20))
def test_extended_edges_keep_the_source_and_start_at_its_edge(
    source: tuple[int, int], target: tuple[int, int], anchor: str, multiple: int, blur: int
) -> None:
    canvas = place(*source, *target, anchor, multiple=multiple)
    fitted = fit_source(picture(*source, batch=2), canvas)
    found = edge_extended(fitted, canvas, blur_px=blur)
    window = canvas.padded_window
    rows = slice(window.y, window.y + window.height)
    columns = slice(window.x, window.x + window.width)
    assert torch.equal(found[:, rows, columns], fitted)
    if window.x > 0:
        torch.testing.assert_close(found[:, rows, window.x - 1], fitted[:, :, 0])
    if window.y + window.height < canvas.padded_height:
        torch.testing.assert_close(found[:, window.y + window.height, columns], fitted[:, -1])
    one_by_one = torch.cat([edge_extended(one[None], canvas, blur_px=blur) for one in fitted])
    torch.testing.assert_close(found, one_by_one, atol=1e-6, rtol=0)


def test_extended_edges_grow_softer_with_distance() -> None:
    image = picture(64, 64)
    found = edge_extended(image, place(64, 64, 64, 160, "top-center"), blur_px=16)[0, 64:]
    near = image[0, -1]
    far = blurred_along(averaged(strips(image, 16), 16), 16).bottom[0]
    sharpness = (1 - torch.arange(96) / 16).clamp(min=0)[:, None, None] ** 2
    torch.testing.assert_close(found, far + sharpness * (near - far), atol=1e-6, rtol=0)
    roughness = (found[:, 1:] - found[:, :-1]).abs().mean(dim=(1, 2))
    assert roughness[16] < roughness[0] / 100


def test_extended_edges_of_one_colour_are_that_colour() -> None:
    colour = torch.tensor([0.1, 0.6, 0.9, 0.4])
    canvas = place(30, 20, 90, 90, "center")
    found = edge_extended(colour.expand(1, 20, 30, 4), canvas, blur_px=12)
    torch.testing.assert_close(found, colour.expand_as(found), atol=1e-6, rtol=0)


def test_extended_edges_turn_with_the_picture() -> None:
    image = picture(9, 14)
    found = edge_extended(image, place(9, 14, 40, 31, "top-left", multiple=1), blur_px=6)
    mirrored = edge_extended(
        image.flip(2), place(9, 14, 40, 31, "top-right", multiple=1), blur_px=6
    )
    across = edge_extended(
        image.transpose(1, 2), place(14, 9, 31, 40, "top-left", multiple=1), blur_px=6
    )
    torch.testing.assert_close(found, mirrored.flip(2), atol=1e-6, rtol=0)
    torch.testing.assert_close(found, across.transpose(1, 2), atol=1e-6, rtol=0)


def test_fills_are_float32_whatever_comes_in() -> None:
    image = picture(6, 6).half()
    canvas = place(6, 6, 16, 16, "center")
    for filled in (neutral(image, canvas), edge_extended(image, canvas, blur_px=4)):
        assert filled.dtype == torch.float32
        assert torch.equal(filled[:, 5:11, 5:11], image.float())


def test_fills_refuse_a_source_that_was_not_fitted() -> None:
    canvas = place(20, 20, 10, 30, "center")
    with pytest.raises(
        ImageError, match="the fitted source is 20x20, but its window on the canvas is 10x20"
    ) as caught:
        neutral(picture(20, 20), canvas)
    assert caught.value.code == "outpaint_window_size"
    with pytest.raises(ImageError, match="blur of the extended edges is -1 px"):
        edge_extended(picture(10, 20), canvas, blur_px=-1)


@given(sizes, sizes, anchors, policies)
def test_masks_move_as_the_picture_they_belong_to(
    source: tuple[int, int], target: tuple[int, int], anchor: str, smaller: str
) -> None:
    canvas = place(*source, *target, anchor, multiple=8, smaller=smaller)
    if (canvas.source_width, canvas.source_height) != source:
        return  # a shrunk mask is scaled in a way of its own
    masks = picture(*source, batch=3, channels=1)[..., 0]
    placed = place_masks(masks, canvas)
    window = canvas.window
    assert placed.shape == (3, *reversed(target))
    inside = placed[:, window.y : window.y + window.height, window.x : window.x + window.width]
    assert torch.equal(inside, fit_source(masks[..., None], canvas)[..., 0])
    placed[:, window.y : window.y + window.height, window.x : window.x + window.width] = 0
    assert not placed.any()


def test_masks_of_another_size_are_scaled_to_the_source_first() -> None:
    canvas = place(32, 16, 64, 16, "left-center", multiple=8, smaller="crop")
    placed = place_masks(torch.ones(1, 8, 16), canvas)
    assert placed[0].sum() == 32 * 16
