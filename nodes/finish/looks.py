"""The colours of three films, as tone curves and a table of hues.

Made by eye for what each film is known for; no manufacturer's data is in them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

from .color import display, fitted, from_oklab, linear, oklab

# Oklab hues that the looks name, in degrees: skin lies between red and orange, leaves
# between yellow and green, the sky at blue.
RED, SKIN, YELLOW, GREEN, CYAN, BLUE, MAGENTA = 25.0, 55.0, 105.0, 140.0, 195.0, 260.0, 330.0
# From here on a colour is deepened as much as its hue says; a paler one less, a grey not at all.
FULL_CHROMA = 0.15


@dataclass(frozen=True)
class Hue:
    """What happens to colours at `degrees`.

    Chroma times `chroma`, hue turned by `turn` degrees, lightness times `lightness`.

    A factor above 1 counts less the purer a colour already is: dyes have an end, and beyond it only
    differences between colours would be lost.
    """

    degrees: float
    chroma: float
    turn: float = 0.0
    lightness: float = 1.0


@dataclass(frozen=True)
class Look:
    """Three tone curves, red, green and blue, of display values, then a table of hues, between
    which it goes over smoothly.

    A curve holds (value in, value out), rising in both; equal curves keep greys grey.
    """

    curves: tuple[tuple[tuple[float, float], ...], ...]
    hues: tuple[Hue, ...]


def _three(*points: tuple[float, float]) -> tuple[tuple[tuple[float, float], ...], ...]:
    return (points,) * 3


LOOKS: Mapping[str, Look] = MappingProxyType(
    {
        # Slide film: a steep curve with deep shadows, every colour stronger, blues and greens
        # darker and deeper.
        "Film Velvia": Look(
            _three(
                (0, 0),
                (0.1, 0.065),
                (0.25, 0.215),
                (0.5, 0.515),
                (0.75, 0.805),
                (0.9, 0.94),
                (1, 1),
            ),
            (
                Hue(RED, 1.25, 1, 0.98),
                Hue(SKIN, 1.06, 0),
                Hue(YELLOW, 1.2, 2),
                Hue(GREEN, 1.45, 4, 0.95),
                Hue(CYAN, 1.4, 4, 0.95),
                Hue(BLUE, 1.45, -1, 0.93),
                Hue(MAGENTA, 1.3, 0, 0.97),
            ),
        ),
        # Portrait negative: a flat curve with open shadows and gentle lights, warm from the
        # midtones up, colours muted but for skin.
        "Film Portra": Look(
            (
                (
                    (0, 0.02),
                    (0.1, 0.12),
                    (0.25, 0.272),
                    (0.5, 0.522),
                    (0.75, 0.765),
                    (0.9, 0.895),
                    (1, 0.985),
                ),
                (
                    (0, 0.02),
                    (0.1, 0.12),
                    (0.25, 0.27),
                    (0.5, 0.512),
                    (0.75, 0.75),
                    (0.9, 0.88),
                    (1, 0.972),
                ),
                (
                    (0, 0.024),
                    (0.1, 0.122),
                    (0.25, 0.266),
                    (0.5, 0.496),
                    (0.75, 0.726),
                    (0.9, 0.853),
                    (1, 0.945),
                ),
            ),
            (
                Hue(RED, 0.95, 3),
                Hue(SKIN, 1.04, 0, 1.01),
                Hue(YELLOW, 0.88, -3),
                Hue(GREEN, 0.8, -6),
                Hue(CYAN, 0.82, -2),
                Hue(BLUE, 0.86, -5, 1.02),
                Hue(MAGENTA, 0.86, 4),
            ),
        ),
        # Fine-grained colour negative: a crisp middle, strong warm reds and oranges, clear blues
        # that lean to cyan.
        "Ektar": Look(
            _three(
                (0, 0), (0.1, 0.08), (0.25, 0.23), (0.5, 0.512), (0.75, 0.785), (0.9, 0.925), (1, 1)
            ),
            (
                Hue(RED, 1.4, 4, 0.98),
                Hue(SKIN, 1.16, -3),
                Hue(YELLOW, 1.1, -2),
                Hue(GREEN, 1.1, 2, 0.98),
                Hue(CYAN, 1.16, 0),
                Hue(BLUE, 1.22, -6, 0.96),
                Hue(MAGENTA, 1.18, 6),
            ),
        ),
    }
)


def graded(colours: Tensor, look: Look) -> Tensor:
    """Return display values [...,3] as the film shows them.

    Tone curves of each layer, then hues in Oklab, worked out in linear light.
    """
    toned = torch.stack(
        [_curve(colours[..., layer], points) for layer, points in enumerate(look.curves)], -1
    )
    lightness, a, b = oklab(linear(toned)).unbind(-1)
    chroma, angle = torch.hypot(a, b), torch.atan2(b, a)
    table = torch.tensor(
        [(hue.chroma, math.radians(hue.turn), hue.lightness) for hue in look.hues]
    ).to(colours)
    factor, turn, brightness = _at_hue(angle, [hue.degrees for hue in look.hues], table).unbind(-1)
    purity = 1 - toned.amin(-1) / toned.amax(-1).clamp(min=1e-6)
    factor = torch.where(factor > 1, torch.lerp(factor, torch.ones_like(factor), purity**3), factor)
    chroma, angle = chroma * factor, angle + turn
    lightness = lightness * torch.lerp(
        torch.ones_like(brightness), brightness, (chroma / FULL_CHROMA).clamp(max=1)
    )
    return display(
        fitted(from_oklab(torch.stack([lightness, chroma * angle.cos(), chroma * angle.sin()], -1)))
    ).clamp(0, 1)


def _curve(values: Tensor, points: tuple[tuple[float, float], ...]) -> Tensor:
    """Return the monotone cubic through the points at each value.

    Source: Fritsch and Butland 1984, slopes as weighted harmonic means.
    """
    x, y = torch.tensor(points, dtype=torch.float64).unbind(1)
    steps, rises = x.diff(), y.diff() / x.diff()
    before, after = 2 * steps[1:] + steps[:-1], steps[1:] + 2 * steps[:-1]
    inner = (before + after) / (before / rises[:-1] + after / rises[1:])
    slopes = torch.cat([rises[:1], inner, rises[-1:]])
    x, y, steps, slopes = (one.to(values) for one in (x, y, steps, slopes))
    number = (torch.bucketize(values.contiguous(), x, right=True) - 1).clamp(0, len(steps) - 1)
    step = steps[number]
    t = ((values - x[number]) / step).clamp(0, 1)
    rest = 1 - t
    left = (1 + 2 * t) * rest**2 * y[number] + t * rest**2 * step * slopes[number]
    return left + t**2 * (3 - 2 * t) * y[number + 1] - t**2 * rest * step * slopes[number + 1]


def _at_hue(angle: Tensor, degrees: list[float], table: Tensor) -> Tensor:
    """Return the table's row for each angle [...,columns].

    Between two hues a smooth step from one row to the next, around the circle.
    """
    first = degrees[0]
    edges = torch.tensor([*(value - first for value in degrees), 360.0]).to(angle)
    place = (torch.rad2deg(angle) - first) % 360
    number = (torch.bucketize(place.contiguous(), edges, right=True) - 1).clamp(0, len(degrees) - 1)
    t = ((place - edges[number]) / (edges[number + 1] - edges[number])).clamp(0, 1)
    return torch.lerp(
        table[number], table[(number + 1) % len(degrees)], (t * t * (3 - 2 * t))[..., None]
    )
