"""Finds what other programs write below a picture's prompt.

The negative prompt behind `Negative prompt:`, and settings such as `Steps: 30, Sampler: Euler a`
(AUTOMATIC1111's infotext, which Forge, SD.Next, Fooocus and civitai.com write as well; one setting
a line is read alike).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..kinds import ANY_NUMBER, ValueProblem, Whole
from ..lexer import BLANKS, Scanner
from ..source import Span
from .keys import plain, size_of
from .samplers import is_sampler

_NEGATIVE = re.compile(r"negative[ \t_]prompt[ \t]*:", re.IGNORECASE)
# As it is written at the start of a text. The printer tears it at its blank to keep it text.
_FIRST_NEGATIVE = re.compile(r"negative[ \t]prompt[ \t]*:", re.IGNORECASE)
_POSITIVE = re.compile(r"(?:positive[ \t_])?prompt[ \t]*:", re.IGNORECASE)
_LEAD = re.compile(r"(?:parameters[ \t]*:)?[ \t]*", re.IGNORECASE)
_BLANKS = re.compile(f"[{re.escape(BLANKS)}]*")
_PAIR = re.compile(r"([^\W\d_][\w \-/.+]{0,59}?)[ \t]{0,4}:[ \t]*")
_BETWEEN = re.compile(r"[\s,|]*")
_VALUE = re.compile(r"[^,|\r\n]*")
_QUOTED = re.compile(r'"(?:[^"\\\r\n]|\\.)*"')
_BRACKET = re.compile(r"[\[\](){}]")
_WHOLE = Whole(-(2**70), 2**70)
# A line of settings begins with one of these; what stands behind it on the line may be any key.
_BEGINNINGS = frozenset(
    (
        *("steps", "sampling steps", "sampler", "sampler name", "scheduler", "schedule type"),
        *("cfg scale", "cfg", "guidance scale", "distilled cfg scale", "guidance", "seed"),
        *(
            "size",
            "resolution",
            "width",
            "height",
            "w",
            "h",
            "model",
            "model hash",
            "base model",
            "vae",
        ),
        *("base model hash", "vae hash", "model name", "stable diffusion model", "refiner model"),
        *("refiner switch", "denoising strength", "clip skip", "face restoration", "version"),
        *("hires upscale", "hires steps", "hires upscaler", "hires resize", "hires prompt"),
        *("lora hashes", "loras", "lora", "ti hashes", "hashes", "ensd", "eta", "rng", "app"),
        *("batch size", "batch pos", "batch count", "variation seed", "variation seed strength"),
        *("style", "styles", "performance", "sharpness", "adm guidance", "metadata scheme"),
        *("backend", "pipeline", "parser", "operations", "created date", "civitai resources"),
        *("template", "negative template", "tiling", "user", "strength", "prompt strength"),
        *("fooocus v2 expansion", "guidance rescale", "number of images", "image number"),
    )
)


@dataclass(frozen=True, slots=True)
class KeyValue:
    """One `Key: value`, with the places of both."""

    key: Span
    value: Span


@dataclass(frozen=True, slots=True)
class ForeignLines:
    """A stretch of whole lines that is no text of the picture: `head` and text of the negative
    prompt, or settings.
    """

    span: Span
    settings: tuple[KeyValue, ...] = ()
    head: Span | None = None


def zones(scanner: Scanner, lines: Sequence[Span]) -> tuple[ForeignLines, ...]:
    """Return the runs of lines that another program wrote, in the order of the text.

    A negative prompt goes on to the settings, to a line that begins `Prompt:`, or to the end of the
    lines; below it one sure setting is enough. Of the first line that holds anything only `Negative
    prompt:` is no text: a request is printed with its text there.
    """
    first = next((at for at, line in enumerate(lines) if _start(scanner, line) < line.end), 0)
    runs = _runs(scanner, lines, first + 1, least=2)
    below_negative = _runs(scanner, lines, first + 1, least=1)
    found: list[ForeignLines] = []
    at = first if lines and begins_negative(scanner, lines[first]) else first + 1
    while at < len(lines):
        if at in runs:
            behind, settings = runs[at]
            span = Span(_start(scanner, lines[at]), lines[behind - 1].end)
            found.append(ForeignLines(span, settings))
            at = behind
            continue
        start = _start(scanner, lines[at])
        head = scanner.run(_NEGATIVE, start, lines[at].end)
        at += 1
        if head == start:
            continue
        runs = below_negative
        while at < len(lines) and at not in runs and not _is_positive(scanner, lines[at]):
            at += 1
        found.append(ForeignLines(Span(start, lines[at - 1].end), (), Span(start, head)))
    return tuple(found)


def begins_negative(scanner: Scanner, line: Span) -> bool:
    """Say whether a first line is the head of another program's negative prompt."""
    return scanner.match(_FIRST_NEGATIVE, _start(scanner, line), line.end) is not None


