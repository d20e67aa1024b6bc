"""A subgraph as a workflow file holds it: its definition, and the one node that stands for it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from .definitions import Definitions, InputDefinition, NodeDefinition
from .folding import HELPERS, INPUTS, Subgraph
from .layout import STAGE_TITLES, TITLE_HEIGHT, GraphLayout, layout
from .node_form import Writer, inputs_of, node_form
from .shown_widgets import Shown, shown_of

# Numbers that the editor has for the two ends of a subgraph.
INPUT_NODE, OUTPUT_NODE = -10, -20
END_WIDTH, END_GAP, SLOT_HEIGHT = 130, 80, 20
HELPERS_TITLE = "Further models"
_LINK = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
_SPACE = uuid.UUID("6d1c3f0e-9a0b-4c55-8d59-5f3a9a1c7e21")


@dataclass(frozen=True)
class SubgraphForm:
    """A subgraph's definition in the file, what its node takes and gives, and its last link.

    `shown` are the widgets that stand on that node, to be changed without opening it.
    """

    definition: dict
    as_node: NodeDefinition
    shown: tuple[Shown, ...]
    last_link: int


def subgraph_form(
    one: Subgraph, definitions: Definitions, ids: Mapping[str, int], links_before: int
) -> SubgraphForm:
    """Return a subgraph for a file in which nodes have the numbers `ids`."""
    shown = shown_of(one, definitions)
    writer = Writer(one.graph, definitions, {**ids, INPUTS: INPUT_NODE}, links_before)
    for slot, widget in enumerate(shown, start=len(one.inputs)):
        position = inputs_of(widget.call, definitions[widget.call.class_type]).index(widget.entry)
        number = writer.add(INPUT_NODE, slot, ids[widget.call.name], position, widget.entry.kind)
        writer.into[widget.call.name, widget.entry.name] = number
    for slot, (name, link) in enumerate(one.outputs.items()):
        kind = one.kinds[f"out {name}"]
        number = writer.add(ids[link.node], link.slot, OUTPUT_NODE, slot, kind)
        writer.out_of.setdefault((link.node, link.slot), []).append(number)
    placed = layout(one.graph, definitions)
    title = HELPERS_TITLE if one.name.endswith(HELPERS) else STAGE_TITLES.get(one.stage, one.stage)
    body = {
        "version": 1,
        "state": {
            "lastGroupId": 0,
            "lastNodeId": max(ids.values()),
            "lastLinkId": writer.last_link,
            "lastRerouteId": 0,
        },
        "revision": 0,
        "config": {},
        "name": title,
        **_ends(one, shown, writer, placed),
        "widgets": [],
        "nodes": [
            node_form(writer, call, placed.boxes[call.name]) for call in one.graph.nodes.values()
        ],
        "groups": [],
        "links": [dict(zip(_LINK, row, strict=True)) for row in writer.links],
        "extra": {},
    }
    # Named by what is in it: two workflows that are open at once never mean each other's.
    identity = str(uuid.uuid5(_SPACE, json.dumps(body, sort_keys=True)))
    sockets = {name: InputDefinition(name, one.kinds[name], True, {}) for name in one.inputs}
    widgets = {widget.name: replace(widget.entry, name=widget.name) for widget in shown}
    outputs = tuple((name, one.kinds[f"out {name}"]) for name in one.outputs)
    as_node = NodeDefinition(identity, title, sockets | widgets, outputs)
    return SubgraphForm({"id": identity, **body}, as_node, shown, writer.last_link)


def _ends(one: Subgraph, shown: Sequence[Shown], writer: Writer, placed: GraphLayout) -> dict:
    """Return the two ends of a subgraph, left and right of its nodes, with their slots."""
    boxes = placed.boxes.values()
    left, top = min(box.x for box in boxes), min(box.y for box in boxes)
    right = max(box.x + box.width for box in boxes)
    taken = {name: (one.kinds[name], {}) for name in one.inputs}
    taken |= {widget.name: (widget.entry.kind, {"label": widget.label}) for widget in shown}
    given = {name: (one.kinds[f"out {name}"], {}) for name in one.outputs}
    ends = (
        ("inputs", taken, left - END_GAP - END_WIDTH, 1, INPUT_NODE),
        ("outputs", given, right + END_GAP, 3, OUTPUT_NODE),
    )
    form: dict = {}
    for side, slots, x, column, number in ends:
        form |= {
            f"{side[:-1]}Node": {
                "id": number,
                "bounding": [x, top - TITLE_HEIGHT, END_WIDTH, SLOT_HEIGHT * (len(slots) + 2)],
            },
            side: [
                {
                    "id": str(uuid.uuid5(_SPACE, f"{one.name} {side} {name}")),
                    "name": name,
                    "type": kind,
                    **label,
                    "linkIds": [
                        row[0] for row in writer.links if row[column : column + 2] == [number, slot]
                    ],
                    "pos": [x + END_WIDTH // 2, top + SLOT_HEIGHT * slot],
                }
                for slot, (name, (kind, label)) in enumerate(slots.items())
            ],
        }
    return form
