"""The example workflows on tiny models: a quarter of the sides, two steps, an eighth of the
photo.
"""

from __future__ import annotations

import copy
import json
import re
from typing import Any

from ...devtools import workflows
from ...devtools.examples import FLUX, PUBLISHED, SD15, SDXL, base_of
from ...devtools.testmodels import with_test_models

SHRINK = 4  # random models on a CPU need no more
STEPS = 2
LEAST_TILE = 256
PHOTO_PX = 64
FAMILIES = {
    FLUX: "flux",
    SD15: "sd15",
    SDXL: "sdxl",
    **{one.name: one.name for one in PUBLISHED},
}
# Starters, whose prompt is pasted into one node.
PASTED = {
    "start_face_inpainting": "flux",
    "start_faceid": "sd15",
    "start_flux": "flux",
    "start_masked_portrait": "sd15",
    "start_multi_person": "flux",
    "start_outpaint": "flux",
    "start_stable_diffusion": "sd15",
    **{f"start_{one.name}": one.name for one in PUBLISHED},
}
OTHER_MODELS = {"flux1-fill-dev.safetensors": "flux_fill"}


def family_of(name: str) -> str:
    """Return the family of the tiny models that an example runs on."""
    return PASTED.get(name) or FAMILIES[base_of(name)]


def tiny_example(name: str) -> dict[str, Any]:
    """Return an example's graph on tiny models of its family."""
    family = family_of(name)
    graph = of_family(
        shrunk(json.loads((workflows.API_FORMS / f"{name}.api.json").read_text(encoding="utf-8"))),
        family,
    )
    tiny = with_test_models(small_photo(graph), family, by_file=OTHER_MODELS)
    for node in tiny:
        if node.partition(".")[2].startswith("person_checkpoint"):
            tiny[node]["inputs"]["seed"] = 1  # a model of its own
    return tiny


def shrunk(graph: dict[str, Any]) -> dict[str, Any]:
    """Return a graph that paints a quarter of the sides in two steps, from a photo of an eighth."""
    small = copy.deepcopy(graph)
    for entry in small.values():
        inputs = entry["inputs"]
        for key in ("width", "height", "face_size"):
            if isinstance(inputs.get(key), int):
                inputs[key] //= SHRINK
        if "steps" in inputs:
            inputs["steps"] = STEPS
        if "tile_size" in inputs:  # no tile is smaller
            inputs |= {"tile_size": LEAST_TILE, "overlap": LEAST_TILE // 8}
        if entry["class_type"] == "AstriaGenerate":
            size = re.sub(
                r"(?m)(^[wh]=|--outpaint_(?:width|height) )(\d+)",
                lambda found: f"{found[1]}{int(found[2]) // SHRINK}",
                inputs["text"],
            )
            inputs["text"] = f"{size}steps={STEPS}\n"
    return small


def of_family(graph: dict[str, Any], family: str) -> dict[str, Any]:
    """Return a graph whose LoRA files are those of the family's tiny models."""
    for entry in graph.values():
        if "lora_name" in entry["inputs"]:
            entry["inputs"]["lora_name"] = f"{family}_{entry['inputs']['lora_name']}"
    return graph


def small_photo(graph: dict[str, Any]) -> dict[str, Any]:
    """Return a graph that works on the photo at an eighth of its size."""
    for name in [name for name, entry in graph.items() if entry["class_type"] == "LoadImage"]:
        whole = f"{name}_whole"
        graph[whole] = graph[name]
        scale = {
            "upscale_method": "area",
            "width": PHOTO_PX,
            "height": PHOTO_PX,
            "crop": "disabled",
        }
        graph[name] = {"class_type": "ImageScale", "inputs": {"image": [whole, 0], **scale}}
    return graph
