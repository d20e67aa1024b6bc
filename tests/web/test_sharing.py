"""What people hand to each other.

Compiled workflows and finished pictures open in the editor and mean what they meant.
"""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import pytest
from comfyui_astria.devtools.client import images_of
from comfyui_astria.devtools.testmodels import with_test_models
from comfyui_astria.tests.host.fixtures import LiveHost
from comfyui_astria.tests.host.graphs import generate_graph, node
from comfyui_astria.tests.prompt.seed_prompts import FIELDS_TEXT, FILM_NOIR
from comfyui_astria.tests.web.browser import Editor, eventually
from comfyui_astria.tests.web.sidebar_support import DROP
from comfyui_astria.tests.web.test_workflows import by_name, without_titles
from PIL import Image
from playwright.sync_api import expect

CANVAS, PROMPT_BOX = "#graph-canvas", ".astria-prompt .cm-content"
BINDINGS = """\
[base 1504944]
family = flux
diffusion_model = flux1-dev.safetensors
clip_l = clip_l.safetensors
t5xxl = t5xxl_fp16.safetensors
vae = ae.safetensors
[base 690204]
family = sd15
checkpoint = v1-5-pruned-emaonly-fp16.safetensors
[tunes]
1533312 = my_person.safetensors
1558021 = second_person.safetensors
"""
OUTPAINT = f"{FIELDS_TEXT}\nw=1024\nh=1024"
SMALL = (
    "a red|blue (lighthouse:1.2), a\\(b\\) é 🌊 {not|chosen} // no"
    " remark\nw=64\nh=64\nsteps=1\nnum_images=1"
)


def compiled(host: LiveHost, text: str, form: str, base: str = "1504944") -> dict[str, Any]:
    """Return the workflow file that AstriaCompile writes for a prompt."""
    graph = {
        "models": node("AstriaModels", bindings=BINDINGS),
        "compile": node(
            "AstriaCompile",
            text=text,
            seed=43,
            form=form,
            base=base,
            image="",
            mask="",
            filename_prefix="workflows/shared",
            models=["models", 0],
        ),
    }
    before = set(host.base.glob("output/workflows/*.json"))
    host.client.run(graph)
    [path] = set(host.base.glob("output/workflows/*.json")) - before
    return json.loads(path.read_text(encoding="utf-8"))


def picture_of(host: LiveHost, editor: Editor) -> tuple[bytes, dict[str, Any]]:
    """Press Run, and return the PNG that was saved with the graph that the host was given."""
    script = """() => new Promise(done => {
        const started = event => done(event.detail.prompt_id);
        app.api.addEventListener('execution_start', started, { once: true });
        app.queuePrompt(0);
    })"""
    entry = host.client.wait(editor.page.evaluate(script))
    [image] = images_of(entry)[:1]
    return host.client.view(image), entry["prompt"][2]


def drop(editor: Editor, png: bytes, queued: dict[str, Any], place: str = CANVAS) -> None:
    """Drop the file of a picture, and wait until the editor has opened the graph in it."""
    editor.page.evaluate(
        DROP,
        [
            place,
            [
                {
                    "name": "picture.png",
                    "mimeType": "image/png",
                    "data": base64.b64encode(png).decode(),
                }
            ],
        ],
    )
    eventually(editor.prompt, without_titles(queued))


@pytest.mark.parametrize("text", [FILM_NOIR, OUTPAINT], ids=["people", "outpaint"])
def test_a_compiled_workflow_opens_and_means_the_api_form(
    editor: Editor, host: LiveHost, text: str
) -> None:
    workflow, api = compiled(host, text, "ui"), compiled(host, text, "api")
    editor.load(workflow)
    assert (editor.node_errors(), editor.popups(), editor.complaints) == ([], [], [])
    assert by_name(editor.prompt(), workflow) == without_titles(api)
    editor.clear()
    editor.load_api(api)
    assert (editor.node_errors(), editor.popups()) == ([], [])
    assert editor.prompt() == without_titles(api)


@pytest.mark.parametrize("place", [CANVAS, PROMPT_BOX], ids=["canvas", "prompt box"])
def test_a_picture_of_generate_brings_its_workflow_back(
    editor: Editor, host: LiveHost, place: str
) -> None:
    editor.load_api(generate_graph(SMALL))
    png, queued = picture_of(host, editor)
    assert Image.open(io.BytesIO(png)).size == (64, 64)
    editor.clear()
    editor.add("AstriaPrompt")
    expect(editor.page.locator(PROMPT_BOX)).to_be_visible()
    drop(editor, png, queued, place)
    assert (editor.node_errors(), editor.popups()) == ([], [])
    [generate] = [
        entry for entry in editor.prompt().values() if entry["class_type"] == "AstriaGenerate"
    ]
    assert generate["inputs"]["text"] == SMALL


@pytest.mark.parametrize(
    "words", ["a lighthouse", "a {red|green} house // {blue}"], ids=["plain", "braces"]
)
def test_a_picture_of_a_compiled_workflow_brings_it_back(
    editor: Editor, host: LiveHost, words: str
) -> None:
    text = f"{words}\nw=64\nh=64\nsteps=1\nnum_images=1"
    workflow = compiled(host, text, "ui", "690204")
    editor.load(workflow)
    tiny = with_test_models(editor.prompt(), "sd15")
    editor.clear()
    editor.load_api(tiny)
    assert editor.prompt() == tiny
    png, queued = picture_of(host, editor)
    editor.clear()
    drop(editor, png, queued)
    assert editor.node_errors() == []
    assert words in json.dumps(editor.prompt())
