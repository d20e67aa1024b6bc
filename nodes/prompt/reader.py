"""Tree -> values of a request, each with the place it came from.

What cannot be read goes to the report.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .catalog import FACEID_STRENGTH, FLAGS, LORA_WEIGHT, PARAMETERS, TAG_KINDS, is_unset
from .kinds import Kind, Line, Problem, tidy
from .segment import EmbeddingTag, FaceIdTag, LoraTag, Segment, SegmentBuilder
from .source import Report, Span, quoted
from .suggest import did_you_mean
from .tree import Node

_WORD = re.compile(r"\S+")
# What examples of the service's documentation have in place of a number.
_PLACEHOLDERS = ("strength", "weight", "scale")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands, as the reader of a message knows it."""

    report: Report
    span: Span
    label: str


@dataclass
class Reading:
    """What a text says so far. A name in `places` but not in `values` was given, and is wrong."""

    values: dict[str, Any] = field(default_factory=dict)
    places: dict[str, Place] = field(default_factory=dict)
    prompt: list[SegmentBuilder] = field(default_factory=lambda: [SegmentBuilder()])
    # Each segment with its texts as written and the place of each, for what has to be said about
    # brackets.
    texts: list[tuple[SegmentBuilder, list[tuple[str, Place]]]] = field(default_factory=list)
    breaks: list[Place] = field(default_factory=list)
    unknown: list[tuple[str, str]] = field(default_factory=list)

    def put(self, name: str, value: object, place: Place) -> None:
        """Note a value; a second one of another value is an error, of the same value a warning."""
        if name not in self.places or (name not in self.values and value is not None):
            self.places[name] = place
            if value is not None:
                self.values[name] = value
            return
        before = self.places[name]
        if value is None or value == self.values.get(name):
            place.report.add(
                "duplicate",
                "warning",
                place.span,
                f"{place.label} is given twice",
                "Leave one of them out.",
            )
        else:
            hint = f"Keep one of them; the other is {before.label}{_where(before, place)}."
            place.report.error(
                "conflict", place.span, f"{place.label} is given twice with different values", hint
            )


def _where(place: Place, beside: Place) -> str:
    if place.report is not beside.report:
        return f" in field {place.report.field}" if place.report.field else ""
    line, column = place.report.position(place.span.start)
    return f" in line {line}, column {column}"


