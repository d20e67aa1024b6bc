"""The rows of `dev.py bench gpu`, and the cases that they come from, one after the other within a
part's share of the time.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypedDict


class Row(TypedDict):
    """What one case found.

    `value` None: it was not run, `note` says why. `ok` False: it failed, `note` says how; None
    where nothing is held against it.
    """

    name: str
    value: float | None
    unit: str
    ok: bool | None
    note: str


Tell = Callable[[Row], object]


class Case(NamedTuple):
    """One thing to measure; `least_gb` is the GPU memory without which it is not begun."""

    name: str
    rows: Callable[[], Iterable[Row]]
    least_gb: float = 0.0


@dataclass(frozen=True)
class Limits:
    """Until when cases are begun (`time.monotonic`), of how many seconds, and the GPU's memory."""

    deadline: float
    share_s: float
    memory_gb: float


def row(name: str, value: float, unit: str, ok: bool | None = None, note: str = "") -> Row:
    """Return what was measured."""
    return {"name": name, "value": value, "unit": unit, "ok": ok, "note": note}


def not_run(name: str, why: str) -> Row:
    """Return the row of a case that was left out."""
    return {"name": name, "value": None, "unit": "", "ok": None, "note": f"not run: {why}"}


def failed(name: str, why: str) -> Row:
    """Return the row of a case that ended in an error."""
    return {"name": name, "value": None, "unit": "", "ok": False, "note": f"failed: {why}"}


def out_of_time(share_s: float) -> str:
    """Return why a case was left out whose part had no time left."""
    return f"the {share_s:.0f} s of its part were used up"


def run_cases(cases: Sequence[Case], limits: Limits, tell: Tell) -> None:
    """Run the cases in order and tell each row as it is found.

    A case that fails is told with its error, and the next one is run.
    """
    for case in cases:
        if time.monotonic() >= limits.deadline:
            tell(not_run(case.name, out_of_time(limits.share_s)))
        elif case.least_gb > limits.memory_gb:
            needs = f"it needs about {case.least_gb:.0f} GB of GPU memory"
            tell(not_run(case.name, f"{needs}, this GPU has {limits.memory_gb:.0f}"))
        else:
            try:
                for found in case.rows():
                    tell(found)
            except Exception as error:
                logging.exception("%s", case.name)
                tell(failed(case.name, error_text(error)))


def error_text(error: Exception) -> str:
    """Return the error's kind and its first lines."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(lines)[:600]}".rstrip(": ")
