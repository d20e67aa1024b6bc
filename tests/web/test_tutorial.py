"""The steps of docs/tutorial.md in the real editor, and its pictures.

With ASTRIA_HELP_PICTURES set the pictures are made anew.
"""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from comfyui_astria.devtools.workflows import ui_file
from comfyui_astria.nodes.prompt import PromptRequest
from comfyui_astria.tests.host.fixtures import LiveHost
from comfyui_astria.tests.host.graphs import node, text_of
from comfyui_astria.tests.prompt.seed_prompts import FILM_NOIR
from comfyui_astria.tests.web.browser import Editor
from PIL import Image
from playwright.sync_api import Browser, expect

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "tutorial.md").read_text(encoding="utf-8")
BINDINGS = """\
[base 1504944]
family = flux
diffusion_model = flux1-dev.safetensors
clip_l = clip_l.safetensors
t5xxl = t5xxl_fp16.safetensors
vae = ae.safetensors
[tunes]
1533312 = my_person.safetensors
1558021 = second_person.safetensors
"""
SCREEN = {"width": 1600, "height": 1000}
WIDTH, QUALITY, MOST_BYTES = 1200, 82, 150_000


@pytest.fixture(scope="module")
def opened(host: LiveHost, example_files: None, browser: Browser) -> Iterator[Editor]:
    editor = Editor(browser, host.client)
    editor.open(vue=True)
    editor.page.set_viewport_size(SCREEN)
    yield editor
    editor.close()


@pytest.fixture
def editor(opened: Editor) -> Editor:
    opened.clear()
    return opened


def take(editor: Editor, name: str) -> None:
    """Photograph the screen for the page, and check that the page shows it."""
    if os.environ.get("ASTRIA_HELP_PICTURES"):
        editor.page.wait_for_timeout(300)
    with Image.open(io.BytesIO(editor.page.screenshot())) as shot:
        picture = shot.convert("RGB")
    picture.thumbnail((WIDTH, WIDTH), Image.Resampling.LANCZOS)
    written = io.BytesIO()
    picture.save(written, "JPEG", quality=QUALITY, optimize=True)
    if os.environ.get("ASTRIA_HELP_PICTURES"):
        (DOCS / "images" / f"{name}.jpg").write_bytes(written.getvalue())
    assert len(written.getvalue()) < MOST_BYTES
    assert f"](images/{name}.jpg)" in PAGE


def show(editor: Editor, scale: float, x: float, y: float) -> None:
    editor.page.evaluate(
        "([scale, x, y]) => { app.canvas.ds.scale = scale; app.canvas.ds.offset = [x, y]; }",
        [scale, x, y],
    )
    editor.frames(6)


def test_the_template_takes_the_pasted_prompt(editor: Editor) -> None:
    editor.load(json.loads(ui_file("start_flux").read_text(encoding="utf-8")))
    script = (
        "text => { app.graph._nodes.find(n => n.type === 'AstriaGenerate').widgets.find(w => w.name"
        " === 'text').value = text; }"
    )
    editor.page.evaluate(script, FILM_NOIR)
    expect(editor.page.locator(".astria-prompt .astria-person-1").first).to_be_visible()
    show(editor, 0.7, 620, 120)
    take(editor, "tutorial_paste")
    editor.page.evaluate(script, FILM_NOIR.replace("h=576", "h=abc"))
    told = editor.page.locator(".astria-prompt [role=status]")
    expect(told).to_contain_text("`abc` is not a whole number")
    assert "`abc` is not a whole number" in PAGE
    assert (editor.node_errors(), editor.popups()) == ([], [])


def explained(host: LiveHost, bindings: str) -> str:
    graph = {
        "models": node("AstriaModels", bindings=bindings),
        "explain": node(
            "AstriaExplain", text=FILM_NOIR, family="flux", base="", models=["models", 0]
        ),
    }
    return text_of(host.client.run(graph), "explain")


def test_explain_tells_what_is_missing_and_then_what_was_found(
    host: LiveHost, example_files: None
) -> None:
    before, after = explained(host, ""), explained(host, BINDINGS)
    for told in (
        "  1. base: txt2img -> 1024x576 (no input image)",
        "Sampler calls: 1 for 4 image(s)",
    ):
        assert told in before
        assert told in PAGE
    missing = "  MISSING  LoRA '1533312' (not bound, no such tune) was not found. Searched loras "
    assert missing in before
    assert missing in PAGE
    assert "found    loras/my_person.safetensors" in after
    assert "found    loras/my_person.safetensors" in PAGE
    assert "MISSING" not in after


def test_the_page_shows_the_bindings_and_the_documented_prompt() -> None:
    assert BINDINGS in PAGE
    [shown] = re.findall(r"^```prompt\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    asked, documented = PromptRequest.require(shown), PromptRequest.require(FILM_NOIR)
    assert (asked.prompt, asked.w, asked.h, asked.num_images) == (
        documented.prompt,
        documented.w,
        documented.h,
        documented.num_images,
    )


def test_the_compiled_workflow_opens(editor: Editor, host: LiveHost) -> None:
    graph = {
        "models": node("AstriaModels", bindings=BINDINGS),
        "compile": node(
            "AstriaCompile",
            **{
                "text": FILM_NOIR,
                "seed": 43,
                "form": "ui",
                "base": "1504944",
                "image": "",
                "mask": "",
            },
            filename_prefix="workflows/noir",
            models=["models", 0],
        ),
    }
    host.client.run(graph)
    [path] = host.base.glob("output/workflows/noir*.json")
    editor.load(json.loads(path.read_text(encoding="utf-8")))
    assert (editor.node_errors(), editor.popups()) == ([], [])
    editor.page.evaluate("() => app.extensionManager.toast.removeAll?.()")
    show(editor, 0.4, 640, 330)
    take(editor, "tutorial_compiled")
