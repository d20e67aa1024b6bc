"""Film grain: where it is, how large it is, and what it leaves alone."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from comfyui_astria.nodes.errors import ImageError
from comfyui_astria.nodes.finish.grain import Grain, film_grain

DEFAULT = Grain(0.5, 1.0, 0.3)


def picture(height: int = 96, width: int = 128, batch: int = 1, channels: int = 3) -> torch.Tensor:
    """Return a smooth picture over the whole range, with black and white."""
    down = torch.linspace(0, 3, height)[:, None, None]
    across = torch.linspace(0, 4, width)[None, :, None]
    waves = torch.sin(down * torch.arange(1, channels + 1) + across) * 0.55 + 0.5
    return waves.clamp(0, 1).expand(batch, -1, -1, -1).clone()


def grain_of(image: torch.Tensor, grain: Grain = DEFAULT, seed: int = 7) -> torch.Tensor:
    return film_grain(image, grain, seed) - image


def flat(value: float, side: int = 256) -> torch.Tensor:
    return torch.full((1, side, side, 3), value)


def test_strength_zero_is_the_picture_to_the_bit() -> None:
    image = torch.rand(2, 9, 7, 4)
    assert torch.equal(film_grain(image, Grain(0.0, 1.0, 0.3), 1), image)


@pytest.mark.parametrize(
    ("grain", "size"),
    [(DEFAULT, (96, 128)), (Grain(1.0, 4.0, 1.0), (96, 128)), (Grain(1.0, 1.0, 0.0), (5, 9))],
)
def test_the_mean_of_every_channel_stays(grain: Grain, size: tuple[int, int]) -> None:
    image = picture(*size, batch=2)
    result = film_grain(image, grain, 3)
    assert not torch.equal(result, image)
    assert torch.allclose(result.mean((1, 2)), image.mean((1, 2)), atol=1e-5)


def test_midtones_have_most_and_black_and_white_none() -> None:
    deviation = {
        value: grain_of(flat(value)).std().item() for value in (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
    }
    assert deviation[0.0] == deviation[1.0] == 0
    assert deviation[0.1] < deviation[0.3] < deviation[0.5] > deviation[0.7] > deviation[0.9] > 0


def test_no_channel_is_led_out_of_its_range() -> None:
    """A saturated colour, and the ends of the range: cutting off there would move the mean."""
    image = torch.tensor([1.0, 0.02, 0.97]).expand(1, 64, 64, 3)
    result = film_grain(image, Grain(1.0, 1.0, 1.0), 5)
    assert bool(((result >= 0) & (result <= 1)).all())
    assert torch.allclose(result.mean((1, 2)), image.mean((1, 2)), atol=1e-6)
    assert torch.equal(result[..., 0], image[..., 0])


def test_at_1024_pixels_the_default_is_about_8_levels_of_255() -> None:
    found = grain_of(flat(0.5, 1024))
    assert found.std().item() * 255 == pytest.approx(7.5, abs=0.7)
    assert grain_of(flat(0.5, 1024), Grain(1.0, 1.0, 0.3)).std().item() == pytest.approx(
        2 * found.std().item(), rel=0.02
    )


def test_image_i_is_the_image_alone_with_seed_plus_i() -> None:
    images = torch.cat([picture(), picture().flip(2), picture().flip(1)])
    batch = film_grain(images, DEFAULT, 40)
    assert torch.equal(
        batch,
        torch.cat(
            [film_grain(one[None], DEFAULT, 40 + number) for number, one in enumerate(images)]
        ),
    )
    assert not torch.equal(grain_of(flat(0.5), seed=40), grain_of(flat(0.5), seed=41))
    last = film_grain(picture(batch=2), DEFAULT, 2**64 - 1)
    assert torch.equal(last[1:], film_grain(picture(), DEFAULT, 0))


@pytest.mark.parametrize(
    ("small", "large"),
    [((512, 768), (1024, 1536)), ((683, 1024), (1366, 2048)), ((768, 511), (1536, 1022))],
)
def test_the_same_picture_twice_as_large_has_the_same_grain(
    small: tuple[int, int], large: tuple[int, int]
) -> None:
    one, other = (
        grain_of(torch.full((1, *size, 3), 0.5)).movedim(-1, 1) for size in (small, large)
    )
    other = F.avg_pool2d(other, 2)
    height, width = min(one.shape[2], other.shape[2]), min(one.shape[3], other.shape[3])
    pair = torch.stack([grain[..., :height, :width].flatten() for grain in (one, other)])
    assert torch.corrcoef(pair)[0, 1] > 0.95
    assert other.std().item() == pytest.approx(one.std().item(), rel=0.25)


def test_size_makes_grains_larger() -> None:
    def likeness(size: float) -> float:
        grain = grain_of(flat(0.5, 512), Grain(0.5, size, 0.3))[0, ..., 0]
        return torch.corrcoef(torch.stack([grain[:, :-2].flatten(), grain[:, 2:].flatten()]))[
            0, 1
        ].item()

    assert likeness(1.0) < 0.1 < likeness(4.0) < likeness(8.0)


def test_color_says_how_much_the_layers_differ() -> None:
    def likeness(color: float) -> float:
        grain = grain_of(flat(0.5), Grain(0.5, 1.0, color))[0]
        return torch.corrcoef(grain.flatten(0, 1)[:, :2].T)[0, 1].item()

    assert likeness(0.0) == pytest.approx(1, abs=1e-4)
    assert abs(likeness(1.0)) < 0.05
    assert 0.05 < likeness(0.5) < 0.95
    strongest, weakest = (
        grain_of(flat(0.5), Grain(0.5, 1.0, color)).std().item() for color in (1.0, 0.0)
    )
    assert strongest == pytest.approx(weakest, rel=0.1)


def test_alpha_stays_and_half_precision_stays_half() -> None:
    image = picture(channels=4).half()
    result = film_grain(image, DEFAULT, 2)
    assert result.dtype == torch.float16
    assert torch.equal(result[..., 3], image[..., 3])
    assert torch.allclose(
        result[..., :3].float(), film_grain(image[..., :3].float(), DEFAULT, 2), atol=1e-3
    )
    assert film_grain(picture(channels=1), DEFAULT, 2).shape == (1, 96, 128, 1)


def test_the_picture_given_is_not_changed() -> None:
    image = picture()
    before = image.clone()
    film_grain(image, DEFAULT, 1)
    assert torch.equal(image, before)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((1.5, 1.0, 0.3), "strength is 1.5; expected 0 to 1"),
        ((0.5, 0.0, 0.3), "size is 0; expected 0.25 to 8"),
        ((0.5, 1.0, -1.0), "color is -1; expected 0 to 1"),
    ],
)
def test_values_beyond_their_range_are_refused(
    values: tuple[float, float, float], message: str
) -> None:
    with pytest.raises(ImageError, match=f"Film grain: {message}"):
        Grain(*values)


def test_a_pixel_that_is_no_number_stays_the_only_one() -> None:
    image = torch.full((1, 40, 50, 3), 0.5)
    image[0, 3, 4, 1] = float("nan")
    result = film_grain(image, Grain(0.5, 1.0, 0.3), 1)
    assert result.isnan().any(-1).sum() == 1 and result[0, 3, 4].isnan().any()
    assert result[0, 10:].std() > 0.001
