"""Cutting out: the foreground's own colours at soft edges, no rim of the old background."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from comfyui_astria.nodes.errors import ImageError
from comfyui_astria.nodes.finish.cutout import cut_out
from comfyui_astria.tests.regions.comfy_inprocess import load

GREEN = torch.tensor([0.1, 0.9, 0.2])


def scene(batch: int = 1, side: int = 96) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return a picture of a textured disc before a green screen, how much of each pixel the disc
    covers, and the disc's own colours.
    """
    place = torch.linspace(-1, 1, side)
    radius = (place[:, None] ** 2 + place**2).sqrt()
    cover = ((0.6 - radius) * 10 + 0.5).clamp(0, 1)
    waves, slope = torch.sin(9 * place).expand(side, side), place[:, None].expand(side, side)
    own = torch.stack([0.75 + 0.1 * waves, 0.4 + 0.1 * slope, torch.full((side, side), 0.35)], -1)
    picture = cover[..., None] * own + (1 - cover[..., None]) * GREEN
    return tuple(one.expand(batch, *one.shape).clone() for one in (picture, cover, own))


def test_colours_at_the_edge_are_the_foregrounds() -> None:
    picture, cover, own = scene()
    result = cut_out(picture, cover)
    edge = (cover > 0.1) & (cover < 0.95)
    off = (result[..., :3] - own).abs().amax(-1)[edge]
    left_as_it_was = (picture - own).abs().amax(-1)[edge]
    assert edge.sum() > 500
    assert off.max() < 0.15
    assert off.mean() < 0.1 * left_as_it_was.mean()


def test_no_rim_shows_on_a_new_background() -> None:
    picture, cover, own = scene()
    result, ground = cut_out(picture, cover), torch.tensor([0.9, 0.1, 0.6])
    shown = result[..., :3] * result[..., 3:] + ground * (1 - result[..., 3:])
    assert (shown - (own * cover[..., None] + ground * (1 - cover[..., None]))).abs().max() < 0.06


def test_where_all_is_foreground_colours_stay_to_the_bit() -> None:
    picture, cover, _ = scene()
    result = cut_out(picture, cover)
    assert torch.equal(result[..., :3][cover == 1], picture[cover == 1])
    assert torch.equal(result[..., 3], cover)
    whole = torch.rand(1, 5, 3, 3)
    assert torch.equal(
        cut_out(whole, torch.ones(1, 5, 3)), torch.cat([whole, torch.ones(1, 5, 3, 1)], -1)
    )


def test_each_picture_has_its_own_cover_and_alpha_given_is_left_aside() -> None:
    picture, cover, _ = scene(batch=2)
    cover[1] = F.pad(cover[1, :, 20:], (0, 20))
    with_alpha = torch.cat([picture, torch.rand(2, 96, 96, 1)], -1)
    batch = cut_out(with_alpha, cover)
    assert torch.equal(
        batch,
        torch.cat(
            [
                cut_out(picture[number : number + 1], cover[number : number + 1])
                for number in range(2)
            ]
        ),
    )
    assert not torch.equal(batch[0], batch[1])


def test_half_precision_and_grey_pictures() -> None:
    picture, cover, _ = scene()
    assert cut_out(picture.half(), cover.half()).dtype == torch.float16
    assert cut_out(picture[..., :1], cover).shape == (1, 96, 96, 4)


def test_a_picture_without_foreground_is_named() -> None:
    picture, cover, _ = scene(batch=3)
    cover[1] *= 0.4
    with pytest.raises(
        ImageError, match=r"found no foreground in picture 2 of 3; its surest pixel is 0\.40 of 1"
    ):
        cut_out(picture, cover)


def test_covers_of_another_size_are_refused() -> None:
    with pytest.raises(
        ImageError, match=r"covers of \(1, 4, 5\) for pictures of \(1, 5, 4\); expected the same"
    ):
        cut_out(torch.rand(1, 5, 4, 3), torch.ones(1, 4, 5))


def test_the_node_shows_the_model_one_picture_at_a_time() -> None:
    """Several of 4096 pixels and more would not fit the GPU together."""
    picture, cover, _ = scene(batch=3)
    cover[1] = cover[1].flip(0).roll(5, 0)
    shown = []

    class Model:
        def encode_image(self, image: torch.Tensor) -> torch.Tensor:
            shown.append(tuple(image.shape))
            return cover[len(shown) - 1][None]

    node = load("comfyui_astria.nodes.finish.nodes").AstriaRemoveBackground
    image, mask = node.execute(torch.cat([picture, torch.rand(3, 96, 96, 1)], -1), Model()).result
    assert shown == [(1, 96, 96, 3)] * 3
    assert torch.equal(mask, cover) and torch.equal(image, cut_out(picture, cover))
