"""Where a request's input image and mask come from: a connected socket, or a file of ComfyUI's input folder."""

from __future__ import annotations

from ..graph.graph import Graph, Value
from ..prompt import ImageRef
from ..tunes.names import name_problem
from .build.stage_list import Problem

# What is to become a file before the plan, by brought_pictures.py; a web address only where the owner has allowed it.
_NOT_A_FILE = {"url": "a web address, and none is fetched here", "base64": "base64 text, which is no file yet"}
_ALLOW = "let addresses be fetched by the line fetch_urls = yes in api.ini, in the folder user/__astria of ComfyUI"


def picture(graph: Graph, what: str, connected: Value | None, named: ImageRef | None) -> tuple[Value | None, tuple[Problem, ...]]:
    """Return the source of the input picture `what` (`image` or `mask`), loading a named file, and what is wrong with it.

    A connected picture wins over the one the prompt names, and that is said.
    """
    if connected is not None:
        return connected, () if named is None else (_overruled(what, named),)
    if named is None:
        return None, ()
    if named.kind != "file":
        text = f"The prompt's input {what} is {_NOT_A_FILE[named.kind]}."
        hint = f"Connect the {what} (input '{what}'), or name a file in ComfyUI's input folder in the prompt"
        hint = f"{hint}, or {_ALLOW}." if named.kind == "url" else f"{hint}."
        return None, (Problem("picture-not-connected", "error", text, hint),)
    problem = name_problem(named.value)
    if problem:
        return None, (Problem("picture-name", "error", f"The prompt's input {what} {named.value!r} is refused: {problem}."),)
    if what == "mask":
        return graph.add("input.mask", "LoadImageMask", image=named.value, channel="red"), ()
    return graph.add("input.image", "LoadImage", image=named.value), ()


def _overruled(what: str, named: ImageRef) -> Problem:
    shown = named.value if named.kind != "base64" else "base64 text"
    return Problem("picture-overruled", "info", f"The connected {what} is used in place of the prompt's {shown}.")
