"""Completion of a prompt's text.

Options of the language, and which kinds of names fit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ..prompt.analysis import parse
from ..prompt.catalog import FLAGS, LORA_KINDS, PARAMETERS
from ..prompt.kinds import Anchor, Boolean, Choice, ValueKind
from ..prompt.lexer import BLANKS, BREAK
from ..prompt.source import LINE_END, Span
from ..prompt.tree import Document, Node
from .painting import flag_name, part_title

NAMES = ("lora", "faceid", "embedding")

_OPEN_TAG = re.compile(r"<[^<>\r\n]*\Z")
_TAG_CLOSED = re.compile(r"[^<>\r\n]*>")
_TAG_WORD = re.compile(r"[^<>:\r\n]*")
_BARE_WORD = re.compile(r"[^\s<>:'\"]*")
_DASHED = re.compile(r"(?<![\w-])--\w*\Z")
_WORD_REST = re.compile(r"\w*")
_LINE_WORD = re.compile(r"(?:\A|[\r\n])[ \t]*(\w*)\Z", re.ASCII)
_BREAK_BEGUN = re.compile(r"(?:\A|[\s,.;:>])(BR(?:E|EA)?)\Z")
_WORD = re.compile(r"\w*\Z")
_REST_OF_LINE = re.compile(r"[^\r\n]*")
_TAGS = ("lora", "faceid")
_USUAL = ("1.0", "0.8", "0.6", "0.5", "0.4", "1.2")  # numbers of tags


@dataclass(frozen=True, slots=True)
class Option:
    """One thing to write: `text` is what is inserted, `label` what is looked for and shown."""

    label: str
    text: str
    kind: Literal["flag", "parameter", "tag", "value", "break", "lora", "faceid", "embedding"]
    detail: str = ""
    help: str = ""
    photo: str = ""  # address of a picture of it, below the server's
    file: str = ""  # the model file that it names


@dataclass(frozen=True, slots=True)
class Completion:
    """The texts that can replace `span`.

    `names` are the kinds of names that fit beside the options; each is followed by `tail`.
    """

    span: Span
    options: tuple[Option, ...] = ()
    names: tuple[str, ...] = ()
    tail: str = ""


def complete(text: str, offset: int, *, asked: bool = False) -> Completion:
    """Return the completion at `offset`.

    In plain text that is nothing. A person who has `asked` gets a list at every place: where
    nothing of its own fits, what could be written there beside what stands there.
    """
    document = parse(text)
    block = next((node for node in document.children if node.kind == "block"), None)
    if block is not None and offset >= _line_start(text, block.span.start):
        found = _in_block(document, block, offset)
    else:
        found = _in_body(document, offset, asked)
    return found if not asked or _offers(found, text, offset) else _anywhere(document, offset)


def _offers(found: Completion, text: str, offset: int) -> bool:
    """Say whether the list has an entry for what is typed before `offset`."""
    typed = text[found.span.start : offset].casefold().lstrip("-")
    return bool(found.names) or any(
        one.label.lstrip("-").casefold().startswith(typed)
        or (one.kind == "value" and typed in one.label.casefold())
        for one in found.options
    )


def _anywhere(document: Document, offset: int) -> Completion:
    """Return everything that could be written behind the word at `offset`, in the block on a line
    of its own; in a tag its usual numbers.
    """
    text = document.source
    if (number := _number_at(document.children, offset)) is not None:
        return Completion(number, tuple(Option(one, one, "value") for one in _USUAL))
    if any(node.kind == "block" and node.span.start <= offset for node in document.children):
        end = _REST_OF_LINE.match(text, offset).end()
        is_new = not text[_line_start(text, offset) : end].strip()
        apart, options = "" if is_new else "\n", tuple(_parameters(document, Span(end, end)))
    else:
        end = _BARE_WORD.match(text, offset).end()
        apart = "" if not text[:end] or text[end - 1].isspace() else " "
        options = (*_flags(document, Span(end, end)), *_tags(_TAGS), _break(document, end))
    before = f"{text[offset:end]}{apart}"
    return Completion(
        Span(offset, end), tuple(replace(one, text=f"{before}{one.text}") for one in options)
    )


def _number_at(nodes: Sequence[Node], offset: int) -> Span | None:
    """Return the number of a tag in which `offset` stands, None elsewhere."""
    for node in nodes:
        if node.kind == "tag" and node.span.start < offset < node.span.end:
            spans = [one.span for one in node.children if one.kind == "value"]
            return next((one for one in spans if one.start <= offset <= one.end), None)
        if (found := _number_at(node.children, offset)) is not None:
            return found
    return None


def _line_start(text: str, at: int) -> int:
    return max(text.rfind("\n", 0, at), text.rfind("\r", 0, at)) + 1


def _in_body(document: Document, offset: int, asked: bool) -> Completion:
    text, before = document.source, document.source[:offset]
    if found := _OPEN_TAG.search(before):
        return _in_tag(text, Span(found.start() + 1, offset), ("lora", "faceid"))
    if found := _DASHED.search(before):
        span = Span(found.start(), _WORD_REST.match(text, offset).end())
        return Completion(span, tuple(_flags(document, span)))
    if flag := _flag_at(document, offset):
        return _flag_value(text, flag, offset)
    if found := _BREAK_BEGUN.search(before):
        return Completion(Span(found.start(1), offset), (_break(document, found.start(1)),))
    if not asked:
        return Completion(Span(offset, offset))
    start = _WORD.search(before).start()
    span = Span(start, offset)
    options = [*_flags(document, span), *_tags(("lora", "faceid")), _break(document, start)]
    return Completion(
        span, (*options, *(_parameters(document, span) if _LINE_WORD.search(before) else ()))
    )


def _in_tag(text: str, inside: Span, kinds: Sequence[str]) -> Completion:
    kind, colon, name = inside.of(text).partition(":")
    written = kind
    kind = "lora" if kind in LORA_KINDS else kind
    rest = _TAG_WORD if _TAG_CLOSED.match(text, inside.end) else _BARE_WORD
    end = rest.match(text, inside.end).end()
    closing = "" if text[end : end + 1] in (":", ">") else ">"
    if not colon:
        has_colon = text[end : end + 1] == ":"
        options = [
            replace(one, text=f"{one.label.rstrip(':')}{'' if has_colon else ':'}")
            for one in _tags(kinds)
        ]
        return Completion(
            Span(inside.start, end), tuple(options), () if has_colon else ("embedding",), closing
        )
    if kind in kinds and ":" not in name:
        return Completion(
            Span(inside.start + len(written) + 1, end),
            (),
            (kind,),
            f":1.0{closing}" if closing else "",
        )
    return Completion(Span(inside.end, inside.end))


def _tags(kinds: Sequence[str]) -> Iterator[Option]:
    helps = {
        "lora": "a LoRA, or the checkpoint of a person: id or file, and weight",
        "faceid": "a set of photos of one person, and its strength",
    }
    for kind in kinds:
        yield Option(f"{kind}:", f"<{kind}:", "tag", "name:number", helps[kind])


def _flags(document: Document, apart: Span) -> Iterator[Option]:
    """The flags that the text does not have yet, but for the one being written."""
    heads = [node.children[0].span for node in document.children if node.kind == "flag"]
    there = {span.of(document.source).lstrip("-") for span in heads if span.start != apart.start}
    for name, flag in FLAGS.items():
        if name not in there:
            blank = "" if flag.takes == "nothing" else " "
            yield Option(
                f"--{name}",
                f"--{name}{blank}",
                "flag",
                "" if flag.takes == "nothing" else flag.kind.expected,
                flag.help,
            )


def _break(document: Document, at: int) -> Option:
    number = sum(node.kind == "break" and node.span.start < at for node in document.children) + 1
    return Option(
        BREAK,
        BREAK,
        "break",
        f"begins the {part_title(number)}" if number < 2 else f"begins {part_title(number)}",
    )


def _flag_at(document: Document, offset: int) -> Node | None:
    """Return the flag whose value stands, or is missing, at `offset`.

    On the same line, with nothing but blanks between.
    """
    text = document.source
    for node in reversed(document.children):
        if (
            node.kind == "flag"
            and node.children[0].span.end < offset
            and FLAGS[flag_name(node.children[0].span.of(text))].takes != "nothing"
        ):
            between = text[node.span.end : offset]
            return node if not between.strip(BLANKS) and not LINE_END.search(between) else None
    return None


def _flag_value(text: str, node: Node, offset: int) -> Completion:
    flag = FLAGS[flag_name(node.children[0].span.of(text))]
    at = next(
        (child.span for child in node.children[1:] if child.span.start <= offset <= child.span.end),
        None,
    )
    if at is None and len(node.children) > 1 and flag.takes != "words":
        return Completion(Span(offset, offset))
    return Completion(at or Span(offset, offset), tuple(_values(flag.kind)))


def _values(kind: ValueKind) -> Iterator[Option]:
    words: Sequence[str] = ()
    if isinstance(kind, Choice | Anchor):
        words = kind.options
    elif isinstance(kind, Boolean):
        words = ("true", "false")
    yield from (Option(word, word, "value") for word in words)


def _in_block(document: Document, block: Node, offset: int) -> Completion:
    text, before = document.source, document.source[:offset]
    node = next((one for one in reversed(block.children) if one.span.start <= offset), None)
    key = node.children[0].span if node and node.kind == "parameter" else None
    equals = text.find("=", key.end, offset) if key else -1
    if key and equals >= 0 and key.of(text) == "negative_prompt":
        if found := _OPEN_TAG.search(before, equals):
            return _in_tag(text, Span(found.start() + 1, offset), ())
    elif key and equals >= 0 and not LINE_END.search(text, equals, offset):
        spec = PARAMETERS.get(key.of(text))
        blanks = len(text[equals + 1 : offset]) - len(text[equals + 1 : offset].lstrip(BLANKS))
        span = Span(min(equals + 1 + blanks, offset), max(offset, node.span.end))
        return Completion(span, tuple(_values(spec.kind)) if spec else ())
    if found := _LINE_WORD.search(before):
        span = Span(found.start(1), _WORD_REST.match(text, offset).end())
        return Completion(span, tuple(_parameters(document, span)))
    return Completion(Span(offset, offset))


def _parameters(document: Document, apart: Span) -> Iterator[Option]:
    blocks = [node for node in document.children if node.kind == "block"]
    keys = [
        node.children[0].span
        for block in blocks
        for node in block.children
        if node.kind == "parameter"
    ]
    there = {span.of(document.source) for span in keys if span.start != apart.start}
    equals = "" if document.source[apart.end : apart.end + 1] == "=" else "="
    for name, parameter in PARAMETERS.items():
        if name not in there:
            yield Option(
                f"{name}=", f"{name}{equals}", "parameter", parameter.kind.expected, parameter.help
            )
