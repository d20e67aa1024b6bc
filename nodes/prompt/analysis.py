"""A text, or a set of HTTP fields, read: its tree, its values and the diagnostics."""

from __future__ import annotations

from collections.abc import Mapping

from .catalog import PARAMETERS, is_unset
from .dialects.look_alikes import notice_syntax
from .dialects.missing_break import notice_missing_break
from .dialects.persons import names_somebody
from .dialects.settling import settle
from .fields import Field, fields_of
from .lexer import BLANKS
from .notices import notice_brackets, notice_look_alikes
from .parser import read_part, read_tree
from .reader import PromptReader, PromptReading, ValuePlace
from .relations import findings
from .segment import SegmentBuilder
from .source import Diagnostic, Report, Span, quoted
from .tree import Document, Node


def parse(text: str) -> Document:
    """Return the tree of any text, with its diagnostics.

    Takes time linear in the text's length.
    """
    report = Report(text)
    nodes, _ = _read_text(report, PromptReading())
    return Document(text, nodes, report.diagnostics())


def read_document(text: str) -> tuple[PromptReading, tuple[Diagnostic, ...]]:
    """Return what the text says, and the diagnostics of `parse`."""
    report = Report(text)
    _, reading = _read_text(report, PromptReading())
    return reading, report.diagnostics()


def _read_text(report: Report, reading: PromptReading) -> tuple[tuple[Node, ...], PromptReading]:
    nodes = _read_tree(report, reading)
    _relate(reading)
    return nodes, reading


def _read_tree(report: Report, reading: PromptReading) -> tuple[Node, ...]:
    nodes = read_tree(report.source, report)
    PromptReader(report, reading).document(nodes)
    notice_look_alikes(report, nodes)
    return nodes


def read_fields(fields: Mapping[str, object]) -> tuple[PromptReading, tuple[Diagnostic, ...]]:
    """Return what the HTTP fields say together, and the diagnostics of all of them, each naming its
    field.
    """
    reading = PromptReading()
    given, reports = fields_of(fields)
    texts = [each for each in given if each.key == "text"]
    for each in texts[1:]:
        if each.report.source != texts[0].report.source:
            hint = f"Keep one of them; the other is field {texts[0].report.field}."
            each.report.error(
                "conflict",
                Span(0, len(each.report.source)),
                "the prompt's text is given twice with different values",
                hint,
            )
    for each in texts[:1] + [each for each in given if each.key != "text"]:
        _read_field(each, reading)
    _relate(reading)
    return reading, tuple(found for report in reports for found in report.diagnostics())


def _read_field(each: Field, reading: PromptReading) -> None:
    report = each.report
    place = ValuePlace(report, Span(0, len(report.source)), f"{each.key}=")
    reader = PromptReader(report, reading)
    if each.key == "text":
        _read_tree(report, reading)
    elif each.key == "negative_prompt":
        if not is_unset(report.source.strip(BLANKS)):
            nodes = read_part(report.source, report, "negative")
            reader.negative(nodes, place)
            notice_syntax(report, nodes)
    elif each.key in PARAMETERS:
        reader.parameter(each.key, report.source, place)
    else:
        reader.unknown(each.key, report.source, place)


def _relate(reading: PromptReading) -> None:
    """Report what is wrong between values, such as conflicts, once all of them are read."""
    settle(reading)
    for finding in findings(reading.values, reading.places):
        place = reading.places[finding.about]
        place.report.add(finding.code, finding.severity, place.span, finding.message, finding.hint)
    if reading.values.get("use_lpw") is not False:
        for segment, texts in reading.texts:
            notice_brackets(segment, texts)
    if reading.breaks:
        notice_missing_break(reading.prompt, reading.breaks[0])
    for number, segment in enumerate(reading.prompt[2:], start=1):
        _notice_person(number, segment, reading.breaks[number])


def _notice_person(number: int, segment: SegmentBuilder, place: ValuePlace) -> None:
    """Report a person whom nothing describes, or only words that describe nobody."""
    if segment.is_empty:
        hint = "Describe the person, or take this BREAK out."
        message = f"person {number} has neither text nor tag"
        place.report.add("empty-person", "warning", place.span, message, hint)
        return
    pieces = segment.pieces()
    words = "".join(piece for piece in pieces if isinstance(piece, str))
    has_tag = segment.loras or segment.faceids or any(not isinstance(one, str) for one in pieces)
    if has_tag or names_somebody(words):
        return
    place.report.add(
        "nobody",
        "warning",
        place.span,
        f"BREAK begins person {number} here, and nothing in {quoted(words)} names somebody",
        "BREAK divides scene, common words and persons, not chunks of tokens: put a comma in its"
        " place, or say who the person is.",
    )
