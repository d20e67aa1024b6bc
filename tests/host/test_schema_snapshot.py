"""Workflows that people have shared stay valid.

What the nodes once took and gave, they take and give.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from comfyui_astria.devtools.promises import broken, promise, read
from comfyui_astria.nodes.graph.definitions import InputDefinition, NodeDefinition, from_object_info
from comfyui_astria.tests.host.fixtures import LiveHost

WHAT_TO_DO = (
    "Shared workflows and API graphs would break. Keep the old id, input or place and add the new"
    " one behind it (new inputs optional); what was only added is promised by: python dev.py"
    " promise"
)


def test_every_promise_is_kept(host: LiveHost) -> None:
    faults = broken(read(), from_object_info(host.object_info()))
    assert faults == [], f"{WHAT_TO_DO}\n" + "\n".join(faults)


def test_every_node_is_promised(host: LiveHost) -> None:
    own = {
        name
        for name in host.object_info()
        if name.startswith("Astria") and not name.startswith("AstriaTest")
    }
    assert own == set(read()), "a new node: python dev.py promise"


def a_node(**changes: InputDefinition | None) -> NodeDefinition:
    inputs = {
        "image": InputDefinition("image", "IMAGE", True, {}),
        "steps": InputDefinition("steps", "INT", True, {}),
        "shape": InputDefinition("shape", "COMBO", False, {}, ("round", "square")),
    }
    inputs = {name: entry for name, entry in {**inputs, **changes}.items() if entry is not None}
    return NodeDefinition("Node", "Node", inputs, (("image", "IMAGE"), ("mask", "MASK")))


ADDED = [
    a_node(),
    a_node(extra=InputDefinition("extra", "INT", False, {})),
    a_node(shape=InputDefinition("shape", "COMBO", False, {}, ("square", "round", "star"))),
    replace(a_node(), outputs=(("image", "IMAGE"), ("mask", "MASK"), ("report", "STRING"))),
]
BROKEN = {
    "the input 'steps' is gone": a_node(steps=None),
    "the input 'image' was IMAGE and is MASK": a_node(
        image=InputDefinition("image", "MASK", True, {})
    ),
    "the input 'shape' may no longer be left out": a_node(
        shape=InputDefinition("shape", "COMBO", True, {}, ("round", "square"))
    ),
    "the input 'shape' no longer takes 'round'": a_node(
        shape=InputDefinition("shape", "COMBO", False, {}, ("square",))
    ),
    "the new input 'extra' is required": a_node(extra=InputDefinition("extra", "IMAGE", True, {})),
    "the outputs were": replace(a_node(), outputs=(("mask", "MASK"), ("image", "IMAGE"))),
    "the widgets were steps, shape": replace(
        a_node(), inputs=dict(reversed(a_node().inputs.items()))
    ),
}


@pytest.mark.parametrize("now", ADDED)
def test_adding_breaks_no_promise(now: NodeDefinition) -> None:
    assert broken({"Node": promise(a_node())}, {"Node": now}) == []


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_promise_is_told(fault: str) -> None:
    [told] = [
        told
        for told in broken({"Node": promise(a_node())}, {"Node": BROKEN[fault]})
        if fault in told
    ]
    assert told.startswith("Node: ")


def test_a_node_that_is_gone_is_told() -> None:
    assert broken({"Node": promise(a_node())}, {}) == ["Node: the node is gone"]
