"""A BREAK that touches what it should divide: a slip, or part of an ordinary word."""

from __future__ import annotations

import re

from ..source import Report, Span, quoted

# What English puts behind `break` and before it in one word, in whatever letters.
_ENDING = re.compile(
    r"able|ages?|away|beats?|core|danc(?:e|ers?|ing)|downs?|ers?|even|fast(?:ed|s)?|front|ings?"
    r"|neck|off|outs?|over|points?|room|s|throughs?|times?|ups?|waters?",
    re.IGNORECASE,
)
_BEGINNING = re.compile(
    r"back|beach|cloud|code|coffee|day|fast|fire|ground|heart|house|ice|jail|law|line|lunch|news"
    r"|out|page|path|prison|record|safe|spring|strike|summer|tax|tea|tie|un|wind|winter",
    re.IGNORECASE,
)
_LETTERS_AFTER = re.compile(r"[^\W\d_]{0,12}")
_LETTERS_BEFORE = re.compile(r"[^\W\d_]{0,14}$")
_LONGEST_WORD = 14
_QUOTES = "\"'`\u2018\u2019\u201c\u201d"
# What ends lettering: a sign that says TAKE A BREAK!
_AFTER_LETTERING = f"!?{_QUOTES}\u2026\uff01"


def notice_undivided(report: Report, span: Span) -> None:
    """Report the BREAK at `span`, which divides nothing, unless it is meant as a word."""
    source = report.source
    before, after = source[max(0, span.start - 1) : span.start], source[span.end : span.end + 1]
    if _is_of_word(source, span) or _is_lettering(source, span):
        return
    beside = (source[max(0, span.start - 2) : span.start], source[span.end : span.end + 2])
    if any(one in ("\\n", "\\r", "\\t") for one in beside):
        return  # told with the escape
    glued = Span(span.start - len(before.strip()), span.end + len(after.strip()))
    message = (
        f"BREAK in {quoted(glued.of(source))} is glued to what it touches, and divides nothing"
    )
    hint = "Put a blank at both sides of BREAK, outside of brackets."
    report.add("undivided-break", "warning", glued, message, hint)


def _is_of_word(source: str, span: Span) -> bool:
    """Say whether BREAK is a part of a word: BREAKing, DAYBREAK, Tie-BREAK, BREAK's."""
    before = source[max(0, span.start - _LONGEST_WORD) : span.start]
    after = source[span.end : span.end + _LONGEST_WORD]
    if _hyphenated(before[::-1]) or _hyphenated(after):
        return True
    if after[:1] in "'\u2019" and after[1:2] in ("s", "S") and not after[2:3].isalnum():
        return True
    behind, ahead = _LETTERS_AFTER.match(after), _LETTERS_BEFORE.search(before)
    ending = behind.group() if behind else ""
    beginning = ahead.group() if ahead else ""
    if ending and not _ENDING.fullmatch(ending):
        return False
    if not beginning:
        return bool(ending)
    # Small letters right before it are the last word of what it should divide: "a houseBREAK".
    return _BEGINNING.fullmatch(beginning) is not None and (bool(ending) or beginning.isupper())


def _hyphenated(beside: str) -> bool:
    """Say whether a hyphen joins a word of plain letters or digits to BREAK."""
    return beside[:1] == "-" and beside[1:2].isalnum() and beside.isascii()


def _is_lettering(source: str, span: Span) -> bool:
    """Say whether BREAK stands in quotes, or ends words in capitals, as on a sign."""
    before, after = source[max(0, span.start - 1) : span.start], source[span.end : span.end + 1]
    if before and after and before in _QUOTES and after in _QUOTES:
        return True
    words = source[max(0, span.start - 30) : span.start].split(" ")
    last = words[-2].lstrip(_QUOTES) if len(words) > 1 and not words[-1] else ""
    return last.isalpha() and last.isupper() and bool(after) and after in _AFTER_LETTERING