class Reader:
    """Walks the tree of one text."""

    def __init__(self, report: Report, reading: Reading) -> None:
        self._report = report
        self._source = report.source
        self._reading = reading

    def document(self, nodes: Sequence[Node]) -> None:
        body = [node for node in nodes if node.kind != "block"]
        self._reading.prompt = self._segments(body, is_prompt=True)
        for node in body:
            if node.kind == "flag":
                self._flag(node)
        for node in nodes:
            if node.kind == "block":
                self._block(node)

    def negative(self, nodes: Sequence[Node], place: Place) -> None:
        """Note the negative prompt; one without text is not set."""
        segments = self._segments(nodes, is_prompt=False)
        if len(segments) > 1 or not segments[0].is_empty:
            self._reading.put("negative", self._built(segments), place)

    def parameter(self, key: str, text: str, place: Place) -> None:
        """Note a parameter that is known and not a negative prompt."""
        spec = PARAMETERS[key]
        if not is_unset(text):
            self._reading.put(spec.target, self._value(spec.kind, text, place), place)

    def unknown(self, key: str, text: str, place: Place) -> None:
        near = None if self._report.is_full else did_you_mean(key, PARAMETERS)
        hint = f"Did you mean {near}=?" if near else "It is kept, and has no effect."
        self._report.add(
            "unknown-parameter",
            "warning",
            place.span,
            f"{quoted(key)} is not a known parameter",
            hint,
        )
        self._reading.unknown.append((key, tidy(text)))

    def _built(self, segments: list[SegmentBuilder]) -> tuple[Segment, ...] | None:
        """Build the segments; not where an error has left holes in the text, which nobody
        will use.
        """
        return None if self._report.has_errors else tuple(segment.build() for segment in segments)

    def _segments(self, nodes: Sequence[Node], *, is_prompt: bool) -> list[SegmentBuilder]:
        segments = [SegmentBuilder()]
        texts: list[list[tuple[str, Place]]] = [[]]
        for node in nodes:
            if node.kind == "break":
                segments.append(SegmentBuilder())
                texts.append([])
                if is_prompt:
                    self._reading.breaks.append(Place(self._report, node.span, "BREAK"))
            elif node.kind == "text":
                segments[-1].add_text(node.span.of(self._source))
                texts[-1].append(
                    (node.span.of(self._source), Place(self._report, node.span, "text"))
                )
            elif node.kind == "tag":
                self._tag(node, segments[-1])
            else:
                segments[-1].remove()
        self._reading.texts += zip(segments, texts, strict=True)
        return segments

    def _tag(self, node: Node, segment: SegmentBuilder) -> None:
        name = node.child("name")
        assert name is not None, "the parser gives every tag a name"
        kind = node.child("tag-kind")
        if kind is None:
            segment.add_embedding(EmbeddingTag(name.span.of(self._source)))
            return
        segment.remove()
        is_lora = kind.span.of(self._source) == TAG_KINDS[0]
        number = node.child("value")
        weight: object = 1.0
        if number is not None:
            text = number.span.of(self._source)
            place = Place(self._report, number.span, f"<{kind.span.of(self._source)}:...>")
            weight = self._value(LORA_WEIGHT if is_lora else FACEID_STRENGTH, text, place)
        if isinstance(weight, float) and is_lora:
            segment.loras.append(LoraTag(name.span.of(self._source), weight))
        elif isinstance(weight, float):
            segment.faceids.append(FaceIdTag(name.span.of(self._source), weight))

    def _value(self, kind: Kind, text: str, place: Place) -> object:
        """Return the value of the text, or None when it has none, which is reported."""
        value = kind.read(text)
        if not isinstance(value, Problem):
            return value
        hint = value.hint
        if value.code == "bad-number" and text.lower() in _PLACEHOLDERS:
            hint = (
                f"{quoted(text)} is a placeholder of the documentation: put your own id and a"
                f" number there. {hint}"
            )
        place.report.error(
            value.code, place.span, f"{place.label.rstrip('=')}: {value.message}", hint
        )
        return None

    def _flag(self, node: Node) -> None:
        head = node.children[0].span
        name = _flag_of(head.of(self._source))
        spec = FLAGS[name]
        place = Place(self._report, node.span, f"--{name}")
        if spec.takes == "nothing":
            self._reading.put(name, True, place)
        elif spec.takes == "words":
            self._reading.put(name, self._words(name, node), place)
        elif name == "outpaint_prompt":
            self._outpaint_prompt(node, place)
        else:
            words = [word for word in self._typed(name, node) if word is not None]
            self._reading.put(name, words[0] if words else None, place)

    def _words(self, name: str, node: Node) -> tuple[object, ...] | None:
        words = tuple(self._typed(name, node))
        return None if not words or None in words else words

    def _typed(self, name: str, node: Node) -> list[object]:
        """Return the flag's values by its kind.

        Quotes hold words together only where a value may have blanks.
        """
        spec = FLAGS[name]
        kind = spec.kind
        spans = self._value_spans(node)
        if spec.takes == "words" and not isinstance(kind, Line):
            spans = [word for span in spans for word in self._split(span)]
        found: list[object] = []
        for span in spans:
            found.append(
                self._value(kind, span.of(self._source), Place(self._report, span, f"--{name}"))
            )
        return found

    def _value_spans(self, node: Node) -> list[Span]:
        spans = []
        for child in node.children[1:]:
            leaf = child.child("value") if child.kind == "quoted" else child
            if leaf is None:
                self._report.error(
                    "missing-value",
                    child.span,
                    "the quotes are empty",
                    "Write a value between them.",
                )
            elif leaf.kind == "value":
                spans.append(leaf.span)
        return spans

    def _split(self, span: Span) -> list[Span]:
        """Return the words of the span."""
        words = _WORD.finditer(self._source, span.start, span.end)
        return [Span(*word.span()) for word in words]

    def _outpaint_prompt(self, node: Node, place: Place) -> None:
        """Note the text for the new area with the tags inside its quotes.

        Empty quotes leave it unset.
        """
        parts = []
        for child in node.children[1:]:
            parts += child.children if child.kind == "quoted" else [Node("text", child.span)]
        segment = self._segments(parts, is_prompt=False)[0]
        if not segment.is_empty:
            built = self._built([segment])
            self._reading.put("outpaint_prompt", built[0] if built else None, place)

    def _block(self, block: Node) -> None:
        for node in block.children:
            if node.kind != "parameter":
                continue
            key = node.children[0].span.of(self._source)
            text = (
                self._source[node.children[1].span.start : node.span.end]
                if len(node.children) > 1
                else ""
            )
            place = Place(self._report, node.span, f"{key}=")
            if key == "negative_prompt":
                nodes = () if is_unset(text) else node.children[1:]
                self.negative(nodes, Place(self._report, node.span, f"{key}="))
            elif key in PARAMETERS:
                value = node.children[-1].span
                self.parameter(key, text, Place(self._report, value, place.label))
            else:
                self.unknown(key, text, Place(self._report, node.children[0].span, place.label))


def _flag_of(text: str) -> str:
    """Return the flag's name in what was written, look-alike dashes and hyphens included."""
    return text[next(at for at, char in enumerate(text) if char.isalpha()) :].replace("-", "_")
