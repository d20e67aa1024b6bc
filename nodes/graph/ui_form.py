"""A plan as a workflow file that an artist opens.

Laid out left to right, one group a stage, with a note saying what it needs.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from .definitions import Definitions, InputDefinition, NodeDefinition
from .dynamic_prompts import WORDS
from .graph import Graph, Link, NodeCall, Value
from .layout import GROUP_TITLE, TOP, Box, layout
from .model_files import files_of

NOTE_WIDTH = 420
NOTE_HEIGHT = 900
NOTE_GAP = 80
NODE_TITLES = {
    "positive": "Positive prompt",
    "negative": "Negative prompt",
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
class _Writer:
    """Gives nodes and links their numbers.

    `links` are rows of the file, `into` finds a link by node and input, `out_of` by node and
    output.
    """

    graph: Graph
    definitions: Definitions
    ids: dict[str, int] = field(default_factory=dict)
    links: list[list] = field(default_factory=list)
    into: dict[tuple[str, str], int] = field(default_factory=dict)
    out_of: dict[tuple[str, int], list[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.ids = {name: number for number, name in enumerate(self.graph.nodes, start=1)}
        for call in self.graph.nodes.values():
            self._number_links(call)

    def _number_links(self, call: NodeCall) -> None:
        for position, entry in enumerate(_inputs(call, self.definition(call))):
            value = call.inputs.get(entry.name)
            if not isinstance(value, Link):
                continue
            number = len(self.links) + 1
            self.links.append(
                [
                    number,
                    self.ids[value.node],
                    value.slot,
                    self.ids[call.name],
                    position,
                    entry.kind,
                ]
            )
            self.into[call.name, entry.name] = number
            self.out_of.setdefault((value.node, value.slot), []).append(number)

    def definition(self, call: NodeCall) -> NodeDefinition:
        return self.definitions[call.class_type]


def ui_workflow(graph: Graph, definitions: Definitions, note: str) -> dict:
    """Return the graph as a workflow file (version 0.4).

    `note` is shown as a Markdown note at the left.

    Node ids are numbers, as the editor wants them; the plan's name of a node is its property
    `astria_name`.
    """
    writer = _Writer(graph, definitions)
    placed = layout(graph, definitions)
    nodes = [_node(writer, call, placed.boxes[call.name]) for call in graph.nodes.values()]
    nodes.append(_note(len(nodes) + 1, note))
    return {
        "revision": 0,
        "last_node_id": len(nodes),
        "last_link_id": len(writer.links),
        "nodes": nodes,
        "links": writer.links,
        "groups": list(placed.groups),
        "config": {},
        "extra": {"ds": {"scale": 0.6, "offset": [NOTE_WIDTH + NOTE_GAP + 120, 40]}},
        "version": 0.4,
    }


def _node(writer: _Writer, call: NodeCall, box: Box) -> dict:
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
        "inputs": [_input(writer, call, entry) for entry in _inputs(call, definition)],
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
    title = _title(role)
    return {**node, "title": title} if title else node


def _published(call: NodeCall) -> dict:
    """Return the property from which the editor offers to download a model file that is missing."""
    files = [
        {"name": file.name, "url": file.address, "directory": file.folder}
        for file in files_of(call)
        if file.address
    ]
    return {"models": files} if files else {}


def _title(role: str) -> str | None:
    """Return the title of a node by its role in the stage; None leaves it the name of its class."""
    if role.endswith(WORDS):
        return f"{_title(role.removesuffix(WORDS)) or 'Text'}: words"
    if role.startswith("person_checkpoint"):
        return "Load a person's checkpoint"
    person = _PERSON.fullmatch(role)
    if person:
        return f"Person {person[1]}{PERSON_TITLES[person[2]]}"
    return NODE_TITLES.get(role)


def _input(writer: _Writer, call: NodeCall, entry: InputDefinition) -> dict:
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


def _inputs(call: NodeCall, definition: NodeDefinition) -> Sequence[InputDefinition]:
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


def _note(number: int, text: str) -> dict:
    return {
        "id": number,
        "type": "MarkdownNote",
        "pos": [-NOTE_WIDTH - NOTE_GAP, TOP - GROUP_TITLE],
        "size": [NOTE_WIDTH, NOTE_HEIGHT],
        "flags": {},
        "order": number - 1,
        "mode": 0,
        "inputs": [],
        "outputs": [],
        "title": "About this workflow",
        "properties": {},
        "widgets_values": [text],
    }
