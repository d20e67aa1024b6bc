"""All pictures of a demo run on one sheet.

Rows by model, columns by prompt, the kept source outlined.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from ..nodes.outpaint.geometry import Canvas

CELL = 420
LABEL = 46
MARGIN = 14
BACKGROUND, INK, OUTLINE, WARNING = (24, 24, 27), (235, 235, 235), (80, 220, 120), (255, 200, 80)


@dataclass(frozen=True)
class Cell:
    """One outpainted picture; `painted_source` says that its source was painted too, not
    photographed.
    """

    row: str
    column: str
    picture: Image.Image
    canvas: Canvas
    painted_source: bool


def contact_sheet(cells: Sequence[Cell], real: bool) -> Image.Image:
    """Return the sheet.

    Without real models every painted area is labelled as what it is: the output of random weights.
    """
    rows = list(dict.fromkeys(c.row for c in cells))
    columns = list(dict.fromkeys(c.column for c in cells))
    size = (
        MARGIN + len(columns) * (CELL + MARGIN),
        MARGIN + 40 + len(rows) * (CELL + LABEL + MARGIN),
    )
    sheet = Image.new("RGB", size, BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    head = "green: the source, kept bit for bit"
    if not real:
        head += (
            "  -  everything a model painted here is RANDOM-WEIGHT OUTPUT (noise), only placement"
            " and seams mean anything"
        )
    draw.text(
        (MARGIN, MARGIN), head, fill=INK if real else WARNING, font=ImageFont.load_default(18)
    )
    for cell in cells:
        x = MARGIN + columns.index(cell.column) * (CELL + MARGIN)
        y = MARGIN + 40 + rows.index(cell.row) * (CELL + LABEL + MARGIN)
        _draw_cell(sheet, draw, cell, (x, y), real)
    return sheet


def _draw_cell(
    sheet: Image.Image, draw: ImageDraw.ImageDraw, cell: Cell, corner: tuple[int, int], real: bool
) -> None:
    x, y = corner
    canvas = cell.canvas
    scale = min(CELL / canvas.width, CELL / canvas.height)
    size = round(canvas.width * scale), round(canvas.height * scale)
    left, top = x + (CELL - size[0]) // 2, y + LABEL + (CELL - size[1]) // 2
    sheet.paste(cell.picture.resize(size, Image.Resampling.LANCZOS), (left, top))
    window = canvas.window
    first = left + round(window.x * scale), top + round(window.y * scale)
    last = (
        left + round((window.x + window.width) * scale) - 1,
        top + round((window.y + window.height) * scale) - 1,
    )
    draw.rectangle([first, last], outline=OUTLINE, width=3)
    draw.text((x, y), f"{cell.row}: {cell.column}", fill=INK, font=ImageFont.load_default(17))
    source = "painted" if cell.painted_source else "photo"
    told = f"{canvas.width}x{canvas.height}, source {source}" + (
        "" if real else ", painted = random weights"
    )
    draw.text((x, y + 22), told, fill=INK if real else WARNING, font=ImageFont.load_default(14))
