"""The marks that an editor paints on a prompt: a second walk of the same tree."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from ..prompt.catalog import FLAGS, PARAMETERS, is_unset
from ..prompt.source import Span
from ..prompt.tree import Document, Node

# Each has its colour in the editor. `tag` and `quoted` lie around others, whose colours win; `idle`
# is set and without effect, or not set.
Mark = Literal[
    "break",
    "embedding",
    "flag-name",
    "flag-value",
    "idle",
    "junk",
    "key",
    "param-value",
    "quoted",
    "tag",
    "tag-kind",
    "tag-name",
    "tag-number",
]
MARKS: tuple[Mark, ...] = get_args(Mark)
_DASHES = re.compile(r"^\W+")
_TAG_PARTS: Mapping[str, Mark] = {
    "tag-kind": "tag-kind",
    "name": "tag-name",
    "value": "tag-number",
    "option": "idle",
}
_FOREIGN_PARTS: Mapping[str, Mark] = {"key": "key", "value": "param-value"}


@dataclass(frozen=True, slots=True)
class PaintedSpan:
    """A stretch of text of one kind."""

    kind: Mark
    span: Span


@dataclass(frozen=True, slots=True)
class PromptPart:
    """A part of a prompt that BREAK divides, with the BREAK that begins it.

    0 is the base, 1 the common prompt, 2 the first person.
    """

    number: int
    span: Span


def marks(document: Document) -> tuple[PaintedSpan, ...]:
    """Return the marks, outer ones before those inside them, in the order of the text.

    What is plain text has no mark.
    """
    return tuple(found for node in document.children for found in _of(node, document.source))


def parts(document: Document) -> tuple[PromptPart, ...]:
    """Return the parts of a prompt; none where no BREAK divides it."""
    body = [node for node in document.children if node.kind not in ("block", "foreign")]
    starts = [0, *(node.span.start for node in body if node.kind == "break")]
    if len(starts) == 1:
        return ()
    ends = [*starts[1:], body[-1].span.end]
    return tuple(
        PromptPart(number, Span(start, end))
        for number, (start, end) in enumerate(zip(starts, ends, strict=True))
    )


def part_title(number: int) -> str:
    """Return the title of a part of a prompt."""
    return ("base prompt", "common prompt")[number] if number < 2 else f"person {number - 1}"


def flag_name(head: str) -> str:
    """Return the name of the flag that is meant by its dashes and name as written.

    A slip in either is the parser's to report.
    """
    return _DASHES.sub("", head).replace("-", "_")


def _of(node: Node, source: str) -> Iterator[PaintedSpan]:
    if node.kind == "tag":
        yield from _tag(node)
    elif node.kind == "flag":
        yield from _flag(node, source)
    elif node.kind == "block":
        for child in node.children:
            yield from (
                _parameter(child, source) if child.kind == "parameter" else _of(child, source)
            )
    elif node.kind == "foreign":
        yield from _foreign(node, source)
    elif node.kind in ("break", "junk"):
        yield PaintedSpan(node.kind, node.span)


def _foreign(node: Node, source: str) -> Iterator[PaintedSpan]:
    for child in node.children:
        if child.kind in _FOREIGN_PARTS:
            yield PaintedSpan(_FOREIGN_PARTS[child.kind], child.span)
        else:
            yield from _of(child, source)


def _tag(node: Node) -> Iterator[PaintedSpan]:
    if node.child("tag-kind") is None:
        yield PaintedSpan("embedding", node.span)
        return
    yield PaintedSpan("tag", node.span)
    yield from (PaintedSpan(_TAG_PARTS[child.kind], child.span) for child in node.children)


def _flag(node: Node, source: str) -> Iterator[PaintedSpan]:
    head, *values = node.children
    yield PaintedSpan("flag-name" if _has_effect(head, source) else "idle", head.span)
    for value in values:
        if value.kind != "quoted":
            yield PaintedSpan("flag-value" if value.kind == "value" else value.kind, value.span)
            continue
        yield PaintedSpan("quoted", value.span)
        for child in value.children:
            yield from _of(child, source)


def _has_effect(head: Node, source: str) -> bool:
    flag = FLAGS.get(flag_name(head.span.of(source)))
    return flag is None or flag.has_effect


def _parameter(node: Node, source: str) -> Iterator[PaintedSpan]:
    key, *values = node.children
    name = key.span.of(source)
    text = source[values[0].span.start : values[-1].span.end] if values else ""
    known = PARAMETERS.get(name)
    if is_unset(text.strip(), name) or known is None or not known.has_effect:
        yield PaintedSpan(
            "idle",
            Span(
                key.span.start,
                values[-1].span.end if values else source.index("=", key.span.end) + 1,
            ),
        )
        return
    yield PaintedSpan("key", key.span)
    for value in values:
        if value.kind == "value":
            yield PaintedSpan("param-value", value.span)
        else:
            yield from _of(value, source)
