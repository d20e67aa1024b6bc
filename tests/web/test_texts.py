"""Every text of sidebar, dialogs and pictures stands in locales/, complete in Chinese too."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
JS = ROOT / "web" / "js"
_CALL = re.compile(r"\b(text|worded|counted)\(\s*([\"`])([\w.${}]+)\2")
_KEY = re.compile(r"\"((?:\w+)\.(?:\w+))\"")
_PLACEHOLDER = re.compile(r"\{\w+\}")
# What a person would read: a capital and then small letters, or three words in a row.
_READ = re.compile(r"^[A-Z][a-z]+(?:[ .,:!?]|$)|[A-Za-z]+ [a-z]+ [a-z]+")
_LITERAL = re.compile(r"\"((?:[^\"\\\n]|\\.)*)\"|`((?:[^`\\]|\\.)*)`")
# Names of keys, settings and icons, headers, looks, a person's name, and what developers are told.
_NO_TEXT = re.compile(
    r"^(?:Arrow\w+|Page(?:Up|Down)|Insert|Delete|Backspace|Enter|Escape|Tab|Astria\w*|Content-Type"
    r"|Files|Comfy\.\S+|Workspace\.\S+|Astria: .*|.*\bpi pi-.*|\d+px .*|Anna)$"
)
_STYLE = re.compile(r"const STYLE = `[^`]*`")
_COMMENT = re.compile(r"(?m)(?<![:\"'`/])//.*$|/\*[^*]*\*/")


def sources() -> Iterator[tuple[str, str]]:
    """The files that we write, without comments and style sheets."""
    for path in sorted(JS.rglob("*.js")):
        if "vendor" not in path.parts:
            text = _STYLE.sub("", path.read_text(encoding="utf-8"))
            yield str(path.relative_to(JS)), _COMMENT.sub("", text)


def texts(language: str) -> dict[str, str]:
    groups = json.loads((ROOT / "locales" / language / "main.json").read_text(encoding="utf-8"))
    return {
        f"{group}.{name}": text
        for group, named in groups["astria"].items()
        for name, text in named.items()
    }


def asked() -> Mapping[str, str]:
    """Patterns of the keys that the code asks for, and where it does."""
    found = {}
    for name, text in sources():
        for function, _, key in _CALL.findall(text):
            pattern = re.sub(r"\\\$\\\{[^}]*\\\}", r"\\w+", re.escape(key))
            found[f"{pattern}_(?:one|other)" if function == "counted" else pattern] = name
        # Keys that are chosen first: text(one ? "a.b" : "a.c"), and titles in a table.
        for key in _KEY.findall(text):
            if key in texts("en"):
                found[re.escape(key)] = name
    return found


def literals() -> Iterator[tuple[str, str]]:
    for name, text in sources():
        for quoted, template in _LITERAL.findall(text):
            plain = re.sub(r"\$\{[^}]*\}", "", quoted or template)
            if _READ.search(plain) and not _NO_TEXT.match(plain):
                yield name, plain


def test_each_text_that_the_code_asks_for_has_an_english_entry() -> None:
    english = texts("en")
    without = [
        (name, pattern)
        for pattern, name in asked().items()
        if not any(re.fullmatch(pattern, key) for key in english)
    ]
    assert without == [], "add them to locales/en/main.json"


def test_each_entry_is_asked_for() -> None:
    patterns = "|".join(f"(?:{one})" for one in asked())
    assert [key for key in texts("en") if not re.fullmatch(patterns, key)] == []


def test_no_text_stands_in_the_code_itself() -> None:
    assert list(literals()) == [], "move them to locales/en/main.json"


def test_chinese_is_complete_and_says_the_same_values() -> None:
    english, chinese = texts("en"), texts("zh")
    assert list(chinese) == list(english)
    for key, text in english.items():
        assert sorted(_PLACEHOLDER.findall(chinese[key])) == sorted(_PLACEHOLDER.findall(text)), key
        assert chinese[key].strip()


def test_the_law_sees_a_text_that_is_new() -> None:
    assert _READ.search("Search tunes") and not _NO_TEXT.match("Search tunes")
    assert _READ.search("Stop") and not _NO_TEXT.match("Stop")
    assert _CALL.findall('text("a.b") counted(`a.${kind}`, 2)') == [
        ("text", '"', "a.b"),
        ("counted", "`", "a.${kind}"),
    ]
