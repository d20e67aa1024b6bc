"""The screens of docs/gallery.md, each built in the real editor and photographed.

With ASTRIA_GALLERY=FOLDER the pictures are kept there.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
import skimage.data
from comfyui_astria.tests.host.fixtures import LiveHost
from comfyui_astria.tests.host.graphs import generate_graph, node, numbered
from comfyui_astria.tests.host.tiny_lora import write_tiny_lora
from comfyui_astria.tests.web.browser import eventually
from comfyui_astria.tests.web.camera import SCREENS, Gallery
from comfyui_astria.tests.web.sidebar_support import Sidebar, jpeg
from PIL import Image
from playwright.sync_api import expect

DOCS = Path(__file__).resolve().parents[2] / "docs"
WAIT_MS = 15_000
PROMPT = """two friends in a café, film still <lora:film_grain:0.6>
BREAK golden hour, rain on the window
BREAK <lora:1533312:1.0> ohwx woman in a red coat, smiling
BREAK <faceid:{eileen}:0.9> ohwx man reading a newspaper
--outpaint topleft --outpaint_width 1280 --outpaint_height 832
num_images=2
w=1024
h=768
super_resolution=true"""
TWO_PEOPLE = """film noir street at night, rain, neon signs
BREAK 35mm photo, (shallow depth of field:1.2)
BREAK <lora:1533312:1.0> ohwx woman in a yellow dress, smiling
BREAK <lora:1558021:0.9> ohwx man in a grey suit, holding an umbrella
negative_prompt=blurry, watermark
scheduler=dpm++2m_karras
w=768
h=512
film_grain=true"""
FILES_OF_TWO = "[tunes]\n1533312 = anna.safetensors\n1558021 = tom.safetensors"


def test_the_editor_with_a_mistake(gallery: Gallery) -> None:
    box = gallery.prompt(PROMPT.format(eileen=gallery.eileen))
    expect(box.status).to_contain_text("Did you mean top-left?")
    expect(box.page.locator(".cm-lintRange-error")).to_have_count(1)
    expect(box.page.locator(".astria-person-1").first).to_be_visible()
    gallery.take("editor", gallery.node(box.number))


def test_two_people(gallery: Gallery, host: LiveHost) -> None:
    """The picture of README: a prompt in its node, with the report that is there before the picture
    is painted.
    """
    for seed, name in enumerate(("anna", "tom")):
        write_tiny_lora(host.loras, "sd15", f"{name}.safetensors", seed=seed)
    links = {"models": ["bindings", 0], "pose_controlnet": ["pose", 0]}
    graph = generate_graph(TWO_PEOPLE, "sd15", **links)
    graph["bindings"] = node("AstriaModels", bindings=FILES_OF_TWO)
    graph["pose"] = node("AstriaTestControlNet")
    numbers = {name: number for number, name in enumerate(graph, start=81)}
    gallery.editor.load_api(numbered(graph, numbers))
    number = numbers["generate"]
    # Else the next seed would stand there once the run is queued.
    fixed = (
        "id => { app.graph.getNodeById(id).widgets.find(w => w.name === 'control_after_generate')"
        ".value = 'fixed'; }"
    )
    gallery.page.evaluate(fixed, number)
    gallery.place(number, 440, 130, 760, 820)
    for place, other in enumerate(("model", "bindings", "pose")):
        gallery.place(numbers[other], 100, 120 + 260 * place, 230, 200)
    gallery.place(numbers["save"], 1300, 120, 230, 200)
    gallery.page.evaluate("() => app.queuePrompt(0)")
    report = gallery.node(number).get_by_label("Report of the last run")
    expect(report).to_have_value(re.compile(r"'tom\.safetensors' at 0\.9 on person 2.* fits "))
    host.client.interrupt()
    eventually(lambda: any(host.client.get_json("/queue").values()), False)
    gallery.take("two_people", gallery.node(number))


def test_completion(gallery: Gallery) -> None:
    box = gallery.prompt("a portrait of ")
    box.text_area.click()
    box.page.keyboard.press("Control+End")
    box.page.keyboard.type("<faceid:")
    expect(box.options).to_have_count(2)
    expect(box.page.locator(".cm-completionInfo img")).to_be_visible()
    gallery.take(
        "completion", box.page.locator(".astria-prompt"), box.page.locator(".cm-completionInfo")
    )


def test_hover(gallery: Gallery) -> None:
    box = gallery.prompt(PROMPT.format(eileen=gallery.eileen).replace("topleft", "top-left"))
    box.page.locator(".astria-tag-name", has_text=str(gallery.eileen)).last.hover()
    about = box.page.locator(".cm-tooltip-hover")
    expect(about).to_contain_text("Tune")
    gallery.take("hover", box.page.locator(".astria-prompt"), about)


@pytest.mark.parametrize(
    ("tab", "says"),
    [("Tunes", "Eileen"), ("Bindings", "Missing."), ("Explain", "Model family: Flux.1 dev")],
)
def test_the_sidebar(gallery: Gallery, tab: str, says: str) -> None:
    box = gallery.prompt(
        PROMPT.format(eileen=gallery.eileen)
        .replace("topleft", "top-left")
        .replace(f"<faceid:{gallery.eileen}:0.9> ", "")
    )
    gallery.place(box.number, 420, 140, 700, 560)
    sidebar = Sidebar(gallery.editor, tab)
    expect(sidebar.shown).to_contain_text(says)
    gallery.page.wait_for_function(
        "() => [...document.querySelectorAll('img.astria-portrait')].every(one => one.complete)"
    )
    gallery.take(
        f"sidebar_{tab.lower()}",
        gallery.page.get_by_role("navigation").first,
        sidebar.root,
        gallery.node(box.number),
    )


def test_loras_by_picture(gallery: Gallery, host: LiveHost) -> None:
    pictures = {"anna": skimage.data.astronaut(), "ink_wash": skimage.data.coffee()}
    pictures |= {"old_stone": skimage.data.rocket(), "soft_fur": skimage.data.cat()}
    words = {"anna": "ohwx woman", "ink_wash": "ink wash, paper grain", "soft_fur": "soft fur"}
    for name, pixels in pictures.items():
        (host.loras / f"{name}.safetensors").touch()
        Image.fromarray(pixels).save(host.loras / f"{name}.preview.png")
        (host.loras / f"{name}.txt").write_text(words.get(name, ""), encoding="utf-8")
    box = gallery.prompt("portrait at the window, ")
    gallery.place(box.number, 460, 140, 620, 420)
    box.text_area.click()
    box.page.keyboard.press("Control+End")
    sidebar = Sidebar(gallery.editor, "LoRAs")
    sidebar.shown.get_by_role("button", name="Insert the LoRA ink_wash").click()
    box.holds("portrait at the window, <lora:ink_wash:1.0> ink wash, paper grain")
    box.page.keyboard.type(" <lora:an")
    expect(box.options.locator("img").first).to_be_visible()
    card = sidebar.shown.get_by_role("button", name="Insert the LoRA ink_wash")
    expect(card.locator("img")).to_have_js_property("complete", True)
    try:
        gallery.take(
            "loras",
            gallery.page.get_by_role("navigation").first,
            sidebar.root,
            gallery.node(box.number),
        )
    finally:
        for name in pictures:
            for path in host.loras.glob(f"{name}.*"):
                path.unlink()


# Where no font has them, every character is the same box.
DRAWN_APART = """([one, other]) => {
  const drawn = character => {
    const context = document.createElement("canvas").getContext("2d");
    context.font = "40px sans-serif";
    context.fillText(character, 0, 60);
    return context.canvas.toDataURL();
  };
  return drawn(one) !== drawn(other);
}"""


def test_the_sidebar_in_chinese(gallery: Gallery) -> None:
    if os.environ.get("ASTRIA_GALLERY"):
        wanted = "Install a font with Chinese characters, such as fonts-wqy-microhei."
        assert gallery.page.evaluate(DRAWN_APART, ["新", "建"]), wanted
    choose = (
        "async language => { await app.extensionManager.setting.set('Comfy.Locale', language); }"
    )
    gallery.page.evaluate(choose, "zh")
    try:
        sidebar = Sidebar(gallery.editor, "Tune")
        sidebar.press("新建 Tune")
        expect(sidebar.dialog).to_contain_text("把照片拖到这里")
        gallery.take("chinese", sidebar.dialog)
        gallery.page.keyboard.press("Escape")
    finally:
        gallery.page.evaluate(choose, "en")


def test_a_new_tune(gallery: Gallery) -> None:
    sidebar = Sidebar(gallery.editor, "Tunes")
    sidebar.press("New tune")
    photos = [("one.jpg", skimage.data.astronaut()), ("two.jpg", skimage.data.astronaut()[:, ::-1])]
    uploads = [
        {"name": name, "mimeType": "image/jpeg", "buffer": jpeg(pixels)} for name, pixels in photos
    ]
    sidebar.dialog.locator("input[type=file]").set_input_files(uploads)
    sidebar.dialog.get_by_label("Title").fill("Eileen")
    expect(sidebar.dialog.locator(".astria-photos img")).to_have_count(2)
    gallery.take("new_tune", sidebar.dialog)
    gallery.page.keyboard.press("Escape")


def test_the_template_browser(gallery: Gallery) -> None:
    gallery.page.evaluate("() => app.extensionManager.command.execute('Comfy.BrowseTemplates')")
    dialog = gallery.page.get_by_role("dialog")
    dialog.get_by_text("Astria", exact=True).click(timeout=WAIT_MS)
    dialog.get_by_placeholder("Search").fill("Begin")
    expect(dialog.get_by_text("Begin - A face from photos").first).to_be_visible()
    loaded = (
        "() => [...document.querySelectorAll('[role=dialog] img')].filter(one =>"
        " one.naturalWidth).length > 5"
    )
    gallery.page.wait_for_function(loaded, timeout=WAIT_MS)
    gallery.take("templates")
    gallery.page.keyboard.press("Escape")


def test_a_run_error(gallery: Gallery) -> None:
    """The last one: the host's own message about the run stays on the screen."""
    text = "a lighthouse at dusk --outpaint topleft --outpaint_width 1280 --outpaint_height 832"
    graph: dict[str, Any] = {
        "1": node("PrimitiveStringMultiline", value=text),
        "2": node("AstriaPrompt", text=["1", 0]),
    }
    graph |= {
        "3": node("AstriaRequestText", request=["2", 0], part="base"),
        "4": node("PreviewAny", source=["3", 0]),
    }
    gallery.editor.load_api(graph)
    gallery.place(1, 90, 300, 380, 220)
    gallery.place(2, 530, 300, 640, 460)
    for number in (3, 4):
        gallery.place(number, 1300, 600, 200, 100)
    gallery.page.evaluate("() => app.queuePrompt(0)")
    alert = gallery.page.locator("textarea[role=alert]")
    expect(alert).to_have_count(1)
    gallery.page.evaluate("() => app.extensionManager.toast.removeAll?.()")
    assert "Did you mean top-left?" in alert.input_value()
    gallery.editor.complaints.clear()  # the host's own words about the failed run
    gallery.take("run_error", gallery.node(1), gallery.node(2))


def test_the_page_shows_each_screen_once() -> None:
    shown = re.findall(
        r"images/gallery/(\w+)\.jpg", (DOCS / "gallery.md").read_text(encoding="utf-8")
    )
    assert sorted(shown) == sorted(
        {path.stem for path in (DOCS / "images" / "gallery").glob("*.jpg")}
    )
    assert set(shown) >= SCREENS
