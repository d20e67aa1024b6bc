"""Where each person stands.

One soft mask a person, from the artist's masks, from people found in a picture, or equal columns.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import ImageError
from .attention import LEAST_SHARE
from .run import SAME_SHAPE, is_padded, normalised

# The share of a column that stays scene left and right of its person, and above: the base prompt
# needs pixels of its own.
MARGIN = 0.08

# Detectors draw a box tightly around the body, skeletons end at eyes and wrists: hair and hands lie
# up to about this far outside.
GROWTH_OF_WIDTH, GROWTH_OF_HEIGHT = 0.25, 0.06

# Shoulders are three faces wide; hair reaches three quarters of a face above one.
FACES_WIDE, FACES_ABOVE = 3.0, 0.75

# Limbs are drawn at 60 % of full colour; what a lossy file leaves on black is far below.
LIT = 0.2

# A pose picture is mostly black; a component below this share of the largest is a stray finger or a
# speck, not a person.
MOST_LIT, LEAST_COMPONENT = 0.5, 0.05
_EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=bool)


@dataclass(frozen=True, eq=False)
class RegionLayout:
    """The persons' shares of the picture, in the order of the prompt, and the names to show for
    them.

    Shapes: masks [N,H,W] float32 0..1, at most 1 in sum at every pixel; `run.normalised` adds the
    scene as the rest.
    """

    masks: Tensor
    names: tuple[str, ...]

    def named(self, texts: Sequence[str]) -> RegionLayout:
        """Return the layout with each person's text behind their number: `1: ohwx woman`."""
        if len(texts) != len(self.names):
            raise ImageError(
                f"{len(texts)} names for {len(self.names)} regions; expected one for each.",
                code="region-names",
            )
        return replace(
            self,
            names=tuple(
                f"{number}: {text}" if text else f"{number}" for number, text in enumerate(texts, 1)
            ),
        )

    def within(self, width: int, height: int) -> RegionLayout:
        """Return the layout of the picture's top left part, the size before it was padded.

        Raises: ImageError where it is smaller than that.
        """
        if width > self.masks.shape[2] or height > self.masks.shape[1]:
            seen = f"{self.masks.shape[2]}x{self.masks.shape[1]}"
            raise ImageError(
                f"The regions are laid out for {seen} px, less than the {width}x{height} before the"
                " padding.",
                code="regions-fit",
                hint="Connect the `fit` of the picture that the regions were laid out for.",
            )
        return replace(self, masks=self.masks[:, :height, :width])


class Area(NamedTuple):
    """A rectangle in pixels of the picture; right and bottom are the first coordinates outside."""

    left: float
    top: float
    right: float
    bottom: float

    def pixels(self, width: int, height: int) -> Tensor:
        """Return the pixels whose centre lies in it, bool [height, width]."""
        x, y = _pixel_centres(width), _pixel_centres(height)
        across = (x >= self.left) & (x <= self.right)
        return ((y >= self.top) & (y <= self.bottom))[:, None] & across


def columns(
    count: int, width: int, height: int, *, softness_px: int, margin: float = MARGIN
) -> RegionLayout:
    """Return equal columns, left to right.

    `margin` of a column's width at its sides, and of its height above, stays scene.

    A margin gives way where a column would become thinner than a pixel. With margin 0 the columns
    cover the picture.

    Raises: ImageError when there are more columns than pixels, or a number is out of range.
    """
    check_request(count, width, height, softness_px)
    if not 0 <= margin < 0.5:
        raise ImageError(
            f"A margin of {margin:g} of a column; expected 0 or more, and below 0.5.",
            code="region-margin",
        )
    column = width / count
    if column < 1:
        raise ImageError(
            f"{count} columns in a picture {width} px wide; expected a pixel or more for each.",
            code="region-columns",
            hint="Make the picture wider, or describe fewer persons.",
        )
    reach = max(column / 2 - margin * column, 0.5)
    centres = (torch.arange(count, dtype=torch.float64) + 0.5) * column
    # A tolerance, so that a pixel centre that lies on both edges of a thin column counts on both.
    across = (_pixel_centres(width) - centres[:, None]).abs() <= reach + 1e-9
    down = _pixel_centres(height) >= min(margin * height, height - 0.5)
    return laid_out((across[:, None, :] & down[None, :, None]).float(), softness_px, "Column")


