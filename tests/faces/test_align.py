"""Aligned crops are insightface's, and come back to where they were taken from."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import cv2
import numpy as np
import pytest
import torch
from comfyui_astria.nodes.errors import ImageError
from comfyui_astria.nodes.faces.align import (
    FFHQ_512,
    arcface_template,
    ffhq_template,
    inverse,
    paste_back,
    robust_similarity,
    scale_of,
    similarity,
    warp,
)
from comfyui_astria.tests.testpack.face_models import FACE_POINTS
from hypothesis import given
from hypothesis import strategies as st
from insightface.utils import face_align
from skimage.transform import SimilarityTransform

LEVEL = 1 / 255
coordinate = st.floats(-3000, 3000, allow_nan=False, width=32)
five = st.lists(st.tuples(coordinate, coordinate), min_size=5, max_size=5, unique=True).map(
    np.array
)


def turned(points: np.ndarray, degrees: float, scale: float = 1.0) -> np.ndarray:
    """The points turned and scaled about their middle."""
    angle = np.deg2rad(degrees)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return (points - points.mean(0)) @ turn.T + points.mean(0)


@given(points=five, size=st.sampled_from([112, 128, 224, 512]))
def test_the_similarity_is_the_one_that_scikit_image_estimates(
    points: np.ndarray, size: int
) -> None:
    if np.ptp(points, axis=0).max() < 1:
        return
    template = arcface_template(size)
    expected = SimilarityTransform.from_estimate(points, template).params[:2]
    np.testing.assert_allclose(similarity(points, template), expected, rtol=1e-6, atol=1e-4)


@given(
    noise=st.floats(0, 20),
    stray=st.floats(0, 150),
    which=st.integers(0, 4),
    degrees=st.floats(-180, 180),
    scale=st.floats(0.1, 4),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_head_is_aligned_as_opencv_s_least_median_of_squares_does(
    noise: float, stray: float, which: int, degrees: float, scale: float, seed: int
) -> None:
    """facexlib's own call, on points with noise of which one may be far off: within 0.1 px."""
    draw = np.random.default_rng(seed)
    points = FFHQ_512 + draw.normal(0, noise, (5, 2))
    points[which] += stray * np.array([np.cos(seed), np.sin(seed)])
    points = (turned(points, degrees, scale) + draw.uniform(0, 800, 2)).astype(np.float32)
    expected = cv2.estimateAffinePartial2D(points, FFHQ_512, method=cv2.LMEDS)[0]
    placed = np.column_stack([points.astype(np.float64), np.ones(5)])
    actual = robust_similarity(points, ffhq_template(512))
    np.testing.assert_allclose(placed @ actual.T, placed @ expected.T, atol=0.1)


def test_one_stray_point_does_not_move_a_head() -> None:
    points = FFHQ_512 * 0.5 + 30
    stray = points.copy()
    stray[3] += (40, -25)
    expected = similarity(points, FFHQ_512)
    np.testing.assert_allclose(robust_similarity(stray, FFHQ_512), expected, atol=1e-6)
    assert np.abs(similarity(stray, FFHQ_512) - expected).max() > 1


@pytest.mark.parametrize("size", [112, 128, 224, 256, 336, 512])
@pytest.mark.parametrize("degrees", [0, 25, -140])
def test_an_aligned_crop_is_insightface_s(photo: np.ndarray, size: int, degrees: float) -> None:
    points = turned(FACE_POINTS, degrees)
    with warnings.catch_warnings():
        # It calls what scikit-image is about to drop.
        warnings.simplefilter("ignore", FutureWarning)
        expected = face_align.norm_crop(photo, points.astype(np.float32), size)
    crop = warp(torch.from_numpy(photo), similarity(points, arcface_template(size)), size)
    difference = np.abs(crop.numpy() - expected)
    # Levels of 255: OpenCV rounds to levels, and places to 1/32 of a pixel.
    assert difference.mean() < 0.6
    assert difference.max() < 12


def test_a_head_s_crop_is_opencv_s(photo: np.ndarray) -> None:
    matrix = similarity(FACE_POINTS, ffhq_template(256))
    expected = cv2.warpAffine(photo, matrix, (256, 256))
    assert np.abs(warp(torch.from_numpy(photo), matrix, 256).numpy() - expected).mean() < 0.6
    np.testing.assert_allclose(ffhq_template(512), FFHQ_512)


def test_a_crop_is_black_where_the_picture_ends(photo: np.ndarray) -> None:
    at_the_corner = FACE_POINTS - FACE_POINTS.min(0)
    matrix = similarity(at_the_corner, arcface_template(112))
    expected = cv2.warpAffine(photo, matrix, (112, 112))
    crop = warp(torch.from_numpy(photo), matrix, 112)
    assert (expected[:30, :30] == 0).all() and (crop[:30, :30] == 0).all()
    assert np.abs(crop.numpy() - expected).mean() < 0.6
    assert (
        warp(torch.from_numpy(photo), similarity(FACE_POINTS - 5000, arcface_template(112)), 112)
        == 0
    ).all()


