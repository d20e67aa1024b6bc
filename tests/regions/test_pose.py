"""The constant pose: its anatomy, its place in the picture, and a drawing that a pose ControlNet
knows.
"""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from comfyui_astria.nodes.errors import ImageError
from comfyui_astria.nodes.regions.layout import columns
from comfyui_astria.nodes.regions.pose import (
    COLOURS,
    KEYPOINTS,
    LIMBS,
    STICK_PX,
    Skeleton,
    arms_crossed,
    draw,
    skeletons,
)

SIZES = [(512, 512), (1024, 576), (576, 1024)]
every_picture = pytest.mark.parametrize(
    ("count", "width", "height"),
    [(count, *size) for count, size in itertools.product(range(1, 9), SIZES)],
)

# The colours and limbs (keypoints counted from 1) that OpenPose's COCO body is published with.
PUBLISHED_COLOURS = (
    (255, 0, 0),
    (255, 85, 0),
    (255, 170, 0),
    (255, 255, 0),
    (170, 255, 0),
    (85, 255, 0),
    (0, 255, 0),
    (0, 255, 85),
    (0, 255, 170),
    (0, 255, 255),
    (0, 170, 255),
    (0, 85, 255),
    (0, 0, 255),
    (85, 0, 255),
    (170, 0, 255),
    (255, 0, 255),
    (255, 0, 170),
    (255, 0, 85),
)
PUBLISHED_LIMBS = (
    (2, 3),
    (2, 6),
    (3, 4),
    (4, 5),
    (6, 7),
    (7, 8),
    (2, 9),
    (9, 10),
    (10, 11),
    (2, 12),
    (12, 13),
    (13, 14),
    (2, 1),
    (1, 15),
    (15, 17),
    (1, 16),
    (16, 18),
)


def pixels(person: Skeleton, width: int, height: int) -> dict[str, tuple[float, float]]:
    return {
        name: (point[0] * width, point[1] * height)
        for name, point in zip(KEYPOINTS, person, strict=True)
        if point
    }


def colours_of(image: torch.Tensor) -> set[tuple[int, ...]]:
    channels = (image * 255).round().int()
    packed = (channels[..., 0] << 16 | channels[..., 1] << 8 | channels[..., 2]).unique().tolist()
    return {(one >> 16, one >> 8 & 255, one & 255) for one in packed}


def test_limbs_and_colours_are_the_published_ones() -> None:
    assert COLOURS == PUBLISHED_COLOURS
    assert tuple((start + 1, end + 1) for start, end in LIMBS) == PUBLISHED_LIMBS
    assert len(KEYPOINTS) == 18


@every_picture
def test_everyone_stands_in_their_column_inside_the_picture(
    count: int, width: int, height: int
) -> None:
    people = skeletons(count, width, height)
    assert len(people) == count
    masks = columns(count, width, height, softness_px=0).masks
    for person, mask in zip(people, masks, strict=True):
        found = pixels(person, width, height)
        assert set(KEYPOINTS) - set(found) <= {"left_ankle", "right_ankle"}
        assert all(mask[int(y), int(x)] == 1 for x, y in found.values())
    necks = [pixels(person, width, height)["neck"][0] for person in people]
    assert necks == pytest.approx([(person + 0.5) * width / count for person in range(count)])


@every_picture
def test_anatomy_is_symmetric_and_arms_are_crossed(count: int, width: int, height: int) -> None:
    for person in skeletons(count, width, height):
        at = pixels(person, width, height)
        middle = at["neck"][0]
        for name in ("shoulder", "elbow", "wrist", "hip", "knee", "eye", "ear"):
            (right_x, right_y), (left_x, left_y) = at[f"right_{name}"], at[f"left_{name}"]
            assert left_x - middle == pytest.approx(middle - right_x)
            assert left_y == pytest.approx(right_y)
            # Seen from the front a person's right is on the left of the picture; crossed, the
            # wrists change sides.
            assert (right_x > middle) == (name == "wrist")
        assert abs(at["right_wrist"][0] - middle) < abs(at["left_elbow"][0] - middle)
        assert (
            at["right_shoulder"][1]
            < at["right_wrist"][1]
            < at["right_elbow"][1]
            < at["right_hip"][1]
        )
        assert (
            at["right_eye"][1]
            < at["nose"][1]
            < at["neck"][1]
            < at["right_hip"][1]
            < at["right_knee"][1]
        )


@every_picture
def test_proportions_are_those_of_a_grown_person(count: int, width: int, height: int) -> None:
    at = pixels(skeletons(count, width, height)[0], width, height)
    shoulders = math.dist(at["left_shoulder"], at["right_shoulder"])

    def in_shoulders(start: str, end: str) -> float:
        return math.dist(at[start], at[end]) / shoulders

    assert in_shoulders("neck", "nose") == pytest.approx(0.55, abs=0.1)
    assert in_shoulders("right_shoulder", "right_elbow") == pytest.approx(0.72, abs=0.1)
    assert in_shoulders("right_elbow", "right_wrist") == pytest.approx(0.72, abs=0.1)
    assert in_shoulders("left_hip", "right_hip") == pytest.approx(0.5, abs=0.1)
    assert in_shoulders("right_hip", "right_knee") == pytest.approx(1.15, abs=0.1)


