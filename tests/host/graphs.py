"""Graphs around AstriaGenerate and their pictures, for the tests on the live host."""

from __future__ import annotations

import io
import itertools
from typing import Any

import numpy
from comfyui_astria.devtools.client import images_of
from comfyui_astria.tests.host.running import LiveHost
from PIL import Image

STEPS = "steps=2"
_fresh = itertools.count()


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def generate_graph(
    text: str, family: str = "sd15", *, seed: int = 43, **inputs: Any
) -> dict[str, Any]:
    """Return test model -> AstriaGenerate -> Save Image.

    Further inputs of Generate may be links or values.
    """
    models = {"model": ["model", 0], "clip": ["model", 1], "vae": ["model", 2]}
    return {
        "model": node("AstriaTestModel", family=family, seed=0),
        "generate": node("AstriaGenerate", text=text, seed=seed, **{**models, **inputs}),
        "save": node("SaveImage", images=["generate", 0], filename_prefix="generate"),
    }


def numbered(graph: dict[str, Any], numbers: dict[str, int]) -> dict[str, Any]:
    """Return the graph with these ids in place of its names: the editor opens no others."""
    renamed = {}
    for name, entry in graph.items():
        inputs = {
            key: [str(numbers[value[0]]), value[1]] if isinstance(value, list) else value
            for key, value in entry["inputs"].items()
        }
        renamed[str(numbers[name])] = {**entry, "inputs": inputs}
    return renamed


def pictures(host: LiveHost, graph: dict[str, Any], at: str = "save") -> numpy.ndarray:
    """Run the graph and return what its node `at` saved, [B,H,W,3] of 8 bits a channel."""
    return saved(host, host.client.run(graph), at)


def saved(host: LiveHost, entry: dict[str, Any], at: str = "save") -> numpy.ndarray:
    found = [
        numpy.asarray(Image.open(io.BytesIO(host.client.view(image))).convert("RGB"))
        for image in images_of(entry, at)
    ]
    return numpy.stack(found)


def upload_picture(host: LiveHost, width: int, height: int, name: str) -> numpy.ndarray:
    """Put a picture with a gradient and noise into the input folder; return its pixels."""
    across, down = numpy.meshgrid(numpy.linspace(0, 200, width), numpy.linspace(0, 150, height))
    noise = numpy.random.default_rng(width * height).integers(0, 50, (height, width))
    levels = (
        numpy.stack([across + noise, down + noise, (across + down) / 2 + noise], axis=-1)
        .clip(0, 255)
        .astype(numpy.uint8)
    )
    buffer = io.BytesIO()
    Image.fromarray(levels).save(buffer, "PNG")
    host.client.upload_image(buffer.getvalue(), name)
    return levels


def text_of(entry: dict[str, Any], at: str) -> str:
    return "\n".join(entry["outputs"][at]["text"])


def notes_of(entry: dict[str, Any], at: str) -> str:
    """Return what a node adds to the report of the node that expanded into it."""
    return "\n".join(entry["outputs"][at]["astria_notes"])


def runs(host: LiveHost, name: str) -> int:
    """Count one more run under `name` and return how many there were."""
    graph = {
        "image": node("EmptyImage", width=8, height=8, batch_size=1, color=0),
        "count": node("AstriaTestCount", image=["image", 0], name=name),
    }
    graph["image"]["inputs"]["color"] = next(_fresh)  # so that the cache does not answer
    return int(text_of(host.client.run(graph), "count"))
