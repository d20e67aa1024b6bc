"""Boxes drawn by hand, as plain numbers in a widget, and the regions that they stand for."""

from __future__ import annotations

import math

from ..errors import ImageError
from .layout import Area, RegionLayout, check_request, counted, laid_out, owned

BETWEEN = "|"
EXPECTED = (
    "expected x, y, width and height in parts of the picture, such as 0.05 0.1 0.4 0.9, the width"
    " and the height above 0, and a part of the box inside the picture"
)


def from_drawn(text: str, count: int, width: int, height: int, *, softness_px: int) -> RegionLayout:
    """Return the regions as drawn, in the order of the text: that of the prompt's persons.

    Nothing is grown or sorted. Where two boxes meet, the border lies between them by their widths;
    one that is no wider than another's inside stands in front of it.

    Raises: ImageError where the text is no boxes, or not one for each person.
    """
    check_request(count, width, height, softness_px)
    boxes = [_area(one, number) for number, one in enumerate(text.split(BETWEEN), 1)]
    if len(boxes) != count:
        raise ImageError(
            f"{counted(len(boxes), 'box is', 'boxes are')} drawn for {counted(count, 'person')};"
            " expected one for each.",
            code="region-count",
            hint="Add or take away a person below the picture of Astria Regions.",
        )
    areas = [
        Area(one.left * width, one.top * height, one.right * width, one.bottom * height)
        for one in boxes
    ]
    return laid_out(owned(areas, areas, width, height), softness_px, "Box")


def _area(text: str, number: int) -> Area:
    """Return a box in parts of the picture."""
    try:
        x, y, width, height = map(float, text.split())
    except ValueError:
        raise _unusable(text, number) from None
    area = Area(x, y, x + width, y + height)
    is_inside = area.left < 1 and area.top < 1 and area.right > 0 and area.bottom > 0
    if not (all(map(math.isfinite, area)) and width > 0 and height > 0 and is_inside):
        raise _unusable(text, number)
    return area


def _unusable(text: str, number: int) -> ImageError:
    return ImageError(
        f"Box {number} of drawn_boxes is '{text.strip()}'; {EXPECTED}.",
        code="region-drawn",
        hint=f"Write four numbers for each person, with {BETWEEN} between persons, or none at all.",
    )
