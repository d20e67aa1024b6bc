"""The example workflows are what the compiler makes of their prompts, and run on the live host."""

from __future__ import annotations

import copy
import io
import json
from typing import Any

import pytest
from comfyui_astria.devtools import workflows
from comfyui_astria.devtools.client import images_of
from comfyui_astria.devtools.examples import FLUX, SD15, base_of
from comfyui_astria.devtools.testmodels import with_test_models
from comfyui_astria.nodes.pipeline.plan import Plan
from comfyui_astria.tests.host.fixtures import LiveHost
from comfyui_astria.tests.workflows.furnish import furnish
from PIL import Image

SHRINK = 4  # random models on a CPU need no more
STEPS = 2
PHOTO_PX = 64
FAMILIES = {FLUX: "flux", SD15: "sd15"}
THUMBNAIL_BYTES = 60_000


@pytest.fixture(params=workflows.names())
def example(request: pytest.FixtureRequest) -> str:
    """The name of each example workflow."""
    return request.param


# Each documented feature of the service, and what of its own it must have in its workflow.
FEATURES = {
    "color_grading": {"AstriaColorGrading"},
    "controlnet": {"Canny", "ControlNetApplyAdvanced"},
    "controlnet_depth": {"DA3Render", "ControlNetApplyAdvanced"},
    "face_inpainting": {"AstriaInpaintFaces", "AstriaSuperResolution"},
    "faceid": {"AstriaApplyFaceID"},
    "faceid_flux": {"AstriaApplyFaceID"},
    "faceid_flux_swap_correct": {"AstriaApplyFaceID", "AstriaSwapFaces", "AstriaRestoreFaces"},
    "faceid_flux_two_people": {"AstriaPersonFaceID", "AstriaRegionalPrompt"},
    "faceid_two_people": {"AstriaPersonFaceID", "AstriaRegionalPrompt", "AstriaInpaintFaces"},
    "film_grain": {"AstriaFilmGrain"},
    "hires_fix": {"AstriaSuperResolution"},
    "masked_portrait": {"AstriaPromptMask", "SDPoseDrawKeypoints", "ControlNetApplyAdvanced", "AstriaRestoreFaces"},
    "multi_person": {"AstriaRegionalPrompt", "AstriaPersonLora"},
    "multi_person_background": {"AstriaFindPeople", "AstriaRegionalPrompt", "AstriaMaskedComposite", "AstriaInpaintFaces", "AstriaSwapFaces"},
    "multi_person_pose": {"SDPoseDrawKeypoints", "ControlNetApplyAdvanced", "AstriaRegionalPrompt"},
    "only_upscale": {"AstriaSuperResolution"},
    "outpaint_only": {"AstriaOutpaintCanvas"},
    "outpaint_second_person": {"AstriaOutpaintCanvas"},
    "outpaint_text_to_image": {"AstriaOutpaintCanvas"},
    "product_background": {"AstriaPromptMask", "AstriaMaskedComposite"},
    "remove_background": {"AstriaRemoveBackground"},
    "room_redesign": {"AstriaPromptMask", "AstriaMaskedComposite", "Canny"},
    "style": {"CLIPTextEncode"},
    "tiled_upscale": {"AstriaTiledDiffusion"},
}


def test_an_example_of_each_documented_feature_is_there_and_nothing_else() -> None:
    expected = sorted(FEATURES)
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
    assert ("your own picture" in note) == (workflows.request_of(example).input_image is not None)
    assert ("photos of the person" in note) == ("AstriaIdentity" in {node["type"] for node in workflow["nodes"]})


def test_an_example_has_what_its_feature_is_made_of(example: str) -> None:
    graph = json.loads((workflows.API_FORMS / f"{example}.api.json").read_text(encoding="utf-8"))
    assert FEATURES[example] <= {entry["class_type"] for entry in graph.values()}


def test_an_example_has_a_small_thumbnail(example: str) -> None:
    path = workflows.WORKFLOWS / f"{example}.jpg"
    assert path.stat().st_size <= THUMBNAIL_BYTES
    with Image.open(path) as picture:
        assert (picture.format, picture.size) == ("JPEG", (512, 512))


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
        scale = {"upscale_method": "area", "width": PHOTO_PX, "height": PHOTO_PX, "crop": "disabled"}
        graph[name] = {"class_type": "ImageScale", "inputs": {"image": [whole, 0], **scale}}
    return graph


def sizes_of(host: LiveHost, entry: dict[str, Any]) -> list[tuple[int, int]]:
    return [Image.open(io.BytesIO(host.client.view(image))).size for image in images_of(entry, "output.save")]


@pytest.fixture(scope="module")
def furnished(host: LiveHost) -> LiveHost:
    """The host with all that the examples ask for."""
    furnish(host)
    return host


def test_an_example_runs(furnished: LiveHost, example: str) -> None:
    family = FAMILIES[base_of(example)]
    graph = of_family(shrunk(json.loads((workflows.API_FORMS / f"{example}.api.json").read_text(encoding="utf-8"))), family)
    entry = furnished.client.run(with_test_models(small_photo(graph), family, by_file={"flux1-fill-dev.safetensors": "flux_fill"}))
    planned = workflows.compiled(example).plan
    assert sizes_of(furnished, entry) == [_size(planned)] * planned.settings.num_images


def _size(planned: Plan) -> tuple[int, int]:
    """Return the size that the plan's last stage gives to a shrunk example."""
    size = planned.stages[-1].size
    if "x" in size and size[0].isdigit() and size[-1].isdigit():
        width, height = map(int, size.split("x"))
        return width // SHRINK, height // SHRINK
    factor = int(size[0]) if size[0].isdigit() else 1
    return PHOTO_PX * factor, PHOTO_PX * factor
