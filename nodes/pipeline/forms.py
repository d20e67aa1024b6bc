"""A plan as plain data: the nodes of an expansion, or an API workflow to queue."""

from __future__ import annotations

from collections.abc import Mapping

from ..graph.graph import Graph, Link, Socket, Value


def expansion(graph: Graph, prefix: str, sockets: Mapping[str, list]) -> dict[str, dict]:
    """Return the graph as ComfyUI's `expand` wants it: ids with `prefix`, sockets replaced by the links of the expanding node."""

    def plain(value: Value) -> object:
        if isinstance(value, Link):
            return [prefix + value.node, value.slot]
        return sockets[value.name] if isinstance(value, Socket) else value

    return {
        prefix + name: {"class_type": call.class_type, "inputs": {key: plain(value) for key, value in call.inputs.items()}}
        for name, call in graph.nodes.items()
    }


def api_workflow(graph: Graph) -> dict[str, dict]:
    """Return the graph as an API workflow: node names as ids, ready for POST /prompt. The graph must hold no open socket."""
    nodes = expansion(graph, "", {})
    return {name: {**node, "_meta": {"title": name}} for name, node in nodes.items()}
