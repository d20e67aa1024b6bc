"""Regions from boxes and from pose pictures: people grown, ordered, and told apart."""

from __future__ import annotations

import random

import pytest
import torch
from comfyui_astria.nodes.errors import ImageError
from comfyui_astria.nodes.regions.layout import from_boxes, from_pose
from comfyui_astria.nodes.regions.pose import arms_crossed
from comfyui_astria.tests.regions.layout_support import assert_lawful, box, close, owners
from hypothesis import given, settings
from hypothesis import strategies as st


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.integers(0, 45), st.integers(0, 30), st.integers(2, 30), st.integers(2, 30)),
        min_size=1,
        max_size=5,
        unique=True,
    ),
    st.integers(0, 99),
)
def test_the_order_of_boxes_does_not_matter(
    places: list[tuple[int, int, int, int]], seed: int
) -> None:
    boxes = [box(*place) for place in places]
    shuffled = random.Random(seed).sample(boxes, len(boxes))

    def result(given_boxes: list) -> torch.Tensor | str:
        try:
            layout = from_boxes(given_boxes, len(boxes), 60, 45, softness_px=3)
        except ImageError as error:
            return error.message
        assert_lawful(layout, len(boxes), 60, 45, 3)
        return layout.masks

    one, other = result(boxes), result(shuffled)
    assert one == other if isinstance(one, str) else torch.equal(one, other)


@settings(max_examples=40)
@given(
    st.lists(st.integers(0, 7), min_size=1, max_size=8, unique=True),
    st.integers(2, 18),
    st.integers(0, 40),
    st.integers(4, 80),
)
def test_people_apart_own_their_boxes_left_to_right_and_mirror(
    places: list[int], width: int, y: int, height: int
) -> None:
    boxes = [box(20 * place + 1, y, width, height) for place in places]
    layout = from_boxes(boxes, len(boxes), 160, 120, softness_px=0)
    for person, place in enumerate(sorted(places), 1):
        assert (
            owners(layout)[y : y + height, 20 * place + 1 : 20 * place + 1 + width] == person
        ).all()
    flipped = [box(160 - one["x"] - one["width"], y, width, height) for one in boxes]
    soft = from_boxes(boxes, len(boxes), 160, 120, softness_px=2).masks
    close(from_boxes(flipped, len(boxes), 160, 120, softness_px=2).masks.flip(2).flip(0), soft)


def test_boxes_are_grown_for_hair_and_arms_and_the_rest_is_scene() -> None:
    found = owners(from_boxes([box(40, 40, 40, 100)], 1, 120, 200, softness_px=0))
    wanted = torch.zeros(200, 120, dtype=torch.long)
    wanted[30:150, 30:90] = 1  # a quarter of the width
    assert torch.equal(found, wanted)


@pytest.mark.parametrize(("second_x", "border"), [(60, 55), (50, 50), (40, 45)])
def test_equal_neighbours_meet_halfway_whether_apart_touching_or_overlapping(
    second_x: int, border: int
) -> None:
    found = owners(
        from_boxes([box(10, 0, 40, 50), box(second_x, 0, 40, 50)], 2, 120, 50, softness_px=0)
    )
    assert found[25, :border].tolist() == [1] * border
    assert (found[25, border : second_x + 40] == 2).all()


def test_a_wider_neighbour_gets_more_of_the_gap() -> None:
    found = owners(
        from_boxes([box(0, 0, 100, 50), box(110, 0, 20, 50)], 2, 160, 50, softness_px=0)
    )[25]
    # 58.3 from the middle of 100 px, 11.7 from that of 20: one ratio.
    assert int((found == 1).sum()) == 108
    assert (found[108:135] == 2).all()


@pytest.mark.parametrize("child_x", [12, 40, 70])
def test_a_person_inside_the_width_of_another_stands_in_front(child_x: int) -> None:
    parent, child = box(10, 10, 80, 110), box(child_x, 60, 16, 60)
    found = owners(from_boxes([parent, child], 2, 100, 120, softness_px=0))
    number = 1 if child_x + 8 < 50 else 2
    assert (found[60:120, child_x : child_x + 16] == number).all()
    assert (found[10:50, 10:90] == 3 - number).all()


