"""What a source changes of others: the part of the laws that is about the host's own objects."""

from __future__ import annotations

import ast
from collections.abc import Iterator

HOST_MODULES = {
    "comfy",
    "comfy_api",
    "comfy_execution",
    "comfy_extras",
    "comfy_config",
    "folder_paths",
    "server",
    "execution",
    "nodes",
    "node_helpers",
    "latent_preview",
    "app",
    "utils",
}
# Libraries that take long to import, or hold much memory then.
HEAVY = {
    "transformers",
    "diffusers",
    "insightface",
    "onnxruntime",
    "segment_anything",
    "cv2",
    "scipy",
    "skimage",
    "kornia",
}
METHODS = {"forward", "__call__"}
# What a ModelPatcher, and the model in it, hold their networks and settings as.
NETWORKS = {"model", "diffusion_model", "model_sampling", "cond_stage_model", "first_stage_model"}


def patches(tree: ast.Module) -> Iterator[tuple[int, str]]:
    hosts = {"sys"} | {
        (alias.asname or alias.name).split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom) and not getattr(node, "level", 0)
        for alias in node.names
        if (node.module if isinstance(node, ast.ImportFrom) else alias.name or "").split(".")[0]
        in HOST_MODULES
    }
    for node in ast.walk(tree):
        for target in changed_by(node):
            if isinstance(target, ast.Attribute | ast.Subscript) and root_name(target) in hosts:
                yield node.lineno, str(root_name(target))


def replaced(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Methods of objects that are assigned to, and attributes set on what a patcher holds.

    A run's `forward` is a value of our own.
    """
    for node in ast.walk(tree):
        for target in changed_by(node):
            if not isinstance(target, ast.Attribute):
                continue
            on = ast.unparse(target.value).split(".")
            if (target.attr in METHODS and on[-1] != "run") or NETWORKS & set(on[1:]):
                yield node.lineno, ast.unparse(target)


def changed_by(node: ast.AST) -> list[ast.expr]:
    """What a statement assigns to or deletes.

    For setattr and delattr the attribute of their first argument.
    """
    if isinstance(node, ast.Assign | ast.Delete):
        return [
            part
            for target in node.targets
            for part in (target.elts if isinstance(target, ast.Tuple | ast.List) else [target])
        ]
    if isinstance(node, ast.AugAssign | ast.AnnAssign):
        return [node.target]
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("setattr", "delattr")
        and len(node.args) > 1
    ):
        name = node.args[1]
        return [
            ast.Attribute(
                value=node.args[0], attr=str(name.value) if isinstance(name, ast.Constant) else "?"
            )
        ]
    return []


def root_name(node: ast.expr) -> str | None:
    """The name that an attribute or item stands on: `comfy` of comfy.model_base.x["y"].

    A call's result is not the host's own object.
    """
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None
