"""LoRAs by picture: in the list while typing, in the sidebar, and dropped from a file manager."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from comfyui_astria.nodes.tunes.store import TuneStore
from comfyui_astria.tests.host.fixtures import LiveHost
from comfyui_astria.tests.host.tiny_lora import write_tiny_lora
from comfyui_astria.tests.web.browser import Editor
from comfyui_astria.tests.web.prompt_box import PromptBox
from comfyui_astria.tests.web.sidebar_support import Sidebar
from PIL import Image
from playwright.sync_api import expect

DROP = """([names, clientX, clientY]) => {
    const transfer = new DataTransfer();
    for (const name of names) transfer.items.add(new File(['x'], name));
    const dropped = { dataTransfer: transfer, bubbles: true, cancelable: true, clientX, clientY };
    const place = document.querySelector('.astria-prompt .cm-content');
    place.dispatchEvent(new DragEvent('drop', dropped));
}"""
TAG = "<lora:inky:1.0> ink wash"


@pytest.fixture
def box(editor: Editor, store: TuneStore, host: LiveHost) -> Iterator[PromptBox]:
    write_tiny_lora(host.loras, "sd15", "inky.safetensors")
    Image.new("RGB", (40, 60), "teal").save(host.loras / "inky.png")
    (host.loras / "inky.txt").write_text("ink wash", encoding="utf-8")
    yield PromptBox(editor)
    for path in host.loras.glob("inky.*"):
        path.unlink()


def test_a_lora_is_chosen_by_its_picture_and_brings_its_words(box: PromptBox) -> None:
    box.type("a cat <lora:ink")
    expect(box.options).to_have_count(1)
    expect(box.options.locator("img")).to_have_js_property("naturalWidth", 40)
    box.settle()
    box.page.keyboard.press("Enter")
    box.holds(f"a cat {TAG}")
    box.page.locator(".astria-prompt .astria-tag-name", has_text="inky").hover()
    about = box.page.locator(".cm-tooltip-hover")
    expect(about).to_contain_text("Trigger words: ink wash")
    expect(about.locator("img")).to_be_visible()


def test_the_sidebar_shows_them_and_writes_the_chosen_one(box: PromptBox) -> None:
    box.type("a cat")
    sidebar = Sidebar(box.editor, "LoRAs")
    sidebar.shown.get_by_role("searchbox").fill("wash")
    card = sidebar.shown.get_by_role("button", name="Insert the LoRA inky")
    expect(card).to_contain_text("ink wash")
    expect(card.locator("img")).to_have_js_property("naturalWidth", 40)
    expect(sidebar.shown.get_by_role("listitem")).to_have_count(1)
    card.click()
    box.holds(f"a cat {TAG}")
    card.drag_to(box.text_area)
    expect(box.page.locator(".astria-prompt .astria-tag-name", has_text="inky")).to_have_count(2)


def words(box: PromptBox, text: str, across: float) -> tuple[float, float]:
    """Return a point in a text of the prompt, on the screen."""
    shown = box.page.locator(".astria-prompt .cm-line", has_text=text)
    range_of = """(line, [text, across]) => {
        const walk = document.createTreeWalker(line, NodeFilter.SHOW_TEXT);
        let node;
        while ((node = walk.nextNode()) && !node.data.includes(text));
        const range = document.createRange();
        range.setStart(node, node.data.indexOf(text));
        range.setEnd(node, node.data.indexOf(text) + text.length);
        const { left, top, width, height } = range.getBoundingClientRect();
        return [left + width * across, top + height / 2];
    }"""
    x, y = shown.evaluate(range_of, [text, across])
    return x, y


def test_a_dropped_file_becomes_its_tag_behind_the_word_under_it(box: PromptBox) -> None:
    box.type("a cat, asleep")
    box.page.evaluate("() => { app.canvas.ds.scale = 0.6; app.graph.setDirtyCanvas(true, true); }")
    box.editor.frames(5)
    box.page.evaluate(DROP, [["inky.safetensors"], *words(box, "cat", 0.5)])
    box.holds(f"a cat {TAG}, asleep")
    box.page.evaluate(DROP, [["stranger.safetensors"], *words(box, "asleep", 0.5)])
    expect(box.page.locator(".p-toast-message")).to_contain_text("lists no LoRA stranger")
    box.holds(f"a cat {TAG}, asleep")


def test_a_lora_is_dragged_out_of_the_editors_model_library(box: PromptBox) -> None:
    box.type("a cat, asleep")
    page = box.page
    # Clear of the library, which opens over the canvas.
    page.evaluate(
        "() => { app.canvas.ds.offset = [520, 0]; app.graph.setDirtyCanvas(true, true); }"
    )
    box.editor.frames(5)
    page.get_by_role("button", name="Model Library").click()
    library = page.locator(".model-lib-tree-explorer")
    try:
        library.get_by_text("loras", exact=True).click()
        page.get_by_role("button", name="Refresh").click()
        leaf = library.locator(".p-tree-node-content", has_text="inky")
        leaf.hover()
        page.mouse.down()
        x, y = words(box, "cat", 0.3)
        page.mouse.move(x, y, steps=4)
        page.mouse.move(x + 1, y)  # a place that takes it is told so by a move over it
        page.mouse.up()
        box.holds(f"a cat {TAG}, asleep")
        assert page.evaluate("() => app.graph._nodes.length") == 1, "no loader was added"
    finally:
        page.get_by_role("button", name="Model Library").click()
