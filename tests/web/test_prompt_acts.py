"""The buttons below the prompt of Astria Generate: the mask alone, and the request as nodes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from comfyui_astria.tests.host.fixtures import LiveHost
from comfyui_astria.tests.host.graphs import generate_graph, node, numbered
from comfyui_astria.tests.web.browser import Editor, eventually
from comfyui_astria.tests.web.placement import look_at
from PIL import Image
from playwright.sync_api import Locator, expect

WIDTH, HEIGHT = 160, 80
MASKED = f"a cat --mask_prompt windows\nw={WIDTH}\nh={HEIGHT}\nsteps=1"
IMAGES_OF = "id => app.nodeOutputs?.[id]?.images ?? null"


def button(editor: Editor, name: str) -> Locator:
    return editor.page.locator(".astria-prompt-acts").get_by_role("button", name=name)


def opened(editor: Editor, host: LiveHost, text: str, number: int) -> int:
    """Open Load Image and a segmenter -> Astria Generate; return the id of the latter."""
    # A picture of its own for each way of drawing nodes: what is cached is told once only.
    name = f"grey_{number}.png"
    Image.new("RGB", (WIDTH, HEIGHT), (number,) * 3).save(host.base / "input" / name)
    graph = generate_graph(text, image=["photo", 0], models=["bindings", 0])
    graph["photo"] = node("LoadImage", image=name)
    graph["segmenter"] = node("AstriaTestSegmenter")
    graph["bindings"] = node("AstriaModels", bindings="", segmenter=["segmenter", 0])
    numbers = {key: place for place, key in enumerate(graph, start=number)}
    editor.load_api(numbered(graph, numbers))
    look_at(editor, numbers["generate"])
    return numbers["generate"]


@pytest.fixture
def number(editor: Editor) -> int:
    return 150 if editor.is_vue else 130


def test_the_mask_is_shown_without_a_run_of_the_model(
    editor: Editor, host: LiveHost, number: int
) -> None:
    generate = opened(editor, host, MASKED, number)
    button(editor, "Show the mask").click()
    eventually(lambda: bool(editor.page.evaluate(IMAGES_OF, generate)))
    [made] = editor.page.evaluate(IMAGES_OF, generate)
    seen = np.asarray(host_picture(host, made).convert("RGB")).astype(int)
    assert seen.shape == (HEIGHT, WIDTH, 3)
    # As tests/testpack/segmenter.py draws windows.
    wanted = np.zeros((HEIGHT, WIDTH), bool)
    wanted[8:32, 16:48] = wanted[8:32, 112:144] = True
    assert np.array_equal(seen[..., 0] > seen[..., 1] + 20, wanted)
    [entry] = list(editor.client.get_json("/history?max_items=1").values())
    ran = {one["class_type"] for one in entry["prompt"][2].values()}
    assert not ran & {"AstriaTestModel", "AstriaGenerate", "AstriaSampler", "SaveImage"}
    assert editor.complaints == []


def host_picture(host: LiveHost, made: dict[str, str]) -> Any:
    return Image.open(host.base / made["type"] / made["filename"])


def test_why_there_is_no_mask_is_told(editor: Editor, host: LiveHost, number: int) -> None:
    text = "a street BREAK BREAK a woman BREAK a man\ndenoising_strength=0.5"
    generate = opened(editor, host, text.replace("BREAK", "break"), number)
    expect(button(editor, "Open as nodes")).to_be_visible()
    expect(button(editor, "Show the mask")).to_be_hidden()
    script = (
        "([id, text]) => { app.graph.getNodeById(id).widgets.find(w => w.name === 'text').value ="
        " text; }"
    )
    editor.page.evaluate(script, [generate, "a cat --mask_prompt nosuchthing --outpaint nowhere"])
    button(editor, "Show the mask").click()
    expect(editor.page.locator(".p-toast-message")).to_contain_text("nowhere")
    editor.complaints.clear()  # the answer's status


def test_a_request_opens_as_nodes_in_a_tab_of_its_own(
    editor: Editor, host: LiveHost, number: int
) -> None:
    generate = opened(editor, host, MASKED, number)
    # As a run tells it: of a model without a file nothing else does.
    told = "id => app.graph.getNodeById(id).onExecuted({ astria_family: ['sd15'] })"
    editor.page.evaluate(told, generate)
    editor.page.evaluate("() => app.refreshComboInNodes()")  # else the picture is marked unknown
    button(editor, "Open as nodes").click()
    types = "() => app.graph._nodes.map(node => node.type)"
    eventually(lambda: "AstriaPromptMask" in editor.page.evaluate(types))
    there = editor.page.evaluate(types)
    assert "AstriaGenerate" not in there and "AstriaModels" not in there
    assert {"AstriaTestModel", "LoadImage", "AstriaTestSegmenter", "SaveImage"} <= set(there)
    assert editor.node_errors() == []
    tab = "() => app.extensionManager.workflow.activeWorkflow.filename"
    eventually(lambda: "as nodes" in editor.page.evaluate(tab))
    made = host.client.run(editor.prompt())
    assert any(one.get("images") for one in made["outputs"].values())
    editor.page.evaluate("() => app.extensionManager.command.execute('Comfy.NewBlankWorkflow')")
