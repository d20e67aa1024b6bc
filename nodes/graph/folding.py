"""A graph of many nodes as few boxes: each stage folded into one, to be unfolded in the editor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from .definitions import WIDGET_TYPES, Definitions, InputDefinition
from .graph import Graph, Link, NodeCall, Value

MAX_BOXES = 12  # that are seen at once, the note among them
OPEN_STAGES = ("models", "input", "output")  # what its reader chooses, brings and gets
# What a picture is begun with; further models are helpers, folded where there are many.
_FIRST_MODELS = ("checkpoint", "diffusion_model", "text_encoders", "vae")
WHOLE, HELPERS = "all", "helpers"
INPUTS = "<inputs>"  # where what comes from outside begins, seen from inside


@dataclass(frozen=True)
class Subgraph:
    """Nodes that are seen as one.

    `graph` holds them, with what comes from outside as links to INPUTS; `inputs` names what that
    is outside, in the order of those links, `outputs` the links inside that others take, each with
    its name.
    """

    name: str
    graph: Graph
    inputs: Mapping[str, Link]
    outputs: Mapping[str, Link]
    kinds: Mapping[str, str] = field(default_factory=dict)  # of inputs and outputs, by name

    @property
    def stage(self) -> str:
        """The stage whose nodes these are."""
        return self.name.partition(".")[0]


@dataclass(frozen=True)
class Folded:
    """A graph in which each subgraph is one call, whose class is the subgraph's name."""

    graph: Graph
    subgraphs: Sequence[Subgraph]


def folded(graph: Graph, definitions: Definitions) -> Folded:
    """Return the graph with stages as subgraphs where it has more nodes than are seen at once."""
    place = {name: name for name in graph.nodes}
    if len(graph.nodes) + 1 > MAX_BOXES:
        place |= {
            name: f"{call.stage}.{WHOLE}"
            for name, call in graph.nodes.items()
            if call.stage not in OPEN_STAGES and _is_several(graph, call.stage)
        }
    if len(set(place.values())) + 1 > MAX_BOXES:
        place |= {name: f"models.{HELPERS}" for name in graph.nodes if _is_helper(name)}
    names = dict.fromkeys(one for name, one in place.items() if one not in graph.nodes)
    made = {name: _subgraph(name, graph, place, definitions) for name in names}
    return Folded(_outside(graph, place, made), tuple(made.values()))


def _is_several(graph: Graph, stage: str) -> bool:
    return sum(call.stage == stage for call in graph.nodes.values()) > 1


def _is_helper(name: str) -> bool:
    stage, _, role = name.partition(".")
    return stage == "models" and role not in _FIRST_MODELS


def _subgraph(
    name: str, graph: Graph, place: Mapping[str, str], definitions: Definitions
) -> Subgraph:
    within = [call for call in graph.nodes.values() if place[call.name] == name]
    inputs: dict[str, Link] = {}
    kinds: dict[str, str] = {}
    calls = {}
    for call in within:
        given = dict(call.inputs)
        for key, value in call.inputs.items():
            if isinstance(value, Link) and place[value.node] != name:
                entry = definitions[call.class_type].inputs[key]
                position = _position(inputs, kinds, value, entry)
                given[key] = Link(INPUTS, position)
        calls[call.name] = replace(call, inputs=given)
    outputs: dict[str, Link] = {}
    for link in _taken_from(name, graph, place):
        title, kind = definitions[graph.nodes[link.node].class_type].outputs[link.slot]
        key = _new_name(title, outputs)
        outputs[key], kinds[f"out {key}"] = link, kind
    return Subgraph(name, Graph(calls), inputs, outputs, kinds)


def _position(
    inputs: dict[str, Link], kinds: dict[str, str], link: Link, entry: InputDefinition
) -> int:
    """Return the place among a subgraph's inputs of what comes from `link`, adding it where it is
    new.
    """
    if link not in inputs.values():
        assert entry.kind not in WIDGET_TYPES, f"{entry.name} would be a widget of the subgraph"
        name = _new_name(entry.name, inputs)
        inputs[name], kinds[name] = link, entry.kind
    return list(inputs.values()).index(link)


def _new_name(name: str, taken: Mapping[str, object]) -> str:
    numbered = (name if number == 1 else f"{name}_{number}" for number in range(1, len(taken) + 2))
    return next(one for one in numbered if one not in taken)


def _taken_from(name: str, graph: Graph, place: Mapping[str, str]) -> list[Link]:
    """Return what nodes outside of a subgraph take from those inside, each once."""
    return list(
        dict.fromkeys(
            value
            for call in graph.nodes.values()
            if place[call.name] != name
            for value in call.inputs.values()
            if isinstance(value, Link) and place[value.node] == name
        )
    )


def _outside(graph: Graph, place: Mapping[str, str], subgraphs: Mapping[str, Subgraph]) -> Graph:
    """Return the graph that is seen at first, in an order in which each call's inputs come
    before it.
    """

    def moved(value: Value) -> Value:
        if not isinstance(value, Link) or place[value.node] == value.node:
            return value
        taken = subgraphs[place[value.node]]
        return Link(taken.name, list(taken.outputs.values()).index(value))

    waiting: dict[str, NodeCall] = {}
    for name in dict.fromkeys(place.values()):
        inputs = subgraphs[name].inputs if name in subgraphs else graph.nodes[name].inputs
        kind = name if name in subgraphs else graph.nodes[name].class_type
        waiting[name] = NodeCall(name, kind, {key: moved(value) for key, value in inputs.items()})
    ordered: dict[str, NodeCall] = {}
    while waiting:
        ready = [
            call
            for call in waiting.values()
            if all(
                not isinstance(value, Link) or value.node in ordered
                for value in call.inputs.values()
            )
        ]
        assert ready, f"stages take from each other: {', '.join(waiting)}"
        call = ready[0]
        ordered[call.name] = waiting.pop(call.name)
    return Graph(ordered)
