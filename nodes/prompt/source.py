"""Places in a text, and the diagnostics about them."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from dataclasses import dataclass
from typing import Literal

LINE_END = re.compile(r"\r\n|\r|\n")
# After this many, one last diagnostic says that there are more: the list is for people.
MOST_DIAGNOSTICS = 200
_WIDEST_SHOWN = 100

SEVERITIES = ("error", "warning", "info")


@dataclass(frozen=True, slots=True)
class Span:
    """Half-open code point offsets into the original text."""

    start: int
    end: int

    def of(self, source: str) -> str:
        return source[self.start : self.end]


@dataclass(frozen=True, slots=True)
class Rewrite:
    """What an editor can write in place of `span`, and the words that offer it."""

    span: Span
    text: str
    label: str


def written(span: Span, text: str | None) -> Rewrite | None:
    """Return the offer to write what was probably meant, None where nothing was."""
    return Rewrite(span, text, f"Write {text}") if text else None


Severity = Literal["error", "warning", "info"]


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """An error, warning or note about a place in a text; `line` and `column` count from 1.

    `field` is the HTTP field it came in, which the message names. `rewrite` mends it, where that
    can be done without asking.
    """

    code: str
    severity: Severity
    span: Span
    message: str
    hint: str = ""
    line: int = 1
    column: int = 1
    field: str = ""
    rewrite: Rewrite | None = None

    def render(self, source: str) -> str:
        """Return the place, the message, the source line with carets under the span, and the
        hint.
        """
        line, pad, marked = _excerpt(source, self.span)
        parts = [
            f"line {self.line}, column {self.column}: {self.message}",
            line,
            pad + "^" * marked,
        ]
        return "\n".join([*parts, self.hint] if self.hint else parts)


def _excerpt(source: str, span: Span) -> tuple[str, str, int]:
    """Return the line that holds the span (a window of it when it is long), the blanks before the
    carets, and how many carets.
    """
    first = max(source.rfind("\n", 0, span.start), source.rfind("\r", 0, span.start)) + 1
    found = LINE_END.search(source, span.start)
    last = found.start() if found else len(source)
    start = max(first, min(span.start - _WIDEST_SHOWN // 2, last - _WIDEST_SHOWN))
    stop = min(last, start + _WIDEST_SHOWN)
    before = ("… " if start > first else "") + source[start : span.start]
    inside = source[span.start : min(span.end, stop)]
    after = source[span.start + len(inside) : stop] + (" …" if stop < last else "")
    pad = "".join(c if c == "\t" else " " * _width(c) for c in before)
    return _printable(before + inside + after), pad, max(1, sum(map(_width, inside)))


def _width(char: str) -> int:
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() or c == "\t" else "\N{REPLACEMENT CHARACTER}" for c in text)


def quoted(text: str) -> str:
    """Return `text` for a message: in backquotes, short, with invisible characters spelled out."""
    short = text if len(text) <= 40 else text[:39] + "…"
    return "`" + "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in short) + "`"


class Report:
    """Collects the diagnostics of one text; the text is the document, or one HTTP field's value."""

    def __init__(self, source: str, field: str = "") -> None:
        self.source = source
        self.field = field
        self._found: list[Diagnostic] = []
        self._left_out: list[Severity] = []
        self.has_errors = False
        self._line_starts: list[int] | None = None

    @property
    def is_full(self) -> bool:
        return len(self._found) >= MOST_DIAGNOSTICS

    def add(
        self,
        code: str,
        severity: Severity,
        span: Span,
        message: str,
        hint: str = "",
        rewrite: Rewrite | None = None,
    ) -> None:
        self.has_errors = self.has_errors or severity == "error"
        if self.is_full:
            self._left_out.append(severity)
            return
        line, column = self.position(span.start)
        text = f"field `{self.field}`: {message}" if self.field else message
        self._found.append(
            Diagnostic(code, severity, span, text, hint, line, column, self.field, rewrite)
        )

    def error(
        self, code: str, span: Span, message: str, hint: str = "", rewrite: Rewrite | None = None
    ) -> None:
        self.add(code, "error", span, message, hint, rewrite)

    def position(self, offset: int) -> tuple[int, int]:
        """Return line and column, both from 1; a CR LF pair is one line end."""
        if self._line_starts is None:
            self._line_starts = [0, *(found.end() for found in LINE_END.finditer(self.source))]
        line = bisect_right(self._line_starts, offset)
        return line, offset - self._line_starts[line - 1] + 1

    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """Return what was found in the order of the text."""
        found = sorted(self._found, key=lambda each: each.span.start)
        if self._left_out:
            last = found[-1]
            severity = "error" if "error" in self._left_out else "warning"
            message = f"{len(self._left_out)} more diagnostics are not listed"
            hint = "Mend the ones above first."
            found.append(
                Diagnostic(
                    "too-many-diagnostics",
                    severity,
                    last.span,
                    message,
                    hint,
                    last.line,
                    last.column,
                    self.field,
                )
            )
        return tuple(found)
