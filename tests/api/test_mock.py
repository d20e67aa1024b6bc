"""The placeholders of the mock, and the sizes that are asked for."""

from __future__ import annotations

import io

import pytest
from comfyui_astria.nodes.api.pictures.mock import (
    MAX_WORDS,
    Placeholder,
    asked_size,
    check_area,
    drawn,
    saved,
)
from comfyui_astria.nodes.families.family import FAMILIES
from comfyui_astria.nodes.net.problems import ApiError
from comfyui_astria.nodes.prompt import PromptRequest
from PIL import Image


def pixels(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content)).convert("RGB")


def test_a_placeholder_says_what_it_is() -> None:
    label = Placeholder(12, "a  cat\n" + "very " * 50, 7, 2, 4).label()
    head, tune, number, words = label.split("\n")
    assert (head, tune, number) == ("MOCK", "tune 12", "2 of 4, seed 7")
    assert words.startswith("a cat very")
    assert words.endswith("...")
    assert len(words) == MAX_WORDS


@pytest.mark.parametrize("size", [(8, 8), (64, 40), (512, 768)])
@pytest.mark.parametrize("text", ["a cat", "", "猫 \N{CAT FACE} é", "x" * 500])
def test_it_has_the_size_asked_for_whatever_its_text(size: tuple[int, int], text: str) -> None:
    assert pixels(drawn(Placeholder(1, text, 0, 1, 1), *size)).size == size


def test_its_words_and_its_seed_can_be_seen() -> None:
    first = drawn(Placeholder(1, "a cat", 5, 1, 2), 256, 256)
    assert first == drawn(Placeholder(1, "a cat", 5, 1, 2), 256, 256)
    others = [
        Placeholder(1, "a dog", 5, 1, 2),
        Placeholder(1, "a cat", 6, 1, 2),
        Placeholder(1, "a cat", 5, 2, 2),
        Placeholder(2, "a cat", 5, 1, 2),
    ]
    assert first not in [drawn(one, 256, 256) for one in others]
    assert len(pixels(first).getcolors(256 * 256)) > 8, "letters have soft edges"


@pytest.mark.parametrize(
    ("text", "picture", "expected"),
    [
        ("a cat", None, (1024, 1024)),
        ("a cat\nw=64\nh=96", (10, 20), (64, 96)),
        ("a cat\nar=4:5", None, (896, 1152)),
        ("a cat\nar=4:5", (10, 20), (10, 20)),
        ("a cat --outpaint center --outpaint_width 96 --outpaint_height 64", (10, 20), (96, 64)),
    ],
)
def test_the_size_is_the_planners(
    text: str, picture: tuple[int, int] | None, expected: tuple[int, int]
) -> None:
    request = PromptRequest.require(text)
    assert asked_size(request, FAMILIES["flux"], picture) == expected


def test_the_workflow_saves_its_pictures_in_their_order() -> None:
    nodes = saved(["a.png", "b.png", "c.png"]).nodes
    assert [one.inputs["image"] for one in nodes.values() if one.class_type == "LoadImage"] == [
        "a.png",
        "b.png",
        "c.png",
    ]
    saves = [one for one in nodes.values() if one.class_type == "SaveImage"]
    assert [one.inputs["images"].node for one in saves] == [
        f"mock.picture_{number}" for number in (1, 2, 3)
    ]
    assert sorted(nodes)[-3:] == [one.name for one in saves]


def test_error_placeholders_are_bounded_before_they_are_drawn() -> None:
    check_area(2048, 2048, 8)
    with pytest.raises(ApiError, match="2 placeholders of 16384x16384 pixels"):
        check_area(16384, 16384, 2)
