"""Finds where text ends and something else begins: tags, flags, BREAK, quotes, parameter lines.

Every pattern is one run of a character class, so nothing is ever tried twice, and all scanning goes
through `Scanner`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

from .catalog import FLAGS, PARAMETERS, TAG_KINDS, TAG_WORDS
from .source import LINE_END, Span
from .suggest import did_you_mean

BYTE_ORDER_MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"
BLANKS = "".join(chr(code) for code in range(0x3001) if chr(code).isspace()) + BYTE_ORDER_MARK
QUOTES = "\"'"
BREAK = "BREAK"

# The hyphen stands first, so that it opens no range in a character class.
_DASHES = (
    "-\N{HYPHEN}\N{NON-BREAKING HYPHEN}\N{FIGURE DASH}\N{EN DASH}\N{EM DASH}"
    "\N{HORIZONTAL BAR}\N{MINUS SIGN}"
)
_CANDIDATE = re.compile(f"[{_DASHES}<B]")
_DASH_RUN = re.compile(f"[{_DASHES}]+")
_FLAG_NAME = re.compile(rf"[^\W\d][{_DASHES}\w]*")
_TAG_BODY = re.compile(r"[^<>\r\n]*")
_TAG_KIND = re.compile(r"[A-Za-z_]+")
# Accents that stand apart from their letter, as some systems write file names, are of the name.
_EMBEDDING = re.compile(r"\w[\w.+/\\\u0300-\u036f-]*")
_KEY = re.compile(r"[A-Za-z_][\w\[\].-]*", re.ASCII)
_WORD = re.compile(rf"[^\s{BYTE_ORDER_MARK}<]+")
_BLANK_RUN = re.compile(rf"[\s{BYTE_ORDER_MARK}]*")
_LINE_BLANKS = re.compile("[" + re.escape(BLANKS.replace("\r", "").replace("\n", "")) + "]*")
_QUOTE = {quote: re.compile(quote) for quote in QUOTES}
# What may touch BREAK besides blanks and tags: the punctuation of a list of descriptions.
_BESIDE_BREAK = ",.;:"


class MarkupToken(NamedTuple):
    """Something that is not text: `junk` is a broken tag, `flag` dashes and name of one."""

    kind: Literal["tag", "embedding", "junk", "flag", "break"]
    start: int
    end: int


class Scanner:
    """Runs patterns over the text."""

    def __init__(self, text: str) -> None:
        self.text = text

    def search(self, pattern: re.Pattern[str], start: int, end: int) -> re.Match[str] | None:
        return pattern.search(self.text, start, end)

    def match(self, pattern: re.Pattern[str], start: int, end: int) -> re.Match[str] | None:
        return pattern.match(self.text, start, end)

    def run(self, pattern: re.Pattern[str], start: int, end: int) -> int:
        """Return where the run of `pattern` that starts at `start` ends (at `start` itself when
        there is none).
        """
        found = pattern.match(self.text, start, end)
        return found.end() if found else start

    def slice(self, start: int, end: int) -> str:
        return self.text[start:end]


class Lexer:
    """Looks for marks in a text; positions are offsets into that text."""

    def __init__(self, scanner: Scanner) -> None:
        self._scan = scanner
        self.text = scanner.text
        self._line = Span(0, -1)

    def next_mark(self, at: int, region: Span) -> MarkupToken | None:
        """Return the first mark of the region at or after `at`.

        The region's ends count as ends of the text.
        """
        while candidate := self._scan.search(_CANDIDATE, at, region.end):
            at = candidate.start()
            char = self.text[at]
            if char == "<":
                mark, at = self._tag(at, region), at + 1
            elif char == "B":
                mark, at = self._break(at, region), at + 1
            else:
                run_end = self._scan.run(_DASH_RUN, at, region.end)
                mark, at = self._flag(at, run_end, region), run_end
            if mark:
                return mark
        return None

    def _tag(self, at: int, region: Span) -> MarkupToken | None:
        """tag = "<" ("lora" | "lyco" | "faceid") ":" name ... ">" ; embedding = "<" name ">" """
        body_end = self._scan.run(_TAG_BODY, at + 1, region.end)
        body = self._scan.slice(at + 1, body_end)
        kind, colon, _ = body.partition(":")
        if body_end == region.end or self.text[body_end] != ">":
            is_tag = colon and kind in TAG_WORDS
            return (
                MarkupToken("junk", at, at + 1 + len(body.split(maxsplit=1)[0])) if is_tag else None
            )
        if not colon:
            if kind in TAG_WORDS:
                return MarkupToken("junk", at, body_end + 1)
            return MarkupToken("embedding", at, body_end + 1) if is_embedding_name(body) else None
        if kind in TAG_WORDS:
            return MarkupToken("tag", at, body_end + 1)
        is_near_miss = _TAG_KIND.fullmatch(kind) and did_you_mean(kind, TAG_KINDS)
        return MarkupToken("junk", at, body_end + 1) if is_near_miss else None

    def _break(self, at: int, region: Span) -> MarkupToken | None:
        end = at + len(BREAK)
        if not self.text.startswith(BREAK, at, region.end):
            return None
        before = self.text[at - 1] if at > region.start else " "
        after = self.text[end] if end < region.end else " "
        divides = before in BLANKS + _BESIDE_BREAK + ">" and after in BLANKS + _BESIDE_BREAK + "<"
        return MarkupToken("break", at, end) if divides else None

    def _flag(self, at: int, run_end: int, region: Span) -> MarkupToken | None:
        """flag = "--" name, not inside a word.

        Other dashes count only before the name of a flag: a slip of a word processor.
        """
        if at > region.start and (self.text[at - 1].isalnum() or self.text[at - 1] == "_"):
            return None
        name_end = self._scan.run(_FLAG_NAME, run_end, region.end)
        if name_end == run_end:
            return None
        is_flag = (
            self.text[at:run_end] == "--" or self.text[run_end:name_end].replace("-", "_") in FLAGS
        )
        return MarkupToken("flag", at, name_end) if is_flag else None

    def line_end(self, at: int, limit: int) -> int:
        """Return where the line that holds `at` ends.

        Remembered, since many flags may stand on one long line.
        """
        if not self._line.start <= at <= self._line.end:
            found = self._scan.search(LINE_END, at, len(self.text))
            self._line = Span(at, found.start() if found else len(self.text))
        return min(self._line.end, limit)

    def skip_line_blanks(self, at: int, end: int) -> int:
        return self._scan.run(_LINE_BLANKS, at, end)

    def trimmed(self, span: Span) -> Span:
        """Return the span without the blanks at its ends."""
        inside = self._scan.slice(span.start, span.end)
        start = span.start + len(inside) - len(inside.lstrip(BLANKS))
        return Span(start, max(start, span.start + len(inside.rstrip(BLANKS))))

    def word_end(self, at: int, end: int) -> int:
        """Return where the word ends: at a blank or at `end`.

        A `<` that opens no tag is part of the word.
        """
        while at < end:
            at = self._scan.run(_WORD, at, end)
            if at >= end or self.text[at] != "<":
                return at
            at += 1
        return at

    def closing_quote(self, at: int, end: int) -> int | None:
        """Return where the quote that opens at `at` closes.

        Its next like that no letter or digit follows (`king's` goes on).
        """
        quote = self.text[at]
        while found := self._scan.search(_QUOTE[quote], at + 1, end):
            at = found.start()
            if at + 1 == end or not self.text[at + 1].isalnum():
                return at
        return None

    def lines(self) -> Iterator[tuple[Span, Span]]:
        """Yield each line as (line without its end, key).

        The key of `key=` at its start, else empty.
        """
        at = 0
        while at <= len(self.text):
            found = self._scan.search(LINE_END, at, len(self.text))
            line = Span(at, found.start() if found else len(self.text))
            yield line, self._key(line)
            if not found:
                return
            at = found.end()

    def _key(self, line: Span) -> Span:
        start = self.skip_line_blanks(line.start, line.end)
        end = self._scan.run(_KEY, start, line.end)
        key = self.text[start:end]
        # A known key and its `=` may be torn apart by a line end; text that is not torn never
        # starts like this.
        limit = len(self.text) if key in PARAMETERS else line.end
        equals = self._scan.run(_BLANK_RUN, end, limit)
        return (
            Span(start, end)
            if key and self.text[equals : equals + 1] == "="
            else Span(start, start)
        )


def is_embedding_name(name: str) -> bool:
    return bool(_EMBEDDING.fullmatch(name)) and name[-1] not in ".+/\\-"


def is_key(text: str) -> bool:
    return bool(_KEY.fullmatch(text))


def is_plain(text: str) -> bool:
    """Return whether all of `text` is text: no tag, flag or BREAK in it."""
    return Lexer(Scanner(text)).next_mark(0, Span(0, len(text))) is None