def ramp(width: int, height: int) -> torch.Tensor:
    """A picture whose first two channels say where each pixel is."""
    across, down = torch.meshgrid(torch.arange(width), torch.arange(height), indexing="xy")
    return torch.stack([across / width, down / height, torch.zeros(height, width)], dim=-1)


@pytest.mark.parametrize("degrees", [0, 33, 120])
@pytest.mark.parametrize("scale", [0.4, 1.0, 3.3])
def test_a_crop_comes_back_to_where_it_was_taken_from(degrees: float, scale: float) -> None:
    # Larger than the crop: beyond a picture's end there is nothing to bring back.
    image = ramp(1200, 1000)
    matrix = similarity(turned(FACE_POINTS, degrees, scale) + 390, ffhq_template(256))
    mask = torch.zeros(256, 256)
    mask[8:-8, 8:-8] = 1
    back = paste_back(torch.zeros_like(image), warp(image, matrix, 256), matrix, mask)
    inside = (
        paste_back(torch.zeros_like(image), torch.ones(256, 256, 3), matrix, mask)[..., 0]
        > 1 - 1e-5
    )
    away = torch.stack([(back - image)[..., 0] * 1200, (back - image)[..., 1] * 1000]).abs()[
        :, inside
    ]
    assert inside.sum() > 1000
    assert away.max() < 0.5


def test_enlarging_back_is_what_opencv_does(photo: np.ndarray) -> None:
    matrix = similarity(turned(FACE_POINTS, 15, 2.5), arcface_template(112))
    assert scale_of(matrix) < 1
    crop = warp(torch.from_numpy(photo), matrix, 112)
    mask = np.zeros((112, 112), np.float32)
    mask[20:-20, 20:-20] = 1
    expected, share = (
        cv2.warpAffine(one, inverse(matrix), (512, 512)) for one in (crop.numpy(), mask)
    )
    back = paste_back(torch.zeros(512, 512, 3), crop, matrix, torch.from_numpy(mask))
    assert np.abs(back.numpy() - expected)[share == 1].max() < 5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_outside_the_mask_every_bit_stays(photo: np.ndarray, dtype: torch.dtype) -> None:
    # With alpha.
    image = torch.cat([torch.from_numpy(photo) * LEVEL, torch.rand(512, 512, 1)], dim=-1).to(dtype)
    matrix = similarity(turned(FACE_POINTS, 20), ffhq_template(512))
    crop, mask = torch.full((512, 512, 3), 0.25), torch.zeros(512, 512)
    mask[200:300, 180:320] = 1
    crop[:190] = float("nan")  # a model that failed outside of the mask
    kept = image.clone()
    result = paste_back(image, crop, matrix, mask)
    assert result.dtype == dtype and torch.equal(image, kept)
    changed = (result != image).any(-1)
    share = paste_back(torch.zeros(512, 512, 3), torch.ones(512, 512, 3), matrix, mask)[..., 0]
    touched = share > 0
    assert changed.any() and not (changed & ~touched).any()
    assert touched.sum() < 0.1 * touched.numel()
    assert torch.equal(result[..., 3], image[..., 3])
    assert (result[..., :3][share == 1].float() - 0.25).abs().max() < 1e-3


def test_a_crop_of_a_face_at_the_border_stays_in_the_picture() -> None:
    image = torch.rand(64, 48, 3)
    matrix = similarity(FACE_POINTS * 0.2 - 30, arcface_template(112))
    assert torch.isfinite(
        paste_back(image, torch.ones(112, 112, 3), matrix, torch.ones(112, 112))
    ).all()
    away = similarity(FACE_POINTS + 5000, arcface_template(112))
    assert torch.equal(
        paste_back(image, torch.ones(112, 112, 3), away, torch.ones(112, 112)), image
    )


def test_a_crop_made_smaller_is_averaged() -> None:
    stripes = torch.zeros(512, 512, 3)
    stripes[:, ::2] = 1
    matrix = np.array([[8.0, 0.0, 0.0], [0.0, 8.0, 0.0]])  # the crop's 512 px stand for 64
    small = paste_back(torch.zeros(64, 64, 3), stripes, matrix, torch.ones(512, 512))
    assert (small[2:-2, 2:-2] - 0.5).abs().max() < 0.01


@pytest.mark.parametrize("size", [0, -112, 100])
def test_error_a_size_without_template(size: int) -> None:
    with pytest.raises(
        ImageError, match=f"An aligned face of {size} px; expected a multiple of 112 or of 128"
    ):
        arcface_template(size)


@pytest.mark.parametrize("estimate", [similarity, robust_similarity])
def test_error_points_that_are_all_one(estimate: Callable) -> None:
    with pytest.raises(ImageError, match=r"The points of a face are all at 7\.0, 7\.0"):
        estimate(np.full((5, 2), 7.0), arcface_template(112))
