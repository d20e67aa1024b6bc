"""Figures and checks: what `demo` and `bench` print as a table and write as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

from .console import DevError, say


class Figure(TypedDict):
    """One measured figure or check; `ok` is None where there is nothing to hold it against."""

    name: str
    value: float | int | str | bool
    unit: str
    ok: bool | None


def take_json_option(argv: Sequence[str]) -> tuple[list[str], Path | None]:
    """Return the arguments without `--json FILE`, and that file.

    Raises: DevError when the file is missing.
    """
    rest = list(argv)
    if "--json" not in rest:
        return rest, None
    at = rest.index("--json")
    if at + 1 == len(rest):
        raise DevError(
            "--json needs the name of the file to write.", "For instance: --json figures.json"
        )
    path = Path(rest[at + 1])
    return rest[:at] + rest[at + 2 :], path


def report(figures: Sequence[Figure], json_file: Path | None) -> int:
    """Print the figures as a table, write them if asked, and return the exit code.

    1 when any is not ok.
    """
    say(table(figures))
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(list(figures), indent=2) + "\n", encoding="utf-8")
        say(f"written: {json_file}")
    return int(any(figure["ok"] is False for figure in figures))


def table(figures: Sequence[Figure]) -> str:
    """Return the figures in aligned columns: name, value, unit, ok."""
    rows = [
        ("name", "value", "unit", "ok"),
        *((f["name"], _number(f["value"]), f["unit"], _verdict(f["ok"])) for f in figures),
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        f"{name:<{widths[0]}}  {value:>{widths[1]}}  {unit:<{widths[2]}}  {ok}".rstrip()
        for name, value, unit, ok in rows
    ]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def _number(value: float | int | str | bool) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _verdict(ok: bool | None) -> str:
    return "" if ok is None else "ok" if ok else "NOT OK"
