"""A prompt in its node as other graphs: what is answered where it cannot be."""

from __future__ import annotations

from typing import Any

import pytest
from comfyui_astria.tests.host.fixtures import LiveHost
from comfyui_astria.tests.host.graphs import generate_graph, node

TEXT = "a cat\nw=64\nh=64\nsteps=1"


def asked(**changed: Any) -> dict[str, Any]:
    """What the editor sends of a node whose model was an SD1.5 in the last run."""
    graph = {**generate_graph(TEXT), **changed.pop("graph", {})}
    body = {"text": TEXT, "node": "generate", "prompt": graph, "last_family": "sd15"}
    return {**body, "sockets": "model clip vae", **changed}


def refusal(host: LiveHost, route: str, body: dict[str, Any]) -> tuple[str, str]:
    status, answer = host.client.post_json(f"/astria/{route}", body)
    assert status in (400, 422), answer
    return answer["error"]["type"], answer["error"]["message"]


def test_a_request_becomes_a_workflow_of_what_is_connected(host: LiveHost) -> None:
    status, answer = host.client.post_json("/astria/as_nodes", asked())
    assert status == 200
    workflow = answer["workflow"]
    kinds = [one["type"] for one in workflow["nodes"]]
    assert kinds.count("AstriaTestModel") == 1, "three links, one node"
    assert "AstriaGenerate" not in kinds and "SaveImage" in kinds
    [seed] = [
        value
        for one in workflow["nodes"]
        if one["type"] == "AstriaNoise"
        for value in one["widgets_values"]
        if value == 43
    ]
    assert seed == 43, "the node's own"


@pytest.mark.parametrize("route", ["as_nodes", "mask"])
def test_a_graph_that_cannot_be_is_refused_with_its_node(host: LiveHost, route: str) -> None:
    circle = {"model": node("LoraLoader", model=["model", 0])}
    assert refusal(host, route, asked(graph=circle)) == (
        "bad-graph",
        "Node model of the graph comes after itself.",
    )
    kind, told = refusal(host, route, asked(node="7"))
    assert kind == "bad-graph" and "no node '7'" in told
    kind, told = refusal(host, route, asked(graph={"model": {"inputs": {}}}))
    assert kind == "bad-graph" and "'model'" in told


def test_what_is_not_known_or_not_masked_is_told(host: LiveHost) -> None:
    kind, told = refusal(host, "as_nodes", asked(last_family=""))
    assert kind == "family-not-known" and "before a run" in told
    kind, told = refusal(host, "mask", asked())
    assert kind == "no-mask" and "masks nothing" in told
    kind, told = refusal(host, "mask", asked(text="a cat --mask_dilate what"))
    assert "mask_dilate" in told
