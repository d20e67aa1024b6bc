"""The HTTP spelling means the same as the pasted text."""

from __future__ import annotations

import pytest
from comfyui_astria.nodes.prompt import Diagnostic, ImageRef, PromptRequest, Segment


def errors(fields: dict[str, object]) -> list[Diagnostic]:
    request, diagnostics = PromptRequest.from_fields(fields)
    found = [one for one in diagnostics if one.severity == "error"]
    assert (request is None) == bool(found)
    return found


TEXT = (
    "a <lora:x:1> --mask_prompt face\nnegative_prompt=ugly BREAK"
    " <easy>\nw=64\nh=32\nface_swap=true\ncfg_scale=3.5\nfoo=bar"
)


@pytest.mark.parametrize(
    "fields",
    [
        {"text": TEXT},
        {"prompt": TEXT},
        {"prompt[text]": TEXT},
        {"prompt": {"text": TEXT}},
        {
            "prompt[text]": "a <lora:x:1> --mask_prompt face",
            "prompt[negative_prompt]": " ugly\nBREAK <easy>",
            "prompt[w]": "64",
            "prompt[h]": " 32 ",
            "prompt[face_swap]": "true",
            "prompt[cfg_scale]": "3.5",
            "prompt[foo]": "bar",
        },
        {
            "prompt": "a <lora:x:1> --mask_prompt face",
            "negative_prompt": "ugly BREAK <easy>",
            "w": 64,
            "h": 32.0,
            "face_swap": True,
            "cfg_scale": 3.5,
            "foo": "bar",
            "seed": None,
            "steps": "",
            "style": "undefined",
        },
        {"prompt": {"w": 64, "h": 32, "text": TEXT, "face_swap": 1}},
    ],
)
def test_every_spelling_is_the_same_request(fields: dict[str, object]) -> None:
    assert PromptRequest.from_fields(fields)[0] == PromptRequest.require(TEXT)


def test_no_fields_are_an_empty_request() -> None:
    assert PromptRequest.from_fields({}) == (PromptRequest(), ())


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, True),
        ("true", True),
        (1, True),
        ("1", True),
        (False, False),
        ("FALSE", False),
        (0, False),
    ],
)
def test_booleans_come_in_many_spellings(value: object, expected: bool) -> None:
    assert PromptRequest.from_fields({"face_swap": value})[0] == PromptRequest(face_swap=expected)


def test_wrapped_base64_is_joined() -> None:
    request, _ = PromptRequest.from_fields(
        {"input_image_base64": "iVBO\nRw0K\n", "mask_image": "data:image/png;base64,QUJD"}
    )
    assert request == PromptRequest(
        input_image=ImageRef("base64", "iVBORw0K"), mask_image=ImageRef("base64", "QUJD")
    )


def test_a_negative_prompt_may_hold_what_looks_like_a_parameter() -> None:
    request, _ = PromptRequest.from_fields({"negative_prompt": "a\nseed=5"})
    assert request == PromptRequest(negative=(Segment(("a seed=5",)),))
    assert PromptRequest.require(request.to_text()) == request


def test_an_unknown_field_alone_survives_printing() -> None:
    request, _ = PromptRequest.from_fields({"text": "a", "callback": "https://x"})
    assert request == PromptRequest(prompt=(Segment(("a",)),), unknown=(("callback", "https://x"),))
    assert PromptRequest.require(request.to_text()) == request


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (
            {"prompt[w]": "abc", "prompt[h]": 8},
            [
                (
                    "bad-number",
                    "prompt[w]",
                    1,
                    1,
                    "field `prompt[w]`: w: `abc` is not a whole number",
                )
            ],
        ),
        (
            {"w": 7.5, "h": 8},
            [("bad-number", "w", 1, 1, "field `w`: w: `7.5` is not a whole number")],
        ),
        ({"steps": 10**5000}, [("out-of-range", "steps", 1, 1, "field `steps`: steps: `9999")]),
        (
            {"cfg_scale": float("nan")},
            [
                (
                    "bad-number",
                    "cfg_scale",
                    1,
                    1,
                    "field `cfg_scale`: cfg_scale: `nan` is not a number",
                )
            ],
        ),
        (
            {"seed": True},
            [("bad-number", "seed", 1, 1, "field `seed`: seed: `true` is not a whole number")],
        ),
        (
            {"text": "a\n--foo"},
            [("unknown-flag", "text", 2, 1, "field `text`: `--foo` is not a known flag")],
        ),
        (
            {"negative_prompt": "\n <lora:x:1>"},
            [
                (
                    "misplaced-tag",
                    "negative_prompt",
                    2,
                    2,
                    "field `negative_prompt`: `<lora:x:1>` cannot stand",
                )
            ],
        ),
        (
            {"input_image": b"PNG"},
            [
                (
                    "bad-type",
                    "input_image",
                    1,
                    1,
                    "field `input_image`: a value of type bytes cannot be read",
                )
            ],
        ),
        (
            {"text": ["a"]},
            [("bad-type", "text", 1, 1, "field `text`: a value of type list cannot be read")],
        ),
        (
            {"a b": "c"},
            [("bad-field-name", "a b", 1, 1, "field `a b`: `a b` cannot be the name of a field")],
        ),
        ({"w": 8}, [("needs-parameter", "w", 1, 1, "field `w`: w= is set without h=")]),
        (
            {"text": "a\nseed=1", "seed": 2},
            [
                (
                    "conflict",
                    "seed",
                    1,
                    1,
                    "field `seed`: seed= is given twice with different values",
                )
            ],
        ),
        (
            {"text": "a", "prompt": "b"},
            [("conflict", "prompt", 1, 1, "field `prompt`: the prompt's text is given twice")],
        ),
        (
            {"prompt[w]": 8, "w": 16, "h": 8},
            [("conflict", "w", 1, 1, "field `w`: w= is given twice with different values")],
        ),
        (
            {"text": "(a:500)"},
            [("out-of-range", "text", 1, 2, "field `text`: the weight of the text from here")],
        ),
    ],
)
def test_a_diagnostic_names_its_field(
    fields: dict[str, object], expected: list[tuple[str, str, int, int, str]]
) -> None:
    found = errors(fields)
    assert [(one.code, one.field, one.line, one.column) for one in found] == [
        one[:4] for one in expected
    ]
    for one, (*_, start) in zip(found, expected, strict=True):
        assert one.message.startswith(start)


def test_errors_of_all_fields_come_at_once() -> None:
    found = errors({"text": "--foo", "w": "x", "h": "y", "scheduler": "tcd"})
    assert [one.field for one in found] == ["text", "w", "h", "scheduler"]
