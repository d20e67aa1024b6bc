"""A workflow file read as the editor reads it: the nodes in its subgraphs, and what is queued."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

INPUT_NODE, OUTPUT_NODE = -10, -20


def subgraphs_of(workflow: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the definitions of a file's subgraphs."""
    return workflow.get("definitions", {}).get("subgraphs", [])


def every_node(workflow: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the nodes of a workflow with those in its subgraphs."""
    return [*workflow["nodes"], *(node for one in subgraphs_of(workflow) for node in one["nodes"])]


def links_of(workflow: Mapping[str, Any]) -> dict[tuple[str, str], tuple[str, int]]:
    """Return, for each input of an inner node by names, the node and output that it takes from,
    through whatever subgraphs.
    """
    named = {node["id"]: node["properties"].get("astria_name") for node in every_node(workflow)}
    of_kind = {one["id"]: one for one in subgraphs_of(workflow)}
    folds = {
        node["id"]: of_kind[node["type"]] for node in workflow["nodes"] if node["type"] in of_kind
    }
    outside = {number: rest for number, *rest in workflow["links"]}

    def source(node: int, slot: int) -> tuple[str, int]:
        if node not in folds:
            return named[node], slot
        [inner] = [
            link
            for link in folds[node]["links"]
            if (link["target_id"], link["target_slot"]) == (OUTPUT_NODE, slot)
        ]
        return named[inner["origin_id"]], inner["origin_slot"]

    found = {}
    for node in workflow["nodes"]:
        for entry in node["inputs"]:
            if entry["link"] is not None and node["id"] not in folds:
                found[named[node["id"]], entry["name"]] = source(*outside[entry["link"]][:2])
    for number, fold in folds.items():
        [host] = [node for node in workflow["nodes"] if node["id"] == number]
        links = {link["id"]: link for link in fold["links"]}
        for node in fold["nodes"]:
            for entry in node["inputs"]:
                if entry["link"] is None:
                    continue
                link = links[entry["link"]]
                if link["origin_id"] != INPUT_NODE:
                    found[named[node["id"]], entry["name"]] = (
                        named[link["origin_id"]],
                        link["origin_slot"],
                    )
                elif (given := host["inputs"][link["origin_slot"]]["link"]) is not None:
                    found[named[node["id"]], entry["name"]] = source(*outside[given][:2])
    return found