def _is_positive(scanner: Scanner, line: Span) -> bool:
    return scanner.match(_POSITIVE, _start(scanner, line), line.end) is not None


def _start(scanner: Scanner, line: Span) -> int:
    return scanner.run(_BLANKS, line.start, line.end)


def _runs(
    scanner: Scanner, lines: Sequence[Span], at: int, *, least: int
) -> dict[int, tuple[int, tuple[KeyValue, ...]]]:
    """Return the runs of lines of settings from line `at` on; empty lines do not end one.

    Each has `least` settings, or more, whose values tell that they are settings.

    First line -> (line behind the last, settings).
    """
    runs: dict[int, tuple[int, tuple[KeyValue, ...]]] = {}
    run: list[KeyValue] = []
    first = behind = at
    for number in range(at, len(lines)):
        more = settings_of(scanner, lines[number])
        if more:
            first = first if run else number
            run += more
            behind = number + 1
        is_over = not more and _start(scanner, lines[number]) < lines[number].end
        if is_over or number + 1 == len(lines):
            if _sure_ones(scanner.text, run) >= least:
                runs[first] = behind, tuple(run)
            run = []
    return runs


def settings_of(scanner: Scanner, line: Span) -> list[KeyValue]:
    """Return the settings of a line that begins with one, else none."""
    start = scanner.run(_LEAD, _start(scanner, line), line.end)
    first = scanner.match(_PAIR, start, line.end)
    if not first or plain(first.group(1)) not in _BEGINNINGS:
        return []
    return list(_pairs(scanner, Span(start, line.end)))


def _sure_ones(text: str, found: Sequence[KeyValue]) -> int:
    """Return how many keys have values that prose with colons does not have, each key once."""
    sure = {
        plain(one.key.of(text))
        for one in found
        if _is_sure(plain(one.key.of(text)), one.value.of(text))
    }
    return len(sure)


def _is_sure(key: str, value: str) -> bool:
    if key in ("steps", "sampling steps", "seed", "width", "height", "w", "h", "clip skip"):
        return not isinstance(_WHOLE.read(value), ValueProblem)
    if key in ("cfg scale", "cfg", "guidance scale", "distilled cfg scale", "denoising strength"):
        return not isinstance(ANY_NUMBER.read(value), ValueProblem)
    if key in ("size", "resolution"):
        return size_of(unquoted(value)) is not None
    return key in ("sampler", "sampler name", "scheduler") and is_sampler(unquoted(value))


def _pairs(scanner: Scanner, line: Span) -> Iterator[KeyValue]:
    at, closes = line.start, {'"': True, "[": True}
    while (at := scanner.run(_BETWEEN, at, line.end)) < line.end:
        pair = scanner.match(_PAIR, at, line.end)
        if not pair:
            at = max(scanner.run(_VALUE, at, line.end), at + 1)
            continue
        end = _value_end(scanner, Span(pair.end(), line.end), closes)
        value = scanner.slice(pair.end(), end).rstrip()
        yield KeyValue(Span(at, at + len(pair.group(1))), Span(pair.end(), pair.end() + len(value)))
        at = max(end, at + 1)


def _value_end(scanner: Scanner, rest: Span, closes: dict[str, bool]) -> int:
    """Return where the value ends that the rest of the line begins with.

    Quotes and brackets hold commas together. One that is not closed stays open to the end of the
    line, and then none behind it closes either: it is not looked for again.
    """
    first = scanner.text[rest.start : rest.start + 1]
    if first == '"' and closes['"']:
        found = scanner.match(_QUOTED, rest.start, rest.end)
        if found:
            return found.end()
        closes['"'] = False
    elif first and first in "[{(" and closes["["]:
        depth, at = 0, rest.start
        while found := scanner.search(_BRACKET, at, rest.end):
            depth += 1 if found.group() in "[{(" else -1
            at = found.end()
            if not depth:
                return scanner.run(_VALUE, at, rest.end)
        closes["["] = False
    return scanner.run(_VALUE, rest.start, rest.end)


def unquoted(value: str) -> str:
    """Return a value without the quotes or apostrophes around it, its escapes resolved."""
    text = value.strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        return re.sub(r"\\(.)", r"\1", text[1:-1])
    return text
