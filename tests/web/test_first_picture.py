"""A path without a terminal, by the small world's models: a starter opened, a LoRA dropped on it,
two people placed by mouse, a picture, one of them placed anew, another picture. What it takes of a
person is counted and printed.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from comfyui_astria.devtools import small_world
from comfyui_astria.devtools.environment import current
from comfyui_astria.devtools.host import Host, HostOptions
from comfyui_astria.devtools.titles import TITLES
from comfyui_astria.smallworld import model_files
from comfyui_astria.tests.web.browser import Editor, eventually
from comfyui_astria.tests.web.placement import drawn_box
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect

FAMILY, PACK = "sd15", "astria_smallworld"
STARTER = TITLES["start_multi_person"].file
SIZE = (128, 72)
RUN_MS = 120_000
OPEN = "() => window.app?.graph?._nodes?.some(node => node.type === 'AstriaRegions')"
NODE = "kind => app.graph._nodes.find(node => node.type === kind)"
FIRST_PICTURE = 5  # what it may take, where the starter is opened by its address

DROP = """(place, [name, x, y]) => {
    const transfer = new DataTransfer();
    transfer.items.add(new File(['x'], name));
    const how = { dataTransfer: transfer, bubbles: true, cancelable: true };
    place.dispatchEvent(new DragEvent('drop', { ...how, clientX: x, clientY: y }));
}"""


class Hands:
    """What a person does in the page, counted."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.done: list[str] = []

    def open(self, address: str) -> None:
        self.done.append("a link")
        self.page.goto(address, wait_until="domcontentloaded")

    def click(self, place: Locator, what: str) -> None:
        self.done.append(what)
        place.click()

    def drag(self, start: tuple[float, float], end: tuple[float, float], what: str) -> None:
        self.done.append(what)
        self.page.mouse.move(*start)
        self.page.mouse.down()
        self.page.mouse.move(*end, steps=4)
        self.page.mouse.up()

    def drop_file(self, place: Locator, point: tuple[float, float], name: str) -> None:
        self.done.append(f"drop {name}")
        place.evaluate(DROP, [name, *point])


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    options = HostOptions(tmp_path_factory.mktemp("first_picture"), small_world=True)
    with Host(current(), options) as running:
        small_world.furnish(running, FAMILY)
        yield running


@pytest.fixture(params=["litegraph", "vue"])
def editor(request: pytest.FixtureRequest, world: Host, browser: Browser) -> Iterator[Editor]:
    editor = Editor(browser, world.client)
    editor.open(vue=request.param == "vue")
    yield editor
    editor.close()


