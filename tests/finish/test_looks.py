"""The films' colours: greys, order of tones, saturation, and the colour space they are worked out
in.
"""

from __future__ import annotations

import colorsys

import numpy
import pytest
import torch
from comfyui_astria.nodes.errors import ImageError
from comfyui_astria.nodes.finish.color import LUMINANCE, display, fitted, from_oklab, linear, oklab
from comfyui_astria.nodes.finish.grading import PIXELS_AT_ONCE, regraded
from comfyui_astria.nodes.finish.looks import LOOKS, Hue, Look, graded
from skimage import color, data

VELVIA, PORTRA, EKTAR = (LOOKS[name] for name in ("Film Velvia", "Film Portra", "Ektar"))
EVEN = (((0.0, 0.0), (0.5, 0.5), (1.0, 1.0)),) * 3
SKIN = torch.tensor([[0.87, 0.67, 0.57], [0.62, 0.42, 0.33], [0.36, 0.23, 0.17]])
LEAF = torch.tensor([[0.3, 0.5, 0.2]])
SKY = torch.tensor([[0.35, 0.5, 0.75]])
RED = torch.tensor([[0.7, 0.25, 0.2]])


def rainbow(saturation: float, value: float) -> torch.Tensor:
    return torch.tensor([colorsys.hsv_to_rgb(hue / 72, saturation, value) for hue in range(72)])


def photo() -> torch.Tensor:
    return torch.from_numpy(data.astronaut()[::4, ::4].copy()).float() / 255


def chroma(colours: torch.Tensor) -> torch.Tensor:
    """Return CIE Lab chroma, by another library's colour science than the looks use."""
    lab = torch.from_numpy(color.rgb2lab(colours.numpy()))
    return lab[..., 1:].norm(dim=-1)


def hue(colours: torch.Tensor) -> torch.Tensor:
    lab = torch.from_numpy(color.rgb2lab(colours.numpy()))
    return torch.rad2deg(torch.atan2(lab[..., 2], lab[..., 1]))


