"""What holds for every text and every request."""

from __future__ import annotations

from comfyui_astria.nodes.prompt import Node, PromptRequest, parse
from comfyui_astria.nodes.prompt.lexer import BLANKS
from comfyui_astria.tests.prompt.strategies import requests, wild_texts
from hypothesis import given
from hypothesis import strategies as st

# Nothing here is timed; a slow machine is no failure.
_PUNCTUATION = set(BLANKS) | set("<>:=\"'")


def _check_nested(nodes: tuple[Node, ...], start: int, end: int) -> None:
    for node in nodes:
        assert start <= node.span.start <= node.span.end <= end
        _check_nested(node.children, node.span.start, node.span.end)
        start = node.span.end


@given(wild_texts | st.text())
def test_every_text_has_a_tree_and_only_known_severities(text: str) -> None:
    document = parse(text)
    assert str(document) == text
    assert {found.severity for found in document.diagnostics} <= {"error", "warning", "info"}
    assert all(
        found.message and found.line >= 1 and found.column >= 1 for found in document.diagnostics
    )
    assert all(
        found.render(text).startswith(f"line {found.line}, column {found.column}: ")
        for found in document.diagnostics
    )


@given(wild_texts)
def test_spans_nest_and_stand_in_order(text: str) -> None:
    document = parse(text)
    _check_nested(document.children, 0, len(text))
    assert all(
        0 <= found.span.start <= found.span.end <= len(text) for found in document.diagnostics
    )


@given(wild_texts)
def test_leaves_and_gaps_are_the_source_and_gaps_hold_only_punctuation(text: str) -> None:
    at, rebuilt = 0, ""
    for leaf in parse(text).leaves():
        gap = text[at : leaf.span.start]
        assert set(gap) <= _PUNCTUATION
        rebuilt += gap + leaf.span.of(text)
        at = leaf.span.end
    assert set(text[at:]) <= _PUNCTUATION
    assert rebuilt + text[at:] == text


@given(wild_texts)
def test_a_request_and_an_error_exclude_each_other(text: str) -> None:
    request, diagnostics = PromptRequest.from_text(text)
    assert (request is None) == any(found.severity == "error" for found in diagnostics)
    assert diagnostics == parse(text).diagnostics


@given(wild_texts)
def test_a_text_survives_printing(text: str) -> None:
    request, _ = PromptRequest.from_text(text)
    if request is not None:
        printed = request.to_text()
        assert PromptRequest.from_text(printed)[0] == request
        assert PromptRequest.require(printed).to_text() == printed


@given(requests)
def test_every_request_survives_printing(request: PromptRequest) -> None:
    assert PromptRequest.from_text(request.to_text())[0] == request


@given(wild_texts)
def test_a_text_means_the_same_as_a_field(text: str) -> None:
    request, diagnostics = PromptRequest.from_text(text)
    again, found = PromptRequest.from_fields({"prompt[text]": text})
    assert again == request
    assert [(one.code, one.span) for one in found] == [(one.code, one.span) for one in diagnostics]


@given(requests)
def test_a_block_means_the_same_as_fields(request: PromptRequest) -> None:
    body, _, block = _cut(request.to_text())
    fields = {key: text for key, _, text in (line.partition("=") for line in block.splitlines())}
    if len(fields) == len(block.splitlines()):
        assert (
            PromptRequest.from_fields(
                {"text": body, **{f"prompt[{key}]": text for key, text in fields.items()}}
            )[0]
            == request
        )


def _cut(text: str) -> tuple[str, str, str]:
    """Return body, nothing, and block of a printed request."""
    block = next((node for node in parse(text).children if node.kind == "block"), None)
    at = block.span.start if block else len(text)
    return text[:at], "", text[at:]
