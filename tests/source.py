"""The pack's sources as the laws read them: what each module imports and when, and what it changes of others."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
NODES = ROOT / "nodes"
HOST_MODULES = {"comfy", "comfy_api", "comfy_execution", "comfy_extras", "comfy_config", "folder_paths", "server", "execution", "nodes",
                "node_helpers", "latent_preview", "app", "utils"}
# Libraries that take long to import, or hold much memory then.
HEAVY = {"transformers", "diffusers", "insightface", "onnxruntime", "segment_anything", "cv2", "scipy", "skimage", "kornia"}
METHODS = {"forward", "__call__"}
# What a ModelPatcher, and the model in it, hold their networks and settings as.
NETWORKS = {"model", "diffusion_model", "model_sampling", "cond_stage_model", "first_stage_model"}
IGNORED_FOLDERS = {line.rstrip("/") for line in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()} | {".git"}


class Import(NamedTuple):
    """One imported module: `top` of an absolute import, `inside` (parts below nodes/) of one within the pack.

    `at_start` says that it is imported when the module is, and not when a function is called.
    """

    line: int
    top: str | None
    inside: tuple[str, ...] | None
    at_start: bool


def files(pattern: str, folder: Path = ROOT) -> list[Path]:
    return sorted(path for path in folder.rglob(pattern) if not IGNORED_FOLDERS & set(path.relative_to(ROOT).parts))


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imports(path: Path) -> Iterator[Import]:
    """Every import of a module, those inside functions too; `from . import x` counts as importing x."""
    yield from imports_of(tree_of(path), path.relative_to(ROOT).parent.parts)


def imports_of(tree: ast.Module, package: tuple[str, ...]) -> Iterator[Import]:
    at_start = set(run_at_start(tree))
    for node in ast.walk(tree):
        level = node in at_start
        if isinstance(node, ast.Import):
            yield from (Import(node.lineno, alias.name.split(".")[0], None, level) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield Import(node.lineno, (node.module or "").split(".")[0], None, level)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1]
            module = (*base, *(node.module.split(".") if node.module else ()))
            targets = [module] if node.module else [(*module, alias.name) for alias in node.names]
            yield from (Import(node.lineno, None, target[1:] if target[:1] == ("nodes",) else target, level) for target in targets)


def run_at_start(node: ast.AST) -> Iterator[ast.AST]:
    """All that runs when a module is imported, however deep in try, if, with or class; not what functions hold, nor what only type checkers see."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        return
    yield node
    is_for_types = isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
    for child in node.orelse if is_for_types else ast.iter_child_nodes(node):
        yield from run_at_start(child)


def feature_of(path: Path) -> str:
    """The folder below nodes/ that a module belongs to; `errors` for nodes/errors.py."""
    parts = path.relative_to(NODES).parts
    return parts[0] if len(parts) > 1 else path.stem


def meets_the_host(path: Path) -> bool:
    """Whether a module may import ComfyUI: one of a folder host/, a feature's nodes, or what gathers them."""
    return "host" in path.relative_to(NODES).parts[:-1] or is_nodes(path.stem) or path == NODES / "extension.py"


def is_nodes(module: str) -> bool:
    """`nodes`, or one of several where a feature has too many for one file: `inpaint_nodes`."""
    return module == "nodes" or module.endswith("_nodes")


def at(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT).as_posix()}:{line}"


def patches(tree: ast.Module) -> Iterator[tuple[int, str]]:
    hosts = {"sys"} | {
        (alias.asname or alias.name).split(".")[0]
        for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom) and not getattr(node, "level", 0)
        for alias in node.names if (node.module if isinstance(node, ast.ImportFrom) else alias.name or "").split(".")[0] in HOST_MODULES}
    for node in ast.walk(tree):
        for target in changed_by(node):
            if isinstance(target, ast.Attribute | ast.Subscript) and root_name(target) in hosts:
                yield node.lineno, str(root_name(target))


def replaced(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Methods of objects that are assigned to, and attributes set on what a patcher holds. A run's `forward` is a value of our own."""
    for node in ast.walk(tree):
        for target in changed_by(node):
            if not isinstance(target, ast.Attribute):
                continue
            on = ast.unparse(target.value).split(".")
            if (target.attr in METHODS and on[-1] != "run") or NETWORKS & set(on[1:]):
                yield node.lineno, ast.unparse(target)


def changed_by(node: ast.AST) -> list[ast.expr]:
    """What a statement assigns to or deletes; for setattr and delattr the attribute of their first argument."""
    if isinstance(node, ast.Assign | ast.Delete):
        return [part for target in node.targets for part in (target.elts if isinstance(target, ast.Tuple | ast.List) else [target])]
    if isinstance(node, ast.AugAssign | ast.AnnAssign):
        return [node.target]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("setattr", "delattr") and len(node.args) > 1:
        name = node.args[1]
        return [ast.Attribute(value=node.args[0], attr=str(name.value) if isinstance(name, ast.Constant) else "?")]
    return []


def root_name(node: ast.expr) -> str | None:
    """The name that an attribute or item stands on: `comfy` of comfy.model_base.x["y"]. A call's result is not the host's own object."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None
