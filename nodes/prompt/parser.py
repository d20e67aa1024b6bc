"""Text -> tree, by recursive descent.

Every text has a tree; what is wrong with it goes to the report.
"""

from __future__ import annotations

from .catalog import FLAGS, LORA_KINDS, PARAMETERS, TAG_KINDS, TAG_WORDS
from .dialects.infotext import ForeignLines, zones
from .dialects.keys import flag_to_write
from .kinds import is_number
from .lexer import QUOTES, Lexer, MarkupToken, Scanner
from .source import Report, Span, quoted, written
from .suggest import did_you_mean
from .tree import Node

_PLACES = {"negative": "a negative prompt", "quoted": "a quoted value"}


def read_tree(source: str, report: Report) -> tuple[Node, ...]:
    """document = body { foreign body } [ block ]"""
    scanner = Scanner(source)
    parser = Parser(scanner, report)
    lines = list(parser.lexer.lines())
    first = next(
        (at for at, (_, key) in enumerate(lines) if key.of(source) in PARAMETERS), len(lines)
    )
    body_end = lines[first][0].start if first < len(lines) else len(source)
    nodes, at = [], 0
    for zone in zones(scanner, [line for line, _ in lines[:first]]):
        nodes += [*parser.body(Span(at, zone.span.start), "prompt"), parser.foreign(zone)]
        at = zone.span.end
    nodes += parser.body(Span(at, body_end), "prompt")
    if first < len(lines):
        nodes.append(parser.block(lines[first:]))
    return tuple(nodes)


def read_part(source: str, report: Report, place: str) -> tuple[Node, ...]:
    """Return the nodes of a text that is a part by itself: the body of a negative prompt."""
    return tuple(Parser(Scanner(source), report).body(Span(0, len(source)), place))


