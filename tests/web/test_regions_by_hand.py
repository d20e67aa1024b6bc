"""People placed by hand in Astria Regions: by mouse, by keyboard, named, ordered, kept and run."""

from __future__ import annotations

import itertools
import re

import pytest
from comfyui_astria.nodes.base.drawn import Shape, parsed
from comfyui_astria.nodes.regions.drawn import from_drawn
from comfyui_astria.tests.host.fixtures import LiveHost
from comfyui_astria.tests.host.graphs import node
from comfyui_astria.tests.web.browser import Editor, eventually
from comfyui_astria.tests.web.placement import (
    added,
    choose,
    drawn_box,
    look_at,
    picture,
    pixels,
    widget,
)
from PIL import Image
from playwright.sync_api import expect

WIDTH, HEIGHT = 800, 400
FRAME = (128, 0.18)  # grey and opacity of what the picture is drawn on
TINTS = ((240, 170, 40), (90, 185, 235))
STRENGTH = 0.5


@pytest.fixture
def number(editor: Editor) -> int:
    """Two people in a picture of 800x400, in a node that is large on the screen."""
    number = added(editor, "AstriaRegions")
    editor.page.evaluate("id => app.graph.getNodeById(id).setSize([640, 720])", number)
    for name, value in (("persons", 2), ("width", WIDTH), ("height", HEIGHT), ("names", "")):
        choose(editor, number, name, value)
    choose(editor, number, "drawn_boxes", "")
    look_at(editor, number)
    return number


def on_screen(editor: Editor, across: float, down: float) -> tuple[float, float]:
    """Return where a place of the picture, in parts of it, is on the screen."""
    x, y, width, height = drawn_box(editor, WIDTH, HEIGHT)
    shown = picture(editor).bounding_box()
    assert shown is not None
    factor = shown["width"] / picture(editor).evaluate("c => c.width")
    return shown["x"] + (x + width * across) * factor, shown["y"] + (y + height * down) * factor


def drag(editor: Editor, start: tuple[float, float], end: tuple[float, float]) -> None:
    mouse = editor.page.mouse
    mouse.move(*on_screen(editor, *start))
    mouse.down()
    mouse.move(*on_screen(editor, *end), steps=4)
    mouse.up()


def boxes(editor: Editor, number: int) -> list[list[float]]:
    text = widget(editor, number, "drawn_boxes")
    return [[float(one) for one in box.split()] for box in text.split("|")] if text else []


def near(found: list[list[float]], wanted: list[list[float]]) -> bool:
    return [len(box) for box in found] == [len(box) for box in wanted] and all(
        abs(one - other) < 0.01
        for one, other in zip(itertools.chain(*found), itertools.chain(*wanted), strict=True)
    )


def test_two_people_are_placed_by_mouse_and_run_so(editor: Editor, number: int) -> None:
    place = app_place(editor, number)
    drag(editor, (0.25, 0.5), (0.35, 0.5))  # the first column's middle moves it
    eventually(lambda: near(boxes(editor, number)[:1], [[0.14, 0.08, 0.42, 0.92]]))
    drag(editor, (0.56, 0.08), (0.46, 0.28))  # its upper right corner sizes it
    wanted = [[0.14, 0.28, 0.32, 0.72], [0.54, 0.08, 0.42, 0.92]]
    eventually(lambda: near(boxes(editor, number), wanted))
    expect(picture(editor)).to_have_attribute("aria-label", re.compile("800x400, 2 people drawn$"))
    assert app_place(editor, number) == place, "the node itself was not dragged"
    asked = editor.prompt()[str(number)]["inputs"]
    assert asked["drawn_boxes"] == widget(editor, number, "drawn_boxes")
    graph = {"1": {**editor.prompt()[str(number)]}, "2": node("PreviewImage", images=["1", 4])}
    made = editor.client.run(graph)["outputs"]
    found = [one["box"] for one in made["1"]["astria_regions"][0]["regions"]]
    assert near(found, wanted)


def app_place(editor: Editor, number: int) -> list[float]:
    return editor.page.evaluate("id => [...app.graph.getNodeById(id).pos]", number)


BRUSHED = "0.1 0.2 0.35 0.7 5x4 1 3 1 5 2 3 3 2 | 0.4 0.1 0.5 0.85"


