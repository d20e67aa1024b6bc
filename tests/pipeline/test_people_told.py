"""The persons of a request in the reports: words, tags and places."""

from __future__ import annotations

from pathlib import Path

import pytest
from comfyui_astria.nodes.families.family import FAMILIES
from comfyui_astria.nodes.pipeline.compiling import CompileOptions
from comfyui_astria.nodes.pipeline.explain import explain
from comfyui_astria.nodes.pipeline.people_told import people_lines
from comfyui_astria.nodes.prompt import PromptRequest
from comfyui_astria.tests.pipeline.support import (
    draft_text,
    equipped,
    plan_text,
    resolver,
    store_with_photos,
)

TWO = "a bar BREAK noir BREAK <lora:1533312:0.8> ohwx woman BREAK (man:1.2)"


def lines(text: str, **sockets: bool) -> list[str]:
    return people_lines(PromptRequest.require(text), equipped(text, **sockets).graph)


def test_each_person_has_words_tags_and_a_place() -> None:
    assert people_lines(PromptRequest.require(TWO), plan_text(TWO).graph) == [
        "person 1: ohwx woman; <lora:1533312:0.8>; stands in column 1 of 2 from the left, all"
        " equally wide",
        "person 2: (man:1.2); no LoRA or FaceID of their own; stands in column 2 of 2 from the"
        " left, all equally wide",
    ]
    assert people_lines(PromptRequest.require("a bar"), plan_text("a bar").graph) == []


def test_a_person_drawn_with_a_checkpoint_names_its_file() -> None:
    text = "a bar BREAK noir BREAK <lora:rv51:1> ohwx woman BREAK man"
    first, second = people_lines(PromptRequest.require(text), plan_text(text).graph)
    assert "; drawn with the checkpoint rv51.safetensors; stands" in first
    assert "checkpoint" not in second


@pytest.mark.parametrize(
    ("more", "sockets", "place"),
    [
        ("", {"person_masks": True}, "stands in mask 1 of person_masks"),
        ("", {"image": True, "person_masks": True}, "stands in mask 1 of person_masks"),
        (
            "",
            {"image": True},
            "stands where person 1 from the left is found in the input image",
        ),
        (
            "\ncontrolnet=pose",
            {"control_image": True},
            "stands where figure 1 from the left of the pose picture is",
        ),
        ("", {}, "stands in column 1 of 2 from the left, all equally wide"),
    ],
)
def test_the_place_is_the_one_of_the_plan(more: str, sockets: dict[str, bool], place: str) -> None:
    assert lines(TWO + more, **sockets)[0].endswith(f"; {place}")


def test_faces_are_tags_too_and_long_words_are_cut(tmp_path: Path) -> None:
    text = f"a bar BREAK BREAK <faceid:7:0.9> {'long words ' * 20}"
    [line] = people_lines(
        PromptRequest.require(text), equipped(text, store=store_with_photos(tmp_path, 7)).graph
    )
    assert "; <faceid:7:0.9>; " in line
    assert " \N{HORIZONTAL ELLIPSIS}; " in line
    assert len(line) < 220


def test_explain_lists_the_persons_of_a_plan_that_cannot_run_as_well() -> None:
    text = "a bar BREAK BREAK <lora:nobody:1> woman BREAK masterpiece"
    report = explain(
        PromptRequest.require(text), resolver(), CompileOptions(), FAMILIES["sd15"]
    ).text
    people = report[report.index("People\n") : report.index("Sampler calls")]
    assert "  person 1: woman; <lora:nobody:1.0>; stands in column 1 of 2" in people
    assert "  person 2: masterpiece; no LoRA" in people


def test_where_nothing_is_laid_out_no_place_is_told() -> None:
    text = " BREAK ".join(["scene", "", *(f"person {n}" for n in range(9))])
    found = people_lines(PromptRequest.require(text), draft_text(text).graph)
    assert found[0] == "person 1: person 0; no LoRA or FaceID of their own"
