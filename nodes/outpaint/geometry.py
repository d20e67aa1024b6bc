"""Where the source picture sits on the new canvas: nine anchors, exact integers, no pixels."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Literal

from ..errors import ImageError
from ..prompt.catalog import ANCHORS
from ..rounding import round_up

SmallerPolicy = Literal["crop", "shrink", "error"]
SMALLER_POLICIES: tuple[SmallerPolicy, ...] = ("crop", "shrink", "error")

Side = Literal["start", "center", "end"]

_SIDES: tuple[Side, Side, Side] = ("start", "center", "end")


@dataclass(frozen=True)
class Rect:
    """A rectangle of pixels: `x`, `y` of its upper left pixel, and its size."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class Canvas:
    """The new canvas and the place of the source on it.

    Units: image pixels. `width`, `height` are the finished picture, exactly as asked. The padded
    size is what a model works on; `padded_offset` is the place of the finished picture inside it.
    `source_width`, `source_height` are the source's size after the optional shrink, `source_crop`
    the part of it that is used, `window` where that part sits on the finished picture.
    """

    width: int
    height: int
    padded_width: int
    padded_height: int
    padded_offset: tuple[int, int]
    window: Rect
    source_crop: Rect
    source_width: int
    source_height: int

    @property
    def is_empty_mask(self) -> bool:
        """True when the source covers the whole canvas: nothing is left to paint."""
        return (self.window.width, self.window.height) == (self.width, self.height)

    @property
    def padded_window(self) -> Rect:
        """The window in pixels of the padded canvas."""
        x, y = self.padded_offset
        return Rect(self.window.x + x, self.window.y + y, self.window.width, self.window.height)


def place(
    source_width: int,
    source_height: int,
    width: int,
    height: int,
    anchor: str,
    *,
    multiple: int = 8,
    smaller: SmallerPolicy = "crop",
) -> Canvas:
    """Return the canvas of `width` x `height` on which the source sits at `anchor`.

    The anchor names where the source sits: `top-center` puts it at the upper edge, centred
    sideways. Where an odd difference is centred, the extra pixel falls to the right or the bottom.
    Where the canvas is smaller than the source, `smaller` decides: `crop` keeps the part at the
    same anchor, `shrink` first scales the whole source down until it fits. The padded size is
    rounded up to `multiple`; its extra pixels lie on the far side from the anchor (right and bottom
    on a centred axis and on one that the source fills).

    Raises: ImageError for an unknown anchor or policy, a size below 1, or a canvas too small under
    `error`.
    """
    across, down = _sides(anchor)
    _check(source_width, source_height, width, height, multiple, smaller)
    if smaller == "shrink":
        source_width, source_height = shrunk_size(source_width, source_height, width, height)
    x = _axis(source_width, width, across, multiple)
    y = _axis(source_height, height, down, multiple)
    return Canvas(
        width=width,
        height=height,
        padded_width=x.padded,
        padded_height=y.padded,
        padded_offset=(x.padded_offset, y.padded_offset),
        window=Rect(x.window, y.window, x.length, y.length),
        source_crop=Rect(x.crop, y.crop, x.length, y.length),
        source_width=source_width,
        source_height=source_height,
    )


def smaller_note(canvas: Canvas, source_width: int, source_height: int) -> str:
    """Return what a canvas that is not larger than its source does to it; else empty text.

    The sizes are the source's before it was shrunk.
    """
    lost = {
        "width": canvas.source_width - canvas.source_crop.width,
        "height": canvas.source_height - canvas.source_crop.height,
    }
    cut = " and ".join(f"{count} px of its {side}" for side, count in lost.items() if count)
    done = [f"{cut} are cut off"] if cut else []
    if (canvas.source_width, canvas.source_height) != (source_width, source_height):
        done.append(f"it is scaled down to {canvas.source_width}x{canvas.source_height}")
    if canvas.is_empty_mask:
        done.append("nothing new is painted")
    if not done:
        return ""
    told = (
        f"The picture is {source_width}x{source_height} and its canvas"
        f" {canvas.width}x{canvas.height}: {', and '.join(done)}."
    )
    if cut:
        return f"{told} Make the canvas larger, or choose shrink to keep all of the picture."
    return f"{told} Make the canvas larger." if canvas.is_empty_mask else told


