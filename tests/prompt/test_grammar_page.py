"""docs/grammar.md names what the code knows: every diagnostic, every flag, every scheduler."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from comfyui_astria.nodes.prompt import FLAGS
from comfyui_astria.nodes.prompt.catalog import SCHEDULERS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "grammar.md").read_text(encoding="utf-8")
# Raised by values that a program builds, not by a text.
_OF_PROGRAMS = {"bad-name", "bad-value", "not-a-segment"}


def _codes(path: Path) -> set[str]:
    """Return the codes that a module gives to diagnostics and problems."""
    made = ("error", "add", "ValueProblem", "RequestFinding", "Diagnostic")
    calls = (
        node
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and node.args
    )
    codes = set()
    for call in calls:
        name = (
            call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        )
        first = call.args[0]
        if name in made and isinstance(first, ast.Constant) and isinstance(first.value, str):
            codes.add(first.value)
    return codes


def test_every_diagnostic_has_its_row_and_no_row_is_left_over() -> None:
    rows = set(re.findall(r"^\| ([a-z0-9-]+) \| (?:error|warning|info)", PAGE, re.MULTILINE))
    codes = set().union(*map(_codes, (ROOT / "nodes" / "prompt").rglob("*.py")))
    # Made of the word for what is misplaced.
    codes |= {"misplaced-break", "misplaced-flag", "misplaced-tag"}
    assert rows == codes - _OF_PROGRAMS


def test_every_flag_stands_in_the_row_of_what_it_takes() -> None:
    for takes in ("nothing", "one", "words", "text"):
        row = next(line for line in PAGE.splitlines() if line.startswith(f"| {takes} |"))
        assert re.findall(r"`--([a-z0-9_]+)`", row) == [
            name for name, flag in FLAGS.items() if flag.takes == takes
        ]


def test_every_scheduler_is_named() -> None:
    row = next(line for line in PAGE.splitlines() if line.startswith("- `scheduler` is one of "))
    assert tuple(re.findall(r"`([^`]+)`", row)[1:]) == SCHEDULERS
