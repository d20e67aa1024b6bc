"""Colour spaces of the looks: display values, linear light, and Oklab for hue and chroma."""

from __future__ import annotations

import torch
from torch import Tensor

# Shares of red, green and blue in luminance (of linear values) and luma (of display values): sRGB
# has the primaries of Rec. 709.
LUMINANCE = (0.2126, 0.7152, 0.0722)

# Ottosson 2020, "A perceptual color space for image processing": linear sRGB -> cone responses ->
# (after the cube root) lightness and two opponents.
_TO_CONES = (
    (0.4122214708, 0.5363325363, 0.0514459929),
    (0.2119034982, 0.6806995451, 0.1073969566),
    (0.0883024619, 0.2817188376, 0.6299787005),
)
_TO_LAB = (
    (0.2104542553, 0.7936177850, -0.0040720468),
    (1.9779984951, -2.4285922050, 0.4505937099),
    (0.0259040371, 0.7827717662, -0.8086757660),
)


def linear(display: Tensor) -> Tensor:
    """Return the linear light of sRGB display values 0..1 (IEC 61966-2-1)."""
    return torch.where(
        display <= 0.04045, display / 12.92, ((display.clamp(min=0) + 0.055) / 1.055) ** 2.4
    )


def display(light: Tensor) -> Tensor:
    """Return the sRGB display values of linear light 0..1, the inverse of `linear`."""
    return torch.where(
        light <= 0.0031308, light * 12.92, 1.055 * light.clamp(min=0.0031308) ** (1 / 2.4) - 0.055
    )


def oklab(light: Tensor) -> Tensor:
    """Return Oklab lightness and opponents a, b [...,3] of linear light [...,3].

    Greys have a = b = 0.
    """
    cones = light @ _rows_to_one(_TO_CONES).to(light)
    return cones.sign() * cones.abs() ** (1 / 3) @ _lab_matrix().to(light)


def from_oklab(lab: Tensor) -> Tensor:
    """Return the linear light of Oklab values.

    Colours outside of sRGB come out below 0 or above 1.
    """
    roots = lab @ torch.linalg.inv(_lab_matrix()).to(lab)
    return roots**3 @ torch.linalg.inv(_rows_to_one(_TO_CONES)).to(lab)


def fitted(light: Tensor) -> Tensor:
    """Return linear light within 0..1, hues kept.

    What is too bright is darkened, and what is too pure is drawn towards the grey of its luminance.
    """
    light = light / light.amax(-1, keepdim=True).clamp(min=1)
    grey = (light * light.new_tensor(LUMINANCE)).sum(-1, keepdim=True).clamp(min=0)
    away = light.amin(-1, keepdim=True) - grey
    return (grey + (light - grey) * (grey / -away.clamp(max=-1e-9)).clamp(max=1)).clamp(0, 1)


def _rows_to_one(matrix: tuple[tuple[float, ...], ...]) -> Tensor:
    """Return the matrix for row vectors.

    Each cone of white is exactly 1, which the published digits miss by 1e-8.
    """
    rows = torch.tensor(matrix, dtype=torch.float64)
    return (rows / rows.sum(1, keepdim=True)).T


def _lab_matrix() -> Tensor:
    """Return the second matrix for row vectors, with opponents that are exactly 0 for greys."""
    rows = torch.tensor(_TO_LAB, dtype=torch.float64)
    lightness, opponents = rows[:1] / rows[:1].sum(), rows[1:] - rows[1:].mean(1, keepdim=True)
    return torch.cat([lightness, opponents]).T
