"""Loss and likeness by step, as a picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

WIDTH_PX, HEIGHT_PX = 640, 360
MARGIN_PX = 44
BACKGROUND, GRID, INK = (24, 26, 32), (58, 62, 74), (200, 204, 214)
LOSS, LIKENESS = (96, 165, 250), (251, 191, 36)

Points = Sequence[tuple[int, float]]


def curve_picture(losses: Points, likeness: Points, steps: int) -> Tensor:
    """Return the curves as an IMAGE [1,360,640,3]; likeness only where it was measured."""
    image = Image.new("RGB", (WIDTH_PX, HEIGHT_PX), BACKGROUND)
    draw = ImageDraw.Draw(image)
    box = (MARGIN_PX, MARGIN_PX, WIDTH_PX - MARGIN_PX, HEIGHT_PX - MARGIN_PX)
    draw.rectangle(box, outline=GRID)
    font = ImageFont.load_default(14)
    draw.text((MARGIN_PX, 14), "loss", LOSS, font)
    draw.text((MARGIN_PX, HEIGHT_PX - 32), "0", INK, font)
    draw.text((WIDTH_PX - MARGIN_PX, HEIGHT_PX - 32), f"{steps}", INK, font, anchor="ra")
    _curve(draw, losses, steps, LOSS, font)
    if likeness:
        draw.text((WIDTH_PX - MARGIN_PX, 14), "likeness", LIKENESS, font, anchor="ra")
        _curve(draw, likeness, steps, LIKENESS, font, at_right=True)
    return torch.from_numpy(np.asarray(image).astype(np.float32) / 255).unsqueeze(0)


def _curve(
    draw: ImageDraw.ImageDraw,
    points: Points,
    steps: int,
    colour: tuple[int, int, int],
    font: ImageFont.ImageFont | ImageFont.FreeTypeFont,
    *,
    at_right: bool = False,
) -> None:
    """Draw one curve over the whole height, with its lowest and highest value beside it."""
    if not points:
        return
    values = [value for _, value in points]
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    across, down = WIDTH_PX - 2 * MARGIN_PX, HEIGHT_PX - 2 * MARGIN_PX
    path = [
        (
            MARGIN_PX + across * step / max(steps, 1),
            HEIGHT_PX - MARGIN_PX - down * (value - low) / span,
        )
        for step, value in points
    ]
    draw.line(path, fill=colour, width=2)
    for x, y in path if len(path) < 12 else path[-1:]:
        draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill=colour)
    side = WIDTH_PX - 4 if at_right else 4
    anchor = "r" if at_right else "l"
    draw.text((side, MARGIN_PX), f"{high:.2f}", colour, font, anchor=f"{anchor}m")
    draw.text((side, HEIGHT_PX - MARGIN_PX), f"{low:.2f}", colour, font, anchor=f"{anchor}m")