def shrunk_size(source_width: int, source_height: int, width: int, height: int) -> tuple[int, int]:
    """Return the size of the source scaled down to fit into `width` x `height`.

    A source that fits keeps its size.

    One side fits exactly, the other is rounded to the nearest pixel, and is at least 1.
    """
    if source_width <= width and source_height <= height:
        return source_width, source_height
    if width * source_height <= height * source_width:
        return width, max(1, _rounded_ratio(source_height * width, source_width))
    return max(1, _rounded_ratio(source_width * height, source_height)), height


@dataclass(frozen=True)
class _Axis:
    """One axis of a canvas.

    Start of the window and of the crop, their common length, and the padding.
    """

    window: int
    crop: int
    length: int
    padded: int
    padded_offset: int


def _axis(source: int, target: int, side: Side, multiple: int) -> _Axis:
    free = target - source
    # Both directions round down, so that cropping a grown canvas at the same anchor gives back the
    # source.
    start = {"start": 0, "center": abs(free) // 2, "end": abs(free)}[side]
    padded = round_up(target, multiple)
    # An axis that the source fills has no far side: all anchors give one canvas there.
    far_is_before = side == "end" and free > 0
    return _Axis(
        window=start if free > 0 else 0,
        crop=start if free < 0 else 0,
        length=min(source, target),
        padded=padded,
        padded_offset=padded - target if far_is_before else 0,
    )


def _sides(anchor: str) -> tuple[Side, Side]:
    if anchor not in ANCHORS:
        close = difflib.get_close_matches(anchor.strip().lower(), ANCHORS, n=1, cutoff=0.5)
        raise ImageError(
            f"Outpainting: {anchor!r} is not an anchor; expected one of {', '.join(ANCHORS)}.",
            code="outpaint_anchor",
            hint=(
                f"Did you mean {close[0]!r}?"
                if close
                else "The anchor names where the source sits on the new canvas."
            ),
        )
    row, column = divmod(ANCHORS.index(anchor), 3)
    return _SIDES[column], _SIDES[row]


def _check(
    source_width: int,
    source_height: int,
    width: int,
    height: int,
    multiple: int,
    smaller: SmallerPolicy,
) -> None:
    if smaller not in SMALLER_POLICIES:
        raise ImageError(
            f"Outpainting: {smaller!r} is not a policy for a canvas smaller than the source;"
            f" expected one of {', '.join(SMALLER_POLICIES)}.",
            code="outpaint_policy",
            hint="crop keeps a part of the source, shrink scales it down, error stops.",
        )
    for name, size_width, size_height in (
        ("source image", source_width, source_height),
        ("canvas", width, height),
    ):
        if size_width < 1 or size_height < 1:
            raise ImageError(
                f"Outpainting: the {name} is {size_width}x{size_height} pixels; expected at least"
                " 1x1.",
                code="outpaint_size",
                hint=(
                    "Set --outpaint_width and --outpaint_height to the size of the new canvas in"
                    " pixels."
                ),
            )
    if multiple < 1:
        raise ImageError(
            f"Outpainting: sizes cannot be rounded up to a multiple of {multiple}; expected 1 or"
            " more.",
            code="outpaint_multiple",
            hint="SD1.5 and SDXL work on multiples of 8, Flux on multiples of 16.",
        )
    if smaller == "error" and (width < source_width or height < source_height):
        raise ImageError(
            f"Outpainting: the canvas of {width}x{height} is smaller than the source image of"
            f" {source_width}x{source_height}.",
            code="outpaint_smaller",
            hint=(
                "Make --outpaint_width and --outpaint_height at least as large as the source, or"
                " choose crop or shrink."
            ),
        )


def _rounded_ratio(numerator: int, denominator: int) -> int:
    """Return the quotient rounded to the nearest integer, halves up, without floating point."""
    return (2 * numerator + denominator) // (2 * denominator)
