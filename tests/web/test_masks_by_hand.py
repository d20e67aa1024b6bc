"""A mask before a run, and drawn over by hand: in the nodes of masks, and for Astria Generate."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from comfyui_astria.tests.host.fixtures import LiveHost
from comfyui_astria.tests.host.graphs import generate_graph, node, numbered
from comfyui_astria.tests.web.browser import Editor, eventually
from comfyui_astria.tests.web.placement import drawn_box, look_at, pixels, widget
from PIL import Image
from playwright.sync_api import Locator, expect

WIDTH, HEIGHT = 160, 80
FOUND = "id => app.nodeOutputs?.[id]?.astria_mask?.length ?? 0"
# In pixels: two windows, as tests/testpack/segmenter.py draws them, and what is drawn.
WINDOW, OTHER, ADDED = (24, 20), (128, 20), (80, 60)


def photo(host: LiveHost, number: int) -> dict[str, Any]:
    # A picture of its own for each way of drawing nodes: what is cached is told once only.
    name = f"mask_{number}.png"
    Image.new("RGB", (WIDTH, HEIGHT), (number,) * 3).save(host.base / "input" / name)
    return node("LoadImage", image=name)


def words(**given: Any) -> dict[str, Any]:
    values = {"mask_negative": "", "mask_invert": False, "mask_dilate": "0", "shape": "round"}
    values |= {"feather_px": 0, "threshold": 0.5, "on_empty": "error", "drawn_mask": ""}
    return node("AstriaPromptMask", **{**values, **given})


def opened(editor: Editor, graph: dict[str, Any], name: str, start: int) -> int:
    numbers = {key: place for place, key in enumerate(graph, start=start)}
    editor.load_api(numbered(graph, numbers))
    script = "id => { const n = app.graph.getNodeById(id); n.setSize([480, n.size[1] + 160]); }"
    editor.page.evaluate(script, numbers[name])
    look_at(editor, numbers[name])
    return numbers[name]


@pytest.fixture
def start(editor: Editor) -> int:
    return 240 if editor.is_vue else 210


def button(editor: Editor, name: str) -> Locator:
    return editor.page.get_by_role("button", name=name).first


def canvas(editor: Editor) -> Locator:
    return editor.page.locator("canvas[role=img]").last


def stroke(editor: Editor, *places: tuple[float, float]) -> None:
    """Draw a line on the picture, by places in pixels of it."""
    box, shown = drawn_box(editor, WIDTH, HEIGHT, canvas(editor)), canvas(editor).bounding_box()
    assert shown is not None
    factor = shown["width"] / canvas(editor).evaluate("c => c.width")
    mouse = editor.page.mouse
    for number, (x, y) in enumerate(places):
        across, down = box[0] + x / WIDTH * box[2], box[1] + y / HEIGHT * box[3]
        mouse.move(shown["x"] + across * factor, shown["y"] + down * factor, steps=4)
        if number == 0:
            mouse.down()
    mouse.up()


def red(editor: Editor, *places: tuple[float, float]) -> list[bool]:
    seen = pixels(editor, WIDTH, HEIGHT, places, canvas(editor))
    return [colour[0] > colour[1] + 20 for colour in seen]


def test_a_mask_is_shown_and_drawn_over_in_its_node(
    editor: Editor, host: LiveHost, start: int
) -> None:
    graph = {
        "photo": photo(host, start),
        "segmenter": node("AstriaTestSegmenter"),
        "mask": words(image=["photo", 0], segmenter=["segmenter", 0], mask_prompt="windows"),
        "picture": node("MaskToImage", mask=["mask", 0]),
        "shown": node("PreviewImage", images=["picture", 0]),
    }
    number = opened(editor, graph, "mask", start)
    button(editor, "Runs what the mask needs").click()
    eventually(lambda: editor.page.evaluate(FOUND, number), 1)
    eventually(lambda: red(editor, WINDOW, OTHER, ADDED), [True, True, False])
    [entry] = list(editor.client.get_json("/history?max_items=1").values())
    ran = {one["class_type"] for one in entry["prompt"][2].values()}
    assert ran == {"LoadImage", "AstriaTestSegmenter", "AstriaPromptMask", "PreviewAny"}
    button(editor, "Brush a mask").click()
    stroke(editor, ADDED, (ADDED[0] + 4, ADDED[1]))
    button(editor, "Wipe with the brush").click()
    stroke(editor, WINDOW, (WINDOW[0] + 4, WINDOW[1]))
    eventually(lambda: red(editor, WINDOW, OTHER, ADDED), [False, True, True])
    graph = editor.prompt()
    assert graph[str(number)]["inputs"]["drawn_mask"] == widget(editor, number, "drawn_mask")
    made = host.client.run(graph)["outputs"][str(start + 4)]["images"][0]
    seen = np.asarray(Image.open(host.base / made["type"] / made["filename"]).convert("L"))
    assert [int(seen[y, x]) for x, y in (WINDOW, OTHER, ADDED)] == [0, 255, 255]
    button(editor, "Wipe away all that was drawn").click()
    eventually(lambda: red(editor, WINDOW, OTHER, ADDED), [True, True, False])
    assert widget(editor, number, "drawn_mask") == ""


def test_a_mask_is_drawn_over_by_keyboard(editor: Editor, host: LiveHost, start: int) -> None:
    graph = {
        "photo": photo(host, start),
        "mask": node("AstriaAdjustMask", invert=False, dilate="0", shape="round", feather_px=0),
    }
    graph["mask"]["inputs"] |= {"mask": ["photo", 1], "drawn_mask": ""}
    number = opened(editor, graph, "mask", start)
    eventually(lambda: red(editor, (80, 40)), [False])
    canvas(editor).focus()
    for key in ("b", "ArrowRight", "Space"):
        editor.page.keyboard.press(key)
    eventually(lambda: red(editor, (82, 40), (20, 40)), [True, False])
    for key in ("e", "Space", "Escape"):
        editor.page.keyboard.press(key)
    eventually(lambda: widget(editor, number, "drawn_mask")[:1], "-")
    assert red(editor, (82, 40)) == [False]


def test_found_people_are_shown_each_in_a_colour(
    editor: Editor, host: LiveHost, start: int
) -> None:
    graph = {
        "photo": photo(host, start + 1),
        "segmenter": node("AstriaTestSegmenter"),
        "people": node("AstriaFindPeople", persons=2, word="windows"),
    }
    graph["people"]["inputs"] |= {"image": ["photo", 0], "segmenter": ["segmenter", 0]}
    number = opened(editor, graph, "people", start)
    button(editor, "Runs what the mask needs").click()
    eventually(lambda: editor.page.evaluate(FOUND, number), 2)
    left, right = pixels(editor, WIDTH, HEIGHT, [WINDOW, OTHER], canvas(editor))
    eventually(lambda: left != right)
    expect(editor.page.get_by_role("button", name="Brush a mask")).to_have_count(0)


@pytest.mark.parametrize("is_given", [False, True])
def test_the_mask_of_a_prompt_is_drawn_over_in_a_dialog(
    editor: Editor, host: LiveHost, start: int, is_given: bool
) -> None:
    text = f"a cat{'' if is_given else ' --mask_prompt windows'}\nw={WIDTH}\nh={HEIGHT}\nsteps=1"
    graph = generate_graph(text, image=["photo", 0], models=["bindings", 0])
    graph["photo"] = photo(host, start + 2 + is_given)
    graph["segmenter"] = node("AstriaTestSegmenter")
    graph["bindings"] = node("AstriaModels", bindings="", segmenter=["segmenter", 0])
    graph["generate"]["inputs"]["drawn_mask"] = ""  # the editor keeps values by a node's number
    if is_given:
        graph["generate"]["inputs"]["mask"] = ["photo", 1]
    number = opened(editor, graph, "generate", start)
    button(editor, "Draw on the mask").click()
    dialog = editor.page.locator("dialog.astria-dialog")
    expect(dialog.locator("canvas")).to_have_attribute("aria-label", _FOUND_LABEL)
    assert red(editor, WINDOW, OTHER) == [not is_given, not is_given]
    stroke(editor, ADDED, (ADDED[0] + 4, ADDED[1]))
    eventually(lambda: red(editor, ADDED), [True])
    dialog.get_by_role("button", name="Keep the drawing").click()
    expect(dialog).to_have_count(0)
    drawn = widget(editor, number, "drawn_mask")
    assert drawn.startswith("+ ")
    made = editor.client.run(editor.prompt())
    asked = [one for one in made["outputs"].values() if one.get("astria_mask")]
    assert len(asked) == 1, "the run's own mask node was told what is drawn"
    told = " ".join(line for one in made["outputs"].values() for line in one.get("text", ()))
    assert "drawn_mask has no effect" not in told


_FOUND_LABEL = re.compile(f"{WIDTH}x{HEIGHT}, as found$")
