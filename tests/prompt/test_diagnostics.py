"""Places and how a diagnostic shows them."""

from __future__ import annotations

import pytest
from comfyui_astria.nodes.prompt import Diagnostic, Span, parse


def first_error(text: str) -> Diagnostic:
    return next(found for found in parse(text).diagnostics if found.severity == "error")


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("--foo", 1, 1),
        ("a\n--foo", 2, 1),
        ("a\r\nb\r\n--foo", 3, 1),
        ("a\rb\r--foo", 3, 1),
        ("a\n\r\n--foo", 3, 1),
        ("\t--foo", 1, 2),
        ("\ufeff--foo", 1, 2),
        ("\u00a0--foo", 1, 2),
        ("\U0001f469\u200d\U0001f9b0 --foo", 1, 5),  # woman, joiner, red hair: three code points
        ("a\u2028--foo", 1, 3),
        ("a\nnegative_prompt=\n b\n --foo", 4, 2),
    ],
)
def test_line_and_column_count_code_points_from_one(text: str, line: int, column: int) -> None:
    found = first_error(text)
    assert (found.line, found.column) == (line, column)
    assert found.span.of(text) == "--foo"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb --foo c\nd", "b --foo c\n  ^^^^^\n"),
        ("a\r\nb --foo\r\nd", "b --foo\n  ^^^^^\n"),
        ("\tb\t--foo", "\tb\t--foo\n\t \t^^^^^\n"),
        ("\u5973 --foo", "\u5973 --foo\n   ^^^^^\n"),  # a wide character takes two places
        ("\0 --foo", "\N{REPLACEMENT CHARACTER} --foo\n  ^^^^^\n"),
    ],
)
def test_a_caret_stands_under_each_character(text: str, shown: str) -> None:
    assert shown in first_error(text).render(text)


def test_of_a_long_line_a_window_is_shown() -> None:
    text = "a" * 300 + " --foo " + "b" * 300
    _, line, carets, _ = first_error(text).render(text).split("\n")
    assert line.startswith("… aaa")
    assert line.endswith("bbb …")
    assert line[carets.index("^") : carets.rindex("^") + 1] == "--foo"
    assert len(line) < 110


def test_an_empty_span_has_one_caret() -> None:
    found = Diagnostic("x", "error", Span(1, 1), "wrong", "mend it", 1, 2)
    assert found.render("ab") == "line 1, column 2: wrong\nab\n ^\nmend it"


def test_a_span_over_several_lines_is_marked_on_its_first() -> None:
    assert (
        Diagnostic("x", "error", Span(1, 5), "wrong").render("ab\ncd")
        == "line 1, column 1: wrong\nab\n ^"
    )


def test_the_tree_names_what_an_editor_paints() -> None:
    text = 'a <lora:x:1> <e> BREAK --outpaint_prompt "b <faceid:y>" --no\nseed= 5\nstray'
    found = [
        (leaf.kind, leaf.span.of(text))
        for leaf in parse(text).leaves()
        if leaf.span.of(text).strip()
    ]
    assert found == [
        ("text", "a "),
        ("tag-kind", "lora"),
        ("name", "x"),
        ("value", "1"),
        ("name", "e"),
        ("break", "BREAK"),
        ("flag-name", "--outpaint_prompt"),
        ("text", "b "),
        ("tag-kind", "faceid"),
        ("name", "y"),
        ("junk", "--no"),
        ("key", "seed"),
        ("value", "5"),
        ("junk", "stray"),
    ]
