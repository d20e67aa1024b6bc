"""Warnings about plain text.

Look-alikes of the language, and brackets that do not weigh.
"""

from __future__ import annotations

import re

from .catalog import FLAGS, PARAMETERS
from .dialects.keys import ALIASES, SIZE, flag_for_key, is_value_of, key_to_write, own_key
from .dialects.look_alikes import notice_syntax
from .dialects.settings import how_to_write
from .lexer import BYTE_ORDER_MARK, Lexer, Scanner, is_embedding_name
from .reader import MOST_INDENT, ValuePlace
from .segment import SegmentBuilder
from .source import Report, Span, quoted, written
from .tree import Node
from .weights import MOST_WEIGHT, weigh

_OTHER_TAG = re.compile(r"<\s*[A-Za-z_]+\s*:[^<>\r\n]*>")
_LONGEST_KEY = max(map(len, (*PARAMETERS, *ALIASES, *FLAGS)))
_HEADS = ("prompt", "positive prompt", "positive", "/imagine prompt")
_EMBEDDING_KINDS = ("embedding", "emb", "ti")


def notice_look_alikes(report: Report, nodes: tuple[Node, ...]) -> None:
    """Report text that looks like a tag, a parameter or a BREAK, and is none, or has a meaning in
    another program.
    """
    source = report.source
    for node in nodes:
        if node.kind == "text":
            text = node.span.of(source)
            _notice_tags(report, text, node.span.start)
            _notice_parameters(report, text, node.span.start)
    notice_syntax(report, nodes)
    body_end = next((node.span.start for node in nodes if node.kind == "block"), len(source))
    foreign = [node.span for node in nodes if node.kind == "foreign"]
    blocks = (node for node in nodes if node.kind == "block")
    strays = {one.span.start for block in blocks for one in block.children if one.kind == "junk"}
    for line, key in Lexer(Scanner(source)).lines():
        if report.is_full:
            return
        while foreign and foreign[0].end < line.start:
            foreign.pop(0)
        if foreign and line.end > foreign[0].start:
            continue
        is_text = (key.start if key.start < key.end else line.start) < body_end
        if is_text:
            _notice_line(report, line, key)
        if is_text or key.start == key.end:
            _notice_pair(report, line, strays)


def _notice_tags(report: Report, text: str, start: int) -> None:
    for found in _OTHER_TAG.finditer(text) if "<" in text else ():
        span = Span(start + found.start(), start + found.end())
        hint = "Tags are <lora:...>, <faceid:...> and <name>; take out what is none of these."
        rewrite = None
        kind, _, name = found.group()[1:-1].partition(":")
        if kind.strip().casefold() in _EMBEDDING_KINDS and is_embedding_name(name.strip()):
            hint = f"Write <{name.strip()}> for an embedding."
            rewrite = written(span, f"<{name.strip()}>")
        message = f"{quoted(found.group())} is read as text"
        report.add("unknown-tag", "warning", span, message, hint, rewrite)


def _notice_parameters(report: Report, text: str, start: int) -> None:
    equals = text.find("=")
    while equals >= 0:
        before = text[max(0, equals - _LONGEST_KEY - 1) : equals]
        key = re.split(r"[^A-Za-z0-9_]", before)[-1]
        own = own_key(key)
        is_told = key not in PARAMETERS and _begins_line(report, start + equals - len(key))
        if (own or key in FLAGS) and not is_told:
            message = f"{quoted(key + '=')} inside a line is read as text"
            hint = flag_for_key(key) or "Put each parameter on a line of its own, below the text."
            hint += f" Here it is called {_with_equals(own)}." if own and own != key else ""
            report.add(
                "parameter-in-text",
                "warning",
                Span(start + equals - len(key), start + equals + 1),
                message,
                hint,
            )
        equals = text.find("=", equals + 1)


def _begins_line(report: Report, at: int) -> bool:
    before = report.source[max(0, at - MOST_INDENT) : at].rstrip(" \t")
    return before.endswith(("\n", "\r")) or (not before and at <= MOST_INDENT)


def _with_equals(own: str) -> str:
    return own if own == SIZE else f"{own}="


