"""The host's text boxes expand `{a|b}` and drop comments when they queue.

Prompts that they would change stand in a box that does not.
"""

from __future__ import annotations

import re

from .graph import Graph, Value

WORDS = "_words"  # behind a node's name: the box with the words that go into it
# Braces, comments, an escaped bar, a backslash at the end. A workflow saved in a picture holds the
# text as it was queued, so no way of writing these lasts: the next one to open the picture would
# get another prompt.
_CHANGED = re.compile(r"[{}]|//|/\*|\\\||\\\Z")
_DYNAMIC = {("CLIPTextEncode", "text")}


def words_apart(graph: Graph) -> Graph:
    """Return the graph in which every text that the editor would change comes over a link, from a
    box that leaves texts alone.
    """
    made = Graph()
    for call in graph.nodes.values():
        inputs: dict[str, Value] = dict(call.inputs)
        for key, value in call.inputs.items():
            if (
                (call.class_type, key) in _DYNAMIC
                and isinstance(value, str)
                and _CHANGED.search(value)
            ):
                inputs[key] = made.add(
                    f"{call.name}{WORDS}", "PrimitiveStringMultiline", value=value
                )
        made.add(call.name, call.class_type, **inputs)
    return made
