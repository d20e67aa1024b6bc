"""Boxes and masks drawn by hand, as plain numbers in a widget, and the regions that they stand
for.
"""

from __future__ import annotations

from ..base.drawn import Shape, parsed
from ..errors import ImageError
from .layout import Area, RegionLayout, check_request, counted, laid_out, owned

BETWEEN = "|"
EXPECTED = (
    "expected x, y, width and height in parts of the picture, such as 0.05 0.1 0.4 0.9, the width"
    " and the height above 0, and a part of the box inside the picture; behind them, where a brush"
    " was used, COLUMNSxROWS and the lengths of runs, such as 4x2 1 2 3 1"
)


def from_drawn(text: str, count: int, width: int, height: int, *, softness_px: int) -> RegionLayout:
    """Return the regions as drawn, in the order of the text: that of the prompt's persons.

    Nothing is grown or sorted. Where two meet, the border lies between their boxes by the widths of
    these; one that is no wider than another's inside stands in front of it, and so does a brushed
    mask in front of a box.

    Raises: ImageError where the text is no boxes or masks, or not one for each person.
    """
    check_request(count, width, height, softness_px)
    shapes = [_shape(one, number) for number, one in enumerate(text.split(BETWEEN), 1)]
    if len(shapes) != count:
        raise ImageError(
            f"{counted(len(shapes), 'box is', 'boxes are')} drawn for {counted(count, 'person')};"
            " expected one for each.",
            code="region-count",
            hint="Add or take away a person below the picture of Astria Regions.",
        )
    areas = [
        Area(one.left * width, one.top * height, one.right * width, one.bottom * height)
        for one in shapes
    ]
    insides = [one.pixels(width, height) for one in shapes]
    ahead = [0 if one.cells is None else count for one in shapes]
    return laid_out(owned(areas, insides, ahead), softness_px, "Drawn region")


def _shape(text: str, number: int) -> Shape:
    shape = parsed(text)
    if shape is None:
        shown = " ".join(text.split())
        shown = shown if len(shown) <= _MOST_SHOWN else f"{shown[:_MOST_SHOWN]} ..."
        raise ImageError(
            f"Box {number} of drawn_boxes is '{shown}'; {EXPECTED}.",
            code="region-drawn",
            hint=f"Write one for each person, with {BETWEEN} between persons, or none at all.",
        )
    return shape


_MOST_SHOWN = 120
