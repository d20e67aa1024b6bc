"""The constant pose for pictures of people without an input image.

Everyone stands with crossed arms, drawn as OpenPose skeletons.
"""

from __future__ import annotations

import colorsys
import math

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from ..errors import ImageError

Point = tuple[float, float]
# The 18 keypoints of one person as (x, y), each 0..1 of the picture's width and height; None where
# the picture ends before it.
Skeleton = tuple[Point | None, ...]

# The COCO body of OpenPose, in its order; right and left are the person's own.
KEYPOINTS = (
    "nose",
    "neck",
    "right_shoulder",
    "right_elbow",
    "right_wrist",
    "left_shoulder",
    "left_elbow",
    "left_wrist",
    "right_hip",
    "right_knee",
    "right_ankle",
    "left_hip",
    "left_knee",
    "left_ankle",
    "right_eye",
    "left_eye",
    "right_ear",
    "left_ear",
)
LIMBS = (
    (1, 2),
    (1, 5),
    (2, 3),
    (3, 4),
    (5, 6),
    (6, 7),
    (1, 8),
    (8, 9),
    (9, 10),
    (1, 11),
    (11, 12),
    (12, 13),
    (1, 0),
    (0, 14),
    (14, 16),
    (0, 15),
    (15, 17),
)
# Twenty degrees of hue from each to the next: keypoint i and limb i have colour i, limbs at 60 %.
COLOURS = tuple(
    tuple(round(255 * channel) for channel in colorsys.hsv_to_rgb(step / 18, 1, 1))
    for step in range(18)
)
LIMB_BRIGHTNESS = 0.6

# Half a limb's thickness, and a keypoint's radius, in a picture with a short side of 512; a small
# figure gets thinner ones.
STICK_PX, STICK_HEADS = 4 / 512, 0.08

# The pose: x and y in heads from the crown, of a person eight heads tall seen from the front; the
# left side mirrors the right.
_MIDDLE = {"nose": 0.62, "neck": 1.5}
_RIGHT = {
    "eye": (-0.16, 0.48),
    "ear": (-0.33, 0.56),
    "shoulder": (-0.82, 1.5),
    "elbow": (-0.86, 2.65),
    "wrist": (0.36, 2.45),
    "hip": (-0.42, 3.9),
    "knee": (-0.42, 5.8),
    "ankle": (-0.4, 7.6),
}
HEADS_WIDE, HEADS_TO_KNEE, HEADS_TALL = 2.6, 5.8, 8.0

# Shares of the picture's height that stay free above the head and below.
HEADROOM, FOOTROOM = 0.1, 0.03


def arms_crossed(count: int, width: int, height: int) -> Tensor:
    """Return a picture for a pose ControlNet.

    `count` people side by side, standing with crossed arms.

    Shapes: [1,height,width,3] float 0..1.
    """
    return draw(skeletons(count, width, height), width, height)


def skeletons(count: int, width: int, height: int) -> tuple[Skeleton, ...]:
    """Return the keypoints of `count` people, person i in the middle of column i.

    All are as large as column and height allow. Head to knees are in the picture; ankles only where
    it is tall enough for whole figures.

    Raises: ImageError when a number is below 1.
    """
    if count < 1 or width < 1 or height < 1:
        raise ImageError(
            f"A pose of {count} people in {width}x{height} px; expected 1 or more of each.",
            code="pose-size",
        )
    column = width / count
    head = min(column / HEADS_WIDE, height * (1 - HEADROOM - FOOTROOM) / HEADS_TO_KNEE)
    room = height * (1 - HEADROOM - FOOTROOM) - head * HEADS_TALL
    # Whole figures stand a third of the free height above the lower edge; cut ones stand on it with
    # their knees.
    crown = (
        height * HEADROOM + room * 2 / 3
        if room >= 0
        else height * (1 - FOOTROOM) - head * HEADS_TO_KNEE
    )
    return tuple(
        standing(column * (person + 0.5), crown, head, (width, height), whole=room >= 0)
        for person in range(count)
    )


def standing(
    middle: float, crown: float, head: float, size: tuple[int, int], *, whole: bool
) -> Skeleton:
    """Return the keypoints of a person who stands with crossed arms.

    `middle` and `crown`: where the top of the head is, `head` its height, and `size` the picture's,
    in pixels. A person who is not `whole` ends at the knees.
    """

    def point(keypoint: str) -> Point | None:
        side, _, joint = keypoint.rpartition("_")
        if joint == "ankle" and not whole:
            return None
        x, y = (0.0, _MIDDLE[joint]) if joint in _MIDDLE else _RIGHT[joint]
        return (middle + (-x if side == "left" else x) * head) / size[0], (crown + y * head) / size[
            1
        ]

    return tuple(point(keypoint) for keypoint in KEYPOINTS)


def draw(people: tuple[Skeleton, ...], width: int, height: int) -> Tensor:
    """Return the skeletons as OpenPose draws them.

    Limbs as flat ellipses at 60 % of their colour, then keypoints as dots.

    Shapes: [1,height,width,3] float 0..1.
    """
    picture = Image.new("RGB", (width, height))
    canvas = ImageDraw.Draw(picture)
    placed = [
        [point and (point[0] * width, point[1] * height) for point in person] for person in people
    ]
    sticks = [_stick_px(person, width, height) for person in placed]
    # Limb by limb, not person by person: where figures overlap, later limbs lie above the earlier
    # ones of everybody.
    for (start, end), colour in zip(LIMBS, COLOURS[: len(LIMBS)], strict=True):
        for points, stick in zip(placed, sticks, strict=True):
            if points[start] and points[end]:
                canvas.polygon(
                    _ellipse(points[start], points[end], stick),
                    fill=tuple(int(LIMB_BRIGHTNESS * channel) for channel in colour),
                )
    for number, colour in enumerate(COLOURS):
        for points, stick in zip(placed, sticks, strict=True):
            if points[number]:
                x, y = points[number]
                canvas.ellipse((x - stick, y - stick, x + stick, y + stick), fill=colour)
    return torch.from_numpy(np.asarray(picture, dtype=np.float32) / 255)[None]


def _stick_px(points: list[Point | None], width: int, height: int) -> float:
    """Return half a limb's thickness for a figure; the distance from neck to hips is 2.4 heads."""
    usual = STICK_PX * min(width, height)
    neck, hip = points[KEYPOINTS.index("neck")], points[KEYPOINTS.index("right_hip")]
    if not neck or not hip:
        return usual
    return min(usual, STICK_HEADS * math.dist(neck, hip) / 2.4)


def _ellipse(start: Point, end: Point, half_thickness: float) -> list[Point]:
    """Return the outline of an ellipse from start to end."""
    x, y = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
    dx, dy = ((end[0] - start[0]) / 2, (end[1] - start[1]) / 2)
    length = math.hypot(dx, dy) or 1.0
    across = (-dy / length * half_thickness, dx / length * half_thickness)
    angles = [math.radians(degree) for degree in range(0, 360, 5)]
    return [
        (
            x + dx * math.cos(a) + across[0] * math.sin(a),
            y + dy * math.cos(a) + across[1] * math.sin(a),
        )
        for a in angles
    ]
