"""Geometry of the nine anchors: tables of known sizes, and properties over all sizes."""

from __future__ import annotations

import pytest
from comfyui_astria.nodes.errors import ImageError
from comfyui_astria.nodes.outpaint.geometry import (
    ANCHORS,
    Canvas,
    Rect,
    SmallerPolicy,
    place,
    shrunk_size,
    smaller_note,
)
from hypothesis import assume, given
from hypothesis import strategies as st

MIRRORED = {"left": "right", "right": "left"}
FLIPPED = {"top": "bottom", "bottom": "top"}
TRANSPOSED = {
    "top-left": "top-left", "top-center": "left-center", "top-right": "bottom-left",
    "left-center": "top-center", "center": "center", "right-center": "bottom-center",
    "bottom-left": "top-right", "bottom-center": "right-center", "bottom-right": "bottom-right",
}  # fmt: skip

sizes = st.tuples(st.integers(1, 60), st.integers(1, 60))
anchors = st.sampled_from(ANCHORS)
multiples = st.sampled_from((1, 8, 16))
policies = st.sampled_from(("crop", "shrink"))


def renamed(anchor: str, names: dict[str, str]) -> str:
    return "-".join(names.get(word, word) for word in anchor.split("-"))


def test_the_nine_anchors_stand_in_reading_order() -> None:
    assert ANCHORS == (
        "top-left", "top-center", "top-right",
        "left-center", "center", "right-center",
        "bottom-left", "bottom-center", "bottom-right",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("source", "target", "anchor", "window"),
    [
        ((576, 864), (864, 1296), "top-center", Rect(144, 0, 576, 864)),
        ((1024, 1024), (1792, 1024), "top-center", Rect(384, 0, 1024, 1024)),
        ((1024, 1024), (1792, 1024), "left-center", Rect(0, 0, 1024, 1024)),
        ((512, 512), (1024, 768), "bottom-right", Rect(512, 256, 512, 512)),
        ((5, 5), (8, 10), "center", Rect(1, 2, 5, 5)),
    ],
)
def test_window_of_a_grown_canvas(
    source: tuple[int, int], target: tuple[int, int], anchor: str, window: Rect
) -> None:
    canvas = place(*source, *target, anchor)
    assert canvas.window == window
    assert canvas.source_crop == Rect(0, 0, *source)
    assert (canvas.width, canvas.height) == target


def test_crop_keeps_the_part_at_the_same_anchor() -> None:
    canvas = place(1000, 1500, 865, 1297, "top-center", smaller="crop")
    assert canvas.source_crop == Rect(67, 0, 865, 1297)
    assert canvas.window == Rect(0, 0, 865, 1297)
    assert canvas.is_empty_mask


def test_crop_on_one_axis_grows_on_the_other() -> None:
    canvas = place(100, 50, 60, 80, "bottom-right")
    assert canvas.source_crop == Rect(40, 0, 60, 50)
    assert canvas.window == Rect(0, 30, 60, 50)
    assert not canvas.is_empty_mask


@pytest.mark.parametrize(
    ("source", "target", "shrunk"),
    [
        ((1000, 1500), (500, 500), (333, 500)),
        ((1500, 1000), (500, 500), (500, 333)),
        ((1024, 1024), (1792, 512), (512, 512)),
        ((100, 50), (60, 80), (60, 30)),
        ((5, 3), (4, 3), (4, 2)),
        ((1, 5000), (100, 100), (1, 100)),
        ((5000, 1), (100, 100), (100, 1)),
        ((40, 30), (40, 30), (40, 30)),
        ((40, 30), (90, 31), (40, 30)),
    ],
)
def test_shrunk_size(
    source: tuple[int, int], target: tuple[int, int], shrunk: tuple[int, int]
) -> None:
    assert shrunk_size(*source, *target) == shrunk
    canvas = place(*source, *target, "center", smaller="shrink")
    assert (canvas.source_width, canvas.source_height) == shrunk
    assert canvas.source_crop == Rect(0, 0, *shrunk)


@pytest.mark.parametrize(
    ("anchor", "offset"),
    [
        ("top-left", (0, 0)),
        ("center", (0, 0)),
        ("right-center", (6, 0)),
        ("bottom-center", (0, 3)),
        ("bottom-right", (6, 3)),
    ],
)
def test_padding_lies_on_the_far_side(anchor: str, offset: tuple[int, int]) -> None:
    canvas = place(10, 10, 42, 29, anchor, multiple=16)
    assert (canvas.padded_width, canvas.padded_height) == (48, 32)
    assert canvas.padded_offset == offset
    assert canvas.padded_window == Rect(
        canvas.window.x + offset[0], canvas.window.y + offset[1], 10, 10
    )


