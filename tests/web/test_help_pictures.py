"""The picture on each node's help page is the node as the editor draws it.

With ASTRIA_HELP_PICTURES=FOLDER the pictures are made anew there.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from comfyui_astria.nodes.graph.definitions import snapshot
from comfyui_astria.tests.host.fixtures import LiveHost
from comfyui_astria.tests.web.browser import SIZE, Editor
from PIL import Image
from playwright.sync_api import Locator

NODES = sorted(name for name in snapshot() if name.startswith("Astria"))
PICTURES = Path(__file__).resolve().parents[2] / "web" / "docs" / "images"
COLOURS = 96
PLACE = [400, 160]  # clear of the editor's bars
TALL = {"width": 1600, "height": 1500}
SLACK_PX = 12  # fonts differ from machine to machine
PROMPT = (
    "portrait of a lighthouse keeper, (weathered face:1.2), overcast"
    " light\nnegative_prompt=blurry\nnum_images=2\nw=512\nh=768"
)
TWO_PEOPLE = """\
a street at night
BREAK film noir
BREAK <lora:1533312:1.0> ohwx woman in a yellow dress
BREAK <lora:1558021:1.0> ohwx man in a grey suit
w=1024
h=576"""
OUTPAINT = (
    "--outpaint top-center --outpaint_width 864 --outpaint_height"
    " 1296\ndenoising_strength=0\nw=576\nh=864"
)
# What stands in the widgets of a picture, as in the example of the node's page.
SHOWN = {
    "AstriaPrompt": {"text": TWO_PEOPLE},
    "AstriaGenerate": {"text": PROMPT, "seed": 43},
    "AstriaExplain": {"text": OUTPAINT, "family": "flux"},
    "AstriaCompile": {"text": PROMPT, "seed": 43, "base": "690204"},
    "AstriaModels": {
        "bindings": "[tunes]\n1533312 = my_wife.safetensors\n[roles]\nupscaler = 4x-UltraSharp.pth"
    },
    "AstriaCreateTune": {"title": "Anna", "name": "woman", "tune_id": 788416},
    "AstriaIdentity": {"tune": "788416"},
    "AstriaPromptMask": {
        "mask_prompt": "foreground",
        "mask_negative": "clothes",
        "mask_dilate": "-20",
    },
    "AstriaAdjustMask": {"dilate": "2%"},
    "AstriaNoise": {"seed": 43},
    "AstriaOutpaintCanvas": {"anchor": "top-center", "width": 864, "height": 1296},
    "AstriaRegions": {"persons": 2, "width": 1024, "height": 576},
}


@contextmanager
def drawn(editor: Editor, kind: str) -> Iterator[Locator]:
    """Add a node where nothing covers it, fill its widgets, and take it away in the end."""
    number = editor.add(kind)
    script = """([id, place, values]) => {
        const node = app.graph.getNodeById(id);
        node.pos = place;
        for (const [name, value] of Object.entries(values)) {
            const widget = node.widgets.find(entry => entry.name === name);
            widget.value = value;
            widget.callback?.(value);
        }
    }"""
    editor.page.evaluate(script, [number, PLACE, SHOWN.get(kind, {})])
    editor.frames(6)
    shown = editor.page.locator(f"[data-node-id='{number}']")
    shown.wait_for()
    editor.settled(shown)
    yield shown
    # Removed by itself: a cleared graph counts from 1 again, and the next node would be drawn into
    # this one's elements.
    editor.page.evaluate("id => app.graph.remove(app.graph.getNodeById(id))", number)


def photograph(shown: Locator, path: Path) -> None:
    """Write a small PNG of a node."""
    picture = Image.open(io.BytesIO(shown.screenshot())).convert("RGB").quantize(COLOURS)
    picture.save(path, "PNG", optimize=True)


def test_a_node_looks_like_its_picture(editor: Editor) -> None:
    """As wide, and as high but for a few rows.

    A node that gained or lost an input needs a new picture (python dev.py pictures).
    """
    if not editor.is_vue:
        return  # the pictures show the nodes that are elements of the page
    folder = os.environ.get("ASTRIA_HELP_PICTURES")
    editor.page.set_viewport_size(TALL)
    for kind in NODES:
        path = Path(folder or PICTURES) / f"{kind}.png"
        with drawn(editor, kind) as shown:
            if folder:
                photograph(shown, path)
            now = shown.bounding_box()
        with Image.open(path) as picture:
            assert abs(picture.width - now["width"]) <= SLACK_PX, kind
            assert abs(picture.height - now["height"]) <= SLACK_PX, kind
    editor.page.set_viewport_size(SIZE)


def test_the_pictures_of_the_help_pages_are_served(host: LiveHost) -> None:
    for kind in NODES:
        with Image.open(
            io.BytesIO(host.client.get(f"/extensions/comfyui_astria/docs/images/{kind}.png"))
        ) as picture:
            assert picture.format == "PNG", kind


def test_the_editor_shows_the_picture_on_the_help_page(editor: Editor) -> None:
    number = editor.add("AstriaGenerate")
    script = (
        "([id, place]) => { const n = app.graph.getNodeById(id); n.pos = place;"
        " app.canvas.selectNode(n); }"
    )
    editor.page.evaluate(script, [number, PLACE])
    editor.frames(6)
    editor.page.get_by_test_id("info-button").click()
    picture = editor.page.locator(".node-help-content img")
    picture.wait_for()
    editor.page.wait_for_function(
        "() => document.querySelector('.node-help-content img').naturalWidth > 0"
    )
    assert picture.get_attribute("alt") == "Astria Generate in the editor"
    editor.page.get_by_label("Toggle properties panel").click()
    picture.wait_for(state="detached")