def test_ankles_are_drawn_where_a_whole_figure_has_room_only() -> None:
    assert "left_ankle" not in pixels(skeletons(1, 1024, 576)[0], 1024, 576)
    assert "left_ankle" in pixels(skeletons(3, 576, 1024)[0], 576, 1024)


def test_people_are_as_large_as_the_picture_allows() -> None:
    def height_to_knee(count: int, width: int, height: int) -> float:
        at = pixels(skeletons(count, width, height)[0], width, height)
        return at["right_knee"][1] - at["right_eye"][1]

    assert height_to_knee(2, 1024, 576) == pytest.approx(576 * 0.8, abs=15)
    assert height_to_knee(4, 1024, 1024) == pytest.approx(height_to_knee(2, 512, 1024))


@every_picture
def test_the_picture_has_the_published_colours_and_no_other(
    count: int, width: int, height: int
) -> None:
    image = arms_crossed(count, width, height)
    assert image.shape == (1, height, width, 3)
    assert image.dtype == torch.float32
    drawn = colours_of(image)
    whole = skeletons(count, width, height)[0][KEYPOINTS.index("left_ankle")] is not None
    shown = [number for number, name in enumerate(KEYPOINTS) if whole or "ankle" not in name]
    limbs = [
        number
        for number, limb in enumerate(PUBLISHED_LIMBS)
        if {limb[0] - 1, limb[1] - 1} <= set(shown)
    ]
    dimmed = {tuple(channel * 3 // 5 for channel in PUBLISHED_COLOURS[number]) for number in limbs}
    assert drawn <= {(0, 0, 0)} | {PUBLISHED_COLOURS[number] for number in shown} | dimmed
    # Small figures hide a limb or two between eyes and nose.
    assert len(drawn) >= 1 + len(shown) + len(limbs) - 4
    for person in skeletons(count, width, height):
        for number in shown:
            x, y = person[number][0] * width, person[number][1] * height
            assert (
                tuple((image[0, int(y), int(x)] * 255).round().int().tolist()) in PUBLISHED_COLOURS
            )


def test_the_drawing_is_limbs_as_ellipses_in_order_and_dots_above() -> None:
    """Against the formula of each shape, pixel by pixel, leaving out those within a pixel of an
    outline.
    """
    size, stick = 512, STICK_PX * 512
    person = skeletons(1, size, size)[0]
    y, x = torch.meshgrid(torch.arange(size) + 0.5, torch.arange(size) + 0.5, indexing="ij")
    wanted, doubtful = torch.zeros(size, size, 3), torch.zeros(size, size, dtype=torch.bool)

    def paint(inside_by_px: torch.Tensor, colour: torch.Tensor) -> None:
        wanted[inside_by_px > 0] = colour
        doubtful.logical_or_(inside_by_px.abs() <= 1.3)

    for number, (start, end) in enumerate(PUBLISHED_LIMBS):
        if not person[start - 1] or not person[end - 1]:
            continue
        (ax, ay), (bx, by) = (
            (point[0] * size, point[1] * size) for point in (person[start - 1], person[end - 1])
        )
        half = math.dist((ax, ay), (bx, by)) / 2
        along = ((x - (ax + bx) / 2) * (bx - ax) + (y - (ay + by) / 2) * (by - ay)) / (2 * half)
        across = ((y - (ay + by) / 2) * (bx - ax) - (x - (ax + bx) / 2) * (by - ay)) / (2 * half)
        radius = torch.hypot(along / half, across / stick)
        paint((1 - radius) * stick, torch.tensor(PUBLISHED_COLOURS[number]) * 0.6)
    for number, point in enumerate(person):
        if point:
            paint(
                stick - torch.hypot(x - point[0] * size, y - point[1] * size),
                torch.tensor(PUBLISHED_COLOURS[number]).float(),
            )
    found = draw((person,), size, size)[0] * 255
    assert doubtful.float().mean() < 0.05
    assert (wanted[~doubtful].amax(-1) > 0).sum() > 2000
    torch.testing.assert_close(found[~doubtful], wanted[~doubtful], atol=0.5, rtol=0)


def test_a_keypoint_that_is_missing_takes_its_limbs_with_it() -> None:
    person = skeletons(1, 256, 256)[0]
    without = tuple(
        None if name == "left_elbow" else point
        for name, point in zip(KEYPOINTS, person, strict=True)
    )
    lost = colours_of(draw((person,), 256, 256)) - colours_of(draw((without,), 256, 256))
    # The dot of keypoint 6, and the limbs 4 and 5 on both its sides.
    assert lost == {PUBLISHED_COLOURS[6], (102, 153, 0), (51, 153, 0)}


@pytest.mark.parametrize("numbers", [(0, 64, 64), (1, 0, 64), (1, 64, -1)])
def test_a_pose_of_nobody_or_nowhere_is_refused(numbers: tuple[int, int, int]) -> None:
    with pytest.raises(
        ImageError,
        match=(
            f"A pose of {numbers[0]} people in {numbers[1]}x{numbers[2]} px; expected 1 or more of"
            " each."
        ),
    ):
        arms_crossed(*numbers)
