"""The laws of docs/architecture.md, read off the source.

Who may import what, how large things get, what never happens.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from comfyui_astria.devtools.paths import ROOT
from comfyui_astria.devtools.source import (
    NODES,
    at,
    feature_of,
    files,
    imports,
    is_nodes,
    meets_the_host,
    tree_of,
)
from comfyui_astria.devtools.structure import LAYERS, circles, measures, upward
from comfyui_astria.tests.source import HEAVY, HOST_MODULES, patches, replaced

STANDARD_LIBRARY_ONLY = {"families", "prompt", "graph", "tunes", "pipeline", "editor"}
TENSOR_LIBRARIES = {"numpy", "scipy", "PIL", "torch"}
# Come with the host: for its routes, and for model files.
HOST_COMPANIONS = {"aiohttp", "safetensors"}
# Libraries for one model each, which pure modules may load on first use.
ON_FIRST_USE = {"transformers", "insightface", "onnxruntime", "segment_anything"}
MAX_PARAMETERS = 7
# The host calls these with one argument per input of the node, and the schema is a table.
NODE_METHODS = {
    "define_schema",
    "execute",
    "validate_inputs",
    "fingerprint_inputs",
    "check_lazy_status",
}


def report(broken: list[str]) -> None:
    assert not broken, "\n" + "\n".join(broken)


def test_the_laws_see_the_pack() -> None:
    assert {"prompt", "tunes", "pipeline", "outpaint", "host", "errors", "extension"} <= {
        feature_of(path) for path in files("*.py", NODES)
    }


def test_pure_modules_import_no_more_than_they_may() -> None:
    broken = []
    for path in files("*.py", NODES):
        feature = feature_of(path)
        allowed = set(sys.stdlib_module_names)
        if feature not in STANDARD_LIBRARY_ONLY | {"errors", "__init__"} or meets_the_host(path):
            allowed |= TENSOR_LIBRARIES
        if meets_the_host(path):
            allowed |= HOST_MODULES | HOST_COMPANIONS
        later = allowed | (ON_FIRST_USE if allowed >= TENSOR_LIBRARIES else set())
        broken += [
            f"{at(path, found.line)} imports {found.top}"
            for found in imports(path)
            if found.top is not None and found.top not in (allowed if found.at_start else later)
        ]
    report(broken)


def test_no_pure_module_reaches_the_host_through_another() -> None:
    broken = []
    for path in files("*.py", NODES):
        if meets_the_host(path):
            continue
        broken += [
            f"{at(path, found.line)} imports {'.'.join(found.inside)}"
            for found in imports(path)
            if found.inside is not None and ("host" in found.inside or is_nodes(found.inside[-1]))
        ]
    report(broken)


def test_no_feature_imports_anothers_nodes() -> None:
    broken = []
    for path in files("*.py", NODES):
        if path == NODES / "extension.py":  # gathers them for the host
            continue
        broken += [
            f"{at(path, found.line)} imports {'.'.join(found.inside)}"
            for found in imports(path)
            if found.inside is not None
            and any(map(is_nodes, found.inside[1:]))
            and found.inside[0] != feature_of(path)
        ]
    report(broken)


def test_only_the_fleets_cluster_imports_ray() -> None:
    report(
        [
            at(path, found.line)
            for path in files("*.py")
            for found in imports(path)
            if found.top == "ray" and path != ROOT / "fleet" / "cluster.py"
        ]
    )


def test_structure_is_kept() -> None:
    """Layers, circles, sizes: what `python dev.py structure` prints is within its bounds."""
    report(
        [
            line
            for one in measures()
            if not one.is_kept
            for line in [f"{one.name}: {one.value}, at most {one.bound}", *one.found]
        ]
    )


def test_every_feature_has_its_layer_and_its_line_on_the_architecture_page() -> None:
    features = {feature_of(path) for path in files("*.py", NODES)} - {"__init__"}
    assert features <= set(LAYERS)
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    house = page[page.index("## The house") : page.index("## Laws")]
    shown = [name for name in re.findall(r"^ +nodes/(\w+)", house, re.MULTILINE)]
    assert shown == [layer for layer in LAYERS if layer in features]


def test_circles_and_arrows_are_seen() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == ["a and b and c"]
    assert circles({"a": {"b"}, "b": set()}) == []
    assert upward({"errors": {"prompt"}, "prompt": {"errors"}}) == ["errors imports prompt"]


def test_imports_inside_the_pack_are_relative() -> None:
    features = {feature_of(path) for path in files("*.py", NODES)}
    broken = []
    for path in files("*.py", NODES) + files("*.py", ROOT / "devtools"):
        for node in ast.walk(tree_of(path)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            own = [
                name
                for name in names
                if name.startswith("nodes.") and name.split(".")[1] in features
            ]
            own += [
                name
                for name in names
                if name.split(".")[0] in {"comfyui_astria", "devtools", "pack_loader"}
            ]
            broken += [f"{at(path, node.lineno)} imports {name}" for name in own]
    report(broken)


def test_the_developer_tools_start_on_plain_python() -> None:
    """Setup, bind, explain and compile run before anything is installed."""
    loaded = loaded_by(["devtools.commands", "nodes.tunes.cli", "nodes.pipeline.cli"])
    assert loaded - set(sys.stdlib_module_names) == {"comfyui_astria"}


def test_heavy_libraries_are_imported_on_first_use_only() -> None:
    report(
        [
            f"{at(path, found.line)} imports {found.top} when the pack is imported"
            for path in [ROOT / "__init__.py", *files("*.py", NODES)]
            for found in imports(path)
            if found.top in HEAVY and found.at_start
        ]
    )


def test_the_root_imports_nothing_of_the_host_by_itself() -> None:
    outside = [
        found
        for found in imports(ROOT / "__init__.py")
        if found.at_start and found.top not in sys.stdlib_module_names
    ]
    report([at(ROOT / "__init__.py", found.line) for found in outside])


def test_importing_the_pure_modules_loads_no_heavy_library() -> None:
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in files("*.py", NODES)
        if not meets_the_host(path) and path.name != "__init__.py"
    ]
    assert loaded_by(modules) & HEAVY == set()
    light = [name for name in modules if name.split(".")[1] in STANDARD_LIBRARY_ONLY | {"errors"}]
    assert loaded_by(light) & (HEAVY | TENSOR_LIBRARIES) == set()


def loaded_by(modules: list[str]) -> set[str]:
    """The top-level modules that importing these modules of the pack brings into a fresh
    interpreter.
    """
    program = f"""
