"""Film grain: noise with the size, colour and place that grain has in a photographic print."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..base.noise import SEED_SPACE
from ..errors import ImageError
from .color import LUMINANCE
from .grading import PIXELS_AT_ONCE

# The long side of the frame in grains of the finest size, at size 1: one grain a pixel where the
# picture is 1024 pixels long.
FRAME_GRAINS = 1024
# Deviation in middle grey, in display values 0..1, at strength 1. Half of it, 8 levels of 255,
# looks like a scan of ISO 400 negative film.
DEVIATION = 0.06
# Beyond this many deviations grain is cut off. DEVIATION * LIMIT is below 1/4, so that grain does
# not lead out of 0..1; see `_room`.
LIMIT = 4.0
# Grains are of mixed sizes: shares of the finest, of twice and of four times its size.
OCTAVES = ((1, 0.85), (2, 0.45), (4, 0.28))


@dataclass(frozen=True)
class Grain:
    """`strength` 0..1; `size` of the grains relative to the picture, 1 for 35 mm film.

    `color` 0..1, how much the three dye layers differ.
    """

    strength: float
    size: float
    color: float

    def __post_init__(self) -> None:
        for name, value, least, most in (
            ("strength", self.strength, 0, 1),
            ("size", self.size, 0.25, 8),
            ("color", self.color, 0, 1),
        ):
            if not least <= value <= most:
                raise ImageError(
                    f"Film grain: {name} is {value:g}; expected {least} to {most}.",
                    code=f"grain-{name}",
                )


def film_grain(image: Tensor, grain: Grain, seed: int) -> Tensor:
    """Return the picture with grain.

    Strongest in the midtones, none in pure black and white, the mean of each channel unchanged.

    Image i gets the grain of seed + i. The grain belongs to the frame and not to its pixels: the
    same picture at twice the size has the same grain twice as large. It is added to display values,
    in which equal steps look about equal.
    Shapes: [B,H,W,C] float 0..1 -> same; channels beyond the third, alpha, stay.
    """
    if grain.strength == 0:
        return image
    result = image.clone()
    rows = max(1, PIXELS_AT_ONCE // image.shape[2])
    for number, picture in enumerate(result):
        noise = _noise(picture.shape[0], picture.shape[1], grain, (seed + number) % SEED_SPACE).to(
            picture.device
        )
        parts = list(
            zip(
                picture[..., :3].split(rows),
                noise[..., : picture.shape[2]].split(rows),
                strict=True,
            )
        )
        # Without this the mean would move by chance, and in small pictures visibly. A pixel that is
        # no number stays the only one.
        moved = sum((own * _room(colours.float())).nansum((0, 1)) for colours, own in parts)
        mean = moved / sum(_room(colours.float()).nansum((0, 1)) for colours, _ in parts).clamp(
            min=1e-12
        )
        for colours, own in parts:
            grained = colours.float() + DEVIATION * grain.strength * _room(colours.float()) * (
                own - mean
            )
            colours.copy_(grained.clamp(0, 1))
    return result


def _room(colours: Tensor) -> Tensor:
    """Return how much grain each channel of each pixel takes, [H,W,C].

    4v(1-v), of the pixel's luma, or of the channel where that is less.
    """
    weights = (
        colours.new_tensor(LUMINANCE)
        if colours.shape[2] == len(LUMINANCE)
        else colours.new_full((colours.shape[2],), 1 / colours.shape[2])
    )
    luma = (colours * weights).sum(2, keepdim=True)
    return torch.minimum(4 * luma * (1 - luma), 4 * colours * (1 - colours)).clamp(min=0)


def _noise(height: int, width: int, grain: Grain, seed: int) -> Tensor:
    """Return the grain of a frame as its pixels see it, [H,W,3].

    Where a grain is a pixel its deviation is 1.
    """
    generator = torch.Generator().manual_seed(seed)
    # Drawn for a square frame, so that the same corner of it is cut out whatever a side is rounded
    # to.
    cells = max(1, round(FRAME_GRAINS / grain.size))
    side = cells + 2
    total = torch.zeros(1, 3, side, side)
    for octave, share in OCTAVES:
        drawn = math.ceil(side / octave)
        common = torch.randn(1, 1, drawn, drawn, generator=generator)
        layers = torch.randn(1, 3, drawn, drawn, generator=generator)
        mixed = torch.lerp(common, layers, grain.color) / math.hypot(1 - grain.color, grain.color)
        total += (
            share * F.interpolate(mixed, scale_factor=octave, mode="bicubic")[..., :side, :side]
        )
    total = (total / math.hypot(*(share for _, share in OCTAVES))).clamp(-LIMIT, LIMIT)
    pixel = max(height, width) / cells
    rows, columns = (math.ceil(length / pixel) + 1 for length in (height, width))
    # By the factor and not to a size: rounded, the last grains of a large frame would lie beside
    # their places.
    seen = F.interpolate(
        total[..., :rows, :columns], scale_factor=pixel, mode="bicubic", antialias=True
    )
    return seen[0, :, :height, :width].clamp(-LIMIT, LIMIT).movedim(0, -1)
