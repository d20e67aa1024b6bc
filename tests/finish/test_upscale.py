"""Exact enlargement with models of any factor."""

from __future__ import annotations

import pytest
import torch
from comfyui_astria.nodes.errors import ImageError
from comfyui_astria.nodes.finish.upscale import enlarge


def nearest(scale: int, calls: list[tuple[int, ...]]):
    def upscale(image: torch.Tensor) -> torch.Tensor:
        calls.append(tuple(image.shape))
        return image.repeat_interleave(scale, 1).repeat_interleave(scale, 2)

    return upscale


@pytest.mark.parametrize(
    ("model_scale", "factor", "runs"),
    [(4, 4.0, 1), (2, 4.0, 2), (8, 4.0, 1), (4, 2.0, 1), (4, 1.0, 0), (3, 2.5, 1)],
)
def test_the_result_has_exactly_the_factor(model_scale: int, factor: float, runs: int) -> None:
    image, calls = torch.rand(2, 10, 14, 3), []
    result = enlarge(image, factor, model_scale, nearest(model_scale, calls))
    assert result.shape == (2, round(10 * factor), round(14 * factor), 3)
    assert len(calls) == 2 * runs
    assert torch.allclose(result.mean(dim=(1, 2)), image.mean(dim=(1, 2)), atol=0.01)


def test_pictures_go_through_the_model_one_by_one() -> None:
    image, calls = torch.rand(3, 6, 5, 3), []
    result = enlarge(image, 4.0, 2, nearest(2, calls))
    assert calls == [(1, 6, 5, 3), (1, 12, 10, 3)] * 3
    assert torch.equal(
        result, torch.cat([enlarge(one[None], 4.0, 2, nearest(2, [])) for one in image])
    )


def test_a_model_of_the_exact_factor_is_left_as_it_is() -> None:
    image = torch.rand(1, 5, 5, 3)
    assert torch.equal(enlarge(image, 4.0, 4, nearest(4, [])), nearest(4, [])(image))


def test_alpha_is_enlarged_beside_the_model() -> None:
    image, calls = torch.rand(2, 8, 9, 4), []
    image[..., 3] = torch.linspace(0, 1, 9)
    result = enlarge(image, 4.0, 4, nearest(4, calls))
    assert {shape[3] for shape in calls} == {3}
    assert torch.equal(result[..., :3], nearest(4, [])(image[..., :3]))
    alpha = result[0, 16, :, 3]
    assert bool((alpha.diff() >= -1e-6).all())
    assert (alpha[0].item(), alpha[-1].item()) == pytest.approx((0, 1), abs=0.06)
    assert torch.allclose(result[..., 3].mean(), image[..., 3].mean(), atol=0.01)


def test_half_precision_stays_half_precision() -> None:
    image = torch.rand(1, 6, 5, 3).half()
    result = enlarge(image, 3.0, 4, nearest(4, []))
    assert (result.shape, result.dtype) == ((1, 18, 15, 3), torch.float16)


def test_a_model_that_does_not_enlarge_is_refused() -> None:
    with pytest.raises(ImageError, match="enlarges by 1"):
        enlarge(torch.rand(1, 4, 4, 3), 4.0, 1, nearest(1, []))


def test_grey_pictures_become_colour() -> None:
    grey, calls = torch.rand(1, 5, 6, 1), []
    result = enlarge(grey, 2.0, 2, nearest(2, calls))
    assert calls == [(1, 5, 6, 3)] and torch.equal(
        result, nearest(2, [])(grey.expand(-1, -1, -1, 3))
    )