@given(sizes, sizes, anchors, multiples, policies)
def test_every_rectangle_lies_in_its_picture(
    source: tuple[int, int], target: tuple[int, int], anchor: str, multiple: int, policy: str
) -> None:
    canvas = place(*source, *target, anchor, multiple=multiple, smaller=policy)
    axes = zip(
        (canvas.window.x, canvas.window.y),
        (canvas.window.width, canvas.window.height),
        (canvas.source_crop.x, canvas.source_crop.y),
        (canvas.source_crop.width, canvas.source_crop.height),
        (canvas.source_width, canvas.source_height),
        (canvas.padded_width, canvas.padded_height),
        canvas.padded_offset,
        target,
        strict=True,
    )
    for window, length, crop, crop_length, scaled, padded, offset, size in axes:
        assert length == crop_length == min(scaled, size)
        assert 0 <= window <= size - length
        assert 0 <= crop <= scaled - length
        assert padded % multiple == 0
        assert size <= padded < size + multiple
        assert 0 <= offset <= padded - size
    covered = canvas.window.width * canvas.window.height == target[0] * target[1]
    assert canvas.is_empty_mask == covered


@given(sizes, sizes, anchors, policies)
def test_an_anchor_touches_its_edges(
    source: tuple[int, int], target: tuple[int, int], anchor: str, policy: str
) -> None:
    canvas = place(*source, *target, anchor, smaller=policy)
    window, crop = canvas.window, canvas.source_crop
    after = (
        canvas.width - window.x - window.width + canvas.source_width - crop.x - crop.width,
        canvas.height - window.y - window.height + canvas.source_height - crop.y - crop.height,
    )
    before = (window.x + crop.x, window.y + crop.y)
    words = anchor.split("-")
    for axis, (first, last) in enumerate((("left", "right"), ("top", "bottom"))):
        if first in words:
            assert before[axis] == 0
        elif last in words:
            assert after[axis] == 0
        else:
            # An odd difference leaves its extra pixel to the right or the bottom.
            assert after[axis] - before[axis] in (0, 1)


@given(sizes, sizes, anchors, policies)
def test_mirrored_anchor_mirrors_the_window(
    source: tuple[int, int], target: tuple[int, int], anchor: str, policy: str
) -> None:
    canvas = place(*source, *target, anchor, smaller=policy)
    mirror = place(*source, *target, renamed(anchor, MIRRORED), smaller=policy)
    flip = place(*source, *target, renamed(anchor, FLIPPED), smaller=policy)
    window = canvas.window
    off_x = mirror.window.x - (canvas.width - window.x - window.width)
    off_y = flip.window.y - (canvas.height - window.y - window.height)
    centred_x = "left" not in anchor and "right" not in anchor
    centred_y = "top" not in anchor and "bottom" not in anchor
    assert -off_x == (
        centred_x and canvas.width > window.width and (canvas.width - window.width) % 2
    )
    assert -off_y == (
        centred_y and canvas.height > window.height and (canvas.height - window.height) % 2
    )


@given(sizes, sizes, anchors, multiples)
def test_transposed_anchor_transposes_the_canvas(
    source: tuple[int, int], target: tuple[int, int], anchor: str, multiple: int
) -> None:
    canvas = place(*source, *target, anchor, multiple=multiple)
    across = place(*source[::-1], *target[::-1], TRANSPOSED[anchor], multiple=multiple)
    assert across.window == transposed(canvas.window)
    assert across.source_crop == transposed(canvas.source_crop)
    assert across.padded_offset == canvas.padded_offset[::-1]


@given(sizes, sizes, anchors)
def test_growing_then_cropping_at_the_same_anchor_gives_back_the_source(
    source: tuple[int, int], extra: tuple[int, int], anchor: str
) -> None:
    grown = (source[0] + extra[0], source[1] + extra[1])
    assert place(*grown, *source, anchor).source_crop == place(*source, *grown, anchor).window


@given(sizes, st.integers(1, 60), multiples, policies)
def test_anchors_coincide_on_an_axis_that_the_source_fills(
    source: tuple[int, int], height: int, multiple: int, policy: str
) -> None:
    assume(policy == "crop" or height >= source[1])
    for row in (ANCHORS[:3], ANCHORS[3:6], ANCHORS[6:]):
        assert (
            len(
                {
                    place(*source, source[0], height, anchor, multiple=multiple, smaller=policy)
                    for anchor in row
                }
            )
            == 1
        )
    same = {
        place(*source, *source, anchor, multiple=multiple, smaller=policy) for anchor in ANCHORS
    }
    assert len(same) == 1
    assert same.pop().is_empty_mask


