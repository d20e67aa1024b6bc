"""The example workflows are what the compiler makes of their prompts, and run on the live host."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from comfyui_astria.devtools import workflows
from comfyui_astria.devtools.client import images_of
from comfyui_astria.devtools.examples import IMAGE, PUBLISHED
from comfyui_astria.devtools.starters import STARTERS
from comfyui_astria.nodes.graph.folding import MAX_BOXES
from comfyui_astria.nodes.graph.model_files import FILE_FOLDERS
from comfyui_astria.nodes.pipeline.plan import Plan
from comfyui_astria.nodes.tunes.store import TuneStore
from comfyui_astria.tests.graph.unfolding import every_node
from comfyui_astria.tests.host.fixtures import LiveHost
from comfyui_astria.tests.workflows.furnish import furnish
from comfyui_astria.tests.workflows.small import PHOTO_PX, SHRINK, tiny_example
from PIL import Image

THUMBNAIL_BYTES = 60_000


@pytest.fixture(params=workflows.names())
def example(request: pytest.FixtureRequest) -> str:
    """The name of each example workflow."""
    return request.param


@pytest.fixture(params=workflows.prompt_names())
def planned_example(request: pytest.FixtureRequest) -> str:
    """The name of each example workflow that a prompt is compiled into."""
    return request.param


def test_an_example_is_what_its_prompt_compiles_to(example: str) -> None:
    written = {path: path.read_text(encoding="utf-8") for path in workflows.forms(example)}
    assert written == {
        path: workflows.text_of(workflow) for path, workflow in workflows.forms(example).items()
    }, "run: python dev.py workflows"


def note_of(name: str) -> str:
    workflow = json.loads(workflows.ui_file(name).read_text(encoding="utf-8"))
    [note] = [
        node["widgets_values"][0] for node in workflow["nodes"] if node["type"] == "MarkdownNote"
    ]
    return note


def test_the_note_names_the_prompt_and_every_file(planned_example: str) -> None:
    workflow = json.loads(workflows.ui_file(planned_example).read_text(encoding="utf-8"))
    note = note_of(planned_example)
    assert workflows.request_of(planned_example).to_text().strip() in note
    for file in workflows.compiled(planned_example).files:
        assert f"{file.folder}/{file.name}" in note
        assert (f"[models/{file.folder}/{file.name}]({file.address})" in note) == (
            file.address is not None
        )
    kinds = {node["type"] for node in every_node(workflow)}
    assert ("your own picture" in note) == bool({"LoadImage", "LoadImageMask"} & kinds)
    assert ("photos of the person" in note) == ("AstriaIdentity" in kinds)


def test_an_example_is_seen_at_once(example: str) -> None:
    workflow = json.loads(workflows.ui_file(example).read_text(encoding="utf-8"))
    assert len(workflow["nodes"]) <= MAX_BOXES


def test_a_starter_says_what_to_do_and_names_every_file() -> None:
    assert {name for name in workflows.names() if name not in workflows.prompt_names()} == set(
        STARTERS
    )
    for name in STARTERS:
        note = note_of(name)
        graph = json.loads((workflows.API_FORMS / f"{name}.api.json").read_text(encoding="utf-8"))
        named = [
            value
            for entry in graph.values()
            for key, value in entry["inputs"].items()
            if (entry["class_type"], key) in FILE_FOLDERS
        ]
        assert [file for file in named if file != "none" and f"/{file}" not in note] == []
        assert "Press Run" in note


# What nobody publishes under this name: the reader's own, or a file that is renamed when it is
# downloaded.
WITHOUT_ADDRESS = {
    "my_person.safetensors",
    "second_person.safetensors",
    "my_person_checkpoint.safetensors",
    "flux_controlnet_union_pro.safetensors",
    "CLIP-ViT-H-14-laion2B-s32B-b79K.safetensors",
    "inswapper_128.onnx",
    "buffalo_l",
    "antelopev2",
    IMAGE,
}


def test_a_loader_offers_its_published_file_to_who_lacks_it(example: str) -> None:
    """The editor's list of missing models is made from `properties.models`."""
    workflow = json.loads(workflows.ui_file(example).read_text(encoding="utf-8"))
    for node in every_node(workflow):
        folders = {folder for (kind, _), folder in FILE_FOLDERS.items() if kind == node["type"]}
        beside = {"embeddings"} if node["type"] == "CLIPTextEncode" else {"pulid"}
        offered = {model["name"]: model for model in node["properties"].get("models", [])}
        named = (
            {value for value in node["widgets_values"] if isinstance(value, str) and "." in value}
            if folders
            else set()
        )
        assert named - set(offered) <= WITHOUT_ADDRESS
        for model in offered.values():
            assert model["directory"] in folders | beside
            assert model["url"].startswith(("https://huggingface.co/", "https://github.com/"))
            assert model["url"].rpartition("/")[2] == model["name"]


