"""The picture that shows which region is whose: tinted, outlined and named."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..errors import ImageError
from ..rounding import ceil_div
from .layout import RegionLayout
from .run import normalised

# Light enough for black letters, and neighbours apart also without full colour vision; the scene's
# grey comes first.
TINTS = (
    (200, 200, 200),
    (240, 170, 40),
    (90, 185, 235),
    (225, 130, 190),
    (60, 200, 150),
    (245, 230, 80),
    (150, 150, 255),
    (255, 125, 95),
    (160, 215, 75),
)
TINT_STRENGTH = 0.45
GREY = 0.35
MOST_LINES = 3
GRID_PX = 1024


class _Room(NamedTuple):
    """The place for a name.

    The middle and the lower edge of its text, and the width it may take.
    """

    middle: int
    bottom: int
    width: int


def preview(image: Tensor | None, layout: RegionLayout) -> Tensor:
    """Return the picture, or a grey one, with each person's region and the scene tinted by share,
    outlined and named.

    Shapes: image [B,H,W,C] float 0..1 of the layout's size -> [B,H,W,3]; without an image
    [1,H,W,3]. Alpha is not shown.
    Raises: ImageError when the image has another size.
    """
    shares = normalised(layout.masks)
    regions, height, width = shares.shape
    if image is None:
        image = torch.full((1, height, width, 3), GREY)
    if image.ndim != 4 or image.shape[1:3] != (height, width) or image.shape[3] < 3:
        raise ImageError(
            f"The picture to show regions on has shape {tuple(image.shape)}; expected [batch,"
            f" {height}, {width}, 3], as the regions.",
            code="preview-size",
            hint="Connect the picture at the size it is generated at.",
        )
    scene, *colours = TINTS
    of_persons = [colours[person % len(colours)] for person in range(regions - 1)]
    tints = torch.tensor([scene, *of_persons]) / 255
    own_tint = torch.einsum("rhw,rc->hwc", shares, tints)
    labels = shares.argmax(0)
    shown = torch.lerp(image[..., :3].detach().cpu().float(), own_tint, TINT_STRENGTH)
    shown = torch.where(_borders(labels)[..., None], tints[labels], shown)
    written, opacity = _written(shares, labels, ("scene", *layout.names), tints)
    return torch.lerp(shown, written, opacity).clamp(0, 1)


def _borders(labels: Tensor) -> Tensor:
    """Return where another label lies within the thickness of an outline.

    The line grows with the picture.
    """
    reach = max(1, min(labels.shape) // 400)
    layer = F.pad(labels[None, None].float(), (reach,) * 4, mode="replicate")
    highest, lowest = (F.max_pool2d(one, 2 * reach + 1, stride=1) for one in (layer, -layer))
    return (highest != -lowest)[0, 0]


def _written(
    shares: Tensor, labels: Tensor, names: tuple[str, ...], tints: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the names as a picture [H,W,3], each on a plate of its region's tint, and its opacity
    [H,W,1].
    """
    height, width = labels.shape
    overlay = Image.new("RGBA", (width, height))
    canvas = ImageDraw.Draw(overlay)
    font = ImageFont.load_default(max(11, round(min(height, width) / 30)))
    pad = max(2, round(font.size / 4))
    for region, name in enumerate(names):
        room = _room(shares[region], labels == region, pad, at_the_bottom=region > 0)
        if room is None:
            continue
        text = "\n".join(_wrapped(name, font, max(room.width, 3 * font.size)))
        left, top, right, bottom = canvas.multiline_textbbox(
            (0, 0), text, font=font, align="center", spacing=pad
        )
        x = min(max(room.middle - (right - left) / 2, 2 * pad), width - 2 * pad - (right - left))
        y = min(max(room.bottom - (bottom - top), 2 * pad), height - 2 * pad - (bottom - top))
        plate = (x - pad, y - pad, x + right - left + pad, y + bottom - top + pad)
        canvas.rounded_rectangle(
            plate, pad, fill=(*(tints[region] * 255).round().int().tolist(), 255)
        )
        canvas.multiline_text(
            (x - left, y - top), text, fill=(0, 0, 0, 255), font=font, align="center", spacing=pad
        )
    pixels = torch.from_numpy(np.asarray(overlay, dtype=np.float32) / 255)
    return pixels[..., :3], pixels[..., 3:]


def _room(share: Tensor, own: Tensor, pad: int, *, at_the_bottom: bool) -> _Room | None:
    """Return the place for a region's name.

    Where the region is widest open, persons' names at its lower end, clear of faces.

    Looked for on a grid of at most `GRID_PX` a side, of cells that are wholly the region's where
    there are some.
    """
    from scipy import ndimage  # heavy: on first use

    if not share.any():
        return None
    if not own.any():  # the largest share nowhere: where its own share is largest
        own = share == share.max()
    cell = ceil_div(max(own.shape), GRID_PX)
    pixels = own[None].float()
    cells = -F.max_pool2d(-pixels, cell, ceil_mode=True)[0]  # the least of each cell's pixels
    if not cells.any():
        cells = F.max_pool2d(pixels, cell, ceil_mode=True)[0]
    inside = cells.numpy() > 0
    # Widest open: the cell farthest from any border; the picture's edge is one.
    to_border = ndimage.distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1]
    y, x = np.unravel_index(to_border.argmax(), inside.shape)
    if at_the_bottom:
        y = max(int(np.flatnonzero(inside[:, x])[-1]) - 3 * pad // cell, 0)
    outside = np.flatnonzero(~inside[y])
    left = max(outside[outside < x], default=-1)
    right = min(outside[outside > x], default=inside.shape[1])
    return _Room((left + right) * cell // 2, y * cell, (right - left - 1) * cell - 4 * pad)


def _wrapped(text: str, font: ImageFont.FreeTypeFont, width_px: int) -> list[str]:
    """Return the text in at most `MOST_LINES` lines no wider than the room.

    What does not fit is cut off with an ellipsis.
    """
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".lstrip()
        if not lines[-1] or font.getlength(longer) <= width_px:
            lines[-1] = longer
        else:
            lines.append(word)
    if len(lines) > MOST_LINES:
        lines[MOST_LINES - 1 :] = [" ".join(lines[MOST_LINES - 1 :])]
    return [_cut(line, font, width_px) for line in lines]


def _cut(line: str, font: ImageFont.FreeTypeFont, width_px: int) -> str:
    if font.getlength(line) <= width_px:
        return line
    kept = next(
        (
            end
            for end in range(len(line) - 1, 0, -1)
            if font.getlength(f"{line[:end].rstrip()}…") <= width_px
        ),
        1,
    )
    return f"{line[:kept].rstrip()}…"
