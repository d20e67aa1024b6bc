"""What is said of sizes at which a model paints poorly."""

from __future__ import annotations

import math


def size_note(width: int, height: int, most_px: int, sides: str = "w and h") -> str:
    """Return that a picture is larger than its model paints well; else empty text.

    `most_px` is an area in pixels, 0 for none; `sides` are what sets the size. Of objects that
    repeat in larger pictures: He et al. 2023, ScaleCrafter.
    """
    if not most_px or width * height <= most_px:
        return ""
    side = round(math.sqrt(most_px))
    return (
        f"The picture is painted at {width}x{height}, and its model paints well below about"
        f" {side}x{side}: in larger ones things repeat, and each step takes far longer. Set"
        f" smaller {sides}, and enlarge the result by super_resolution=true."
    )
