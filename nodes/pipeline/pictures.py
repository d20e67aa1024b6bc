"""Where a request's input image and mask come from: a connected socket, or a file of ComfyUI's input folder."""

from __future__ import annotations

from ..prompt import ImageRef
from ..tunes.names import name_problem
from .graph import Graph, Value
from .stages import Problem

# A web address or base64 text stands in the prompt where ours expects a connection.
_NOT_A_FILE = {"url": "a web address, which this version does not fetch", "base64": "base64 text, which this version does not read"}


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
        hint = f"Connect the {what}, or name a file in ComfyUI's input folder in the prompt."
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
