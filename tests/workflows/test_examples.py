"""The example workflows are what the compiler makes of their prompts, and run on the live host."""

from __future__ import annotations

import copy
import io
import json
from typing import Any

import pytest
from comfyui_astria.devtools import workflows
from comfyui_astria.devtools.client import images_of
from comfyui_astria.devtools.testmodels import with_test_models
from comfyui_astria.tests.host.fixtures import LiveHost
from comfyui_astria.tests.host.tiny_lora import write_tiny_lora
from PIL import Image

SHRINK = 4  # random models on a CPU need no more
STEPS = 2
THUMBNAIL_BYTES = 60_000


@pytest.fixture(params=workflows.names())
def example(request: pytest.FixtureRequest) -> str:
    """The name of each example workflow."""
    return request.param


def test_an_example_of_each_documented_feature_is_there_and_nothing_else() -> None:
    expected = ["multi_person", "outpaint_only", "outpaint_second_person", "outpaint_text_to_image"]
    assert workflows.names() == expected
    assert sorted(path.name for path in workflows.WORKFLOWS.glob("*.*")) == sorted(f"{name}.{end}" for name in expected for end in ("jpg", "json"))
    assert sorted(path.name for path in workflows.API_FORMS.glob("*.json")) == [f"{name}.api.json" for name in expected]


def test_an_example_is_what_its_prompt_compiles_to(example: str) -> None:
    written = {path: path.read_text(encoding="utf-8") for path in workflows.forms(example)}
    assert written == {path: workflows.text_of(workflow) for path, workflow in workflows.forms(example).items()}, "run: python dev.py workflows"


def test_the_note_names_the_prompt_and_every_file(example: str) -> None:
    workflow = json.loads((workflows.WORKFLOWS / f"{example}.json").read_text(encoding="utf-8"))
    [note] = [node["widgets_values"][0] for node in workflow["nodes"] if node["type"] == "MarkdownNote"]
    assert workflows.request_of(example).to_text().strip() in note
    for folder, name in workflows.compiled(example).files:
        assert f"{folder}/{name}" in note
    assert ("your own picture" in note) == (example == "outpaint_only")


def test_an_example_has_a_small_thumbnail(example: str) -> None:
    path = workflows.WORKFLOWS / f"{example}.jpg"
    assert path.stat().st_size <= THUMBNAIL_BYTES
    with Image.open(path) as picture:
        assert (picture.format, picture.size) == ("JPEG", (512, 512))


def shrunk(graph: dict[str, Any]) -> dict[str, Any]:
    """Return a graph that paints a quarter of the sides in two steps."""
    small = copy.deepcopy(graph)
    for entry in small.values():
        inputs = entry["inputs"]
        for key in ("width", "height"):
            if key in inputs:
                inputs[key] //= SHRINK
        if "steps" in inputs:
            inputs["steps"] = STEPS
    return small


def sizes_of(host: LiveHost, entry: dict[str, Any]) -> list[tuple[int, int]]:
    return [Image.open(io.BytesIO(host.client.view(image))).size for image in images_of(entry, "output.save")]


def test_an_example_runs(host: LiveHost, example: str) -> None:
    for name in workflows.FILES["loras"]:
        write_tiny_lora(host.loras, "flux", name)
    Image.linear_gradient("L").convert("RGB").save(host.base / "input" / workflows.IMAGE)
    graph = shrunk(json.loads((workflows.API_FORMS / f"{example}.api.json").read_text(encoding="utf-8")))
    entry = host.client.run(with_test_models(graph, "flux", by_file={"flux1-fill-dev.safetensors": "flux_fill"}))
    request = workflows.request_of(example)
    factor = 4 if request.super_resolution else 1
    width, height = (request.outpaint_width, request.outpaint_height) if request.outpaint else (request.w, request.h)
    assert sizes_of(host, entry) == [(width // SHRINK * factor, height // SHRINK * factor)] * request.num_images