@pytest.mark.parametrize("text", ["0.1 0.2 0.35 0.7 | 0.4 0.1 0.5 0.85", BRUSHED])
def test_what_is_drawn_is_what_the_node_makes(editor: Editor, number: int, text: str) -> None:
    choose(editor, number, "softness_px", 64)
    choose(editor, number, "drawn_boxes", text)
    shares = from_drawn(text, 2, WIDTH, HEIGHT, softness_px=64).masks
    # Away from the names, which stand in the middle of the boxes.
    places = [(x, y) for x in range(30, WIDTH, 74) for y in (60, 84, 110, 300, 330, 352)]
    for (x, y), (*seen, opacity) in zip(places, pixels(editor, WIDTH, HEIGHT, places), strict=True):
        share = shares[:, y, x].tolist()
        over = STRENGTH * sum(share)
        wanted = over + FRAME[1] * (1 - over)
        assert abs(opacity / 255 - wanted) < 0.04, (x, y)
        if over > 0.1:
            tint = [
                sum(part * TINTS[one][channel] for one, part in enumerate(share)) / sum(share)
                for channel in range(3)
            ]
            mixed = [(colour * over + FRAME[0] * FRAME[1] * (1 - over)) / wanted for colour in tint]
            assert max(abs(one - other) for one, other in zip(seen, mixed, strict=True)) < 16, (
                x,
                y,
            )


def test_people_are_placed_by_keyboard(editor: Editor, number: int) -> None:
    press = editor.page.keyboard.press
    picture(editor).focus()
    for key in ("PageDown", "PageDown", "ArrowLeft", "ArrowLeft", "Shift+ArrowUp"):
        press(key)
    wanted = [[0.04, 0.08, 0.42, 0.92], [0.52, 0.08, 0.42, 0.91]]
    eventually(lambda: near(boxes(editor, number), wanted))
    press("Insert")
    eventually(lambda: widget(editor, number, "persons"), 3)
    assert len(boxes(editor, number)) == 3
    press("Delete")
    eventually(lambda: widget(editor, number, "persons"), 2)
    assert near(boxes(editor, number), wanted)
    assert editor.page.evaluate("id => Boolean(app.graph.getNodeById(id))", number)
    choose(editor, number, "persons", 3)
    eventually(lambda: len(boxes(editor, number)), 3)


def stroke(editor: Editor, *places: tuple[float, float]) -> None:
    mouse = editor.page.mouse
    mouse.move(*on_screen(editor, *places[0]))
    mouse.down()
    for place in places[1:]:
        mouse.move(*on_screen(editor, *place), steps=4)
    mouse.up()


def shape_of(editor: Editor, number: int, person: int) -> Shape:
    shape = parsed(widget(editor, number, "drawn_boxes").split("|")[person])
    assert shape is not None
    return shape


def drawn_at(shape: Shape, *places: tuple[float, float]) -> list[bool]:
    pixels = shape.pixels(WIDTH, HEIGHT)
    return [bool(pixels[round(y * HEIGHT), round(x * WIDTH)]) for x, y in places]


def test_a_mask_is_brushed_wiped_moved_and_run(editor: Editor, number: int) -> None:
    page = editor.page
    page.mouse.click(*on_screen(editor, 0.25, 0.5))
    page.get_by_role("button", name="Brush a mask").click()
    stroke(editor, (0.15, 0.3), (0.4, 0.3), (0.4, 0.8))
    places = [(0.15, 0.3), (0.28, 0.3), (0.4, 0.6), (0.2, 0.7)]
    eventually(lambda: drawn_at(shape_of(editor, number, 0), *places), [True, True, True, False])
    assert shape_of(editor, number, 1).cells is None, "the other person keeps their box"
    page.get_by_role("button", name="Wipe with the brush").click()
    stroke(editor, (0.28, 0.3), (0.29, 0.3))
    eventually(lambda: drawn_at(shape_of(editor, number, 0), *places), [True, False, True, False])
    page.get_by_role("button", name="Wipe with the brush").click()  # puts it away
    drag(editor, (0.39, 0.7), (0.49, 0.7))
    moved = [(x + 0.1, y) for x, y in places]
    eventually(lambda: drawn_at(shape_of(editor, number, 0), *moved), [True, False, True, False])
    graph = {"1": {**editor.prompt()[str(number)]}, "2": node("PreviewImage", images=["1", 4])}
    assert graph["1"]["inputs"]["drawn_boxes"] == widget(editor, number, "drawn_boxes")
    [made, _] = editor.client.run(graph)["outputs"]["1"]["astria_regions"][0]["regions"]
    left, top, width, height = made["box"]
    assert abs(left - 0.2) < 0.03 and abs(left + width - 0.55) < 0.03
    assert abs(top - 0.2) < 0.05 and abs(top + height - 0.9) < 0.05


