"""The lines of the bindings file: scanned with their numbers, edited without touching the others.

Grammar:
    file    = { line }
    line    = [ "#" comment | "[" section "]" | key "=" value ]
    section = "tunes" | "roles" | "defaults" | "base" id
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..errors import BindingsError
from .names import close_names, one_id, shown

SECTIONS = ("tunes", "roles", "defaults")
BASE_ID = re.compile(r"[0-9A-Za-z_][0-9A-Za-z_-]{0,63}")

_BASE_SECTION = re.compile(r"base\s+(.*)", re.DOTALL)
_UP_TO_VALUE = re.compile(r"[^=]*=[ \t]*")
_EXAMPLE = "Example:\n[tunes]\n1533312 = my_wife.safetensors"


@dataclass(frozen=True)
class Row:
    """One meaningful line of the file, counted from 1.

    A section's own line has an empty key and value.
    """

    number: int
    line: str
    section: str  # "tunes", "roles", "defaults" or "base ID"
    key: str = ""
    value: str = ""


def line_error(source: str, row: Row, problem: str, hint: str = "") -> BindingsError:
    """Return the error for a line of the bindings file `source`."""
    message = f"{source}, line {row.number}: {shown(row.line)}: {problem}"
    return BindingsError(message, code="bindings-line", hint=hint)


def scan(text: str, source: str) -> list[Row]:
    """Return the section and `key = value` lines of `text`.

    Raises: BindingsError for a line that is none of both, an unknown section, or a key given twice.
    """
    rows: list[Row] = []
    first: dict[tuple[str, str], int] = {}
    section = ""
    for number, raw in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("["):
            section = _section(Row(number, line, ""), source)
            rows.append(Row(number, line, section))
            continue
        row = _entry(Row(number, line, section), source)
        if (section, row.key) in first:
            earlier = first[section, row.key]
            raise line_error(
                source,
                row,
                f"{row.key} is already set in line {earlier}",
                "Keep one of the two lines.",
            )
        first[section, row.key] = number
        rows.append(row)
    return rows


def _section(row: Row, source: str) -> str:
    if not row.line.endswith("]"):
        raise line_error(
            source, row, "expected ']' at the end of a section's line", "Example: [tunes]"
        )
    name = row.line[1:-1].strip()
    if name in SECTIONS:
        return name
    if base := _BASE_SECTION.fullmatch(name):
        if BASE_ID.fullmatch(base[1]):
            return f"base {one_id(base[1])}"
        raise line_error(
            source,
            row,
            f"expected a tune id after 'base', not {shown(base[1])}",
            "Example: [base 690204]",
        )
    close = close_names(name, [*SECTIONS, "base"])
    guess = f" Did you mean [{close[0]}]?" if close else ""
    raise line_error(
        source, row, f"expected [tunes], [roles], [defaults] or [base ID].{guess}", _EXAMPLE
    )


def _entry(row: Row, source: str) -> Row:
    key, equals, value = (part.strip() for part in row.line.partition("="))
    if not equals:
        hint = (
            "A comment starts with # on a line of its own."
            if row.line.startswith(";")
            else _EXAMPLE
        )
        raise line_error(source, row, "expected 'key = value', found no '='", hint)
    if not key or not value:
        missing = "value after" if key else "key before"
        raise line_error(
            source, row, f"expected a {missing} the '='", "Complete the line, or remove it."
        )
    if not row.section:
        raise line_error(
            source, row, "expected a section such as [tunes] before the first key", _EXAMPLE
        )
    # Two lines for one tune would be one too many, however its id is spelled.
    key = one_id(key) if row.section == "tunes" else key
    return Row(row.number, row.line, row.section, key, value)


def with_entry(text: str, rows: Sequence[Row], entry: Row) -> str:
    """Return `text` with `entry.key = entry.value` in its section.

    Every other line stays as it is.
    """
    carriage = "\r" if "\r\n" in text else ""
    if old := next(
        (row for row in rows if (row.section, row.key) == (entry.section, entry.key)), None
    ):
        lines = text.split("\n")
        raw = lines[old.number - 1]
        before_value = _UP_TO_VALUE.match(raw)
        assert before_value is not None  # scan found the '='
        lines[old.number - 1] = before_value[0] + entry.value + ("\r" if raw.endswith("\r") else "")
        return "\n".join(lines)
    if text and not text.endswith("\n"):
        text += carriage + "\n"
    added = f"{entry.key} = {entry.value}{carriage}"
    if numbers := [row.number for row in rows if row.section == entry.section]:
        lines = text.split("\n")
        lines.insert(max(numbers), added)
        return "\n".join(lines)
    gap = f"{carriage}\n" if text else ""
    return f"{text}{gap}[{entry.section}]{carriage}\n{added}\n"


def without_lines(text: str, numbers: Iterable[int]) -> str:
    """Return `text` without the lines of these numbers; every other line stays as it is."""
    gone = set(numbers)
    bom = "\ufeff" if text.startswith("\ufeff") else ""
    kept = [
        line
        for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), start=1)
        if number not in gone
    ]
    return bom + "\n".join(kept)
