"""The sources as the laws and `python dev.py structure` read them.

The files, and what they import.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from .paths import ROOT

NODES = ROOT / "nodes"
_IGNORED = {line.rstrip("/") for line in (ROOT / ".gitignore").read_text("utf-8").splitlines()}
_IGNORED |= {".git"}
_TYPE_CHECKING = ("TYPE_CHECKING", "typing.TYPE_CHECKING")


class Import(NamedTuple):
    """One imported module: `top` of an absolute import, `inside` of one within the pack.

    `inside` is the path of parts below nodes/. `at_start` says that the module is imported when
    the importing one is, and not when a function is called.
    """

    line: int
    top: str | None
    inside: tuple[str, ...] | None
    at_start: bool


def files(pattern: str, folder: Path = ROOT) -> list[Path]:
    """Return the files of the checkout that match, without those that git ignores."""
    found = folder.rglob(pattern)
    return sorted(path for path in found if not _IGNORED & set(path.relative_to(ROOT).parts))


def tree_of(path: Path) -> ast.Module:
    """Return the syntax tree of a source file."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


@functools.cache
def imports(path: Path) -> tuple[Import, ...]:
    """Every import of a module, those in functions too; `from . import x` counts as importing x."""
    return tuple(imports_of(tree_of(path), path.relative_to(ROOT).parent.parts))


def imports_of(tree: ast.Module, package: tuple[str, ...]) -> Iterator[Import]:
    """Every import of a module that stands in `package`, the folders from the root down."""
    at_start = set(_run_at_start(tree))
    for node in ast.walk(tree):
        level = node in at_start
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(node.lineno, alias.name.split(".")[0], None, level)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield Import(node.lineno, (node.module or "").split(".")[0], None, level)
        elif isinstance(node, ast.ImportFrom):
            for target in _relative_targets(node, package):
                inside = target[1:] if target[:1] == ("nodes",) else target
                yield Import(node.lineno, None, inside, level)


def _relative_targets(node: ast.ImportFrom, package: tuple[str, ...]) -> list[tuple[str, ...]]:
    base = package[: len(package) - node.level + 1]
    if node.module:
        return [(*base, *node.module.split("."))]
    return [(*base, alias.name) for alias in node.names]


def _run_at_start(node: ast.AST) -> Iterator[ast.AST]:
    """All that runs when a module is imported, however deep in try, if, with or class.

    What functions hold does not, nor what only type checkers see.
    """
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        return
    yield node
    is_for_types = isinstance(node, ast.If) and ast.unparse(node.test) in _TYPE_CHECKING
    for child in node.orelse if is_for_types else ast.iter_child_nodes(node):
        yield from _run_at_start(child)


def feature_of(path: Path) -> str:
    """The folder below nodes/ that a module belongs to; `errors` for nodes/errors.py."""
    parts = path.relative_to(NODES).parts
    return parts[0] if len(parts) > 1 else path.stem


def meets_the_host(path: Path) -> bool:
    """Whether a module may import ComfyUI: in a folder host/, a feature's nodes, the extension."""
    in_host = "host" in path.relative_to(NODES).parts[:-1]
    return in_host or is_nodes(path.stem) or path == NODES / "extension.py"


def is_nodes(module: str) -> bool:
    """`nodes`, or one of several where a feature has too many for one file: `identity_nodes`."""
    return module == "nodes" or module.endswith("_nodes")


def at(path: Path, line: int) -> str:
    """A place in the checkout, as `nodes/errors.py:12`."""
    return f"{path.relative_to(ROOT).as_posix()}:{line}"