import importlib, importlib.util, sys
before = set(sys.modules)
spec = importlib.util.spec_from_file_location("pack_loader", {str(ROOT / "pack_loader.py")!r})
loader = importlib.util.module_from_spec(spec)
spec.loader.exec_module(loader)
loader.load()
for name in {modules!r}:
    importlib.import_module("comfyui_astria." + name)
print(*sorted({{name.split(".")[0] for name in set(sys.modules) - before}}))
"""
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return set(run.stdout.split())


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    yield from (
        node
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )


def test_functions_take_few_parameters() -> None:
    broken = []
    for path in files("*.py"):
        for function in functions(path):
            arguments = function.args
            names = [
                one.arg
                for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
                if one.arg not in ("self", "cls")
            ]
            if len(names) > MAX_PARAMETERS and function.name not in NODE_METHODS:
                broken.append(
                    f"{at(path, function.lineno)} {function.name} takes {len(names)} parameters, at"
                    f" most {MAX_PARAMETERS}"
                )
    report(broken)


def test_the_host_is_never_patched() -> None:
    """No assignment to an attribute of something imported from the host, no setattr on it, no entry
    put into sys.modules.

    Nor a method of a module replaced, nor an attribute set on what a patcher holds, wherever they
    come from; gated LoRAs alone stand in for a module's forward, as injections that the host puts
    in and takes out.
    """
    report(
        [
            f"{at(path, line)} changes {name} of the host"
            for path in files("*.py", NODES)
            for line, name in patches(tree_of(path))
        ]
    )
    hooks = NODES / "regions" / "lora_hooks.py"
    report(
        [
            f"{at(path, line)} changes {name}"
            for path in files("*.py", NODES)
            if path != hooks
            for line, name in replaced(tree_of(path))
        ]
    )
    assert len(list(replaced(tree_of(hooks)))) == 3


def test_the_pack_logs_and_never_prints() -> None:
    report(
        [
            f"{at(path, node.lineno)} prints"
            for path in files("*.py", NODES)
            for node in ast.walk(tree_of(path))
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "print"
        ]
    )


@pytest.mark.parametrize(
    ("what", "pattern"),
    [
        ("a path of one machine", r"(?<![\w.~])/(work|root|home|tmp)/[\w.]|[A-Z]:\\Users"),
        ("a switched-off check", r"#\s*(noqa|type:\s*ignore|pyright:\s*ignore)"),
        ("a reminder instead of the thing itself", r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b"),
    ],
)
def test_no_file_holds(what: str, pattern: str) -> None:
    texts = [
        path
        for kind in ("*.py", "*.md", "*.toml", "*.txt", "*.js", "run")
        for path in files(kind)
        if path != Path(__file__).resolve()
    ]
    report(
        [
            f"{at(path, number)} holds {what}: {line.strip()[:120]}"
            for path in texts
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
            if re.search(pattern, line)
        ]
    )


@pytest.mark.parametrize("command", [["check", "--output-format=concise"], ["format", "--check"]])
def test_style_checker_is_content(command: list[str]) -> None:
    line = [sys.executable, "-m", "ruff", *command, "--no-cache", "."]
    run = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, f"\n{run.stdout}{run.stderr}"
