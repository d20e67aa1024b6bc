"""A plan as a workflow file that an artist opens.

Laid out left to right, one group a stage, with a note saying what it needs.
"""

from __future__ import annotations

from collections.abc import Mapping

from .definitions import Definitions
from .folding import WHOLE, Folded, folded
from .graph import Graph, NodeCall
from .layout import GROUP_TITLE, TOP, Box, GraphLayout, layout
from .node_form import Writer, node_form
from .subgraph_form import SubgraphForm, subgraph_form

NOTE_WIDTH = 420
NOTE_HEIGHT = 900
NOTE_GAP = 80
BELOW_BAR = 140  # so far down the first row stands clear of the editor's own bar


def ui_workflow(
    graph: Graph, definitions: Definitions, note: str, *, is_folded: bool = False
) -> dict:
    """Return the graph as a workflow file (version 0.4).

    `note` is shown as a Markdown note at the left. With `is_folded`, the stages of a graph of many
    nodes are the editor's subgraphs.

    Node ids are numbers, as the editor wants them, unique in the whole file; the plan's name of a
    node is its property `astria_name`.
    """
    ids = {name: number for number, name in enumerate(graph.nodes, start=1)}
    seen = folded(graph, definitions) if is_folded else Folded(graph, ())
    ids |= {one.name: number for number, one in enumerate(seen.subgraphs, start=len(ids) + 1)}
    forms: dict[str, SubgraphForm] = {}
    last_link = 0
    for one in seen.subgraphs:
        forms[one.name] = subgraph_form(one, definitions, ids, last_link)
        last_link = forms[one.name].last_link
    known = {**definitions, **{name: form.as_node for name, form in forms.items()}}
    writer = Writer(seen.graph, known, ids, last_link)
    placed = layout(seen.graph, known)
    nodes = [
        _subgraph_node(writer, call, placed.boxes[call.name], forms[call.name])
        if call.name in forms
        else node_form(writer, call, placed.boxes[call.name])
        for call in seen.graph.nodes.values()
    ]
    nodes.append(_note(len(ids) + 1, note))
    subgraphs = [form.definition for form in forms.values()]
    return {
        "revision": 0,
        "last_node_id": len(ids) + 1,
        "last_link_id": writer.last_link,
        "nodes": nodes,
        "links": writer.links,
        "groups": _groups(seen.graph, placed, forms),
        **({"definitions": {"subgraphs": subgraphs}} if subgraphs else {}),
        "config": {},
        "extra": {"ds": {"scale": 0.6, "offset": [NOTE_WIDTH + NOTE_GAP + 120, BELOW_BAR]}},
        "version": 0.4,
    }


def _groups(graph: Graph, placed: GraphLayout, forms: Mapping[str, SubgraphForm]) -> list[dict]:
    """Return a group for each stage but those that are one box with the same title."""
    stages = dict.fromkeys(call.stage for call in graph.nodes.values())
    return [
        group
        for stage, group in zip(stages, placed.groups, strict=True)
        if f"{stage}.{WHOLE}" not in forms
    ]


def _subgraph_node(writer: Writer, call: NodeCall, box: Box, form: SubgraphForm) -> dict:
    """Return the node that stands for a subgraph."""
    number = writer.ids[call.name]
    sockets = [
        {"name": name, "type": form.as_node.inputs[name].kind, "link": writer.into[call.name, name]}
        for name in call.inputs
    ]
    widgets = [
        {
            "label": one.label,
            "name": one.name,
            "type": one.entry.kind,
            "widget": {"name": one.name},
            "link": None,
        }
        for one in form.shown
    ]
    return {
        "id": number,
        "type": form.as_node.class_type,
        "pos": [box.x, box.y],
        "size": [box.width, box.height],
        "flags": {},
        "order": number - 1,
        "mode": 0,
        "inputs": [*sockets, *widgets],
        "outputs": [
            {"name": name, "type": kind, "links": writer.out_of.get((call.name, slot))}
            for slot, (name, kind) in enumerate(form.as_node.outputs)
        ],
        "title": form.as_node.title,
        "properties": {},
        "widgets_values": [one.call.inputs[one.entry.name] for one in form.shown],
    }


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
