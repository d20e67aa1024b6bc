"""The named outputs of planned nodes, held against the node definitions."""

from __future__ import annotations

import json

import pytest
from comfyui_astria.nodes.graph import outputs
from comfyui_astria.nodes.graph.definitions import SNAPSHOT
from comfyui_astria.nodes.graph.graph import Graph, Link

DEFINITIONS = json.loads(SNAPSHOT.read_text(encoding="utf-8"))
KINDS = outputs.Node.__constraints__


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.class_type)
def test_outputs_are_named_as_the_node_names_them(kind: type) -> None:
    named = [name.lower() for name in DEFINITIONS[kind.class_type]["output_name"]]
    assert list(kind._fields) == named[: len(kind._fields)]


def test_each_output_is_a_link_to_its_place() -> None:
    graph = Graph()
    image = graph.add("a", "LoadImage", image="a.png")
    fit = outputs.add_node(graph, outputs.FitImageNode, "b", image=image)
    assert fit == (Link("b", 0), Link("b", 1), Link("b", 2))
    assert graph.nodes["b"].class_type == "AstriaFitImage"
