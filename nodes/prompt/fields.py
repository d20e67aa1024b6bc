"""The HTTP spelling of a request: separate fields instead of one text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .lexer import BLANKS, is_key
from .source import Report, Span, quoted

_WRAPPED = re.compile(r"prompt\[([^\[\]]+)\]")
# Beyond every range; printing an integer of any length would take more than linear time.
_LARGEST = 10**30


@dataclass(frozen=True, slots=True)
class Field:
    """One field: its key without the `prompt[...]` around it, and the report of its text."""

    key: str
    report: Report


def fields_of(fields: Mapping[str, object]) -> tuple[list[Field], list[Report]]:
    """Return the fields that are not null as text, and the reports of all (those of fields that
    cannot be read hold an error).
    """
    found: list[Field] = []
    reports: list[Report] = []
    for name, key, value in _flat(fields):
        if value is None:
            continue
        text = _text_of(value)
        report = Report(text if text is not None else "", name)
        reports.append(report)
        if text is None:
            hint = (
                "Send text, a number, true or false; a picture goes as a file name, an address or"
                " base64."
            )
            report.error(
                "bad-type",
                Span(0, 0),
                f"a value of type {type(value).__name__} cannot be read",
                hint,
            )
        elif not is_key(key):
            report.error(
                "bad-field-name",
                Span(0, 0),
                f"{quoted(key)} cannot be the name of a field",
                "Use letters, digits and _.",
            )
        else:
            found.append(Field(key, Report(text.strip(BLANKS), name) if _is_plain(key) else report))
            reports[-1] = found[-1].report
    return found, reports


def _is_plain(key: str) -> bool:
    """Return whether blanks at the ends of the field mean nothing.

    Everywhere but in the text, whose places must stay exact.
    """
    return key not in ("text", "negative_prompt")


def _flat(fields: Mapping[str, object]) -> Iterator[tuple[str, str, object]]:
    """Yield (name as sent, key, value).

    `prompt[w]`, `w` and `{"prompt": {"w": ...}}` all mean `w`, and a plain `prompt` is the text.
    """
    for name, value in fields.items():
        wrapped = _WRAPPED.fullmatch(str(name))
        if name == "prompt" and isinstance(value, Mapping):
            for key, inner in value.items():
                yield f"prompt[{key}]", str(key), inner
        elif name == "prompt":
            yield "prompt", "text", value
        else:
            yield str(name), wrapped.group(1) if wrapped else str(name), value


def _text_of(value: object) -> str | None:
    """Return the value as it would be written in a prompt, None when it is nothing of the
    language.
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value) if abs(value) < _LARGEST else "9" * 50
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < _LARGEST else repr(value)
    return value if isinstance(value, str) else None
