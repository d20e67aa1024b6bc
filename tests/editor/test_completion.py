"""What can be written at a place of a text; `|` is the cursor."""

from __future__ import annotations

import pytest
from comfyui_astria.nodes.editor.completion import Completion, complete
from comfyui_astria.nodes.prompt import ANCHORS, FLAGS, PARAMETERS, PromptRequest
from comfyui_astria.nodes.prompt.catalog import CONTROLNETS, SCHEDULERS, STYLES
from comfyui_astria.tests.prompt.strategies import wild_texts
from hypothesis import given
from hypothesis import strategies as st


def at_cursor(marked: str, *, asked: bool = False) -> tuple[str, Completion]:
    before, _, after = marked.partition("|")
    return before + after, complete(before + after, len(before), asked=asked)


def offered(marked: str, *, asked: bool = False) -> tuple[str, list[str]]:
    """Return the text that would be replaced, and what by."""
    text, found = at_cursor(marked, asked=asked)
    return found.span.of(text), [one.text for one in found.options]


def result(marked: str, label: str) -> str:
    """Return the text after the option with that label is taken."""
    text, found = at_cursor(marked)
    taken = next(one.text for one in found.options if one.label == label)
    return text[: found.span.start] + taken + text[found.span.end :]


@pytest.mark.parametrize(
    ("marked", "label", "after"),
    [
        ("a ca|t", "--multi", "a cat --multi"),
        ("a --outpaint_width 64|0 b", "--multi", "a --outpaint_width 640 --multi b"),
        ("a <lora:x:0.|7> b", "0.5", "a <lora:x:0.5> b"),
        ("a\nw=5|12\nh=8", "seed=", "a\nw=512\nseed=\nh=8"),
    ],
)
def test_a_person_who_asks_gets_a_list_at_every_place(marked: str, label: str, after: str) -> None:
    text, found = at_cursor(marked, asked=True)
    taken = next(one.text for one in found.options if one.label == label)
    assert text[: found.span.start] + taken + text[found.span.end :] == after


@pytest.mark.parametrize(
    "marked",
    [
        "a ca|t",
        "|",
        "a -|",
        "well-|known",
        "a B|",
        "--outpaint top-left |",
        "--multi |",
        "--outpaint_prompt x|",
        "<lora:1:|>",
        "w=1\nnegative_prompt=a b|",
        "x=1\nfoo=|\nw=1",
        "BREAKF|",
    ],
)
def test_nothing_is_offered_where_people_write_text(marked: str) -> None:
    _, found = at_cursor(marked)
    assert (found.options, found.names) == ((), ())


@pytest.mark.parametrize(
    ("marked", "replaced"),
    [("a --|", "--"), ("a --out|p x", "--outp"), ("--|", "--"), ("BREAK --ma|", "--ma")],
)
def test_flags(marked: str, replaced: str) -> None:
    typed, options = offered(marked)
    assert typed == replaced
    assert [option.strip() for option in options] == [f"--{name}" for name in FLAGS]
    assert "--outpaint " in options, "a value follows"
    assert "--mask_invert" in options


def test_a_flag_that_is_there_is_not_offered_again() -> None:
    _, options = offered("--outpaint center --multi --|")
    assert "--outpaint " not in options
    assert "--outpaint_width " in options


@pytest.mark.parametrize(
    ("marked", "replaced", "expected"),
    [
        ("--outpaint |", "", ANCHORS),
        ("--outpaint to|", "to", ANCHORS),
        ("--outpaint top|-left --multi", "top-left", ANCHORS),
        ("--controlnets pose |", "", CONTROLNETS),
        ("--controlnets pose d|", "d", CONTROLNETS),
        ("--outpaint \t|", "", ANCHORS),
        ("w=1\nstyle=|", "", STYLES),
        ("w=1\nstyle= Dig|ital Art\nh=8", "Digital Art", STYLES),
        ("scheduler=|", "", SCHEDULERS),
        ("w=8\nface_swap=t|", "t", ("true", "false")),
        ("style=|\nw=8", "", STYLES),
    ],
)
def test_values(marked: str, replaced: str, expected: tuple[str, ...]) -> None:
    assert offered(marked) == (replaced, list(expected))


