"""How the pack is built, in figures: `python dev.py structure` prints what a test then holds."""

from __future__ import annotations

import ast
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from .paths import ROOT
from .report import Figure
from .source import NODES, at, feature_of, files, imports, tree_of

# From the ground up: a feature imports only features that stand before it in this list, its pure
# code, its host/ and its nodes alike.
LAYERS = (
    "errors",
    "rounding",
    "families",
    "prompt",
    "graph",
    "net",
    "host",
    "base",
    "control",
    "outpaint",
    "masking",
    "regions",
    "faces",
    "faceid",
    "people",
    "redraw",
    "swap",
    "tunes",
    "training",
    "finish",
    "pipeline",
    "api",
    "editor",
    "extension",
)
MAX_FILES = 20  # of one folder
MAX_COLUMNS = 100
MAX_MODULE_LINES = 420
MAX_FUNCTION_LINES = 50
# May only fall.
MAX_SHARED_CLASS_NAMES = 0
# page -> words; what does not fit goes to a page of its own
MAX_WORDS = {"README.md": 900, "docs/architecture.md": 1500}
_CODE_FOLDERS = ("nodes", "devtools", "fleet", "bench", "tests")
_UNBOUNDED = {"define_schema"}  # a table of inputs

Graph = Mapping[str, set[str]]  # a feature or file -> those that it imports


@dataclass(frozen=True)
class Measure:
    """One figure with its bound, and where what counts in it stands."""

    name: str
    value: int
    bound: int
    found: list[str] = field(default_factory=list)

    @property
    def is_kept(self) -> bool:
        """Whether the figure is within its bound."""
        return self.value <= self.bound

    def figure(self) -> Figure:
        """Return the measure as a row of the printed table."""
        return Figure(
            name=self.name, value=self.value, unit=f"at most {self.bound}", ok=self.is_kept
        )


def measures() -> list[Measure]:
    """Return every figure of the checkout's structure."""
    return [
        _counted("arrows upward between features", upward(feature_graph())),
        _counted("circles of features", circles(feature_graph())),
        _counted("circles of files", circles(file_graph())),
        _fullest_folder(),
        _counted(f"lines over {MAX_COLUMNS} columns", wide_lines()),
        _counted(f"modules over {MAX_MODULE_LINES} lines", long_modules()),
        _counted(f"functions over {MAX_FUNCTION_LINES} lines", long_functions()),
        _counted("class names with two meanings", shared_class_names(), MAX_SHARED_CLASS_NAMES),
        *(
            Measure(f"words of {page}", len(_text(ROOT / page).split()), bound)
            for page, bound in MAX_WORDS.items()
        ),
    ]


def details(measured: list[Measure]) -> str:
    """Return where everything stands that counts in a figure, for those that are not 0."""
    parts = [f"{one.name}:\n  " + "\n  ".join(one.found) for one in measured if one.found]
    return "\n".join(parts)


def upward(graph: Graph) -> list[str]:
    """Return each pair of features of which the first imports one that stands above it."""
    unknown = sorted(set(graph) - set(LAYERS))
    assert not unknown, f"features without a place in LAYERS: {', '.join(unknown)}"
    return [
        f"{feature} imports {other}"
        for feature in sorted(graph, key=LAYERS.index)
        for other in sorted(graph[feature], key=LAYERS.index)
        if LAYERS.index(other) > LAYERS.index(feature)
    ]


def feature_graph() -> dict[str, set[str]]:
    """Return which features each feature imports, anywhere in its files."""
    graph: dict[str, set[str]] = defaultdict(set)
    for path, imported in file_graph().items():
        feature = feature_of(ROOT / path)
        graph[feature] |= {feature_of(ROOT / one) for one in imported} - {feature}
    return dict(graph)


@cache
def file_graph() -> dict[str, set[str]]:
    """Return which files of nodes/ each file there imports, in functions too."""
    paths = [path for path in files("*.py", NODES) if path != NODES / "__init__.py"]
    known = {path.relative_to(NODES).with_suffix("").parts: path for path in paths}
    graph: dict[str, set[str]] = {}
    for path in paths:
        targets = [one.inside for one in imports(path) if one.inside is not None]
        found = {known.get(target) or known.get((*target, "__init__")) for target in targets}
        graph[_shown(path)] = {_shown(one) for one in found if one is not None} - {_shown(path)}
    return graph


def circles(graph: Graph) -> list[str]:
    """Return each set of nodes that reach one another, in words."""
    reached = {node: _reached(graph, node) for node in graph}
    found = {
        frozenset(other for other in reached[node] if node in reached.get(other, ()))
        for node in graph
        if node in reached[node]
    }
    return sorted(" and ".join(sorted(circle)) for circle in found)


def _reached(graph: Graph, start: str) -> set[str]:
    reached: set[str] = set()
    waiting = [start]
    while waiting:
        new = graph.get(waiting.pop(), set()) - reached
        reached |= new
        waiting += new
    return reached


def files_in_folders() -> Counter[str]:
    """Return how many source files each folder of the code has."""
    return Counter(_shown(path.parent) for path in _code())


def _fullest_folder() -> Measure:
    counts = {
        folder: count for folder, count in files_in_folders().items() if folder.startswith("nodes")
    }
    over = [f"{folder} has {count} files" for folder, count in counts.items() if count > MAX_FILES]
    return Measure("files of the fullest folder of nodes/", max(counts.values()), MAX_FILES, over)


def wide_lines() -> list[str]:
    """Return the place of every line of code that is wider than a page."""
    return [
        f"{at(path, number)} has {len(line)} columns"
        for path in _code()
        for number, line in enumerate(_text(path).splitlines(), 1)
        if len(line) > MAX_COLUMNS
    ]


def long_modules() -> list[str]:
    """Return the modules that are to be split."""
    sizes = {path: len(_text(path).splitlines()) for path in _code()}
    return [
        f"{_shown(path)} has {size} lines"
        for path, size in sizes.items()
        if size > MAX_MODULE_LINES
    ]


def long_functions() -> list[str]:
    """Return the functions that are to be split."""
    found = []
    for path in _code():
        for node in ast.walk(tree_of(path)):
            if (
                isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
                and node.name not in _UNBOUNDED
            ):
                lines = node.end_lineno - node.lineno + 1
                if lines > MAX_FUNCTION_LINES:
                    found.append(f"{at(path, node.lineno)} {node.name} has {lines} lines")
    return found


def shared_class_names() -> list[str]:
    """Return the class names that stand in two or more modules of nodes/, with their places.

    A leading underscore makes no other name of it.
    """
    places: dict[str, set[str]] = defaultdict(set)
    for path, name in _classes():
        places[name.lstrip("_")].add(_shown(path))
    shared = {name: sorted(where) for name, where in places.items() if len(where) > 1}
    return [f"{name}: {', '.join(where)}" for name, where in sorted(shared.items())]


def _classes() -> Iterator[tuple[Path, str]]:
    for path in files("*.py", NODES):
        for node in tree_of(path).body:
            if isinstance(node, ast.ClassDef):
                yield path, node.name


def _counted(name: str, found: list[str], bound: int = 0) -> Measure:
    return Measure(name, len(found), bound, found)


def _code() -> list[Path]:
    return [path for folder in _CODE_FOLDERS for path in files("*.py", ROOT / folder)]


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()
