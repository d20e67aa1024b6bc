"""Nodes and links as a workflow file holds them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .definitions import Definitions, InputDefinition, NodeDefinition
from .dynamic_prompts import WORDS
from .graph import Graph, Link, NodeCall, Value
from .layout import Box
from .model_files import files_of

NODE_TITLES = {
    "positive": "Positive prompt",
    "negative": "Negative prompt",
    "kept.positive": "Positive prompt of later stages",
    "outpaint_model": "Load outpaint model",
}
# What a node of a person is called behind the person's number: `person_2_positive` -> "Person 2:
# prompt".
PERSON_TITLES = {
    "": "",
    "positive": ": prompt",
    "negative": ": negative prompt",
    "lora": ": LoRA",
    "text_lora": ": LoRA of the text",
    "faceid": ": FaceID",
}
_PERSON = re.compile(r"person_(\d+)_?(\w*?)(?:_\d+)?")


@dataclass
class Writer:
    """Gives links their numbers, those of nodes being `ids`.

    `links` are rows of the file, `into` finds a link by node and input, `out_of` by node and
    output.
    """

    graph: Graph
    definitions: Definitions
    ids: Mapping[str, int]
    links_before: int = 0
    links: list[list] = field(default_factory=list)
    into: dict[tuple[str, str], int] = field(default_factory=dict)
    out_of: dict[tuple[str, int], list[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for call in self.graph.nodes.values():
            self._number_links(call)

    def _number_links(self, call: NodeCall) -> None:
        for position, entry in enumerate(inputs_of(call, self.definition(call))):
            value = call.inputs.get(entry.name)
            if not isinstance(value, Link):
                continue
            source, target = self.ids[value.node], self.ids[call.name]
            number = self.add(source, value.slot, target, position, entry.kind)
            self.into[call.name, entry.name] = number
            self.out_of.setdefault((value.node, value.slot), []).append(number)

    def add(self, source: int, source_slot: int, target: int, target_slot: int, kind: str) -> int:
        """Add a link between two numbered nodes and return its number."""
        number = self.last_link + 1
        self.links.append([number, source, source_slot, target, target_slot, kind])
        return number

    @property
    def last_link(self) -> int:
        """The number of the last link."""
        return self.links_before + len(self.links)

    def definition(self, call: NodeCall) -> NodeDefinition:
        """What the class of a node takes and gives."""
        return self.definitions[call.class_type]


def node_form(writer: Writer, call: NodeCall, box: Box) -> dict:
    """Return a node at its place."""
    definition = writer.definition(call)
    number = writer.ids[call.name]
    node = {
        "id": number,
        "type": call.class_type,
        "pos": [box.x, box.y],
        "size": [box.width, box.height],
        "flags": {},
        "order": number - 1,
        "mode": 0,
        "inputs": [_input(writer, call, entry) for entry in inputs_of(call, definition)],
        "outputs": [
            {"name": name, "type": kind, "links": writer.out_of.get((call.name, index))}
            for index, (name, kind) in enumerate(definition.outputs)
        ],
        "properties": {
            "Node name for S&R": call.class_type,
            "astria_name": call.name,
            **_published(call),
        },
        "widgets_values": widget_values(call, definition),
    }
    role = call.name.partition(".")[2]
    title = title_of(role)
    return {**node, "title": title} if title else node


def _published(call: NodeCall) -> dict:
    """Return the property from which the editor offers to download a model file that is missing."""
    files = [
        {"name": file.name, "url": file.address, "directory": file.folder}
        for file in files_of(call)
        if file.address
    ]
    return {"models": files} if files else {}


def title_of(role: str) -> str | None:
    """Return the title of a node by its role in the stage; None leaves it the name of its class."""
    if role.endswith(WORDS):
        return f"{title_of(role.removesuffix(WORDS)) or 'Text'}: words"
    if role.startswith("person_checkpoint"):
        return "Load a person's checkpoint"
    person = _PERSON.fullmatch(role)
    if person:
        return f"Person {person[1]}{PERSON_TITLES[person[2]]}"
    return NODE_TITLES.get(role)


def _input(writer: Writer, call: NodeCall, entry: InputDefinition) -> dict:
    slot = {
        "name": entry.name,
        "type": entry.kind,
        "link": writer.into.get((call.name, entry.name)),
    }
    if entry.is_widget:
        slot["widget"] = {"name": entry.name}
    elif not entry.required:
        slot["shape"] = 7
    return slot


def inputs_of(call: NodeCall, definition: NodeDefinition) -> Sequence[InputDefinition]:
    """Return sockets first, then widgets, as the editor lists them.

    Of nested ones those that the call has.
    """
    return sorted(definition.present_in(call.inputs), key=lambda entry: entry.is_widget)


def widget_values(call: NodeCall, definition: NodeDefinition) -> list:
    """Return the values of the node's widgets in order, with those the editor adds itself (seed
    control, upload button).
    """
    values: list = []
    for required in (True, False):
        entries = [
            entry
            for entry in definition.present_in(call.inputs)
            if entry.is_widget and entry.required is required
        ]
        for entry in entries:
            values.append(
                _widget_value(entry, call.inputs.get(entry.name, entry.options.get("default")))
            )
            if entry.options.get("control_after_generate"):
                values.append("fixed")
        if any(entry.options.get("image_upload") for entry in entries):
            values.append("image")  # the button is the last of the required widgets
    return values


def _widget_value(entry: InputDefinition, value: Value | None) -> object:
    if isinstance(value, Link):
        # A linked widget still has a place in the list; its own value does not count.
        return entry.options.get("default")
    return value
