"""Trainings of the API at an eighth of their sizes, and one that finds no memory."""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.latest import io

SHRINK, LEAST_PX = 8, 64
NO_MEMORY = "nomemory"  # the token of a training that ends so at every size


class AstriaTestNoMemory(io.ComfyNode):
    """Raises what torch raises when a device is full."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AstriaTestNoMemory",
            category="astria/test",
            inputs=[io.Image.Input("pixels"), io.Vae.Input("vae")],
            outputs=[io.Latent.Output()],
        )

    @classmethod
    def execute(cls, pixels: torch.Tensor, vae: Any) -> io.NodeOutput:
        raise torch.OutOfMemoryError("tried to allocate 20 GiB")


def smaller(graph: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return a training's workflow for photos of a few pixels."""
    for node in [one for one in graph.values() if one["class_type"] == "AstriaTunePhotos"]:
        sizes = [int(one) // SHRINK // LEAST_PX for one in node["inputs"]["sizes"].split(",")]
        shrunk = dict.fromkeys(max(one, 1) * LEAST_PX for one in sizes)
        node["inputs"]["sizes"] = ", ".join(map(str, shrunk))
        if node["inputs"]["token"] == NO_MEMORY:
            graph["training.latents"]["class_type"] = "AstriaTestNoMemory"
    return graph
