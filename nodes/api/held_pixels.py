"""The bound on the pixels that a prompt makes ComfyUI hold at once."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..net.problems import ApiError
from ..pipeline.build.stage_list import Stage

MEGA = 1_000_000
_KNOWN = re.compile(r"(\d+)x(\d+)")
_TIMES = re.compile(r"(\d+)x ")


def check_pixels(
    stages: Sequence[Stage], num_images: int, input_pixels: int, max_megapixels: int
) -> None:
    """Check that all pictures of a prompt together stay within the bound at every stage.

    `input_pixels` are those of the input image, whose size stages may have or multiply.
    Raises: ApiError naming the largest stage.
    """
    for stage in stages:
        pixels = num_images * _pixels(stage.size, input_pixels)
        if pixels > max_megapixels * MEGA:
            text = (
                f"{num_images} picture(s) of {stage.size} ({stage.name}) are"
                f" {pixels / MEGA:.0f} megapixels; expected at most {max_megapixels}"
            )
            raise ApiError(
                text,
                code="too-many-pixels",
                hint=(
                    "Ask for fewer or smaller pictures, or send a smaller one; the owner may raise"
                    " max_megapixels in api.ini."
                ),
            )


def _pixels(size: str, input_pixels: int) -> int:
    if known := _KNOWN.fullmatch(size):
        return int(known[1]) * int(known[2])
    factor = _TIMES.match(size)
    return input_pixels * (int(factor[1]) ** 2 if factor else 1)
