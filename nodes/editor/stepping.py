"""The next and the previous value of what stands at the cursor, for Ctrl+Up and Ctrl+Down.

A tag's weight, the value of a flag or parameter, or the weight of words, `(word:1.1)`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..prompt.analysis import parse
from ..prompt.catalog import FACEID_STRENGTH, FLAGS, LORA_WEIGHT, PARAMETERS
from ..prompt.kinds import (
    Anchor,
    Boolean,
    Choice,
    Decimal,
    Dilation,
    DilationKind,
    ValueKind,
    ValueProblem,
    Whole,
    is_number,
)
from ..prompt.source import Span
from ..prompt.tree import Document, Node
from .painting import flag_name

# What ends a word, as in the host's own text boxes.
_DELIMITERS = frozenset(" .,\\/!?%^*;:{}=-_`~()<>\r\n\t")
_WEIGHED = re.compile(r"\((.*):([^:()]*)\)", re.DOTALL)
_PLACES = 10  # of a weight; what float arithmetic adds behind them is no part of it
_PERCENT = Decimal(-100, 100)
_PIXELS = Whole(-16384, 16384)


@dataclass(frozen=True, slots=True)
class NextValue:
    """The text that replaces `span`; it is selected afterwards, so that the next step finds it."""

    span: Span
    text: str


@dataclass(frozen=True, slots=True)
class Stride:
    """How far a step goes: `delta` for weights and decimal numbers, up or down."""

    delta: float
    is_up: bool

    @property
    def sign(self) -> int:
        return 1 if self.is_up else -1


def step(text: str, chosen: Span, stride: Stride) -> NextValue | None:
    """Return the next value of what is chosen, or stands at the cursor.

    None where nothing there has one, and at the end of a range.
    """
    document = parse(text)
    at = chosen.end
    node = _at(document.children, at)
    if node is not None and node.kind == "block":
        node = _at(node.children, at)
    if node is not None and node.kind in ("break", "junk", "foreign", "block"):
        return None
    inner = None if node is None else _text_in(node, at, text)
    if node is not None and node.kind == "tag" and node.child("tag-kind") is not None:
        return _tag(node, at, text, stride)
    if node is not None and node.kind in ("flag", "parameter") and inner is None:
        return _value(node, at, text, stride)
    return _words(document, chosen, inner, stride)


def _at(nodes: Sequence[Node], at: int) -> Node | None:
    """Return the node that holds the cursor; of two that touch there, one that is no text."""
    held = [node for node in nodes if node.span.start <= at <= node.span.end]
    return next((node for node in held if node.kind != "text"), held[0] if held else None)


def _text_in(node: Node, at: int, text: str) -> Span | None:
    """Return the words inside a flag or parameter that can be weighed, where the cursor is in
    them.
    """
    if node.kind == "flag":
        is_text = FLAGS[flag_name(node.children[0].span.of(text))].takes == "text"
    else:
        is_text = node.kind == "parameter" and node.children[0].span.of(text) == "negative_prompt"
    if not is_text or len(node.children) < 2:
        return None
    inside = Span(node.children[1].span.start, node.children[-1].span.end)
    if node.children[1].kind == "quoted" and node.children[1].children:
        words = node.children[1].children
        inside = Span(words[0].span.start, words[-1].span.end)
    return inside if inside.start <= at <= inside.end else None


def _tag(node: Node, at: int, text: str, stride: Stride) -> NextValue | None:
    kind = LORA_WEIGHT if node.child("tag-kind").span.of(text) != "faceid" else FACEID_STRENGTH
    numbers = [child.span for child in node.children if child.kind == "value"]
    if not numbers:
        end = node.child("name").span.end
        written = _number(kind, "1", stride)
        return None if written is None else NextValue(Span(end, end), f":{written}")
    meant = next((span for span in numbers if span.start <= at <= span.end), numbers[-1])
    return _replaced(meant, _number(kind, meant.of(text), stride))


def _value(node: Node, at: int, text: str, stride: Stride) -> NextValue | None:
    head, *values = node.children
    spec = (
        FLAGS.get(flag_name(head.span.of(text)))
        if node.kind == "flag"
        else PARAMETERS.get(head.span.of(text))
    )
    if spec is None or not values:
        return None
    meant = next((one.span for one in values if one.span.start <= at <= one.span.end), None)
    # On the name of a single value that value is meant.
    meant = meant or (values[0].span if len(values) == 1 else None)
    return None if meant is None else _replaced(meant, _next(spec.kind, meant.of(text), stride))


def _next(kind: ValueKind, written: str, stride: Stride) -> str | None:
    """Return the value after `written`, as text."""
    value = kind.read(written)
    if isinstance(value, ValueProblem):
        return None
    if isinstance(kind, Whole | Decimal):
        return _number(kind, written, stride)
    if isinstance(kind, DilationKind) and isinstance(value, Dilation):
        sign = "%" if value.unit == "%" else ""
        number = _number(_PERCENT if sign else _PIXELS, f"{value.value:g}", Stride(1, stride.is_up))
        return None if number is None else f"{number}{sign}"
    if isinstance(kind, Boolean):
        return kind.show(not value)
    if isinstance(kind, Choice | Anchor):
        options = list(kind.options)
        return options[(options.index(str(value)) + stride.sign) % len(options)]
    return None


def _number(kind: Whole | Decimal, written: str, stride: Stride) -> str | None:
    value = kind.read(written)
    if isinstance(value, ValueProblem):
        return None
    by = kind.multiple if isinstance(kind, Whole) else stride.delta
    wanted = round(value + stride.sign * by, _PLACES)
    bounded = min(max(wanted, kind.lowest), kind.highest)
    return None if bounded == value else f"{bounded:.{_PLACES}f}".rstrip("0").rstrip(".")


def _replaced(span: Span, written: str | None) -> NextValue | None:
    return None if written is None else NextValue(span, written)


def _words(
    document: Document, chosen: Span, inner: Span | None, stride: Stride
) -> NextValue | None:
    """Weigh the selection, else the brackets around the cursor, else the word at it."""
    text = document.source
    room = inner or _plain(document, chosen)
    if room is None or not (room.start <= chosen.start and chosen.end <= room.end):
        return None
    span = chosen
    if chosen.start == chosen.end:
        span = _enclosure(text, chosen.end, room) or _word(text, chosen.end, room)
    while span.end > span.start and text[span.end - 1] == " ":
        span = Span(span.start, span.end - 1)
    if span.start == span.end:
        return None
    if (
        room.start < span.start
        and span.end < room.end
        and text[span.start - 1] == "("
        and text[span.end] == ")"
    ):
        span = Span(span.start - 1, span.end + 1)
    return NextValue(span, _weighed(span.of(text), stride))


def _plain(document: Document, chosen: Span) -> Span | None:
    """Return the stretch of words and embeddings around what is chosen, without anything that a
    bracket must not hold.
    """
    start, end = 0, len(document.source)
    for node in document.children:
        if node.kind == "text" or (node.kind == "tag" and node.child("tag-kind") is None):
            continue
        if node.span.end <= chosen.start:
            start = node.span.end
        elif node.span.start >= chosen.end:
            end = node.span.start
            break
        else:
            return None
    return Span(start, end)


def _enclosure(text: str, at: int, room: Span) -> Span | None:
    """Return the inside of the brackets around `at`, None where there are none."""
    start = _unmatched(text, range(at - 1, room.start - 1, -1), opens=")", closes="(")
    end = _unmatched(text, range(at, room.end), opens="(", closes=")")
    return None if start is None or end is None else Span(start + 1, end)


def _unmatched(text: str, places: range, *, opens: str, closes: str) -> int | None:
    depth = 0
    for place in places:
        if text[place] == opens:
            depth += 1
        elif text[place] == closes:
            if depth == 0:
                return place
            depth -= 1
    return None


def _word(text: str, at: int, room: Span) -> Span:
    start = end = at
    while start > room.start and text[start - 1] not in _DELIMITERS:
        start -= 1
    while end < room.end and text[end] not in _DELIMITERS:
        end += 1
    return Span(start, end)


def _weighed(words: str, stride: Stride) -> str:
    inner, weight = words, 1.0
    if (found := _WEIGHED.fullmatch(words)) and is_number(found.group(2).strip()):
        inner, weight = found.group(1), float(found.group(2))
    elif words.startswith("(") and words.endswith(")"):
        inner = words[1:-1]
    changed = round(weight + stride.sign * stride.delta, _PLACES)
    return inner if changed == 1 else f"({inner}:{changed:g})"
