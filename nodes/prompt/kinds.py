"""The types that values of the language have: text -> value or problem, and value -> text.

A value is valid exactly when its own text reads back as it; `accepts` of every kind rests on that.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from .source import quoted
from .suggest import did_you_mean

_WHOLE = re.compile(r"[+-]?[0-9]+")
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")
# Longer numbers are out of every range; the bound also keeps int() and float() cheap.
_MOST_DIGITS = 40


def is_number(text: str) -> bool:
    """Say whether a text has the form of a decimal number."""
    return len(text) <= _MOST_DIGITS and bool(_DECIMAL.fullmatch(text))


@dataclass(frozen=True, slots=True)
class ValueProblem:
    """Why a text is not a value of the kind asked for; `near` is the value that it may mean."""

    code: str
    message: str
    hint: str
    near: str = ""


class ValueKind(Protocol):
    """A type of value; `expected` says in words what its text looks like."""

    @property
    def expected(self) -> str: ...

    def read(self, text: str) -> object: ...

    def show(self, value: object) -> str: ...


def accepts(kind: ValueKind, value: object) -> bool:
    """Return whether `value` is a valid value of `kind`.

    Whole numbers do for decimal ones, booleans for neither.
    """
    again = kind.read(kind.show(value))
    return again == value and isinstance(again, bool) == isinstance(value, bool)


@dataclass(frozen=True)
class Whole:
    """A whole number within bounds, both included, in steps of `multiple`."""

    lowest: int
    highest: int
    multiple: int = 1

    @property
    def expected(self) -> str:
        steps = f", a multiple of {self.multiple}" if self.multiple > 1 else ""
        return f"a whole number from {self.lowest} to {self.highest}{steps}"

    def read(self, text: str) -> int | ValueProblem:
        if not _WHOLE.fullmatch(text):
            return ValueProblem(
                "bad-number", f"{quoted(text)} is not a whole number", f"Expected {self.expected}."
            )
        if len(text) > _MOST_DIGITS or not self.lowest <= int(text) <= self.highest:
            return ValueProblem(
                "out-of-range", f"{quoted(text)} is out of range", f"Expected {self.expected}."
            )
        value = int(text)
        if value % self.multiple:
            near = max(self.lowest, round(value / self.multiple) * self.multiple)
            return ValueProblem(
                "not-a-multiple",
                f"{value} is not a multiple of {self.multiple}",
                f"The nearest one is {near}.",
                str(near),
            )
        return value

    def show(self, value: object) -> str:
        return str(value)


@dataclass(frozen=True)
class Decimal:
    """A finite decimal number within bounds, both included."""

    lowest: float
    highest: float

    @property
    def expected(self) -> str:
        return f"a number from {self.lowest:g} to {self.highest:g}"

    def read(self, text: str) -> float | ValueProblem:
        if not _DECIMAL.fullmatch(text):
            hint, near = f"Expected {self.expected}.", ""
            if text.count(",") == 1 and _DECIMAL.fullmatch(text.replace(",", ".")):
                near = text.replace(",", ".")
                hint = f"Write the decimal point as a point: {near}"
            return ValueProblem("bad-number", f"{quoted(text)} is not a number", hint, near)
        if len(text) > _MOST_DIGITS or not self.lowest <= float(text) <= self.highest:
            return ValueProblem(
                "out-of-range", f"{quoted(text)} is out of range", f"Expected {self.expected}."
            )
        return float(text)

    def show(self, value: object) -> str:
        return repr(value)


ANY_NUMBER = Decimal(-1e15, 1e15)  # bounds that nothing meant as a number exceeds


@dataclass(frozen=True)
class Boolean:
    """`true` or `false`, also spelled 1 and 0, in any case."""

    expected: str = "true or false"

    def read(self, text: str) -> bool | ValueProblem:
        known = {"true": True, "1": True, "false": False, "0": False}
        if text.lower() in known:
            return known[text.lower()]
        hint = {
            "yes": "Write true.",
            "on": "Write true.",
            "no": "Write false.",
            "off": "Write false.",
        }
        return ValueProblem(
            "bad-choice",
            f"{quoted(text)} is neither true nor false",
            hint.get(text.lower(), "Write true or false."),
        )

    def show(self, value: object) -> str:
        return str(value).lower()


@dataclass(frozen=True)
class Choice:
    """One of some words, in any case.

    `refused` holds words of the service that the host cannot do.
    """

    options: Sequence[str]
    refused: Mapping[str, ValueProblem] = field(default_factory=dict)

    @property
    def expected(self) -> str:
        return "one of " + ", ".join(self.options)

    def read(self, text: str) -> str | ValueProblem:
        for option in self.options:
            if option.casefold() == text.casefold():
                return option
        if text.casefold() in self.refused:
            return self.refused[text.casefold()]
        near = did_you_mean(text, self.options)
        hint = f"Did you mean {near}? " if near else ""
        return ValueProblem(
            "bad-choice",
            f"{quoted(text)} is not known",
            f"{hint}Expected {self.expected}.",
            near or "",
        )

    def show(self, value: object) -> str:
        return str(value)


@dataclass(frozen=True)
class Anchor:
    """Where the source image sits on the new canvas: one of nine places."""

    options: Sequence[str]

    @property
    def expected(self) -> str:
        return "one of " + ", ".join(self.options)

    def read(self, text: str) -> str | ValueProblem:
        if text.lower() in self.options:
            return text.lower()
        near = self._nearest(text.lower().replace("_", "-"))
        hint = f"Did you mean {near}? " if near else ""
        return ValueProblem(
            "bad-anchor",
            f"{quoted(text)} is not an anchor",
            f"{hint}Expected {self.expected}.",
            near or "",
        )

    def _nearest(self, text: str) -> str | None:
        """Return the anchor with the same words (`center-left`, `top`), else the one spelled most
        alike.
        """
        words = set(text.replace("middle", "center").split("-"))
        for wanted in (words, words | {"center"}):
            for option in self.options:
                if set(option.split("-")) == wanted:
                    return option
        return did_you_mean(text, self.options)

    def show(self, value: object) -> str:
        return str(value)


@dataclass(frozen=True, slots=True)
class Dilation:
    """How far a mask grows (or, negative, shrinks).

    `unit` is `px`, or `%` of the picture's short side.
    """

    value: float
    unit: str = "px"


@dataclass(frozen=True)
class DilationKind:
    """Pixels (`20`) or per cent of the picture (`-20%`)."""

    expected: str = "pixels such as 20, or per cent of the picture such as -20%"

    def read(self, text: str) -> Dilation | ValueProblem:
        is_percent = text.endswith("%")
        number = Decimal(-100, 100) if is_percent else Decimal(-16384, 16384)
        value = number.read(text[:-1] if is_percent else text)
        if isinstance(value, ValueProblem):
            limits = (
                " Pixels go from -16384 to 16384, per cent from -100 to 100."
                if value.code == "out-of-range"
                else ""
            )
            return ValueProblem(value.code, value.message, f"Expected {self.expected}.{limits}")
        return Dilation(value, "%" if is_percent else "px")

    def show(self, value: object) -> str:
        if not isinstance(value, Dilation):
            return ""
        sign = "%" if value.unit == "%" else ""
        return (
            f"{value.value!r}{sign}".replace(".0%", "%")
            if sign
            else f"{value.value!r}".removesuffix(".0")
        )


@dataclass(frozen=True)
class Line:
    """Any text on one line, blanks tidied; never empty."""

    expected: str = "text"

    def read(self, text: str) -> str | ValueProblem:
        return tidy(text)

    def show(self, value: object) -> str:
        return str(value)


def tidy(text: str) -> str:
    """Return `text` with every run of blanks, line ends and byte order marks made one blank, and
    none at its ends.
    """
    return " ".join(text.replace("\N{ZERO WIDTH NO-BREAK SPACE}", " ").split())
