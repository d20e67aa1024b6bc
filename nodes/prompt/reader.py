"""Tree -> values of a request, each with the place it came from.

What cannot be read goes to the report.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .catalog import FACEID_STRENGTH, FLAGS, LORA_KINDS, LORA_WEIGHT, PARAMETERS, is_unset
from .dialects.keys import NEGATIVE, SIZE, flag_for_key, key_to_write, plain
from .kinds import Line, ValueKind, ValueProblem, tidy
from .segment import EmbeddingTag, FaceIdTag, LoraTag, Segment, SegmentBuilder
from .source import Report, Rewrite, Span, quoted, written
from .tree import Node

_WORD = re.compile(r"\S+")
# What examples of the service's documentation have in place of a number.
_PLACEHOLDERS = ("strength", "weight", "scale")
MOST_INDENT = 8  # blanks before a parameter that stands at the start of its line
_LORA_WEIGHTS = ("te", "unet")


@dataclass(frozen=True, slots=True)
class ValuePlace:
    """Where a value stands, as the reader of a message knows it."""

    report: Report
    span: Span
    label: str


@dataclass(frozen=True)
class Foreign:
    """A stretch of another program's settings as they are written, (key, value, where) each, or
    its negative prompt. `moved` are the flags and tags in it, which speak of the whole request.
    """

    place: ValuePlace
    settings: tuple[tuple[str, str, Span], ...]
    negative: tuple[SegmentBuilder, ...]
    moved: tuple[str, ...]
    block_start: int


@dataclass
class PromptReading:
    """The values read so far. A name in `places` but not in `values` was given, and is wrong."""

    values: dict[str, Any] = field(default_factory=dict)
    places: dict[str, ValuePlace] = field(default_factory=dict)
    prompt: list[SegmentBuilder] = field(default_factory=lambda: [SegmentBuilder()])
    # Each segment with its texts as written and the place of each, for warnings about brackets.
    texts: list[tuple[SegmentBuilder, list[tuple[str, ValuePlace]]]] = field(default_factory=list)
    breaks: list[ValuePlace] = field(default_factory=list)
    unknown: list[tuple[str, str]] = field(default_factory=list)
    foreign: list[Foreign] = field(default_factory=list)

    def put(self, name: str, value: object, place: ValuePlace) -> None:
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


def _where(place: ValuePlace, beside: ValuePlace) -> str:
    if place.report is not beside.report:
        return f" in field {place.report.field}" if place.report.field else ""
    line, column = place.report.position(place.span.start)
    return f" in line {line}, column {column}"


class PromptReader:
    """Walks the tree of one text."""

    def __init__(self, report: Report, reading: PromptReading) -> None:
        self._report = report
        self._source = report.source
        self._reading = reading

    def document(self, nodes: Sequence[Node]) -> None:
        body = [node for node in nodes if node.kind not in ("block", "foreign")]
        self._reading.prompt = self._segments(body, is_prompt=True)
        for node in body:
            if node.kind == "flag":
                self._flag(node)
        block_start = next(
            (node.span.start for node in nodes if node.kind == "block"), len(self._source)
        )
        for node in nodes:
            if node.kind == "block":
                self._block(node)
            elif node.kind == "foreign":
                self._foreign(node, block_start)

    def _foreign(self, node: Node, block_start: int) -> None:
        """Note settings of another program; tags and flags among them count as the text's own."""
        key = node.child("key")
        assert key is not None, "the parser begins a negative prompt, and each setting, with a key"
        label = key.span.of(self._source)
        if plain(label) != NEGATIVE:
            pairs: list[tuple[str, str, Span]] = []
            for child in node.children:
                text = child.span.of(self._source)
                if child.kind == "key":
                    pairs.append((text, "", child.span))
                elif child.kind == "value":
                    key_text, _, span = pairs[-1]
                    pairs[-1] = key_text, text, Span(span.start, child.span.end)
            place = ValuePlace(self._report, node.span, label)
            self._reading.foreign.append(Foreign(place, tuple(pairs), (), (), block_start))
            return
        words = []
        moved = []
        for child in node.children[1:]:
            if child.kind == "flag":
                self._flag(child)
            elif child.kind == "tag" and child.child("tag-kind"):
                self._tag(child, self._reading.prompt[-1])
            else:
                if child.kind == "break":
                    self._notice_break(child.span)
                words.append(child)
                continue
            words.append(Node("junk", child.span))  # leaves no doubled blank or comma
            moved.append(child.span.of(self._source))
        segments = tuple(self._segments(words, is_prompt=False))
        place = ValuePlace(self._report, node.span, label)
        self._reading.foreign.append(Foreign(place, (), segments, tuple(moved), block_start))

    def _notice_break(self, span: Span) -> None:
        """Report a BREAK that begins a line below another program's negative prompt: persons who
        are described there would be what the picture is to be without.
        """
        before = self._source[max(0, span.start - MOST_INDENT) : span.start].rstrip(" \t")
        if before.endswith(("\n", "\r")):
            self._report.add(
                "undivided-break",
                "warning",
                span,
                "BREAK and what follows it belong to the negative prompt that begins above",
                "Put the negative prompt below all that describes the picture.",
            )

    def negative(self, nodes: Sequence[Node], place: ValuePlace) -> None:
        """Note the negative prompt; one without text is not set."""
        segments = self._segments(nodes, is_prompt=False)
        if len(segments) > 1 or not segments[0].is_empty:
            self._reading.put("negative", self._built(segments), place)

    def parameter(self, key: str, text: str, place: ValuePlace) -> None:
        """Note a parameter that is known and not a negative prompt."""
        spec = PARAMETERS[key]
        if not is_unset(text, key):
            self._reading.put(spec.target, self._value(spec.kind, text, place), place)

    def unknown(self, key: str, text: str, place: ValuePlace) -> None:
        flag = None if self._report.is_full else flag_for_key(key)
        near = None if self._report.is_full or flag else key_to_write(key)
        hint = flag or (f"Did you mean {near}?" if near else "It is kept, and has no effect.")
        self._report.add(
            "unknown-parameter",
            "warning",
            place.span,
            f"{quoted(key)} is not a known parameter",
            hint,
            _instead(place, key, near.rstrip("=") if near and near != SIZE else None),
        )
        self._reading.unknown.append((key, tidy(text)))

    def _built(self, segments: list[SegmentBuilder]) -> tuple[Segment, ...] | None:
        """Build the segments; not where an error has left holes in the text, which nobody
        will use.
        """
        return None if self._report.has_errors else tuple(segment.build() for segment in segments)

    def _segments(self, nodes: Sequence[Node], *, is_prompt: bool) -> list[SegmentBuilder]:
        segments = [SegmentBuilder()]
        texts: list[list[tuple[str, ValuePlace]]] = [[]]
        for node in nodes:
            if node.kind == "break":
                segments.append(SegmentBuilder())
                texts.append([])
                if is_prompt:
                    self._reading.breaks.append(ValuePlace(self._report, node.span, "BREAK"))
            elif node.kind == "text":
                segments[-1].add_text(node.span.of(self._source))
                texts[-1].append(
                    (node.span.of(self._source), ValuePlace(self._report, node.span, "text"))
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
        if kind.span.of(self._source) in LORA_KINDS:
            self._lora(node, name.span.of(self._source), segment)
            return
        number = node.child("value")
        strength = 1.0 if number is None else self._number(number.span, node, FACEID_STRENGTH)
        if isinstance(strength, float):
            segment.faceids.append(FaceIdTag(name.span.of(self._source), strength))

    def _number(self, span: Span, tag: Node, kind: ValueKind) -> object:
        label = f"<{tag.children[0].span.of(self._source)}:...>"
        return self._value(kind, span.of(self._source), ValuePlace(self._report, span, label))

    def _lora(self, node: Node, name: str, segment: SegmentBuilder) -> None:
        """Note a LoRA as AUTOMATIC1111's tags mean it.

        One number is the weight of both; of two the first is the text encoder's; `te=` and `unet=`
        name them. Any other option is left out, and told.
        """
        numbers = [
            self._number(child.span, node, LORA_WEIGHT)
            for child in node.children
            if child.kind == "value"
        ]
        text = numbers[0] if numbers else 1.0
        weight = numbers[1] if len(numbers) > 1 else None
        for option in (child.span for child in node.children if child.kind == "option"):
            key, equals, _ = option.of(self._source).partition("=")
            if not equals or key.strip() not in _LORA_WEIGHTS:
                self._leave_out(option, name)
                continue
            start = option.start + len(key) + 1
            span = _without_blanks(Span(start, option.end), self._source)
            value = self._number(span, node, LORA_WEIGHT)
            text, weight = (value, weight) if key.strip() == "te" else (text, value)
        weight = text if weight is None else weight
        if isinstance(text, float) and isinstance(weight, float):
            segment.loras.append(LoraTag(name, weight, text))

    def _leave_out(self, option: Span, name: str) -> None:
        self._report.add(
            "tag-option",
            "warning",
            option,
            f"{quoted(option.of(self._source))} is left out: the LoRA {quoted(name)} acts on all"
            " its layers, at every step",
            "Take it out. A tag takes two weights, <lora:NAME:TEXT ENCODER:MODEL>.",
        )

    def _value(self, kind: ValueKind, text: str, place: ValuePlace) -> object:
        """Return the value of the text, or None when it has none, which is reported."""
        value = kind.read(text)
        if not isinstance(value, ValueProblem):
            return value
        hint = value.hint
        if value.code == "bad-number" and text.lower() in _PLACEHOLDERS:
            hint = (
                f"{quoted(text)} is a placeholder of the documentation: put your own id and a"
                f" number there. {hint}"
            )
        message = f"{place.label.rstrip('=')}: {value.message}"
        rewrite = _instead(place, text, value.near, at_end=True)
        place.report.error(value.code, place.span, message, hint, rewrite)
        return None

    def _flag(self, node: Node) -> None:
        head = node.children[0].span
        name = _flag_of(head.of(self._source))
        spec = FLAGS[name]
        place = ValuePlace(self._report, node.span, f"--{name}")
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
                self._value(
                    kind, span.of(self._source), ValuePlace(self._report, span, f"--{name}")
                )
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

    def _outpaint_prompt(self, node: Node, place: ValuePlace) -> None:
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
            place = ValuePlace(self._report, node.span, f"{key}=")
            if key == "negative_prompt":
                nodes = () if is_unset(text) else node.children[1:]
                self.negative(nodes, ValuePlace(self._report, node.span, f"{key}="))
            elif key in PARAMETERS:
                value = node.children[-1].span
                self.parameter(key, text, ValuePlace(self._report, value, place.label))
            else:
                self.unknown(
                    key, text, ValuePlace(self._report, node.children[0].span, place.label)
                )


def _without_blanks(span: Span, source: str) -> Span:
    text = span.of(source)
    return Span(span.end - len(text.lstrip()), span.end)


def _flag_of(text: str) -> str:
    """Return the flag's name in what was written, look-alike dashes and hyphens included."""
    return text[next(at for at, char in enumerate(text) if char.isalpha()) :].replace("-", "_")


def _instead(
    place: ValuePlace, text: str, near: str | None, *, at_end: bool = False
) -> Rewrite | None:
    """Return the offer to write `near` in place of a text, which begins or ends the place; None
    where it is not written so.
    """
    span = Span(place.span.start, place.span.start + len(text))
    if at_end:
        span = Span(place.span.end - len(text), place.span.end)
    is_written = span.start >= 0 and span.of(place.report.source) == text
    return written(span, near) if is_written else None
