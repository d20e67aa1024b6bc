"""Text that other programs read as more than words: what happens to it here, what to write.

Each pattern is bounded, so that no text takes more than linear time.
"""

from __future__ import annotations

import html
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence

from ..catalog import FLAGS
from ..kinds import ANY_NUMBER, Line, ValueProblem
from ..lexer import is_embedding_name
from ..source import Report, Rewrite, Span, quoted
from ..tree import Node
from .breaks import notice_undivided
from .json_settings import notice_json
from .keys import FLAGS_ELSEWHERE, NEGATIVE, SIZE, flag_to_write, own_key, plain
from .wide import notice_wide

_BEGINS = r"(?<![A-Za-z0-9_])"
_INLINE = "negative[ _]prompt|steps|cfg scale|seed|clip skip|size|sampler"
_WORD = "[A-Za-z0-9/*.\\- ]"
# What is looked for: kind -> (what any such text holds, its pattern).
_PATTERNS: dict[str, tuple[str, re.Pattern[str]]] = {
    kind: (sign, re.compile(pattern))
    for kind, sign, pattern in (
        ("schedule", "[", r"\[[^\[\]\r\n]{0,200}:\s{0,4}[\d.]{1,9}\s{0,4}\]"),
        ("alternate", "[", r"\[[^\[\]|\r\n]{0,200}\|[^\[\]\r\n]{0,200}\]"),
        ("curly", "{", r"\{[^{}\r\n]{1,200}\}"),
        ("wildcard", "__", rf"__[A-Za-z0-9*]{_WORD}{{0,60}}(?:_{_WORD}{{1,60}}){{0,6}}__"),
        (
            "comma",
            ":",
            r"\([^()\r\n:]{0,200}:\s{0,4}(?P<weight>[-+]?[\d.,\uff0e\uff0c]{1,12}%?)\s{0,4}\)",
        ),
        ("behind", ")", r"\)(?:\+{1,5}|\d\.\d{1,4})(?![\w(])"),
        ("call", ").", r"\)\.(?:blend|swap|and)\("),
        ("multi", "::", r"::-?\d[\d.]{0,6}"),
        ("area", "(", rf"{_BEGINS}(?:COUPLE|MASK|IMASK|AREA|FEATHER|FILL|STYLE)\("),
        ("region", "ADD", rf"{_BEGINS}ADD(?:COL|ROW|BASE|COMM|P)(?![A-Za-z0-9_])"),
        ("both", "AND", r"(?<!\S)AND(?:_[A-Z]{2,10}){0,3}(?!\S)"),
        ("comment", "/*", r"/\*[^*\r\n]{0,200}\*/"),
        ("dream", " -", r"(?<=\s)-(?P<letter>[sSWHC]) ?\d[\d.]{0,12}(?!\S)"),
        (
            "inline",
            ":",
            rf"(?:(?<=[^\s] )|(?<=[,;.|*\"']))(?P<key>(?i:{_INLINE}))[*\"']{{0,2}} ?(?=:)",
        ),
        ("undivided", "BREAK", r"(?:BREAK)+"),
        (
            "embedding",
            ":",
            r"(?<![A-Za-z0-9_<])(?:(?:embedding|emb) ?: ?|Embedding:|EMBEDDING:)"
            r"(?P<name>[\w.+/\-]{1,120})(?P<weight>:\d[\d.]{0,9}(?![\d.]|\s{0,4}\)))?",
        ),
        (
            "tag",
            "",
            r"(?:(?<![\w<:;/\\.\uff1c-])|(?P<open><)\s?)(?P<kind>(?i:lora|lyco|faceid))"
            r"(?(open)[ =;:]|:)"
            r"(?P<name>[\w.\-]{1,80})(?:[:;=](?P<weight>\d{0,3}\.?\d{1,6}))?"
            r"(?(open)\s?>|(?![\w>:]))",
        ),
        ("entity", "&", r"&(?:lt|gt|amp|quot|apos|nbsp|#\d{2,5}|#x[0-9A-Fa-f]{2,5});"),
        ("percent", "%", r"%(?:3[CcEeAa]|20)"),
        ("escape", "\\", r"(?<!\\)\\(?:[nrt]|u[0-9A-Fa-f]{4})"),
        (
            "dashed",
            "",
            rf"(?<![\w-])(?:[\u2010-\u2015\u2212](?P<flag>{'|'.join(FLAGS_ELSEWHERE)})(?=\s+\S)"
            r"|-(?P<ratio>ar)(?=\s+\d))",
        ),
    )
}
_PIXELS = re.compile(
    r"(?:6[4-9]|[7-9]\d|\d{3,5})x(?:6[4-9]|[7-9]\d|\d{3,5})(?!\d)"
    r"(?!\s{0,4}(?:[\"']|in\b|inch|[cmk]?m\b|ft\b|feet|met|cent|mill|yard))"
)
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+")
_INLINEANY_NUMBERS = ("steps", "cfg scale", "seed", "clip skip")
_DOUBLE = "\u201c\u201d\u201e\u201f\u00ab\u00bb\uff02\u300c\u300d\u300e\u300f\u301d\u301e"
_SINGLE = "\u2018\u2019\u201a\u201b\u2039\u203a\uff07"
_CURLY_QUOTES = dict.fromkeys(map(ord, _DOUBLE), '"') | dict.fromkeys(map(ord, _SINGLE), "'")
# Options of InvokeAI's command line.
_DREAM = {"s": "steps", "S": "seed", "W": "w", "H": "h", "C": "cfg_scale"}
_ESCAPES = {"n": "\n", "r": "\n", "t": " "}
_TEXT_ESCAPE = re.compile(r"(?<!\\)\\(?:[nrt]|u[0-9A-Fa-f]{4})")
_AS_TEXT = {
    "curly": "neither a choice nor a weight here: the braces are read as text",
    "wildcard": "no list of words here: it is read as text",
    "behind": "no weight here: it is read as text",
    "call": "read as text",
    "comment": "no comment here: it is read as text",
    "multi": "no weight here: it is read as text",
    "area": "read as text: it gives nothing a place here",
    "region": "read as text: it divides nothing here",
    "both": "read as a word: here it does not draw two prompts and mix them",
    "percent": "read as text, and not as the character that it stands for",
    "alternate": "no alternation here: it is read as text in brackets",
    "schedule": "no change during the steps here: it is read as text in brackets",
}
_HINTS = {
    "curly": "Write the words that you want, and a weight as (word:1.05).",
    "wildcard": "Write the words that you want.",
    "behind": "Write the weight inside, as in (word:1.3).",
    "call": "Write the words that you want, with weights such as (word:1.3).",
    "comment": "Take it out.",
    "multi": "Write the weight in brackets, as in (word:1.3).",
    "area": "Write the scene, then BREAK and words for all, then BREAK and each person.",
    "region": "Write the scene, then BREAK and words for all, then BREAK and each person.",
    "both": "Put a comma instead, or write it in small letters.",
    "percent": "Write the character itself.",
    "alternate": "Write the words that you want, without the bar.",
    "schedule": "Write the words that you want, and a weight as (word:1.2).",
}