def from_masks(
    masks: Tensor, count: int, width: int, height: int, *, softness_px: int
) -> RegionLayout:
    """Return the regions as drawn, in the order given, stretched to the picture.

    Persons that overlap share a pixel by weight. The masks' own soft edges stay and are softened
    further by `softness_px`; with 0 each pixel goes wholly to the strongest mask, the first of
    equals.

    Shapes: masks [M,h,w] float 0..1 -> [count,height,width].
    Raises: ImageError when there is not one mask for each person, or a mask leaves its person no
    pixel.
    """
    check_request(count, width, height, softness_px)
    if masks.ndim != 3 or 0 in masks.shape[1:]:
        raise ImageError(
            f"Region masks of shape {tuple(masks.shape)}; expected [persons, height, width].",
            code="region-masks",
        )
    if len(masks) != count:
        raise ImageError(
            f"{counted(len(masks), 'mask')} for {counted(count, 'person')}; expected one mask for"
            " each.",
            code="region-count",
            hint=(
                "Connect one mask for each person, in the order of the prompt's BREAK segments, as"
                " one batch; or connect none and get equal columns."
            ),
        )
    drawn = masks.detach().cpu().float()
    if not torch.isfinite(drawn).all():
        raise ImageError(
            "A region mask holds values that are no numbers (NaN or infinite); expected 0..1.",
            code="region-masks",
        )
    drawn = drawn.clamp(0, 1)
    if drawn.shape[1:] != (height, width):
        drawn = F.interpolate(
            drawn[None], size=(height, width), mode="bilinear", antialias=True, align_corners=False
        )[0]
    return laid_out(drawn, softness_px, "Mask")


def from_boxes(
    boxes: Sequence[Mapping[str, Any]], count: int, width: int, height: int, *, softness_px: int
) -> RegionLayout:
    """Return one region around each found person, left to right by the centres of the boxes,
    whatever order they come in.

    Boxes are dicts of `x`, `y`, `width`, `height` in pixels of the picture, and maybe `label`, or
    `picture`, the size (width, height) that they were found at: then they are scaled. Each is
    grown, so that hair and arms are inside; where two meet, the border lies between them by their
    widths, halfway for equal ones. A box that is no wider than another's inside stands in front of
    it. A box with the label `face` is taken for a person three faces wide, from above the hair down
    to the bottom of the picture.

    Raises: ImageError when there is not one box for each person, or a box cannot be used here.
    """
    check_request(count, width, height, softness_px)
    if len(boxes) != count:
        found = ", ".join(
            f"{number} {label}"
            for label, number in Counter(
                str(box.get("label") or "no label") for box in boxes
            ).items()
        )
        raise ImageError(
            f"{counted(len(boxes), 'box', 'boxes')}{f' ({found})' if found else ''} found for"
            f" {counted(count, 'person')}; expected one for each.",
            code="region-count",
            hint=(
                "Describe each person of the picture in a BREAK segment of their own, and leave out"
                " boxes that are no person; figures that touch in a pose picture count as one. Or"
                " draw one mask for each person."
            ),
        )
    bodies = [_body(box, number, (width, height)) for number, box in enumerate(boxes, 1)]
    bodies.sort(key=lambda body: (body.left + body.right, body))
    areas = [_grown(body) for body in bodies]
    insides = [area.pixels(width, height) for area in areas]
    return laid_out(owned(bodies, insides, [0] * count), softness_px, "Box (left to right)")


