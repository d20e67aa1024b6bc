"""What `python dev.py bench gpu` found: lines while it runs, a table, JSON, and Markdown."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .paths import ROOT
from .report import table as figures_table

_MACHINE = ("gpu", "memory_gb", "torch", "cuda", "python", "host", "pack")


def line(row: dict[str, Any]) -> str:
    """Return a row as one line."""
    verdict = {True: "ok", False: "NOT OK", None: ""}[row["ok"]]
    value = "" if row["value"] is None else f"{row['value']:.4g} {row['unit']}"
    return "  ".join(one for one in (row["name"], value, verdict, row["note"]) if one)


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the rows in aligned columns, the notes below."""
    shown = [{**one, "value": "-" if one["value"] is None else one["value"]} for one in rows]
    notes = [f"{one['name']}: {one['note']}" for one in rows if one["value"] is None]
    return "\n".join([figures_table(shown), "", *notes])


def markdown(machine: dict[str, Any], rows: Sequence[dict[str, Any]]) -> str:
    """Return machine and rows as they go into docs/benchmarks.md."""
    told = "; ".join(f"{name} {machine[name]}" for name in _MACHINE if name in machine)
    lines = ["| what | measured | ok | |", "|---|---|---|---|"]
    for one in rows:
        value = "-" if one["value"] is None else f"{one['value']:.4g} {one['unit']}"
        verdict = {True: "yes", False: "**no**", None: ""}[one["ok"]]
        lines.append(f"| {_cell(one['name'])} | {value} | {verdict} | {_cell(one['note'])} |")
    dry = "A dry run, tiny on the CPU: no figures of a GPU.\n\n" if machine.get("dry") else ""
    return f"{dry}{told}\n\n" + "\n".join(lines) + "\n"


def write(folder: Path, machine: dict[str, Any], rows: Sequence[dict[str, Any]]) -> None:
    """Write gpu.json and gpu.md."""
    text = json.dumps({"machine": machine, "rows": list(rows)}, indent=2)
    (folder / "gpu.json").write_text(text + "\n", encoding="utf-8")
    (folder / "gpu.md").write_text(markdown(machine, rows), encoding="utf-8")


def pack_version() -> str:
    """Return the version that pyproject.toml names."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    found = re.search(r'^version = "([^"]+)"', text, re.MULTILINE)
    assert found is not None
    return found[1]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