class Parser:
    """One method per rule of the grammar; each takes the span it may use and returns nodes."""

    def __init__(self, scanner: Scanner, report: Report) -> None:
        self.source = scanner.text
        self.lexer = Lexer(scanner)
        self._report = report

    def body(self, region: Span, place: str) -> list[Node]:
        """body = { text | tag | embedding | flag | "BREAK" }"""
        nodes = []
        at = region.start
        while at < region.end:
            mark = self.lexer.next_mark(at, region)
            stop = mark.start if mark else region.end
            if stop > at:
                nodes.append(Node("text", Span(at, stop)))
            if mark is None:
                break
            node = self._construct(mark, region, place)
            nodes.append(node)
            at = node.span.end
        return nodes

    def foreign(self, zone: ForeignLines) -> Node:
        """foreign = "Negative prompt" ":" body | setting { setting } ; setting = key ":" value"""
        if zone.head is not None:
            text = self.body(Span(zone.head.end, zone.span.end), "prompt")
            return Node("foreign", zone.span, (Node("key", self._without_colon(zone.head)), *text))
        leaves: list[Node] = []
        at = zone.span.start
        for setting in zone.settings:
            leaves += self._filler(Span(at, setting.key.start))
            leaves.append(Node("key", setting.key))
            if setting.value.start < setting.value.end:
                leaves.append(Node("value", setting.value))
            at = max(setting.value.end, self.source.index(":", setting.key.end) + 1)
        leaves += self._filler(Span(at, zone.span.end))
        return Node("foreign", zone.span, tuple(leaves))

    def _filler(self, between: Span) -> list[Node]:
        """Return the text between two settings, if any, as a node that no value is read from."""
        inside = self.lexer.trimmed(between)
        return [Node("filler", inside)] if inside.start < inside.end else []

    def _without_colon(self, head: Span) -> Span:
        return self.lexer.trimmed(Span(head.start, head.end - 1))

    def _construct(self, mark: MarkupToken, region: Span, place: str) -> Node:
        span = Span(mark.start, mark.end)
        if mark.kind == "junk":
            return self._broken_tag(span)
        if mark.kind == "embedding":
            return Node("tag", span, (Node("name", Span(span.start + 1, span.end - 1)),))
        if mark.kind == "tag":
            return self._tag(span, place)
        if mark.kind == "flag":
            return (
                self._flag(mark, region)
                if place == "prompt"
                else self._misplaced(span, "flag", place)
            )
        return self._misplaced(span, "break", place) if place == "quoted" else Node("break", span)

    def _misplaced(self, span: Span, what: str, place: str) -> Node:
        hints = {
            "flag": "Flags speak of the whole request: put it after the prompt's text.",
            "break": "BREAK divides the prompt itself; take it out of the quotes.",
            "tag": "LoRA and FaceID tags act on what is to be seen: put it into the prompt.",
        }
        self._report.error(
            f"misplaced-{what}",
            span,
            f"{quoted(span.of(self.source))} cannot stand in {_PLACES[place]}",
            hints[what],
        )
        return Node("junk", span)

    def _broken_tag(self, span: Span) -> Node:
        text = span.of(self.source)
        kind = text.strip("<>").partition(":")[0]
        if not text.endswith(">"):
            self._report.error(
                "unclosed-tag",
                span,
                f"{quoted(text)} is not closed",
                f"End the tag with >: {text if len(text) > len(kind) + 2 else f'<{kind}:NAME'}>",
            )
        elif kind in TAG_WORDS:
            self._report.error(
                "missing-value",
                span,
                f"{quoted(text)} names nothing",
                f"Write <{kind}:NAME:1.0>, with your own id or name in it.",
            )
        else:
            near = did_you_mean(kind, TAG_KINDS)
            name = text.partition(":")[2].rstrip(">")
            meant = f"<{near}:{name or '...'}>"
            self._report.error(
                "unknown-tag",
                span,
                f"{quoted(text)} is not a known tag",
                f"Did you mean {meant}?",
                written(span, meant if near and name else None),
            )
        return Node("junk", span)

    def _tag(self, span: Span, place: str) -> Node:
        """tag = "<" kind ":" name { ":" ( number | option ) } ">" ; a face takes one number"""
        if place == "negative":
            return self._misplaced(span, "tag", place)
        parts = []
        at = span.start + 1
        for part in self.source[at : span.end - 1].split(":"):
            parts.append(self.lexer.trimmed(Span(at, at + len(part))))
            at += len(part) + 1
        text = quoted(span.of(self.source))
        is_lora = parts[0].of(self.source) in LORA_KINDS
        if len(parts) > 3 and not is_lora:
            kind, name, number = (part.of(self.source) for part in parts[:3])
            self._report.error(
                "bad-tag",
                span,
                f"{text} has more than a name and one number",
                f"Write <{kind}:{name or 'ID'}:{number or '1.0'}>.",
            )
        for part, what in zip(parts[1:], ("name", "number"), strict=False):
            if part.start == part.end:
                self._report.error(
                    "missing-value",
                    span,
                    f"{text} has no {what} after the colon",
                    f"Give the {what}, or leave the colon out.",
                )
        if (len(parts) > 3 and not is_lora) or any(part.start == part.end for part in parts[:3]):
            return Node("junk", span)
        numbers = [
            Node("option" if self._is_option(number, part) else "value", part)
            for number, part in enumerate(parts[2:])
            if part.start < part.end
        ]
        return Node("tag", span, (Node("tag-kind", parts[0]), Node("name", parts[1]), *numbers))

    def _is_option(self, number: int, part: Span) -> bool:
        """Say whether what stands behind a LoRA's name is none of its two weights.

        Named ones (`te=0.5`, `lbw=OUTALL`) and whatever else another program takes there.
        """
        text = part.of(self.source)
        return "=" in text or number > 1 or (number == 1 and not is_number(text))

    def _flag(self, mark: MarkupToken, region: Span) -> Node:
        """flag = "--" name [ value { value } ], all on one line"""
        head = Span(mark.start, mark.end)
        name = self._flag_name(head)
        if name is None:
            return Node("junk", head)
        at = mark.end
        if self.source[at : at + 1] == "=" and at < region.end:
            self._report.error(
                "flag-equals",
                head,
                f"--{name}= is not a flag",
                f"Put a blank instead of the equals sign: --{name} VALUE",
            )
            at += 1
        limit = self.lexer.line_end(at, region.end)
        line = Span(region.start, max(limit, at))
        takes = FLAGS[name].takes
        if takes == "nothing":
            self._refuse_value(name, at, line)
            values: list[Node] = []
        else:
            values = self._values(name, at, line)
            if not values:
                hint = (
                    "Write it after a blank, on the same line."
                    f" {FLAGS[name].kind.expected.capitalize()}."
                )
                self._report.error("missing-value", head, f"--{name} needs a value", hint)
        children = (Node("flag-name", head), *values)
        return Node("flag", Span(head.start, max(at, children[-1].span.end)), children)

    def _flag_name(self, head: Span) -> str | None:
        """Return the flag that is meant, None when the name is unknown.

        Reports what is wrong with dashes or name.
        """
        text = head.of(self.source)
        name = text.lstrip("-") if text.startswith("--") else text
        if text.startswith("--") and len(text) - len(name) == 2:
            if name in FLAGS:
                return name
            hint, near = ("", None) if self._report.is_full else _flag_hint(name)
            message = f"{quoted(text)} is not a known flag"
            rewrite = written(head, f"--{near}" if near else None)
            self._report.error("unknown-flag", head, message, hint, rewrite)
            return None
        start = next(at for at, char in enumerate(text) if char.isalpha())
        name = text[start:].replace("-", "_")
        self._report.error(
            "dash-look-alike",
            head,
            f"{quoted(text)} is not a flag",
            f"Did you mean --{name}? A flag starts with two hyphens.",
            written(head, f"--{name}"),
        )
        return name

    def _refuse_value(self, name: str, at: int, line: Span) -> None:
        start = self.lexer.skip_line_blanks(at, line.end)
        word = Span(start, self.lexer.word_end(start, min(line.end, start + 6)))
        if word.of(self.source).lower() in ("true", "false"):
            hint = f"Write --{name} to turn it on, and leave it out to turn it off."
            self._report.error("unexpected-value", word, f"--{name} takes no value", hint)

    def _values(self, name: str, at: int, line: Span) -> list[Node]:
        """value = word | quoted ; a text without quotes goes to the end of the value"""
        takes = FLAGS[name].takes
        nodes: list[Node] = []
        mark = self.lexer.next_mark(at, line)
        stop = mark.start if mark else line.end
        while (start := self.lexer.skip_line_blanks(at, line.end)) < stop:
            if self.source[start] in QUOTES:
                node = self._quoted(name, start, line)
            elif takes == "text":
                node = Node("value", self.lexer.trimmed(Span(start, stop)))
            else:
                node = Node("value", Span(start, self.lexer.word_end(start, stop)))
            nodes.append(node)
            at = node.span.end
            if takes != "words":
                break
            if at > stop:  # the quotes held what looked like the end of the value
                mark = self.lexer.next_mark(at, line)
                stop = mark.start if mark else line.end
        return nodes

    def _quoted(self, name: str, at: int, line: Span) -> Node:
        close = self.lexer.closing_quote(at, line.end)
        if close is None:
            rest = self.lexer.trimmed(Span(at, line.end))
            hint = "End it on the same line with the quote it starts with."
            self._report.error(
                "unclosed-quote",
                Span(at, at + 1),
                f"the quoted value of --{name} is not closed",
                hint,
            )
            return Node("junk", rest)
        inside = Span(at + 1, close)
        if name == "outpaint_prompt":
            children = self.body(inside, "quoted")
        else:
            inside = self.lexer.trimmed(inside)
            children = [Node("value", inside)] if inside.start < inside.end else []
        return Node("quoted", Span(at, close + 1), tuple(children))

    def block(self, lines: list[tuple[Span, Span]]) -> Node:
        """block = { parameter | blank line } ; a negative prompt may go on over lines that are no
        `key=`
        """
        found: list[tuple[Span, Span]] = []  # key, value
        junk: list[Node] = []
        for line, key in lines:
            text = self.lexer.trimmed(line)
            equals = self.source.find("=", key.end, line.end)
            if key.start < key.end and equals >= 0:
                found.append((key, self.lexer.trimmed(Span(equals + 1, line.end))))
            elif text.start == text.end:
                continue
            elif found and found[-1][0].of(self.source) == "negative_prompt":
                key, value = found[-1]
                start = value.start if value.start < value.end else text.start
                found[-1] = (key, Span(start, text.end))
            else:
                junk.append(self._stray(text))
        children = sorted(
            [self._parameter(*pair) for pair in found] + junk, key=lambda node: node.span.start
        )
        return Node("block", Span(children[0].span.start, children[-1].span.end), tuple(children))

    def _stray(self, line: Span) -> Node:
        hint = (
            "After the first parameter every line is key=value; put the prompt's text above them."
        )
        self._report.error(
            "stray-line",
            line,
            f"{quoted(line.of(self.source))} stands among the parameters but is not key=value",
            hint,
        )
        return Node("junk", line)

    def _parameter(self, key: Span, value: Span) -> Node:
        """parameter = key "=" value"""
        children = [Node("key", key)]
        if key.of(self.source) == "negative_prompt":
            children += self.body(value, "negative")
        elif value.start < value.end:
            children.append(Node("value", value))
        return Node("parameter", Span(key.start, max(key.end, value.end)), tuple(children))


def _flag_hint(name: str) -> tuple[str, str | None]:
    """Return what to write in place of a flag that is not known, in words, and the flag that was
    probably meant.
    """
    if elsewhere := flag_to_write(name):
        return elsewhere, None
    near = did_you_mean(name, [*FLAGS, *PARAMETERS])
    if near in FLAGS:
        return f"Did you mean --{near}?", near
    if near:
        return f"Did you mean {near}? {flag_to_write(near)}", None
    return "To have it as text, put a blank after the dashes.", None