def lightness(colours: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(color.rgb2lab(colours.numpy()))[..., 0]


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_tones_keep_their_order(look: Look) -> None:
    ramp = graded(torch.linspace(0, 1, 1001)[:, None].expand(-1, 3), look)
    assert bool((ramp.diff(dim=0) > 0).all())


@pytest.mark.parametrize("look", [VELVIA, EKTAR])
def test_greys_stay_grey_where_the_films_do(look: Look) -> None:
    ramp = graded(torch.linspace(0, 1, 101)[:, None].expand(-1, 3), look)
    assert (ramp.amax(1) - ramp.amin(1)).max() < 1e-3
    assert torch.equal(ramp[[0, -1]].round(decimals=5), torch.tensor([[0.0] * 3, [1.0] * 3]))


def test_portra_is_warm_from_the_midtones_up_and_open_in_the_shadows() -> None:
    black, middle, white = graded(torch.tensor([[0.0] * 3, [0.5] * 3, [1.0] * 3]), PORTRA)
    assert 0.015 < black.min() < black.max() < 0.03
    for tone in (middle, white):
        assert tone[0] > tone[1] > tone[2] > tone[0] - 0.05


def test_films_are_ordered_by_contrast() -> None:
    ramp = torch.tensor([[0.2] * 3, [0.8] * 3])
    span = [
        (ends[1] - ends[0])[1].item()
        for ends in (graded(ramp, look) for look in (PORTRA, EKTAR, VELVIA))
    ]
    assert 0 < span[0] < 0.6 < span[1] < span[2]


@pytest.mark.parametrize("colours", [LEAF, SKY, rainbow(0.4, 0.6)], ids=["leaf", "sky", "rainbow"])
def test_films_are_ordered_by_saturation(colours: torch.Tensor) -> None:
    plain, portra, ektar, velvia = (
        chroma(one).mean().item()
        for one in (colours, *(graded(colours, look) for look in (PORTRA, EKTAR, VELVIA)))
    )
    assert portra < plain < ektar < velvia


def test_a_photograph_gains_and_loses_saturation() -> None:
    # What has a colour: Portra's warm lights are no saturation.
    colours = photo()[chroma(photo()) > 25]
    plain, portra, ektar, velvia = (
        chroma(one).mean().item()
        for one in (colours, *(graded(colours, look) for look in (PORTRA, EKTAR, VELVIA)))
    )
    assert portra < plain < min(ektar, velvia)


def test_velvia_deepens_blue_and_green() -> None:
    for colour in (LEAF, SKY):
        assert lightness(graded(colour, VELVIA)) < lightness(colour)
        assert chroma(graded(colour, VELVIA)) > 1.2 * chroma(colour)


def test_portra_keeps_skin_and_mutes_the_rest() -> None:
    skin = chroma(graded(SKIN, PORTRA)) / chroma(SKIN)
    assert bool(((skin > 0.92) & (skin < 1.25)).all())
    assert bool(((hue(graded(SKIN, PORTRA)) - hue(SKIN)).abs() < 8).all())
    for colour in (LEAF, SKY):
        assert chroma(graded(colour, PORTRA)) / chroma(colour) < skin.min()


def test_ektar_is_strongest_in_warm_red() -> None:
    gain = {
        name: (chroma(graded(colour, EKTAR)) / chroma(colour)).item()
        for name, colour in (("red", RED), ("leaf", LEAF), ("sky", SKY))
    }
    assert gain["red"] > max(gain["leaf"], gain["sky"])
    assert hue(graded(RED, EKTAR)) > hue(RED)  # towards orange


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_near_colours_stay_near(look: Look) -> None:
    """No edge at the ends of the table of hues, at grey, or where colours leave the screen's
    range.
    """
    for saturation in (0.005, 0.3, 0.7):
        for value in (0.2, 0.6, 0.98):
            wheel = torch.tensor(
                [colorsys.hsv_to_rgb(step / 3600, saturation, value) for step in range(3601)]
            )
            # Of light: display values are steep near black.
            steps = [
                linear(colours).diff(dim=0).abs().max() for colours in (graded(wheel, look), wheel)
            ]
            assert steps[0] < 4 * steps[1]


def test_a_look_without_effect_has_none() -> None:
    colours = torch.cat([photo().reshape(-1, 3), rainbow(1.0, 1.0), torch.eye(3)])
    assert torch.allclose(
        graded(colours, Look(EVEN, (Hue(0, 1), Hue(120, 1), Hue(240, 1)))), colours, atol=2e-4
    )


def test_a_hue_acts_on_its_own_and_reaches_to_the_next() -> None:
    angle = torch.deg2rad(torch.tensor([0.0, 60.0, 119.0, 180.0, 240.0, 359.0]))
    colours = display(
        from_oklab(torch.stack([torch.full((6,), 0.6), 0.06 * angle.cos(), 0.06 * angle.sin()], 1))
    )
    found = oklab(
        linear(graded(colours, Look(EVEN, (Hue(0, 0.5), Hue(120, 1), Hue(240, 1)))))
    ).double()
    gain = found[:, 1:].norm(dim=1) / 0.06
    assert gain.tolist() == pytest.approx([0.5, 0.75, 1, 1, 1, 0.5], abs=0.01)


def test_curves_equal_scipys_monotone_cubic_inside() -> None:
    """Where three points in a row are evenly spaced, Fritsch and Butland's slopes are PCHIP's."""
    from scipy.interpolate import PchipInterpolator

    points = ((0.0, 0.0), (0.25, 0.1), (0.5, 0.45), (0.75, 0.85), (1.0, 1.0))
    ramp = torch.linspace(0.25, 0.75, 101)
    found = graded(ramp[:, None].expand(-1, 3), Look((points,) * 3, (Hue(0, 1), Hue(180, 1))))[:, 0]
    assert (
        numpy.abs(found.numpy() - PchipInterpolator(*zip(*points, strict=True))(ramp.numpy())).max()
        < 1e-4
    )


def test_the_colour_space_is_the_published_one() -> None:
    """Values of the published conversion for white, red, green and blue, and the way back."""
    light = torch.tensor([[1.0, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    expected = torch.tensor(
        [
            [1.0, 0, 0],
            [0.62796, 0.22486, 0.12585],
            [0.86644, -0.23389, 0.17950],
            [0.45201, -0.03246, -0.31153],
        ]
    )
    assert torch.allclose(oklab(light), expected, atol=2e-4)
    colours = torch.rand(500, 3, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(from_oklab(oklab(colours)), colours, atol=1e-4)
    assert torch.allclose(display(linear(colours)), colours, atol=1e-5)
    luminance = (linear(colours) * torch.tensor(LUMINANCE)).sum(1).numpy()
    assert numpy.abs(luminance - color.rgb2xyz(colours.numpy())[:, 1]).max() < 1e-3


def test_colours_out_of_range_keep_their_hue() -> None:
    inside = torch.rand(50, 3, generator=torch.Generator().manual_seed(2))
    assert torch.allclose(fitted(inside), inside, atol=1e-6)
    wild = torch.tensor(
        [[1.4, 0.3, -0.1], [-0.2, 0.5, 0.9], [2.0, 2.0, 2.0], [0.1, -0.5, 0.0], [1.5, 0.75, 0.3]]
    )
    tame = fitted(wild)
    assert bool(((tame >= 0) & (tame <= 1)).all())
    assert torch.allclose(tame[4], wild[4] / 1.5)
    away = [
        one - (one * one.new_tensor([0.2126, 0.7152, 0.0722])).sum(1, keepdim=True)
        for one in (wild[:2], tame[:2])
    ]
    assert torch.allclose(*(one / one.norm(dim=1, keepdim=True) for one in away), atol=1e-5)


@pytest.mark.parametrize("shape", [(2, 5, 7, 3), (1, 5, 7, 4), (1, 5, 7, 1)])
def test_strength_blends_and_zero_is_the_picture_to_the_bit(shape: tuple[int, ...]) -> None:
    image = torch.rand(shape, generator=torch.Generator().manual_seed(3))

    def invert(colours: torch.Tensor) -> torch.Tensor:
        assert colours.ndim == 2
        return 1 - colours

    assert regraded(image, invert, 0.0) is image
    result = regraded(image, invert, 0.25)
    colours = image[..., :3].expand(*shape[:3], 3)
    assert torch.allclose(result[..., :3], 0.75 * colours + 0.25 * (1 - colours), atol=1e-6)
    assert torch.equal(result[..., 3:], image[..., 3:])
    assert regraded(image.half(), invert, 1.0).dtype == torch.float16


def test_large_pictures_are_graded_in_parts() -> None:
    width, sizes = 4096, []
    height = PIXELS_AT_ONCE // width + 3
    regraded(
        torch.zeros(1, height, width, 3), lambda colours: sizes.append(len(colours)) or colours, 1.0
    )
    assert sizes == [PIXELS_AT_ONCE, 3 * width]


@pytest.mark.parametrize("strength", [-0.1, 1.5])
def test_a_strength_beyond_its_range_is_refused(strength: float) -> None:
    with pytest.raises(
        ImageError, match=f"Colour grading: strength is {strength}; expected 0 to 1"
    ):
        regraded(torch.zeros(1, 2, 2, 3), lambda colours: colours, strength)