def test_an_example_has_a_small_thumbnail(example: str) -> None:
    path = workflows.ui_file(example).with_suffix(".jpg")
    assert path.stat().st_size <= THUMBNAIL_BYTES
    with Image.open(path) as picture:
        assert (picture.format, picture.size) == ("JPEG", (512, 512))


def sizes_of(host: LiveHost, entry: dict[str, Any]) -> list[tuple[int, int]]:
    return [
        Image.open(io.BytesIO(host.client.view(image))).size
        for image in images_of(entry, "output.save")
    ]


@pytest.fixture(scope="module")
def furnished(host: LiveHost) -> LiveHost:
    """The host with all that the examples ask for."""
    furnish(host)
    return host


def test_an_example_runs(furnished: LiveHost, planned_example: str) -> None:
    planned, told = workflows.compiled(planned_example).plan, len(furnished.log_text())
    entry = furnished.client.run(tiny_example(planned_example))
    assert sizes_of(furnished, entry) == [_size(planned)] * planned.settings.num_images
    # So the host says that it passes over an embedding, and goes on.
    assert [line for line in furnished.log_text()[told:].splitlines() if "embedding" in line] == []


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("start_face_inpainting", [(896, 1152)]),
        ("start_faceid", [(128, 192)]),
        ("start_flux", [(208, 304)]),
        ("start_masked_portrait", [(PHOTO_PX, PHOTO_PX)]),
        ("start_multi_person", [(256, 144)]),
        ("start_outpaint", [(336, 256)]),
        ("start_stable_diffusion", [(128, 192)] * 2),
        *((f"start_{one.name}", [(256, 256)]) for one in PUBLISHED),
    ],
)
def test_a_pasted_prompt_becomes_a_picture(
    furnished: LiveHost, name: str, sizes: list[tuple[int, int]]
) -> None:
    assert sizes_of(furnished, furnished.client.run(tiny_example(name))) == sizes


def test_photos_become_a_tune(furnished: LiveHost) -> None:
    graph = json.loads(
        (workflows.API_FORMS / "start_tune_from_photos.api.json").read_text(encoding="utf-8")
    )
    graph["tune.create"]["inputs"]["tune_id"] = 790001  # the examples' own tunes are there already
    entry = furnished.client.run(graph)
    assert "Anna" in str(entry["outputs"]["tune.report"])
    assert TuneStore(furnished.state).get(790001).name == "woman"


def _size(planned: Plan) -> tuple[int, int]:
    """Return the size that the plan's last stage gives to a shrunk example."""
    size = planned.stages[-1].size
    if "x" in size and size[0].isdigit() and size[-1].isdigit():
        width, height = map(int, size.split("x"))
        return width // SHRINK, height // SHRINK
    factor = int(size[0]) if size[0].isdigit() else 1
    return PHOTO_PX * factor, PHOTO_PX * factor
