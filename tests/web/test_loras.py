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

DROP = """names => {
    const transfer = new DataTransfer();
    for (const name of names) transfer.items.add(new File(['x'], name));
    const dropped = { dataTransfer: transfer, bubbles: true, cancelable: true };
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


def test_a_dropped_file_becomes_its_tag(box: PromptBox) -> None:
    box.type("a cat")
    box.page.evaluate(DROP, ["inky.safetensors"])
    box.holds(f"a cat {TAG}")
    box.page.evaluate(DROP, ["stranger.safetensors"])
    expect(box.page.locator(".p-toast-message")).to_contain_text("lists no LoRA stranger")
    box.holds(f"a cat {TAG}")
