"""A plan held against the node definitions.

ComfyUI does not validate nodes that another node expands into.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import PlanError
from .definitions import Definitions, InputDefinition, NodeDefinition
from .graph import Graph, Link, NodeCall, Socket, Value
from .sockets import MODEL_SOCKETS

SOCKET_TYPES = {
    "model": "MODEL",
    "clip": "CLIP",
    "vae": "VAE",
    "image": "IMAGE",
    "mask": "MASK",
    "person_masks": "MASK",
    "control_image": "IMAGE",
    "outpaint_model": "MODEL",
    "regions": "ASTRIA_REGIONS",
    **MODEL_SOCKETS,
}


def check_graph(graph: Graph, definitions: Definitions) -> None:
    """Return when every node exists and every input is known, given, of the right type and in
    range.

    Raises: PlanError listing every node and input that is not.
    """
    faults = [
        fault for call in graph.nodes.values() for fault in _node_faults(call, graph, definitions)
    ]
    if faults:
        text = "The planned nodes do not fit this ComfyUI:\n" + "\n".join(
            f"  {fault}" for fault in faults
        )
        raise PlanError(
            text,
            code="plan-does-not-fit",
            hint="Update ComfyUI to 0.30 or later, and this pack to its newest version.",
        )


def _node_faults(call: NodeCall, graph: Graph, definitions: Definitions) -> Iterator[str]:
    definition = definitions.get(call.class_type)
    if definition is None:
        yield f"{call.name}: this ComfyUI has no node '{call.class_type}'"
        return
    for name in definition.inputs:
        if definition.inputs[name].required and name not in call.inputs:
            yield f"{call.name} ({call.class_type}): input '{name}' is missing"
    for name, value in call.inputs.items():
        if name not in definition.inputs:
            yield f"{call.name} ({call.class_type}): has no input '{name}'"
            continue
        fault = _value_fault(definition.inputs[name], value, graph, definitions)
        if fault:
            yield f"{call.name} ({call.class_type}): input '{name}' {fault}"


def _value_fault(
    expected: InputDefinition, value: Value, graph: Graph, definitions: Definitions
) -> str:
    if isinstance(value, Link | Socket):
        given = (
            SOCKET_TYPES[value.name]
            if isinstance(value, Socket)
            else _output_type(value, graph, definitions)
        )
        fits = (
            given in expected.kind.split(",")
            or "*" in (given, expected.kind)
            or {given, expected.kind} <= {"COMBO", "STRING"}
        )
        return "" if fits else f"takes {expected.kind}, and {value} gives {given}"
    return _constant_fault(expected, value)


def _output_type(link: Link, graph: Graph, definitions: Definitions) -> str:
    definition: NodeDefinition | None = definitions.get(graph.nodes[link.node].class_type)
    if definition is None or link.slot >= len(definition.outputs):
        return "nothing"
    return definition.outputs[link.slot][1]


def _constant_fault(expected: InputDefinition, value: str | int | float | bool) -> str:
    if expected.kind == "COMBO":
        if expected.choices is not None and value not in expected.choices:
            return f"is {value!r}, not one of {', '.join(map(str, expected.choices))}"
        return ""
    types = {"INT": int, "FLOAT": (int, float), "STRING": str, "BOOLEAN": bool}.get(expected.kind)
    if types is None:
        return f"takes a link of type {expected.kind}, and {value!r} is a constant"
    if not isinstance(value, types) or (isinstance(value, bool) and expected.kind != "BOOLEAN"):
        return f"takes {expected.kind}, and {value!r} is not"
    low, high = expected.options.get("min"), expected.options.get("max")
    if isinstance(value, int | float) and (
        (low is not None and value < low) or (high is not None and value > high)
    ):
        return f"is {value}, outside {low}..{high}"
    return ""
