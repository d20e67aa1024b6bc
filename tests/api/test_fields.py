"""Fields of a request, spelled as programs spell them."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from comfyui_astria.nodes.api.fields import (
    LARGEST_INDEX,
    nested,
    notices_of,
    prompt_attributes,
    wrapped,
)
from comfyui_astria.nodes.api.json_text import from_json
from comfyui_astria.nodes.net.problems import ApiError, Problems, envelope, problem
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        (
            [("tune[title]", "a"), ("tune[images][]", "1"), ("tune[images][]", "2")],
            {"tune": {"title": "a", "images": ["1", "2"]}},
        ),
        ([("title", "a")], {"title": "a"}),
        (
            [("p[0][text]", "a"), ("p[1][text]", "b"), ("p[0][w]", "8")],
            {"p": [{"text": "a", "w": "8"}, {"text": "b"}]},
        ),
        ([("p[10][t]", "b"), ("p[9][t]", "a")], {"p": [{"t": "a"}, {"t": "b"}]}),
        (
            [("p[][t]", "a"), ("p[][w]", "8"), ("p[][t]", "b")],
            {"p": [{"t": "a", "w": "8"}, {"t": "b"}]},
        ),
        ([("p[][t][]", "a"), ("p[][t][]", "b")], {"p": [{"t": ["a", "b"]}]}),
        ([("t[p][0][i]", "x")], {"t": {"p": [{"i": "x"}]}}),
        ([], {}),
    ],
)
def test_brackets_spell_objects_and_lists(
    pairs: list[tuple[str, str]], expected: dict[str, Any]
) -> None:
    assert nested(pairs) == expected


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([("a[b", "1")], "'a\\[b' is no name"),
        ([("", "1")], "'' is no name"),
        ([("[a]", "1")], "is no name"),
        ([("a" * 300, "1")], "is no name"),
        ([("a", "1"), ("a", "2")], "'a' is given twice"),
        ([("a", "1"), ("a[b]", "2")], "at once"),
        ([("a[]", "1"), ("a[b]", "2")], "at once"),
        ([(f"a[{LARGEST_INDEX + 1}]", "1")], "item number above"),
        ([("a[9999999999999999999]", "1")], "item number above"),
        ([("a[1]", "1"), ("a[01]", "1")], "one number twice"),
    ],
)
def test_what_cannot_be_meant_is_refused(pairs: list[tuple[str, str]], message: str) -> None:
    with pytest.raises(ApiError, match=message) as refused:
        nested(pairs)
    assert refused.value.status == 400


KEYS = st.text("abc", min_size=1, max_size=3)
VALUES = st.recursive(
    st.text(max_size=3),
    lambda inner: st.dictionaries(KEYS, inner, min_size=1, max_size=3),
    max_leaves=6,
)


def spelled(value: Any, name: str) -> list[tuple[str, str]]:
    if not isinstance(value, dict):
        return [(name, value)]
    return [pair for key, inner in value.items() for pair in spelled(inner, f"{name}[{key}]")]


@given(st.dictionaries(KEYS, VALUES, max_size=3))
def test_any_object_can_be_spelled(value: dict[str, Any]) -> None:
    assert nested([pair for key, inner in value.items() for pair in spelled(inner, key)]) == value


@given(st.lists(st.tuples(st.text("ab01[]", max_size=12), st.just("v")), max_size=6))
def test_any_spelling_is_read_or_refused(pairs: list[tuple[str, str]]) -> None:
    with contextlib.suppress(ApiError):
        json.dumps(nested(pairs))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[1]",
        b'"a"',
        b"{",
        b"\xff{}",
        b'{"a": NaN}',
        b"[" * 8,
        b'{"a": ' + b"1" * 10_000 + b"}",
        b'{"a": 1e999}',
        b'{"a": "b',
        '{"a": 1}'.encode("utf-16"),
    ],
)
def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(ApiError) as refused:
        from_json(body)
    assert (refused.value.code, refused.value.status) == ("bad-json", 400)


def test_attributes_come_wrapped_or_plain_and_what_stands_beside_them_is_named() -> None:
    assert (
        wrapped({"tune": {"title": "a"}}, "tune")
        == wrapped({"title": "a"}, "tune")
        == ({"title": "a"}, ())
    )
    assert wrapped({"prompt": "a cat", "w": 8}, "prompt") == ({"prompt": "a cat", "w": 8}, ())
    assert wrapped({"prompt": {"text": "a cat"}, "w": 8, "h": 8}, "prompt") == (
        {"text": "a cat"},
        ("w", "h"),
    )
    assert notices_of(("w",), "prompt") == [
        "'w' is not read: attributes stand inside prompt, as prompt[...]."
    ]
    with pytest.raises(ApiError, match="expected an object"):
        wrapped({"tune": "a"}, "tune")


def test_a_prompt_may_be_spelled_as_the_first_of_a_tune() -> None:
    for number in ("0", "1"):
        sent = nested(
            [
                ("prompt[text]", "a cat"),
                (f"tune[prompts_attributes][{number}][input_image]", "1.jpg"),
                ("tune[title]", "t"),
                ("w", "8"),
            ]
        )
        assert prompt_attributes(sent) == (
            {"text": "a cat", "input_image": "1.jpg"},
            ("w", "tune[title]"),
        )
    assert prompt_attributes({"tune": {"prompts_attributes": [{"text": "a cat"}]}}) == (
        {"text": "a cat"},
        (),
    )
    assert prompt_attributes({"text": "a cat", "tune": {"title": "t"}}) == (
        {"text": "a cat", "tune": {"title": "t"}},
        (),
    )
    for one in ([], [{}, {}], ["a"], {"text": "a"}):
        with pytest.raises(ApiError, match="no list of one prompt"):
            prompt_attributes({"prompt": {"text": "a"}, "tune": {"prompts_attributes": one}})
    with pytest.raises(ApiError, match="'text' is given both"):
        prompt_attributes(
            {"prompt": {"text": "a"}, "tune": {"prompts_attributes": [{"text": "b"}]}}
        )


def test_json_may_number_prompts_as_forms_do() -> None:
    numbered = {"10": {"text": "b"}, "9": {"text": "a"}}
    listed = {"prompts_attributes": [{"text": "a"}, {"text": "b"}]}
    for sent in ({"prompts_attributes": numbered}, {"tune": {"prompts_attributes": numbered}}):
        assert wrapped(sent, "tune") == (listed, ())
    one = {"tune": {"prompts_attributes": {"0": {"text": "a cat"}}}}
    assert prompt_attributes(one) == ({"text": "a cat"}, ())
    with pytest.raises(ApiError, match="item number above"):
        wrapped({"prompts_attributes": {"501": {"text": "a"}}}, "tune")
    characteristics = {"characteristics": {"0": "x"}}
    assert wrapped(characteristics, "tune") == (characteristics, ())


def test_problems_are_told_together() -> None:
    found = Problems()
    found.refuse()
    assert not found
    with found.noting("title"):
        raise ApiError("no title", code="a", hint="send one", status=404)
    with pytest.raises(ApiError) as alone:
        found.refuse()
    assert (alone.value.message, alone.value.hint, alone.value.status) == (
        "no title",
        "send one",
        404,
    )
    with found.noting("prompts[0]"):
        raise ApiError(
            "both", code="b", problems=[problem("b", "one", field="w"), problem("c", "two")]
        )
    with pytest.raises(ApiError, match="no title\nboth\nmore") as refused:
        found.refuse([problem("d", "more", field="text")])
    told = refused.value
    assert (told.code, told.status) == ("a", 404)
    assert [(one["code"], one["field"]) for one in told.problems] == [
        ("a", "title"),
        ("b", "prompts[0][w]"),
        ("c", "prompts[0]"),
        ("d", "text"),
    ]


def test_the_envelope_is_the_hosts() -> None:
    told = envelope(ApiError("no", code="c", hint="do"))
    assert told["error"] == {
        "type": "c",
        "message": "no",
        "details": "do",
        "extra_info": {
            "problems": [
                {"code": "c", "severity": "error", "message": "no", "hint": "do", "field": ""}
            ]
        },
    }
    assert told["node_errors"] == {}
    assert told["message"] == "no. do"


def test_one_line_says_all_that_is_wrong() -> None:
    found = Problems()
    found.note(ApiError("a is 1.", code="a", hint="Write 2."), "a")
    found.note(ApiError("b is 3\nand c is 4", code="b"), "b")
    with pytest.raises(ApiError) as refused:
        found.refuse()
    told = envelope(refused.value)
    assert told["message"] == (
        "a is 1; b is 3; and c is 4. extra_info lists every problem, with its place where it has"
        " one."
    )
    assert envelope(ApiError("a\n  ^ caret", code="a"))["message"] == "a; ^ caret."
