"""`{{eye_color}}` in prompts: what counts as one, how it is filled, and where errors then are."""

from __future__ import annotations

import re

import pytest
from comfyui_astria.nodes.api.packs.placeholders import (
    MAX_CHARACTERISTICS,
    MOST_PROBLEMS,
    Filling,
    asks_for,
    characteristics_of,
    fill,
    filled_back,
    has_placeholders,
)
from comfyui_astria.nodes.net.problems import ApiError, problem
from hypothesis import given
from hypothesis import strategies as st

EYES = {"eye_color": "green eyes"}


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("a {{eye_color}} cat", "a green eyes cat"),
        ("{{ eye_color }}{{eye_color}}", "green eyesgreen eyes"),
        ("{eye_color}", "{eye_color}"),
        ("{{{eye_color}}}", "{{{eye_color}}}"),
        ("{{a|b}} {{}} {{1x}} {{two words}}", "{{a|b}} {{}} {{1x}} {{two words}}"),
    ],
)
def test_two_braces_and_a_name_are_a_placeholder(text: str, filled: str) -> None:
    found, _ = fill({"text": text, "w": 64}, EYES, "tune 7")
    assert found == {"text": filled, "w": 64}
    assert has_placeholders({"text": text}) == (text != filled)


def test_a_placeholder_without_a_value_is_told_with_its_place() -> None:
    sent = {"text": "ohwx man,\n{{hair}} and {{eye_color}}", "negative_prompt": "{{nose}}"}
    with pytest.raises(ApiError, match=r"\{\{hair\}\} has no value: tune 7") as caught:
        fill(sent, EYES, "tune 7")
    hair, nose = caught.value.problems
    assert (hair["field"], hair["line"], hair["column"]) == ("text", 2, 1)
    assert sent["text"][hair["start"] : hair["end"]] == "{{hair}}"
    assert (nose["field"], nose["start"], nose["end"]) == ("negative_prompt", 0, 8)
    assert "eye_color" in hair["hint"]


@given(st.lists(st.sampled_from(["{{a}}", "{{b}}", "x", " yy ", "\n", "{{empty}}"]), max_size=8))
def test_places_lead_back_to_the_text_that_was_sent(pieces: list[str]) -> None:
    sent = "".join(pieces)
    values = {"a": "long words", "b": "s", "empty": ""}
    _, fillings = fill({"text": sent}, values, "")
    filling = fillings.get("text", Filling(sent, sent, ()))
    for word in re.finditer(r"x|yy", filling.text):
        start, end = filling.back(word.start(), word.end())
        assert sent[start:end] == word[0]
    for word in re.finditer("long words", filling.text):
        assert sent[slice(*filling.back(word.start(), word.end()))] == "{{a}}"
        assert sent[slice(*filling.back(word.start() + 2, word.end() - 3))] == "{{a}}"


def test_an_error_behind_a_placeholder_is_told_where_it_was_sent() -> None:
    sent = "a {{eye_color}}\n<lora:x:abc>"
    filled, fillings = fill({"text": sent}, EYES, "")
    at = filled["text"].index("abc")
    told = {**problem("bad-number", "no", "", "text"), "start": at, "end": at + 3, "line": 2}
    other = problem("bad", "no", "", "w")
    error = ApiError("no", code="bad-number", problems=[told, other])
    mended, same = filled_back(error, fillings).problems
    assert sent[mended["start"] : mended["end"]] == "abc"
    assert (mended["line"], mended["column"]) == (2, 9)
    assert same == other


def test_characteristics_are_read_from_objects_and_json() -> None:
    given = {"eye_color": " green eyes ", "glasses": None, "age": 30, "blurry": False, "x": ""}
    expected = {"eye_color": "green eyes", "age": "30", "blurry": "false"}
    assert characteristics_of(given) == expected
    assert characteristics_of('{"eye_color": "blue"}') == {"eye_color": "blue"}
    kept = {"a": "eyes: green, (hair:1.2)", "b": "with num_images=8", "c": "x=y", "d": "Seed: 5"}
    assert characteristics_of(kept) == kept
    assert characteristics_of(None) == characteristics_of("") == {}


@pytest.mark.parametrize(
    "given",
    [
        "green eyes",
        ["green"],
        {"two words": "x"},
        {"a": ["x"]},
        {"a": "x" * 1001},
        {"a": "b --outpaint center"},
        {"a": "<lora:1:1>"},
        {"a": "one\ntwo"},
        {"a": "{{b}}"},
        {"a": "\ud800"},
        {"a": "num_images=8"},
        {"a": "w=many"},
        {"a": "Steps: 20, Seed: 5"},
        {"a": "Negative prompt: z"},
        {f"a{number}": "x" for number in range(MAX_CHARACTERISTICS + 1)},
        {f"a{number}": "x" * 1000 for number in range(10)},
    ],
)
def test_error_what_is_no_plain_words_is_no_characteristic(given: object) -> None:
    with pytest.raises(ApiError, match="characteristics"):
        characteristics_of(given)


def test_a_text_may_ask_for_its_tune() -> None:
    assert asks_for({"text": "{{ tune }} a man"}, "tune")
    assert not asks_for({"text": "tune {tune} {{{tune}}}", "w": "{{tune}}"}, "tune")


def test_texts_without_an_end_are_not_filled() -> None:
    assert has_placeholders({"text": "{{a}}" * 20_000})
    assert not has_placeholders({"text": "{{a}}" * 20_001})
    with pytest.raises(ApiError) as caught:
        fill({"text": "{{a}}" * 20_000}, {}, "tune 7")
    assert len(caught.value.problems) == MOST_PROBLEMS