def _notice_pair(report: Report, line: Span, strays: set[int]) -> None:
    """Report `key: value`, which other programs write, where it is a parameter of this language.

    Stray lines of the block, which begin at `strays`, are errors already.
    """
    start = line.start + len(line.of(report.source)) - len(line.of(report.source).lstrip())
    colon = _sign(report.source, start, min(line.end, start + _LONGEST_KEY + 2))
    if colon < 0 or start in strays:
        return
    key = report.source[start:colon].rstrip()
    value = report.source[colon + 1 : line.end].strip()
    sign = report.source[colon]
    if key.casefold() in _HEADS and sign == ":":
        message = f"{quoted(key + ':')} is read as text"
        hint = "Take it out: the text of the prompt has no head."
        report.add("parameter-look-alike", "warning", Span(start, colon + 1), message, hint)
        return
    own = own_key(key) if key and key[-1] not in "([<{" else None
    if own is None or not is_value_of(own, value if own == "negative_prompt" else _first(value)):
        return
    report.add(
        "parameter-look-alike",
        "warning",
        Span(start, colon + 1),
        f"{quoted(key + sign)} is read as text",
        how_to_write(own, key, _first(value)),
    )


def _sign(source: str, start: int, end: int) -> int:
    """Return where the colon behind a key stands, or the = behind a key of several words; -1
    without. A key of one word with a = is told elsewhere.
    """
    colon, equals = source.find(":", start, end), source.find("=", start, end)
    is_of_words = equals > 0 and " " in source[start:equals].strip()
    return equals if is_of_words and not 0 <= colon < equals else colon


def _first(value: str) -> str:
    return value.partition(",")[0].strip()


def _notice_line(report: Report, line: Span, key: Span) -> None:
    text = line.of(report.source).strip()
    if text in ("break", "Break"):
        hint = "Write BREAK in capitals to divide the prompt there."
        start = line.start + line.of(report.source).index(text)
        rewrite = written(Span(start, start + len(text)), "BREAK")
        message = f"{quoted(text)} is read as text"
        report.add("lower-case-break", "info", line, message, hint, rewrite)
    is_tight = key.start < key.end and report.source[key.end : key.end + 1] == "="
    flag = flag_for_key(key.of(report.source)) if is_tight else None
    near = key_to_write(key.of(report.source)) if is_tight and not flag else None
    if not near and key.start < key.end and (own := own_key(key.of(report.source))):
        value = report.source[report.source.index("=", key.end) + 1 : line.end]
        near = _with_equals(own) if is_value_of(own, value.strip()) else None
    if near or flag:
        message = (
            f"{quoted(key.of(report.source) + '=')} is not a known parameter, so the line is read"
            " as text"
        )
        rewrite = written(key, near.rstrip("=") if near and near != SIZE else None)
        hint = flag or f"Did you mean {near}?"
        report.add("parameter-look-alike", "warning", key, message, hint, rewrite)


def notice_brackets(segment: SegmentBuilder, texts: list[tuple[str, ValuePlace]]) -> None:
    """Report, for one segment, the first bracket without a partner and the first weight beyond all
    measure.
    """
    if not any(char in text for text, _ in texts for char in "()[]"):
        return
    written = weigh([text.replace(BYTE_ORDER_MARK, " ") for text, _ in texts])
    if written.unmatched:
        report, span = _place_of(texts, *written.unmatched[0])
        bracket = span.of(report.source)
        hint = (
            f"Close it to give weight, write \\{bracket} for the character itself, or set"
            " use_lpw=false."
        )
        report.add(
            "unbalanced-bracket",
            "warning",
            span,
            f"{quoted(bracket)} has no partner and is read as text",
            hint,
        )
    # A weight may also come about where a tag between colon and number is taken out: then only the
    # segment is its place.
    if written.extreme or weigh(segment.pieces()).extreme:
        report, span = _place_of(texts, *(written.extreme[0] if written.extreme else (0, 0)))
        hint = (
            f"Expected a weight from -{MOST_WEIGHT:g} to {MOST_WEIGHT:g}; nested ones multiply."
            " With use_lpw=false brackets are plain text."
        )
        report.error("out-of-range", span, "the weight of the text from here is out of range", hint)


def _place_of(texts: list[tuple[str, ValuePlace]], index: int, offset: int) -> tuple[Report, Span]:
    place = texts[index][1]
    return place.report, Span(place.span.start + offset, place.span.start + offset + 1)
