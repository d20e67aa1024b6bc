"""The pictures of a demo on the small world on one sheet, with what was read off them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw, ImageFont

from ..nodes.outpaint.geometry import Canvas
from .contact_sheet import BACKGROUND, INK, MARGIN, OUTLINE
from .demo_world import Shown
from .report import Figure

SCALE = 2  # the world's pixels on the sheet
LINE = 17
TEXT_WIDTH = 300
HEAD = "A small drawn world. What a reader that knows no model found stands beside the pictures."


def world_sheet(shown: Sequence[Shown]) -> Image.Image:
    """Return the sheet: a row for each thing, a column for each family, in it the pictures in the
    order of their stages, the kept source outlined.
    """
    titles = list(dict.fromkeys(one.case.title for one in shown))
    families = list(dict.fromkeys(one.family for one in shown))
    cells = {(one.case.title, one.family): _cell(one) for one in shown}
    widths = [max(c.width for (_, own), c in cells.items() if own == one) for one in families]
    heights = [max(c.height for (own, _), c in cells.items() if own == one) for one in titles]
    size = (
        sum(widths) + MARGIN * (len(widths) + 1),
        sum(heights) + MARGIN * (len(heights) + 2) + LINE,
    )
    sheet = Image.new("RGB", size, BACKGROUND)
    ImageDraw.Draw(sheet).text((MARGIN, MARGIN), HEAD, fill=INK, font=ImageFont.load_default(15))
    for (title, family), cell in cells.items():
        row, column = titles.index(title), families.index(family)
        left = MARGIN + sum(widths[:column]) + MARGIN * column
        top = 2 * MARGIN + LINE + sum(heights[:row]) + MARGIN * row
        sheet.paste(cell, (left, top))
    return sheet


def _cell(one: Shown) -> Image.Image:
    large = {
        name: _scaled(one.pictures[name], (width * SCALE, height * SCALE))
        for name, (width, height) in one.sizes.items()
    }
    lines = [f"{one.case.title}, {one.family}", *map(_told, one.figures)]
    width = TEXT_WIDTH + sum(picture.width + MARGIN for picture in large.values())
    height = LINE + max(LINE * len(lines), *(picture.height for picture in large.values()))
    row = Image.new("RGB", (width, height), BACKGROUND)
    draw = ImageDraw.Draw(row)
    for number, line in enumerate(lines):
        draw.text((0, LINE * number), line, fill=INK, font=ImageFont.load_default(14))
    _paste(row, draw, large, TEXT_WIDTH, one.canvas)
    return row


def _scaled(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    is_smaller = picture.width < size[0]
    how = Image.Resampling.NEAREST if is_smaller else Image.Resampling.BOX
    return picture.resize(size, how)


def _paste(
    row: Image.Image,
    draw: ImageDraw.ImageDraw,
    pictures: Mapping[str, Image.Image],
    left: int,
    canvas: Canvas | None,
) -> None:
    for number, (name, picture) in enumerate(pictures.items()):
        draw.text((left, 0), name, fill=INK, font=ImageFont.load_default(12))
        row.paste(picture, (left, LINE))
        if canvas is not None and number == len(pictures) - 1:
            window = canvas.window
            first = left + SCALE * window.x, LINE + SCALE * window.y
            last = first[0] + SCALE * window.width - 1, first[1] + SCALE * window.height - 1
            draw.rectangle([first, last], outline=OUTLINE, width=1)
        left += picture.width + MARGIN


def _told(figure: Figure) -> str:
    value = figure["value"]
    if isinstance(value, bool):
        value = "yes" if value else "NO"
    elif isinstance(value, float):
        value = f"{value:.1f}"
    return f"{figure['name']}: {value} {figure['unit']}".rstrip()
