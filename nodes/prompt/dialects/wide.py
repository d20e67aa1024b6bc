"""Wide characters, as keyboards for Chinese and Japanese write them, in place of this language's.

They are ordinary punctuation of such a text: only what would be a weight, tag, parameter, flag or
BREAK in plain characters is a look-alike. Each pattern is bounded, so that no text takes more than
linear time.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from ..catalog import FLAGS
from ..source import Report, Rewrite, Span, quoted
from .keys import is_value_of, own_key

# Angle brackets: single and double guillemets, the two of Chinese and Japanese, the mathematical
# ones. Numbers, since they look like those of this keyboard.
_OPENING = "\u2039\u3008\u300a\u00ab\u27e8"
_CLOSING = "\u203a\u3009\u300b\u00bb\u27e9"
_PLAIN = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
_PLAIN |= dict.fromkeys(map(ord, _OPENING), "<") | dict.fromkeys(map(ord, _CLOSING), ">")
# Letters, digits and the low line: what names are made of, told apart from punctuation.
_WIDE_LETTERS = {
    wide: wide - 0xFEE0
    for wide in range(0xFF01, 0xFF5F)
    if chr(wide - 0xFEE0).isalnum() or chr(wide) == "\uff3f"
}
_FLAG_NAMES = "|".join(sorted((name.replace("_", "[_-]") for name in FLAGS), key=len, reverse=True))
_RATIO = r"(?!\s{0,4}\d{1,6}\s{0,4}[:\uff1a])"
_INNER = "[^()\uff08\uff09\\r\\n]"
_WEIGHT = r"[:\uff1a]\s{0,4}[+-]?[\d.\uff0e]{1,9}\s{0,4}"
_ENDS = f"<>\uff1c\uff1e{_OPENING}{_CLOSING}"
# Over a text whose wide letters are plain already. The groups are what stands for characters of
# the language; what lies between them stays.
_PATTERNS = tuple(
    map(
        re.compile,
        (
            # Behind ASCII brackets and colon a number in wide digits is told as no number.
            rf"(\uff08){_RATIO}{_INNER}{{0,200}}?({_WEIGHT}[)\uff09])",
            rf"(\(){_RATIO}{_INNER}{{0,200}}?({_WEIGHT}\uff09|(?=\uff1a){_WEIGHT}\))",
            rf"([<\uff1c{_OPENING}]\s?(?i:lora|lyco|faceid)\s?[:\uff1a][^{_ENDS}\r\n]{{0,200}}"
            rf"[>\uff1e{_CLOSING}]?)",
            r"([<\uff1c][A-Za-z0-9_.+/-]{1,120}[>\uff1e])",
            rf"(?<![\w-])([-\uff0d]{{1,2}}(?:{_FLAG_NAMES}))(?![\w-])",
            r"(?<![\w-])(BREAK)(?![\w-])",
        ),
    )
)
_PARAMETER = re.compile(
    r"^[ \t]{0,8}(?P<key>[A-Za-z][A-Za-z_ ]{0,40}?) {0,4}(?P<sign>[=:\uff1d\uff1a])"
    r"[ \t]{0,4}(?P<number>[0-9.\uff0e]{0,20})",
    re.MULTILINE,
)


def notice_wide(report: Report, texts: list[Span]) -> None:
    """Report, once for all the texts, wide characters in place of those of the language."""
    if report.source.isascii():
        return
    folded = report.source.translate(_WIDE_LETTERS)
    found = sorted(
        {
            span
            for text in texts
            for span in _found(folded, text)
            if any(ord(char) in _PLAIN for char in span.of(report.source))
        },
        key=lambda one: one.start,
    )
    if not found:
        return
    there = dict.fromkeys(
        char for span in found for char in span.of(report.source) if ord(char) in _PLAIN
    )
    message = (
        f"{quoted(''.join(list(there)[:12]))}: wide characters are read as text; they make no"
        " bracket, tag, flag or parameter"
    )
    plain, at = [], 0
    for span in found:
        if span.start < at:
            continue
        plain += [report.source[at : span.start], span.of(report.source).translate(_PLAIN)]
        at = span.end
    text = "".join([*plain, report.source[at:]])
    rewrite = Rewrite(Span(0, len(report.source)), text, "Write plain characters")
    hint = "Write the characters of a plain keyboard, as in (word:1.2), <lora:name:1> and seed=5."
    report.add("look-alike", "warning", found[0], message, hint, rewrite)


def _found(folded: str, text: Span) -> Iterator[Span]:
    """Yield the places, in a stretch of text, of characters to write plainly, plain ones too."""
    for pattern in _PATTERNS:
        for found in pattern.finditer(folded, text.start, text.end):
            yield from (Span(*found.span(number)) for number in range(1, pattern.groups + 1))
    for found in _PARAMETER.finditer(folded, text.start, text.end):
        own = own_key(found["key"])
        if own is None:
            continue
        line = folded[found.end("sign") : found.end("sign") + 60].partition("\n")[0]
        value = unicodedata.normalize("NFKC", line).partition(",")[0].strip()
        if found["sign"] in "=\uff1d" or is_value_of(own, value):
            yield from (Span(*found.span(name)) for name in ("key", "sign", "number"))
