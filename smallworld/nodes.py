"""The node that loads the small world's models, and what lets bindings name them.

A pack of its own: only a host that is started with the small world has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from comfy_api.latest import ComfyExtension, io
from server import PromptServer

from .host.files import load
from .model_files import families, loading

LOADER = "AstriaLoadSmallWorld"
HOST_LOADER = "CheckpointLoaderSimple"


class AstriaLoadSmallWorld(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id=LOADER,
            display_name="Astria Load Small World",
            category="astria/loaders",
            description="Load the models of the small drawn world, which paint 128x128 pixels, and"
            " know nothing but its drawings.",
            inputs=[
                io.Combo.Input(
                    "family",
                    options=list(families()),
                    tooltip="The architecture: Stable Diffusion 1.5's, or Flux.1's.",
                ),
                io.String.Input(
                    "saved",
                    default="",
                    optional=True,
                    tooltip="A checkpoint that Save Checkpoint wrote of this family, by its name"
                    " below the folder of checkpoints, in place of the family's own.",
                ),
            ],
            outputs=[io.Model.Output(), io.Clip.Output(), io.Vae.Output()],
        )

    @classmethod
    def execute(cls, family: str, saved: str = "") -> io.NodeOutput:
        return io.NodeOutput(*load(family, saved))


def with_loader(body: dict[str, Any]) -> dict[str, Any]:
    """Return a body of POST /prompt in which checkpoints of the small world are loaded by its node.

    The host's loader tells SD1.5 from a file only at its published width. Outputs are the same.
    """
    prompt: Mapping[str, Any] = body.get("prompt") or {}
    return {**body, "prompt": {name: _loaded(node) for name, node in prompt.items()}}


def _loaded(node: dict[str, Any]) -> dict[str, Any]:
    if node.get("class_type") != HOST_LOADER:
        return node
    inputs = loading(node.get("inputs", {}).get("ckpt_name"))
    return {**node, "class_type": LOADER, "inputs": inputs} if inputs else node


class SmallWorld(ComfyExtension):
    """The pack as the host sees it."""

    async def on_load(self) -> None:
        PromptServer.instance.add_on_prompt_handler(with_loader)

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [AstriaLoadSmallWorld]
