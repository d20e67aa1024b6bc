"""The plan's graph: typed node calls with readable names, the builder the stages write into, and
its two plain forms.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..errors import PlanError


@dataclass(frozen=True)
class Link:
    """Output `slot` of the node called `node`."""

    node: str
    slot: int = 0


@dataclass(frozen=True)
class Socket:
    """Something the artist connects from outside the plan.

    `model`, `clip`, `vae`, `image`, `mask`, `upscale_model` ...
    """

    name: str


Value = str | int | float | bool | Link | Socket


@dataclass(frozen=True)
class NodeCall:
    """One node of the plan: a host or pack node class with every input given.

    `name` is `<stage>.<role>`.
    """

    name: str
    class_type: str
    inputs: Mapping[str, Value]

    @property
    def stage(self) -> str:
        return self.name.split(".", 1)[0]


@dataclass
class Graph:
    """Node calls in the order they were added.

    Each may only refer to earlier ones, so the order is a topological one.
    """

    nodes: dict[str, NodeCall] = field(default_factory=dict)

    def add(self, name: str, class_type: str, /, **inputs: Value) -> Link:
        """Add a node and return its first output."""
        if name in self.nodes:
            raise PlanError(f"The plan names two nodes '{name}'.", code="duplicate-node")
        for key, value in inputs.items():
            if isinstance(value, Link) and value.node not in self.nodes:
                raise PlanError(
                    f"Node '{name}' input '{key}' refers to '{value.node}', which comes later or"
                    " not at all.",
                    code="dangling-link",
                )
        self.nodes[name] = NodeCall(name, class_type, dict(inputs))
        return Link(name)


def expansion(graph: Graph, prefix: str, sockets: Mapping[str, list]) -> dict[str, dict]:
    """Return the graph as ComfyUI's `expand` wants it.

    Ids with `prefix`, sockets replaced by the links of the expanding node.
    """

    def plain(value: Value) -> object:
        if isinstance(value, Link):
            return [prefix + value.node, value.slot]
        return sockets[value.name] if isinstance(value, Socket) else value

    return {
        prefix + name: {
            "class_type": call.class_type,
            "inputs": {key: plain(value) for key, value in call.inputs.items()},
        }
        for name, call in graph.nodes.items()
    }


def api_workflow(graph: Graph) -> dict[str, dict]:
    """Return the graph as an API workflow: node names as ids, ready for POST /prompt.

    The graph must hold no open socket.
    """
    nodes = expansion(graph, "", {})
    return {name: {**node, "_meta": {"title": name}} for name, node in nodes.items()}
