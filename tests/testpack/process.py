"""A node that tells what the host's process has come to with the packs in it."""

from __future__ import annotations

import json
import sys

from comfy_api.latest import io


class AstriaTestProcess(io.ComfyNode):
    """Shows as JSON the folders that modules are looked for in, and the file that the host's own
    module `nodes` comes from.
    """

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AstriaTestProcess",
            category="astria/test",
            inputs=[],
            outputs=[],
            is_output_node=True,
        )

    @classmethod
    def execute(cls) -> io.NodeOutput:
        return io.NodeOutput(
            ui={"text": [json.dumps({"path": sys.path, "nodes": sys.modules["nodes"].__file__})]}
        )