def notice_syntax(report: Report, nodes: Sequence[Node]) -> None:
    """Report, in the texts of the nodes, what other programs give a meaning."""
    if notice_json(report):
        return
    texts = list(_texts(nodes))
    starts = [span.start for span in texts]
    for kind, (sign, pattern) in _PATTERNS.items():
        if sign not in report.source:
            continue
        for found in pattern.finditer(report.source):
            at = bisect_right(starts, found.start()) - 1
            is_in_text = at >= 0 and found.start() < texts[at].end
            if is_in_text and _tell(report, found, kind):
                break
    notice_wide(report, texts)
    for node in nodes:
        for flag in (node, *node.children):
            if flag.kind == "flag":
                _notice_quotes(report, flag)


def _texts(nodes: Sequence[Node]) -> Iterator[Span]:
    """Yield the stretches of text, values of flags that are text included, in their order."""
    for node in nodes:
        if node.kind == "text":
            yield node.span
        elif node.kind == "flag" and _takes_text(node):
            yield from (one.span for one in node.leaves() if one.kind in ("text", "value"))
        elif node.kind in ("block", "foreign"):
            for child in node.children:
                if child.kind in ("parameter", "flag"):
                    yield from (leaf.span for leaf in child.leaves() if leaf.kind == "text")
                elif child.kind == "text":
                    yield child.span


def _takes_text(flag: Node) -> bool:
    return any(child.kind in ("value", "quoted") for child in flag.children) and not any(
        child.kind == "value" for child in flag.children[2:]
    )


def _tell(report: Report, found: re.Match[str], kind: str) -> bool:
    """Report what was found; return whether one report does for all others of the kind."""
    span = Span(*found.span())
    shown = quoted(found.group())
    if kind in ("entity", "escape"):
        return _tell_encoded(report, found, kind)
    if kind == "undivided":
        notice_undivided(report, span)
    elif kind == "embedding":
        _tell_embedding(report, found)
    elif kind == "tag":
        weight = found.group("weight")
        own = (
            f"<{found.group('kind').lower()}:{found.group('name')}{f':{weight}' if weight else ''}>"
        )
        hint = f"Write {own}."
        rewrite = Rewrite(span, own, hint.rstrip("."))
        report.add(
            "look-alike", "warning", span, f"{shown} is no tag: it is read as text", hint, rewrite
        )
    elif kind == "inline":
        _tell_inline(report, Span(*found.span("key")))
    elif kind == "comma":
        weight = found.group("weight")
        if isinstance(ANY_NUMBER.read(weight), ValueProblem) and not _THOUSANDS.fullmatch(weight):
            message = f"{quoted(weight)} is no number, and stays in the text of {shown}"
            hint = "Write a decimal point and nothing else behind the colon, as in (word:1.2)."
            report.add("foreign-syntax", "warning", span, message, hint)
    elif kind == "dashed":
        message = f"{shown} is read as text, and no flag"
        hint = flag_to_write(found.group("flag") or found.group("ratio")) or ""
        report.add("foreign-syntax", "warning", span, message, hint)
    elif kind == "dream":
        message = f"{shown} is read as text, and sets nothing"
        hint = f"Write {_DREAM[found.group('letter')]}= on a line of its own, below the text."
        report.add("foreign-syntax", "warning", span, message, hint)
    elif kind != "both" or not _is_shouted(report.source, span):
        message = f"{shown} is {_AS_TEXT[kind]}"
        report.add("foreign-syntax", "warning", span, message, _HINTS[kind])
    return False