def test_a_mask_is_brushed_by_keyboard(editor: Editor, number: int) -> None:
    press = editor.page.keyboard.press
    picture(editor).focus()
    for key in ("PageDown", "b", "]", "ArrowLeft", "Space", "ArrowLeft", "ArrowLeft", "Space"):
        press(key)
    places = [(0.48, 0.5), (0.44, 0.5), (0.3, 0.5)]
    eventually(lambda: drawn_at(shape_of(editor, number, 0), *places), [True, True, False])
    for key in ("e", "[", "[", "Space", "Escape", "ArrowDown"):
        press(key)
    eventually(lambda: drawn_at(shape_of(editor, number, 0), *places), [True, False, False])
    assert widget(editor, number, "persons") == 2


def test_people_are_named_ordered_and_put_back_in_columns(editor: Editor, number: int) -> None:
    page = editor.page
    editor.page.mouse.click(*on_screen(editor, 0.75, 0.5))
    page.get_by_label("Name of the selected person").fill("Tom | uncle")
    eventually(lambda: widget(editor, number, "names"), " | Tom / uncle")
    page.get_by_role("button", name="Earlier in the prompt's order").click()
    eventually(lambda: widget(editor, number, "names"), "Tom / uncle | ")
    eventually(lambda: boxes(editor, number)[0][0], 0.54)
    page.get_by_role("button", name="Add a person").click()
    eventually(lambda: widget(editor, number, "persons"), 3)
    page.get_by_role("button", name="Take the selected person away").click()
    eventually(lambda: widget(editor, number, "persons"), 2)
    page.get_by_role("button", name="Equal columns again").click()
    eventually(lambda: widget(editor, number, "drawn_boxes"), "")
    expect(picture(editor)).to_have_attribute("aria-label", re.compile("2 people in columns$"))


def test_boxes_are_saved_and_older_workflows_keep_their_columns(
    editor: Editor, number: int
) -> None:
    text = "0.1 0.2 0.3 0.7 | 0.5 0.1 0.4 0.8"
    choose(editor, number, "drawn_boxes", text)
    saved = editor.saved()
    for values, expected in ((saved["nodes"][0]["widgets_values"], text), (None, "")):
        older = [2, WIDTH, HEIGHT, 32, ""]
        saved["nodes"][0]["widgets_values"] = values or older
        editor.clear()
        editor.load(saved)
        assert editor.prompt()[str(number)]["inputs"].get("drawn_boxes", "") == expected


def test_people_are_drawn_over_the_last_result(editor: Editor, host: LiveHost, number: int) -> None:
    colour = "blue" if editor.is_vue else "navy"
    name = f"result_{colour}.png"
    Image.new("RGB", (WIDTH, HEIGHT), colour).save(host.base / "input" / name)
    graph = {
        "71": node("AstriaRegions", persons=2, width=WIDTH, height=HEIGHT, softness_px=0, names=""),
        "72": node("LoadImage", image=name),
        "73": node("ImageCompositeMasked", destination=["72", 0], source=["72", 0], x=0, y=0),
        "74": node("PreviewImage", images=["73", 0]),
    }
    graph["73"]["inputs"] |= {"resize_source": False, "mask": ["71", 2]}
    editor.load_api(graph)
    editor.page.evaluate("id => app.graph.getNodeById(id).setSize([500, 640])", 71)
    look_at(editor, 71)
    scene = [(8, 8)]
    assert pixels(editor, WIDTH, HEIGHT, scene)[0][3] < 60
    editor.page.evaluate("() => app.queuePrompt(0)")
    eventually(lambda: pixels(editor, WIDTH, HEIGHT, scene)[0][2] > 100)