@given(sizes, sizes, anchors)
def test_shrink_contains_the_source_and_keeps_its_shape(
    source: tuple[int, int], target: tuple[int, int], anchor: str
) -> None:
    canvas = place(*source, *target, anchor, smaller="shrink")
    scaled = (canvas.source_width, canvas.source_height)
    if source[0] <= target[0] and source[1] <= target[1]:
        assert scaled == source
        return
    scale = min(target[0] / source[0], target[1] / source[1])
    assert any(side == limit for side, limit in zip(scaled, target, strict=True))
    for side, whole in zip(scaled, source, strict=True):
        assert side == 1 or abs(side - whole * scale) <= 0.5 + 1e-9


@pytest.mark.parametrize(
    ("target", "smaller", "told"),
    [
        ((641, 480), "crop", ""),
        ((640, 481), "shrink", ""),
        ((640, 480), "crop", "nothing new is painted. Make the canvas larger."),
        ((600, 900), "crop", "40 px of its width are cut off."),
        ((700, 400), "crop", "80 px of its height are cut off."),
        ((600, 480), "crop", "40 px of its width are cut off, and nothing new is painted."),
        ((600, 400), "crop", "40 px of its width and 80 px of its height are cut off, and"),
        ((320, 480), "shrink", "it is scaled down to 320x240."),
        ((320, 240), "shrink", "it is scaled down to 320x240, and nothing new is painted. Make"),
    ],
)
def test_what_a_canvas_no_larger_does_is_said(
    target: tuple[int, int], smaller: SmallerPolicy, told: str
) -> None:
    canvas = place(640, 480, *target, "top-left", smaller=smaller)
    note = smaller_note(canvas, 640, 480)
    expected = f"The picture is 640x480 and its canvas {target[0]}x{target[1]}: {told}"
    assert note.startswith(expected) if told else not note
    assert ("choose shrink" in note) == ("cut off" in told)


def test_error_policy_names_both_sizes() -> None:
    with pytest.raises(
        ImageError, match=r"canvas of 512x900 is smaller than the source image of 640x480"
    ) as caught:
        place(640, 480, 512, 900, "center", smaller="error")
    assert caught.value.code == "outpaint_smaller"
    assert "crop or shrink" in caught.value.hint


def test_error_policy_lets_a_larger_canvas_pass() -> None:
    assert place(640, 480, 640, 900, "center", smaller="error").window == Rect(0, 210, 640, 480)


@pytest.mark.parametrize(
    ("anchor", "hint"),
    [
        ("topleft", "Did you mean 'top-left'?"),
        ("center-left", "Did you mean"),
        ("Center", "Did you mean 'center'?"),
        ("xyz", "The anchor names where the source sits on the new canvas."),
    ],
)
def test_unknown_anchor_offers_the_closest(anchor: str, hint: str) -> None:
    with pytest.raises(
        ImageError, match=f"'{anchor}' is not an anchor; expected one of top-left, "
    ) as caught:
        place(8, 8, 16, 16, anchor)
    assert caught.value.code == "outpaint_anchor"
    assert caught.value.hint.startswith(hint)


@pytest.mark.parametrize(
    ("arguments", "options", "code", "words"),
    [
        ((0, 8, 16, 16), {}, "outpaint_size", "the source image is 0x8 pixels"),
        ((8, 8, 16, -16), {}, "outpaint_size", "the canvas is 16x-16 pixels"),
        ((8, 8, 16, 16), {"multiple": 0}, "outpaint_multiple", "a multiple of 0"),
        ((8, 8, 16, 16), {"smaller": "stretch"}, "outpaint_policy", "'stretch' is not a policy"),
    ],
)
def test_bad_values_are_named(
    arguments: tuple[int, int, int, int], options: dict[str, int | str], code: str, words: str
) -> None:
    with pytest.raises(ImageError, match=words) as caught:
        place(*arguments, "center", **options)
    assert caught.value.code == code
    assert caught.value.hint


def transposed(rect: Rect) -> Rect:
    return Rect(rect.y, rect.x, rect.height, rect.width)


def test_canvas_is_a_plain_value() -> None:
    canvas = place(8, 8, 16, 16, "center")
    assert canvas == Canvas(16, 16, 16, 16, (0, 0), Rect(4, 4, 8, 8), Rect(0, 0, 8, 8), 8, 8)