@pytest.mark.parametrize(
    "marked", ["w=1\n|", "w=1\nst|", "w=1\n  st|", "w=1\nnegative_prompt=\nst|", "w=1\n|\nh=8"]
)
def test_parameters_once_there_is_one(marked: str) -> None:
    _, options = offered(marked)
    assert "style=" in options
    assert "w=" not in options
    assert len(options) >= len(PARAMETERS) - 3


def test_a_key_keeps_its_value() -> None:
    assert result("w=1\nst|=Lowpoly", "style=") == "w=1\nstyle=Lowpoly"


@pytest.mark.parametrize(
    ("marked", "names", "tail"),
    [
        ("a <lora:|", ("lora",), ":1.0>"),
        ("a <lora:15|", ("lora",), ":1.0>"),
        ("a <lora:1|2:0.5>", ("lora",), ""),
        ("a <lora:1|>", ("lora",), ""),
        ("a <faceid:|>", ("faceid",), ""),
        ("--outpaint_prompt 'a <lora:|'", ("lora",), ":1.0>"),
        ("a <|", ("embedding",), ">"),
        ("a <ea|>", ("embedding",), ""),
        ("w=1\nnegative_prompt=a <|", ("embedding",), ">"),
        ("a <lora:|\nb>", ("lora",), ":1.0>"),
    ],
)
def test_names_in_tags(marked: str, names: tuple[str, ...], tail: str) -> None:
    _, found = at_cursor(marked)
    assert (found.names, found.tail) == (names, tail)


def test_a_name_replaces_the_whole_name_and_no_more() -> None:
    assert offered("a <lora:1|2:0.5> b")[0] == "12"
    assert offered("--outpaint_prompt 'a <lora:x|y z'")[0] == "xy"


def test_tag_kinds() -> None:
    assert result("a <lo|", "lora:") == "a <lora:"
    assert result("a <lo|:12>", "faceid:") == "a <faceid:12>"
    assert offered("w=1\nnegative_prompt=<|")[1] == [], "LoRAs cannot stand in a negative prompt"


def test_break_says_what_it_begins() -> None:
    for marked, detail in (
        ("a BR|", "begins the common prompt"),
        ("a BREAK b\nBREA|", "begins person 1"),
        ("BREAK BREAK x BR|", "begins person 2"),
    ):
        _, found = at_cursor(marked)
        assert [(one.text, one.detail) for one in found.options] == [("BREAK", detail)]


def test_everything_is_offered_to_who_asks() -> None:
    typed, options = offered("a cat outp|", asked=True)
    assert typed == "outp"
    assert {"--outpaint ", "<lora:", "<faceid:", "BREAK"} <= set(options)
    assert "w=" not in options, "a key stands at the start of a line"
    assert "w=" in offered("a cat\n|", asked=True)[1]


@given(
    wild_texts.flatmap(lambda text: st.tuples(st.just(text), st.integers(0, len(text)))),
    st.booleans(),
)
def test_every_place_of_every_text_has_an_answer(placed: tuple[str, int], asked: bool) -> None:
    text, offset = placed
    found = complete(text, offset, asked=asked)
    assert 0 <= found.span.start <= offset <= found.span.end <= len(text)


@pytest.mark.parametrize("name", sorted(set(FLAGS) - {"duration", "improve_similarity"}))
def test_a_value_that_is_offered_is_one_that_is_understood(name: str) -> None:
    for option in complete(f"a --{name} ", len(name) + 5).options:
        _, diagnostics = PromptRequest.from_text(f"a --{name} {option.text}")
        assert [
            found
            for found in diagnostics
            if found.code in ("bad-choice", "bad-anchor", "unexpected-value")
        ] == []