def owned(bodies: Sequence[Area], insides: Sequence[Tensor], ahead: Sequence[int]) -> Tensor:
    """Return whose each pixel is, as masks [N,H,W] of 0 and 1: each body's within its own [H,W].

    Where these meet, the border lies between the bodies by their widths; one that stands in front
    keeps all of its own. `ahead` says how many others each stands in front of, besides.
    """
    x = _pixel_centres(insides[0].shape[1])
    costs = []
    for body, inside, more in zip(bodies, insides, ahead, strict=True):
        distance = (x - (body.left + body.right) / 2).abs() / ((body.right - body.left) / 2)
        in_front_of = sum(_stands_in_front(body, other) for other in bodies) + more
        # d / (1 + d) stays below 1, so being in front of one box more outweighs any distance.
        bounded = distance / (1 + distance)
        costs.append(torch.where(inside, bounded - in_front_of, math.inf))
    cost = torch.stack(costs)
    return ((cost == cost.amin(0)) & cost.isfinite()).float()


def from_pose(image: Tensor, width: int = 0, height: int = 0) -> list[dict[str, int | str]]:
    """Return a box for each skeleton of an OpenPose picture, from left to right, for `from_boxes`.

    The picture shows coloured limbs on black. Figures are told apart where black lies between them:
    skeletons that touch are one box.

    Shapes: image [1,H,W,C] float 0..1, alpha not counted. Units: pixels of a picture of width x
    height (0: of the image's own size), which the image covers, cropped about its centre, as a
    ControlNet fits its hint.
    Raises: ImageError when the shape is another or the picture is not mostly black.
    """
    if image.ndim != 4 or image.shape[0] != 1 or image.shape[3] < 3:
        raise ImageError(
            f"A pose picture of shape {tuple(image.shape)}; expected one picture, [1, height,"
            " width, 3].",
            code="pose-picture",
        )
    lit = (image[0, ..., :3].detach().cpu().amax(-1) > LIT).numpy()
    if lit.mean() > MOST_LIT:
        raise ImageError(
            f"{lit.mean():.0%} of the pose picture is not black; expected coloured skeletons on"
            " black.",
            code="pose-picture",
            hint=(
                "Run the photo through an OpenPose preprocessor first, or connect a detector's"
                " boxes or masks instead."
            ),
        )
    own_height, own_width = lit.shape
    width, height = width or own_width, height or own_height
    scale = max(width / own_width, height / own_height)
    left, top = (own_width * scale - width) / 2, (own_height * scale - height) / 2
    boxes = [
        {
            "x": round(across.start * scale - left),
            "y": round(down.start * scale - top),
            "width": round((across.stop - across.start) * scale),
            "height": round((down.stop - down.start) * scale),
            "label": "person",
        }
        for down, across in _figures(lit)
    ]
    return sorted(boxes, key=lambda box: (2 * box["x"] + box["width"], box["y"]))


def _figures(lit: np.ndarray) -> list[tuple[slice, slice]]:
    """Return the rows and columns of each figure of lit pixels [H,W], without specks."""
    from scipy import ndimage  # heavy: on first use

    # Bridges the gaps that resizing and missing keypoints leave within a figure, not the space
    # between two.
    reach = max(1, round(0.01 * min(lit.shape)))
    closed = ndimage.binary_closing(np.pad(lit, reach), _EIGHT_NEIGHBOURS, iterations=reach)[
        reach:-reach, reach:-reach
    ]
    figures, _ = ndimage.label(closed, _EIGHT_NEIGHBOURS)
    sizes = ndimage.sum_labels(lit, figures, range(1, figures.max() + 1))
    return [
        place
        for place, size in zip(ndimage.find_objects(figures), sizes, strict=True)
        if size >= LEAST_COMPONENT * max(sizes)
    ]


