"""The shipped node definitions are those of the running host."""

from __future__ import annotations

import json

from comfyui_astria.devtools.definitions import reduced
from comfyui_astria.nodes.graph.definitions import SNAPSHOT
from comfyui_astria.tests.host.fixtures import LiveHost


def test_the_snapshot_is_what_the_host_says(host: LiveHost) -> None:
    """When this fails after a change of a node.

    `python dev.py definitions` writes the snapshot anew.
    """
    assert json.loads(SNAPSHOT.read_text(encoding="utf-8")) == json.loads(
        json.dumps(reduced(host.object_info()))
    )


def test_what_a_node_tells_is_told_again_where_the_cache_answers_for_it(host: LiveHost) -> None:
    """The host sends a cached node's words for nodes of this mark only."""
    telling = {
        name: one["has_intermediate_output"]
        for name, one in host.object_info().items()
        if name.startswith("Astria") and "info" in one["output_name"]
    }
    assert len(telling) > 15 and all(telling.values()), telling