def test_of_two_persons_of_one_width_the_lower_is_in_front() -> None:
    found = owners(
        from_boxes([box(10, 10, 30, 80), box(10, 50, 30, 80)], 2, 50, 130, softness_px=0)
    )
    assert (found[10:42, 25] == 1).all()
    assert (found[50:130, 25] == 2).all()


def test_a_face_stands_for_a_person_three_faces_wide_down_to_the_edge() -> None:
    found = owners(from_boxes([box(90, 60, 20, 24, "face")], 1, 200, 150, softness_px=0))
    assert (found[60:, 70:130] == 1).all()
    assert (found[42:60, 70:130] == 1).all()
    assert (found[:20] == 0).all()
    assert (found[:, :50] == 0).all()
    assert (found[:, 150:] == 0).all()


@pytest.mark.parametrize(("width", "height"), [(512, 512), (1024, 576), (576, 1024)])
@pytest.mark.parametrize("count", [1, 2, 5, 8])
def test_the_constant_pose_is_read_back_as_its_people(count: int, width: int, height: int) -> None:
    boxes = from_pose(arms_crossed(count, width, height))
    assert len(boxes) == count
    middles = [one["x"] + one["width"] / 2 for one in boxes]
    assert middles == pytest.approx(
        [(person + 0.5) * width / count for person in range(count)], abs=1.5
    )
    layout = from_boxes(boxes, count, width, height, softness_px=0)
    assert_lawful(layout, count, width, height, 0)
    drawn = arms_crossed(count, width, height)[0].amax(-1) > 0
    assert (owners(layout)[drawn] > 0).all()


def skeleton_picture(*figures: tuple[int, int, int, int]) -> torch.Tensor:
    """A pose picture 200 x 100 with one filled rectangle (x, y, width, height) for each figure."""
    picture = torch.zeros(1, 100, 200, 3)
    for x, y, width, height in figures:
        picture[0, y : y + height, x : x + width, 1] = 0.6
    return picture


def test_a_gap_within_a_figure_is_bridged_and_specks_and_noise_are_nobody() -> None:
    picture = skeleton_picture(
        (100, 10, 20, 40), (100, 52, 20, 40), (10, 10, 12, 70), (150, 50, 3, 3)
    )
    picture += 0.05 * torch.rand(picture.shape, generator=torch.Generator().manual_seed(0))
    assert from_pose(picture) == [box(10, 10, 12, 70, "person"), box(100, 10, 20, 82, "person")]


def test_the_gap_that_is_bridged_grows_with_the_picture() -> None:
    picture = (
        skeleton_picture((100, 10, 20, 40), (100, 52, 20, 40))
        .repeat_interleave(4, 1)
        .repeat_interleave(4, 2)
    )
    assert from_pose(picture) == [box(400, 40, 80, 328, "person")]


def test_boxes_follow_the_pose_picture_scaled_to_cover_and_cropped_about_its_centre() -> None:
    picture = skeleton_picture((100, 10, 20, 40))
    assert from_pose(picture, 400, 200) == [box(200, 20, 40, 80, "person")]
    assert from_pose(picture, 200, 200) == [box(100, 20, 40, 80, "person")]
    assert from_pose(picture, 200, 50) == [box(100, -15, 20, 40, "person")]


def test_a_figure_may_touch_the_edge_of_the_picture() -> None:
    assert from_pose(skeleton_picture((0, 30, 12, 70), (188, 0, 12, 50))) == [
        box(0, 30, 12, 70, "person"),
        box(188, 0, 12, 50, "person"),
    ]


def test_alpha_of_a_pose_picture_lights_nothing() -> None:
    picture = arms_crossed(2, 256, 128)
    assert from_pose(torch.cat([picture, torch.ones(1, 128, 256, 1)], 3)) == from_pose(picture)


def test_a_black_picture_holds_nobody() -> None:
    assert from_pose(torch.zeros(1, 64, 64, 3)) == []
