"""What is said of sizes at which a model paints poorly."""

from __future__ import annotations

import math


def size_note(width: int, height: int, least_px: int, most_px: int) -> str:
    """Return that a picture is smaller or larger than its model paints well; else empty text.

    `least_px` and `most_px` are areas in pixels, 0 for none. Of objects that repeat in larger
    pictures: He et al. 2023, ScaleCrafter.
    """
    area = width * height
    if most_px and area > most_px:
        side = round(math.sqrt(most_px))
        return (
            f"The picture is painted at {width}x{height}, and its model paints well below about"
            f" {side}x{side}: in larger ones things repeat, and each step takes far longer. Set a"
            " smaller w and h, and enlarge the result by super_resolution=true."
        )
    if area < least_px:
        side = round(math.sqrt(least_px))
        return (
            f"The picture is painted at {width}x{height}, and its model paints well above about"
            f" {side}x{side}: in smaller ones little can be told apart. Set a larger w and h."
        )
    return ""