def laid_out(persons: Tensor, softness_px: int, what: str) -> RegionLayout:
    """Return the layout of masks [N,H,W].

    Hard labels for softness 0, else with borders `softness_px` wide, half on each side.
    """
    shares = normalised(persons)
    if softness_px == 0:
        # Persons before the scene: a mask of one half belongs to its person.
        order = torch.cat([shares[1:], shares[:1]])
        masks = F.one_hot(order.argmax(0), len(order)).movedim(-1, 0)[:-1].float()  # HWR -> RHW
    else:
        masks = _softened(shares, softness_px // 2)[1:]
    lost = [number for number, mask in enumerate(masks, 1) if not mask.any()]
    if lost:
        numbers = ", ".join(map(str, lost))
        raise ImageError(
            f"{what} {numbers} of {len(masks)}: no pixel of the"
            f" {persons.shape[2]}x{persons.shape[1]} picture is left to this person.",
            code="region-empty",
            hint=(
                "Each person needs an area of their own: inside the picture, and not wholly covered"
                " by another's."
            ),
        )
    return RegionLayout(
        masks.contiguous(), tuple(str(number) for number in range(1, len(masks) + 1))
    )


def _softened(shares: Tensor, reach_px: int) -> Tensor:
    """Average shares [R,H,W] over a square of `reach_px` to each side.

    The average is the same for all regions, so they keep summing to 1 and a border moves to neither
    side; along the picture's edge nothing fades.
    """
    from scipy import ndimage  # heavy: on first use

    soft = shares.numpy()
    for axis in (1, 2):
        soft = ndimage.uniform_filter1d(soft, 2 * reach_px + 1, axis=axis, mode="nearest")
    soft[soft < LEAST_SHARE] = 0
    return torch.from_numpy(soft / soft.sum(0, keepdims=True))


def _pixel_centres(side: int) -> Tensor:
    return torch.arange(side, dtype=torch.float64) + 0.5


def counted(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or f'{one}s'}"


def check_request(count: int, width: int, height: int, softness_px: int) -> None:
    if count < 1 or width < 1 or height < 1:
        raise ImageError(
            f"Regions for {counted(count, 'person')} in a picture of {width}x{height} px; expected"
            " 1 or more of each.",
            code="region-request",
        )
    if softness_px < 0:
        raise ImageError(
            f"Region borders {softness_px} px soft; expected 0 (hard) or more.",
            code="region-softness",
        )


def _in_picture(box: Mapping[str, Any], width: int, height: int) -> Mapping[str, Any]:
    """Return a box in pixels of the picture, where it says at which other size it was found."""
    own_width, own_height = box.get("picture", (width, height))
    if is_padded((own_width, own_height), (width, height)):
        return box
    across, down = width / own_width, height / own_height
    if not math.isclose(across, down, rel_tol=SAME_SHAPE):
        raise ImageError(
            f"A box of a picture of {own_width}x{own_height} px is used on one of"
            f" {width}x{height} px; expected the same picture, at any scale.",
            code="region-box-shape",
            hint="Find the boxes in the picture as it is cropped or padded now.",
        )
    scales = {"x": across, "y": down, "width": across, "height": down}
    return {**box, **{key: float(box[key]) * scale for key, scale in scales.items()}}


def _body(box: Mapping[str, Any], number: int, size: tuple[int, int]) -> Area:
    """Return the person that a box stands for, not grown yet, in a picture of (width, height)."""
    box = _in_picture(box, *size)
    try:
        x, y, width, height = (float(box[key]) for key in ("x", "y", "width", "height"))
    except (KeyError, TypeError, ValueError) as error:
        raise ImageError(
            f"Box {number} is {dict(box)!r}; expected numbers x, y, width and height.",
            code="region-box",
        ) from error
    if not all(map(math.isfinite, (x, y, width, height))) or width <= 0 or height <= 0:
        raise ImageError(
            f"Box {number} at {x:g}, {y:g} is {width:g} x {height:g} px; expected a width and a"
            " height above 0.",
            code="region-box",
            hint="Leave the box out, or connect another detector.",
        )
    if box.get("label") != "face":
        return Area(x, y, x + width, y + height)
    centre, reach = x + width / 2, width * FACES_WIDE / 2
    return Area(centre - reach, y - height * FACES_ABOVE, centre + reach, max(size[1], y + height))


def _grown(body: Area) -> Area:
    by = max(
        GROWTH_OF_WIDTH * (body.right - body.left), GROWTH_OF_HEIGHT * (body.bottom - body.top)
    )
    return Area(body.left - by, body.top - by, body.right + by, body.bottom + by)


def _stands_in_front(one: Area, other: Area) -> bool:
    within = other.left <= one.left and one.right <= other.right
    return within and ((one.left, one.right) != (other.left, other.right) or one.top > other.top)
