"""The laws of docs/architecture.md, read off the source: who may import what, how large things get, what never happens."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
NODES = ROOT / "nodes"
STANDARD_LIBRARY_ONLY = {"prompt", "tunes", "pipeline"}
TENSOR_LIBRARIES = {"numpy", "scipy", "PIL", "torch"}
HOST_MODULES = {"comfy", "comfy_api", "comfy_execution", "comfy_extras", "comfy_config", "folder_paths", "server", "execution", "nodes",
                "node_helpers", "latent_preview", "app", "utils"}
HOST_COMPANIONS = {"aiohttp", "safetensors"}  # come with the host: for its routes, and for model files
HEAVY = {"transformers", "diffusers", "insightface", "onnxruntime", "segment_anything", "cv2", "scipy", "skimage", "kornia"}
# Libraries for one model each, which pure modules may load on first use.
ON_FIRST_USE = {"transformers", "insightface", "onnxruntime", "segment_anything"}
MAX_MODULE_LINES, MAX_FUNCTION_LINES, MAX_PARAMETERS = 350, 40, 7
# The host calls these with one argument per input of the node, and the schema is a table.
NODE_METHODS = {"define_schema", "execute", "validate_inputs", "fingerprint_inputs", "check_lazy_status"}
IGNORED_FOLDERS = {line.rstrip("/") for line in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()} | {".git"}


class Import(NamedTuple):
    """One imported module: `top` of an absolute import, `inside` (parts below nodes/) of one within the pack."""

    line: int
    top: str | None
    inside: tuple[str, ...] | None
    at_module_level: bool


def files(pattern: str, folder: Path = ROOT) -> list[Path]:
    return sorted(path for path in folder.rglob(pattern) if not IGNORED_FOLDERS & set(path.relative_to(ROOT).parts))


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imports(path: Path) -> Iterator[Import]:
    """Every import of a module, those inside functions too; `from . import x` counts as importing x."""
    tree = tree_of(path)
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(tree):
        level = node in tree.body
        if isinstance(node, ast.Import):
            yield from (Import(node.lineno, alias.name.split(".")[0], None, level) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield Import(node.lineno, (node.module or "").split(".")[0], None, level)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1]
            module = (*base, *(node.module.split(".") if node.module else ()))
            targets = [module] if node.module else [(*module, alias.name) for alias in node.names]
            yield from (Import(node.lineno, None, target[1:] if target[:1] == ("nodes",) else target, level) for target in targets)


def feature_of(path: Path) -> str:
    """The folder below nodes/ that a module belongs to; `errors` for nodes/errors.py."""
    parts = path.relative_to(NODES).parts
    return parts[0] if len(parts) > 1 else path.stem


def meets_the_host(path: Path) -> bool:
    return is_nodes(path.stem) or feature_of(path) == "host"


def is_nodes(module: str) -> bool:
    """`nodes`, or one of several where a feature has too many for one file: `inpaint_nodes`."""
    return module == "nodes" or module.endswith("_nodes")


def at(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT).as_posix()}:{line}"


def report(broken: list[str]) -> None:
    assert not broken, "\n" + "\n".join(broken)


def test_the_laws_see_the_pack() -> None:
    assert {"prompt", "tunes", "pipeline", "outpaint", "host", "errors"} <= {feature_of(path) for path in files("*.py", NODES)}


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
        broken += [f"{at(path, found.line)} imports {found.top}" for found in imports(path)
                   if found.top is not None and found.top not in (allowed if found.at_module_level else later)]
    report(broken)


def test_no_pure_module_reaches_the_host_through_another() -> None:
    broken = []
    for path in files("*.py", NODES):
        if meets_the_host(path):
            continue
        broken += [f"{at(path, found.line)} imports {'.'.join(found.inside)}" for found in imports(path)
                   if found.inside is not None and (found.inside[:1] == ("host",) or is_nodes(found.inside[-1]))]
    report(broken)


def test_no_feature_imports_anothers_nodes() -> None:
    broken = []
    for path in files("*.py", NODES):
        if path == NODES / "host" / "extension.py":  # gathers them for the host
            continue
        broken += [f"{at(path, found.line)} imports {'.'.join(found.inside)}" for found in imports(path)
                   if found.inside is not None and any(map(is_nodes, found.inside[1:])) and found.inside[0] != feature_of(path)]
    report(broken)


def test_features_meet_in_the_pipeline_only() -> None:
    """The language knows no other feature, tunes know the language at most, and the picture features only the shared errors; but faces are
    matched to the people of regions, and FaceID is made of faces.
    """
    may_know = {"errors": set(), "prompt": {"errors"}, "tunes": {"errors", "prompt"}, "faces": {"errors", "regions"}, "faceid": {"errors", "faces"}}
    broken = []
    for path in files("*.py", NODES):
        feature = feature_of(path)
        if meets_the_host(path) or feature in ("pipeline", "__init__"):
            continue
        known = may_know.get(feature, {"errors"}) | {feature}
        broken += [f"{at(path, found.line)} imports {'.'.join(found.inside)}" for found in imports(path)
                   if found.inside is not None and found.inside and found.inside[0] not in known]
    report(broken)


def test_imports_inside_the_pack_are_relative() -> None:
    features = {feature_of(path) for path in files("*.py", NODES)}
    broken = []
    for path in files("*.py", NODES) + files("*.py", ROOT / "devtools"):
        for node in ast.walk(tree_of(path)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            own = [name for name in names if name.startswith("nodes.") and name.split(".")[1] in features]
            own += [name for name in names if name.split(".")[0] in {"comfyui_astria", "devtools", "pack_loader"}]
            broken += [f"{at(path, node.lineno)} imports {name}" for name in own]
    report(broken)


def test_the_developer_tools_start_on_plain_python() -> None:
    """Setup, bind, explain and compile run before anything is installed."""
    loaded = loaded_by(["devtools.commands", "nodes.tunes.cli", "nodes.pipeline.cli"])
    assert loaded - set(sys.stdlib_module_names) == {"comfyui_astria"}


def test_heavy_libraries_are_imported_on_first_use_only() -> None:
    report([f"{at(path, found.line)} imports {found.top} when the pack is imported" for path in [ROOT / "__init__.py", *files("*.py", NODES)]
            for found in imports(path) if found.top in HEAVY and found.at_module_level])


def test_the_root_imports_nothing_of_the_host_by_itself() -> None:
    outside = [found for found in imports(ROOT / "__init__.py") if found.at_module_level and found.top not in sys.stdlib_module_names]
    report([at(ROOT / "__init__.py", found.line) for found in outside])


def test_importing_the_pure_modules_loads_no_heavy_library() -> None:
    modules = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in files("*.py", NODES)
               if not meets_the_host(path) and path.name != "__init__.py"]
    assert loaded_by(modules) & HEAVY == set()
    light = [name for name in modules if name.split(".")[1] in STANDARD_LIBRARY_ONLY | {"errors"}]
    assert loaded_by(light) & (HEAVY | TENSOR_LIBRARIES) == set()


def loaded_by(modules: list[str]) -> set[str]:
    """The top-level modules that importing these modules of the pack brings into a fresh interpreter."""
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
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return set(run.stdout.split())


def test_modules_stay_small() -> None:
    sizes = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in files("*.py")}
    report([f"{at(path, 1)} has {lines} lines, at most {MAX_MODULE_LINES}" for path, lines in sizes.items() if lines > MAX_MODULE_LINES])


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    yield from (node for node in ast.walk(tree_of(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_functions_stay_small() -> None:
    broken = []
    for path in files("*.py"):
        for function in functions(path):
            lines = function.end_lineno - function.lineno + 1
            if lines > MAX_FUNCTION_LINES and function.name != "define_schema":
                broken.append(f"{at(path, function.lineno)} {function.name} has {lines} lines, at most {MAX_FUNCTION_LINES}")
    report(broken)


def test_functions_take_few_parameters() -> None:
    broken = []
    for path in files("*.py"):
        for function in functions(path):
            arguments = function.args
            names = [one.arg for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs) if one.arg not in ("self", "cls")]
            if len(names) > MAX_PARAMETERS and function.name not in NODE_METHODS:
                broken.append(f"{at(path, function.lineno)} {function.name} takes {len(names)} parameters, at most {MAX_PARAMETERS}")
    report(broken)


def test_the_host_is_never_patched() -> None:
    """No assignment to an attribute of something imported from the host, no setattr on it, no entry put into sys.modules."""
    report([f"{at(path, line)} changes {name} of the host" for path in files("*.py", NODES) for line, name in patches(tree_of(path))])


def patches(tree: ast.Module) -> Iterator[tuple[int, str]]:
    hosts = {"sys"} | {
        (alias.asname or alias.name).split(".")[0]
        for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom) and not getattr(node, "level", 0)
        for alias in node.names if (node.module if isinstance(node, ast.ImportFrom) else alias.name or "").split(".")[0] in HOST_MODULES}
    for node in ast.walk(tree):
        for target in changed_by(node):
            if isinstance(target, ast.Attribute | ast.Subscript) and root_name(target) in hosts:
                yield node.lineno, str(root_name(target))


def changed_by(node: ast.AST) -> list[ast.expr]:
    """What a statement assigns to or deletes; for setattr and delattr an attribute of their first argument."""
    if isinstance(node, ast.Assign | ast.Delete):
        return node.targets
    if isinstance(node, ast.AugAssign | ast.AnnAssign):
        return [node.target]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("setattr", "delattr") and node.args:
        return [ast.Attribute(value=node.args[0], attr="?")]
    return []


def root_name(node: ast.expr) -> str | None:
    """The name that an attribute or item stands on: `comfy` of comfy.model_base.x["y"]. A call's result is not the host's own object."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


