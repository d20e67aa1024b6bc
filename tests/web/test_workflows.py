"""The example workflows in the real editor: they open clean and mean what their API form says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from comfyui_astria.devtools.titles import TITLES
from comfyui_astria.devtools.workflows import names, ui_file
from comfyui_astria.tests.graph.unfolding import every_node
from comfyui_astria.tests.host.fixtures import LiveHost
from comfyui_astria.tests.web.browser import Editor, however_drawn
from comfyui_astria.tests.web.placement import DRAWING, assert_its_picture_is_seen
from playwright.sync_api import expect


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def without_titles(graph: dict[str, Any]) -> dict[str, Any]:
    return {
        node: {key: value for key, value in entry.items() if key != "_meta"}
        for node, entry in graph.items()
    }


# A choice with inputs of its own makes the editor measure the node anew when it is loaded.
SHRUNK_BY_THE_EDITOR = {"DA3Inference"}


def by_name(graph: dict[str, Any], workflow: dict[str, Any]) -> dict[str, Any]:
    """Return a queued graph with the plan's names in place of the editor's numbers, which in a
    subgraph begin with that of the node that stands for it.
    """
    names = {
        str(node["id"]): node["properties"]["astria_name"]
        for node in every_node(workflow)
        if "astria_name" in node["properties"]
    }

    def called(number: str) -> str:
        return names[number.rpartition(":")[2]]

    def renamed(value: Any) -> Any:
        return [called(value[0]), value[1]] if isinstance(value, list) else value

    return {
        called(node): {
            **entry,
            "inputs": {key: renamed(value) for key, value in entry["inputs"].items()},
        }
        for node, entry in graph.items()
    }


def test_the_template_browser_lists_the_examples_with_their_pictures(
    host: LiveHost, ui_file: Path
) -> None:
    listed = host.client.get_json("/api/workflow_templates")["comfyui_astria"]
    assert sorted(listed) == sorted(TITLES[name].file for name in names())
    address = f"/api/workflow_templates/comfyui_astria/{quote(ui_file.stem)}"
    assert host.client.get_json(f"{address}.json") == read(ui_file)
    assert host.client.get(f"{address}.jpg") == ui_file.with_suffix(".jpg").read_bytes()


def test_an_example_opens_without_a_complaint_and_queues_its_api_form(
    editor: Editor, ui_file: Path, api_file: Path
) -> None:
    workflow = read(ui_file)
    editor.load(workflow)
    assert editor.node_errors() == []
    assert editor.popups() == []
    assert editor.complaints == []
    assert by_name(editor.prompt(), workflow) == without_titles(read(api_file))
    assert_places_and_sizes_are_kept(editor, workflow)
    for number in [one["id"] for one in workflow["nodes"] if one["type"] in DRAWING]:
        assert_its_picture_is_seen(editor, number)


def assert_places_and_sizes_are_kept(editor: Editor, workflow: dict[str, Any]) -> None:
    """A node that is too small for its content grows when it is drawn, over the one below."""
    editor.frames(10)
    drawn = {
        node["id"]: (node["pos"], [round(side) for side in node["size"]])
        for node in editor.saved()["nodes"]
    }
    for node in workflow["nodes"]:
        place, (width, height) = drawn[node["id"]]
        if node["type"] in SHRUNK_BY_THE_EDITOR:
            assert (place, width, height <= node["size"][1]) == (node["pos"], node["size"][0], True)
        else:
            assert (place, [width, height]) == (node["pos"], node["size"]), node["type"]
    too_small = (
        "() => app.graph._nodes.filter(n => n.computeSize().some((side, axis) => side >"
        " n.size[axis])).map(n => n.type)"
    )
    assert editor.page.evaluate(too_small) == []


def test_the_editor_complains_about_a_broken_example(editor: Editor) -> None:
    """The checks above would notice: one loader's class and the place of another are wrong."""
    workflow = read(ui_file("style"))
    workflow["nodes"][0]["type"] = "NoSuchLoader"
    workflow["nodes"][1]["pos"] = "left"
    editor.load(workflow)
    assert editor.node_errors() == ["1 NoSuchLoader"]
    assert any("Invalid workflow" in text for text in [*editor.complaints, *editor.popups()])


@pytest.mark.parametrize("published", [True, False])
def test_the_editor_offers_a_missing_file_that_is_published(
    editor: Editor, published: bool
) -> None:
    workflow = read(ui_file("start_flux"))
    loader = next(node for node in workflow["nodes"] if node["type"] == "UNETLoader")
    loader["widgets_values"][0] = loader["properties"]["models"][0]["name"] = (
        "flux1-missing.safetensors"
    )
    if not published:
        del loader["properties"]["models"]
    editor.load(workflow)
    editor.page.get_by_test_id("error-overlay-see-errors").click()
    row = editor.page.get_by_test_id("missing-model-importable-rows")
    expect(row).to_contain_text("flux1-missing.safetensors")
    expect(editor.page.get_by_test_id("missing-model-download")).to_have_count(int(published))
    editor.page.get_by_label("Toggle properties panel").click()
    row.wait_for(state="detached")


@however_drawn  # both ways open each example above
def test_an_api_form_opens_in_the_editor_and_stays_the_same_when_saved(
    editor: Editor, api_file: Path
) -> None:
    graph = read(api_file)
    editor.load_api(graph)
    assert editor.node_errors() == []
    queued = editor.prompt()
    assert queued == without_titles(graph)
    saved = editor.saved()
    editor.clear()
    editor.load(saved)
    assert editor.prompt() == queued