def _tell_inline(report: Report, key: Span) -> None:
    """Report a setting that shares its line with text, as where line ends were lost in pasting."""
    source, text = report.source, key.of(report.source)
    value = source[source.index(":", key.end) + 1 : key.end + 32].lstrip(" \t*\"'")
    if not _is_inline(plain(text), value):
        return
    own = own_key(text)
    name = "" if own is None else f", as {own if own == SIZE else own + '='}"
    report.add(
        "parameter-in-text",
        "warning",
        key,
        f"{quoted(text + ':')} inside a line is read as text",
        f"Begin a line with it{name or ', or take it out'}.",
    )


def _is_inline(words: str, value: str) -> bool:
    """Say whether a word with a colon behind it is a setting, by the value behind that."""
    if words in _INLINEANY_NUMBERS:
        return value[:1].isdigit()
    if words == "size":
        return _PIXELS.match(value) is not None
    if words == "sampler":
        return value.casefold().startswith(("euler", "dpm", "ddim", "unipc", "lcm", "heun"))
    return words == NEGATIVE


def _is_shouted(source: str, span: Span) -> bool:
    """Say whether the words beside are in capitals as well: lettering, and no operator."""
    before = source[max(0, span.start - 30) : span.start].split()[-1:]
    after = source[span.end : span.end + 30].split()[:1]
    return all(word.isupper() and len(word) > 1 for word in (*before, *after))


def _tell_embedding(report: Report, found: re.Match[str]) -> None:
    """Report an embedding of another spelling than ComfyUI's own, whose files the plan looks up."""
    name = found.group("name").rstrip(".+/-")
    if found.group().startswith(f"embedding:{name}"):
        return
    weight = found.group("weight") or ""
    end = found.end() if weight else found.start("name") + len(name)
    span = Span(found.start(), end)
    shown = quoted(span.of(report.source))
    own = f"(<{name}>{weight})" if weight else f"<{name}>"
    hint = f"Write {own}: its file is then looked up before anything runs."
    message = f"{shown} names no embedding here: it is read as text"
    rewrite = Rewrite(span, own, f"Write {own}") if is_embedding_name(name) else None
    report.add("foreign-syntax", "warning", span, message, hint, rewrite)


def _tell_encoded(report: Report, found: re.Match[str], kind: str) -> bool:
    text = report.source
    if kind == "entity":
        plain = html.unescape(text)
        what = f"{quoted(found.group())} is read as these characters, not as the one it stands for"
    else:
        plain = _TEXT_ESCAPE.sub(_unescaped, text)
        what = f"{quoted(found.group())} is read as a backslash and what follows it"
    hint = "Write the character itself: < and >, or a real line end."
    rewrite = Rewrite(Span(0, len(text)), plain, "Write the characters themselves")
    report.add("look-alike", "warning", Span(*found.span()), what, hint, rewrite)
    return True


def _unescaped(found: re.Match[str]) -> str:
    letter = found.group()[1]
    return _ESCAPES[letter] if letter != "u" else chr(int(found.group()[2:], 16))


def _notice_quotes(report: Report, flag: Node) -> None:
    """Report quotes of a word processor around a flag's text: they hold nothing together."""
    head, *values = flag.children
    text = Span(head.span.end, flag.span.end).of(report.source)
    for value in values:
        written = value.span.of(report.source)
        if value.kind != "value" or not written or ord(written[0]) not in _CURLY_QUOTES:
            continue
        name = head.span.of(report.source).lstrip("-")
        if name not in FLAGS or not isinstance(FLAGS[name].kind, Line):
            return
        ends = "the next blank" if FLAGS[name].takes == "words" else "the end of the value"
        report.add(
            "look-alike",
            "warning",
            Span(value.span.start, value.span.start + 1),
            f"{quoted(written[0])} is no quote here: it is part of the text, which goes to {ends}",
            "Write straight quotes, \" or ', around the text.",
            Rewrite(
                Span(head.span.end, flag.span.end),
                text.translate(_CURLY_QUOTES),
                "Write straight quotes",
            ),
        )
        return