@pytest.mark.parametrize("source", [
    "import comfy.samplers\ncomfy.samplers.KSAMPLER = 1", "from comfy.model_base import Flux\nFlux.concat_cond = None",
    "import comfy.ops as ops\nsetattr(ops, 'x', 1)", "import sys\nsys.modules['cv2'] = None", "import nodes\nnodes.NODE_CLASS_MAPPINGS['X'] = 1"])
def test_the_patching_law_sees_a_patch(source: str) -> None:
    assert len(list(patches(ast.parse(source)))) == 1


def test_the_patching_law_lets_own_objects_be() -> None:
    assert list(patches(ast.parse("import comfy\nclass A: pass\na = A()\na.x = 1\nb = comfy.make()\nb.y = 2"))) == []


def test_the_pack_logs_and_never_prints() -> None:
    report([f"{at(path, node.lineno)} prints" for path in files("*.py", NODES) for node in ast.walk(tree_of(path))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"])


@pytest.mark.parametrize(("what", "pattern"), [
    ("a path of one machine", r"(?<![\w.~])/(work|root|home|tmp)/[\w.]|[A-Z]:\\Users"),
    ("a switched-off check", r"#\s*(noqa|type:\s*ignore|pyright:\s*ignore)"),
    ("a reminder instead of the thing itself", r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b"),
])
def test_no_file_holds(what: str, pattern: str) -> None:
    texts = [path for kind in ("*.py", "*.md", "*.toml", "*.txt", "*.js", "run") for path in files(kind) if path != Path(__file__).resolve()]
    report([f"{at(path, number)} holds {what}: {line.strip()[:120]}" for path in texts
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1) if re.search(pattern, line)])


def test_style_checker_is_content() -> None:
    command = [sys.executable, "-m", "ruff", "check", "--no-cache", "--output-format=concise", "."]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, f"\n{run.stdout}{run.stderr}"
