"""The widgets inside of a subgraph that stand on its own node, to be changed without opening it.

Of a stage its texts and its seed, of further models their files.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .definitions import FILE_INPUTS, Definitions, InputDefinition
from .folding import HELPERS, Subgraph
from .graph import Link, NodeCall
from .node_form import title_of

# Class -> its widget, and what that is called where the node's role has no title.
_OF_STAGES = {
    "CLIPTextEncode": ("text", "text"),
    "AstriaNoise": ("seed", "seed"),
}
_MASK = "mask"  # the role of the mask that a prompt asks for
_GUIDED = "CFGGuider"  # elsewhere a negative prompt has no effect


@dataclass(frozen=True)
class Shown:
    """A widget of an inner node, by the name and the label that it has outside."""

    call: NodeCall
    entry: InputDefinition
    name: str
    label: str


def shown_of(one: Subgraph, definitions: Definitions) -> tuple[Shown, ...]:
    """Return these widgets: the scene before its people, what is left out after what is wanted."""
    found = _files(one, definitions) if one.name.endswith(HELPERS) else _of_stage(one, definitions)
    return tuple(sorted(found, key=_place))


def _files(one: Subgraph, definitions: Definitions) -> Iterator[Shown]:
    for call in one.graph.nodes.values():
        entries = definitions[call.class_type].inputs.values()
        files = [
            entry
            for entry in entries
            if entry.name in FILE_INPUTS and call.inputs.get(entry.name) not in (None, "none")
        ]
        role = _role(call)
        for entry in files:
            label = role if len(files) == 1 else entry.name
            yield Shown(call, entry, f"{role}_{entry.name}", label.replace("_", " "))


def _of_stage(one: Subgraph, definitions: Definitions) -> Iterator[Shown]:
    is_guided = any(call.class_type == _GUIDED for call in one.graph.nodes.values())
    for call in one.graph.nodes.values():
        role, kind = _role(call), call.class_type
        key, label = ("mask_prompt", "masked") if role == _MASK else _OF_STAGES.get(kind, ("", ""))
        entry, value = definitions[kind].inputs.get(key), call.inputs.get(key)
        is_idle = role == "negative" and value == "" and not is_guided
        if entry is not None and value is not None and not isinstance(value, Link) and not is_idle:
            yield Shown(call, entry, f"{role}_{key}", title_of(role) or label)


def _role(call: NodeCall) -> str:
    return call.name.partition(".")[2]


def _place(one: Shown) -> int:
    role = _role(one.call)
    order = (role == "positive", role.startswith("person"), role == "negative", role == _MASK, True)
    return order.index(True)