def test_the_first_picture_takes_a_link_a_drop_two_drags_and_a_click(
    editor: Editor, world: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    hands = Hands(editor.page)
    hands.open(f"{world.url}/?{urlencode({'astria_template': f'{PACK}/{STARTER}'})}")
    at_work(editor)
    assert "astria_template" not in editor.page.url
    file = next(iter(model_files.loras(FAMILY).values()))
    words = editor.page.get_by_text("woman, with black hair")
    hands.drop_file(words, place_of(words, 0.6), file.rpartition("/")[2])
    tag = f"<lora:{file.rpartition('.')[0]}:1.0>"
    eventually(lambda: tag in lines(editor)[2])
    assert "woman" in lines(editor)[2], "of the person whose words it was dropped on"
    placed_twice(editor, hands, capsys, tag)
    assert editor.complaints == []


@pytest.mark.long  # the same way, by what is clicked where no link is at hand
def test_the_same_by_the_editors_own_windows(
    editor: Editor, capsys: pytest.CaptureFixture[str]
) -> None:
    page, hands = editor.page, Hands(editor.page)
    hands.click(page.get_by_role("button", name="Templates").first, "Templates")
    dialog = page.get_by_role("dialog")
    hands.click(dialog.get_by_text(PACK, exact=True), PACK)
    hands.click(dialog.get_by_text(STARTER, exact=True).first, STARTER)
    at_work(editor)
    hands.click(page.get_by_role("button", name="Astria").first, "Astria")
    hands.click(page.get_by_role("tab", name="LoRAs"), "LoRAs")
    card = page.get_by_role("button", name="Insert the LoRA").first
    name = card.locator("strong").inner_text()
    words = place_of(page.get_by_text("man, with brown hair"), 0.02)
    hands.drag(place_of(card, 0.5), words, "drag a LoRA")
    eventually(lambda: f"<lora:{name}:1.0>" in lines(editor)[3])
    assert lines(editor)[3].startswith("BREAK <lora"), "behind the word that it was dropped on"
    placed_twice(editor, hands, capsys, f"<lora:{name}:1.0>")


def at_work(editor: Editor) -> None:
    """Wait until the starter is open, with its prompt painted and its picture drawn."""
    editor.page.wait_for_function(OPEN)
    expect(editor.page.locator(".astria-prompt .astria-person-1").first).to_be_visible()
    expect(editor.page.locator("canvas[role=img]")).to_be_visible()
    editor.settled(editor.page.locator("canvas[role=img]"))


def place_of(shown: Locator, across: float) -> tuple[float, float]:
    """Return a point on the screen in the middle of an element's height."""
    box = shown.bounding_box()
    assert box is not None
    return box["x"] + box["width"] * across, box["y"] + box["height"] / 2


def lines(editor: Editor) -> list[str]:
    return value(editor, "AstriaGenerate", "text").splitlines()


def value(editor: Editor, kind: str, name: str) -> str:
    script = f"([kind, name]) => ({NODE})(kind).widgets.find(one => one.name === name).value"
    return editor.page.evaluate(script, [kind, name])


def placed_twice(
    editor: Editor, hands: Hands, capsys: pytest.CaptureFixture[str], tag: str
) -> None:
    """Place both people, run, place one anew, run: each picture is of what was placed."""
    hands.drag(on_screen(editor, 0.25, 0.6), on_screen(editor, 0.34, 0.6), "drag the woman")
    hands.drag(on_screen(editor, 0.74, 0.6), on_screen(editor, 0.64, 0.6), "drag the man")
    first, asked = picture_of_a_run(editor, hands)
    count = len(hands.done)
    assert first.size == SIZE
    woman, man = (float(box.split()[0]) for box in asked["boxes"].split("|"))
    assert (abs(woman - 0.15) < 0.03, abs(man - 0.44) < 0.03) == (True, True)
    assert tag in asked["text"]
    hands.drag(on_screen(editor, 0.64, 0.6), on_screen(editor, 0.76, 0.6), "drag the man")
    second, anew = picture_of_a_run(editor, hands)
    assert anew["boxes"].split("|")[0] == asked["boxes"].split("|")[0]
    assert anew["boxes"] != asked["boxes"]
    assert second.tobytes() != first.tobytes()
    with capsys.disabled():
        told = f"{count} to the first picture, {len(hands.done)} to the second"
        sys.stdout.write(f"\n{told}: {', '.join(hands.done)}\n")
    if hands.done[0] == "a link":
        assert count <= FIRST_PICTURE


def on_screen(editor: Editor, across: float, down: float) -> tuple[float, float]:
    """Return where a place of the drawn picture, in parts of it, is on the screen."""
    canvas = editor.page.locator("canvas[role=img]")
    x, y, width, height = drawn_box(editor, *SIZE)
    shown = canvas.bounding_box()
    assert shown is not None
    factor = shown["width"] / canvas.evaluate("c => c.width")
    return shown["x"] + (x + width * across) * factor, shown["y"] + (y + height * down) * factor


def picture_of_a_run(editor: Editor, hands: Hands) -> tuple[Image.Image, dict[str, Any]]:
    """Press Run; return the picture that the editor then shows, and what was asked for it."""
    before, ended = shown_file(editor), len(editor.client.get_json("/history"))
    hands.click(editor.page.get_by_test_id("queue-button").first, "Run")
    script = f"([before]) => {{ const made = ({SHOWN})(); return made && made !== before; }}"
    editor.page.wait_for_function(script, arg=[before], timeout=RUN_MS)
    eventually(lambda: len(editor.client.get_json("/history")), ended + 1)
    [entry] = list(editor.client.get_json("/history?max_items=1").values())
    inputs = {one["class_type"]: one["inputs"] for one in entry["prompt"][2].values()}
    made = Image.open(io.BytesIO(editor.client.get(json.loads(shown_file(editor) or '""'))))
    asked = {
        "boxes": inputs["AstriaRegions"]["drawn_boxes"],
        "text": inputs["AstriaGenerate"]["text"],
    }
    return made.convert("RGB"), asked


SHOWN = f"""() => {{
    const made = app.nodeOutputs?.[({NODE})('SaveImage').id]?.images?.[0];
    return made ? JSON.stringify(`/view?${{new URLSearchParams(made)}}`) : '';
}}"""


def shown_file(editor: Editor) -> str:
    return editor.page.evaluate(SHOWN)
