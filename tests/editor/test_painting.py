"""What an editor paints of a text."""

from __future__ import annotations

from itertools import pairwise

from comfyui_astria.nodes.editor.painting import MARKS, marks, part_title, parts
from comfyui_astria.nodes.prompt import parse
from comfyui_astria.tests.prompt.strategies import wild_texts
from hypothesis import given


def painted(text: str) -> list[tuple[str, str]]:
    return [(one.kind, one.span.of(text)) for one in marks(parse(text))]


def test_every_construct_has_its_kind() -> None:
    text = (
        "a <lora:12:0.5> <emb> --outpaint center --multi BREAK <lora:3\n--outpaint_prompt 'x"
        " <faceid:a>'"
    )
    assert painted(text) == [
        ("tag", "<lora:12:0.5>"),
        ("tag-kind", "lora"),
        ("tag-name", "12"),
        ("tag-number", "0.5"),
        ("embedding", "<emb>"),
        ("flag-name", "--outpaint"),
        ("flag-value", "center"),
        ("idle", "--multi"),
        ("break", "BREAK"),
        ("junk", "<lora:3"),
        ("flag-name", "--outpaint_prompt"),
        ("quoted", "'x <faceid:a>'"),
        ("tag", "<faceid:a>"),
        ("tag-kind", "faceid"),
        ("tag-name", "a"),
    ]


def test_settings_of_another_program_are_painted_as_what_they_are() -> None:
    text = "a\nNegative prompt: b <emb>\nSteps: 20, Seed: 1, x\nw=64"
    assert painted(text) == [
        ("key", "Negative prompt"),
        ("embedding", "<emb>"),
        ("key", "Steps"),
        ("param-value", "20"),
        ("key", "Seed"),
        ("param-value", "1"),
        ("key", "w"),
        ("param-value", "64"),
    ]
    divided = parse("a BREAK b\nSteps: 20, Seed: 1")
    assert [one.span.of(divided.source) for one in parts(divided)] == ["a ", "BREAK b\n"]


def test_options_of_a_lora_that_are_left_out_are_idle() -> None:
    assert painted("<lyco:x:0.5:0.7:lbw=A>")[1:] == [
        ("tag-kind", "lyco"),
        ("tag-name", "x"),
        ("tag-number", "0.5"),
        ("tag-number", "0.7"),
        ("idle", "lbw=A"),
    ]


def test_parameters_without_effect_are_idle() -> None:
    text = (
        "a\nw=64\nstyle=\nseed = undefined\nsteps=0\nnegative_prompt=ugly <bad> BREAK"
        " z\nbackend_version=1\nfoo=1\nstray"
    )
    assert painted(text) == [
        ("key", "w"),
        ("param-value", "64"),
        ("idle", "style="),
        ("idle", "seed = undefined"),
        ("idle", "steps=0"),
        ("key", "negative_prompt"),
        ("embedding", "<bad>"),
        ("break", "BREAK"),
        ("idle", "backend_version=1"),
        ("idle", "foo=1"),
        ("junk", "stray"),
    ]


def test_flags_written_by_a_word_processor_are_known_by_their_effect() -> None:
    assert painted("a —multi")[0] == ("idle", "—multi")
    assert painted("a —outpaint center")[0] == ("flag-name", "—outpaint")


def test_break_divides_the_body_into_parts() -> None:
    text = "base BREAK common BREAK one BREAK two\nnegative_prompt=a BREAK b"
    found = parts(parse(text))
    assert [(one.number, one.span.of(text)) for one in found] == [
        (0, "base "),
        (1, "BREAK common "),
        (2, "BREAK one "),
        (3, "BREAK two\n"),
    ]
    assert [part_title(one.number) for one in found] == [
        "base prompt",
        "common prompt",
        "person 1",
        "person 2",
    ]
    assert parts(parse("no break\nnegative_prompt=a BREAK b")) == ()


@given(wild_texts)
def test_every_text_can_be_painted(text: str) -> None:
    document = parse(text)
    found = marks(document)
    assert {one.kind for one in found} <= set(MARKS)
    assert all(0 <= one.span.start <= one.span.end <= len(text) for one in found)
    assert [one.span.start for one in found] == sorted(one.span.start for one in found)
    divided = parts(document)
    assert all(one.span.end == other.span.start for one, other in pairwise(divided))
