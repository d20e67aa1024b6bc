"""Pictures in nodes: where the source stands on an outpainted canvas, and where people stand."""

from __future__ import annotations

from typing import Any

import pytest
from comfyui_astria.nodes.outpaint.geometry import ANCHORS, place
from comfyui_astria.tests.host.fixtures import LiveHost
from comfyui_astria.tests.host.graphs import upload_picture
from comfyui_astria.tests.web.browser import Editor
from playwright.sync_api import Locator

# The colour of the pixels at places given as parts of the drawn canvas's width and height.
PIXELS = """(canvas, spots) => {
    const pen = canvas.getContext('2d');
    return spots.map(([x, y]) => [...pen.getImageData(Math.round(x), Math.round(y), 1, 1).data]);
}"""


def picture(editor: Editor) -> Locator:
    return editor.page.locator("canvas[role=img]")


def widget(editor: Editor, number: int, name: str) -> Any:
    return editor.page.evaluate("([id, name]) => app.graph.getNodeById(id).widgets.find(w => w.name === name).value", [number, name])


def choose(editor: Editor, number: int, name: str, value: Any) -> None:
    """Set a widget as the editor does when a person changes it."""
    script = """([id, name, value]) => {
        const widget = app.graph.getNodeById(id).widgets.find(w => w.name === name);
        widget.value = value;
        widget.callback?.(value);
    }"""
    editor.page.evaluate(script, [number, name, value])
    editor.frames(2)


def added(editor: Editor, kind: str) -> int:
    number = editor.add(kind)
    editor.page.evaluate("id => { const n = app.graph.getNodeById(id); n.pos = [140, 100]; n.setSize([360, n.size[1] + 120]); }", number)
    editor.frames(5)
    return number


def drawn_box(editor: Editor, width: int, height: int) -> tuple[float, float, float, float]:
    """Return the frame of a picture of this size inside the drawn canvas, in its own pixels: x, y, width, height."""
    wide, high, density = picture(editor).evaluate("c => [c.clientWidth, c.clientHeight, c.width / c.clientWidth]")
    scale = min((wide - 16) / width, (high - 30) / height)
    return (wide - width * scale) / 2 * density, 8 * density, width * scale * density, height * scale * density


def is_blue(pixel: list[int]) -> bool:
    return pixel[2] > pixel[0] + 20


def test_each_of_the_nine_places_can_be_clicked(editor: Editor) -> None:
    number = added(editor, "AstriaOutpaintCanvas")
    for name in ("width", "height"):  # the editor gives a new node the values of an earlier test's node with the same id
        choose(editor, number, name, 1024)
    x, y, width, height = drawn_box(editor, 1024, 1024)
    shown = picture(editor).bounding_box()
    factor = shown["width"] / picture(editor).evaluate("c => c.width")
    for index, anchor in enumerate(ANCHORS):
        across, down = index % 3 / 2, index // 3 / 2
        editor.page.mouse.click(shown["x"] + (x + width * across) * factor, shown["y"] + (y + height * down) * factor)
        assert widget(editor, number, "anchor") == anchor
    assert editor.prompt()[str(number)]["inputs"]["anchor"] == ANCHORS[-1]


@pytest.mark.parametrize("anchor", ["top-left", "center", "right-center", "bottom-center"])
def test_the_source_is_drawn_to_scale_where_the_node_puts_it(editor: Editor, host: LiveHost, anchor: str) -> None:
    upload_picture(host, 300, 100, "to_scale.png")
    number = added(editor, "AstriaOutpaintCanvas")
    script = """id => {
        const source = LiteGraph.createNode('LoadImage');
        source.pos = [600, 100];
        app.graph.add(source);
        source.widgets.find(w => w.name === 'image').value = 'to_scale.png';
        source.widgets.find(w => w.name === 'image').callback('to_scale.png');
        source.connect(0, app.graph.getNodeById(id), 0);
        return source.id;
    }"""
    source = editor.page.evaluate(script, number)
    editor.page.wait_for_function("id => app.graph.getNodeById(id).imgs?.[0]?.naturalWidth === 300", arg=source)
    for name, value in (("width", 800), ("height", 600), ("anchor", anchor)):
        choose(editor, number, name, value)
    window = place(300, 100, 800, 600, anchor).window
    x, y, width, height = drawn_box(editor, 800, 600)
    inside = [(window.x + window.width * part, window.y + window.height / 3) for part in (0.07, 0.3, 0.93)]
    outside = [(px, py) for px, py in ((window.x - 12, window.y + 30), (window.x + window.width + 12, window.y + 30), (window.x + 60, window.y + 118),
                                       (window.x + 60, window.y - 18)) if 0 < px < 800 and 0 < py < 600]
    spots = [[x + px / 800 * width, y + py / 600 * height] for px, py in (*inside, *outside)]
    pixels = picture(editor).evaluate(PIXELS, spots)
    assert [is_blue(pixel) for pixel in pixels] == [True] * len(inside) + [False] * len(outside)


def test_people_are_drawn_in_columns(editor: Editor) -> None:
    number = added(editor, "AstriaRegions")
    for name, value in (("persons", 4), ("width", 800), ("height", 400)):
        choose(editor, number, name, value)
    x, y, width, height = drawn_box(editor, 800, 400)
    pixels = picture(editor).evaluate(PIXELS, [[x + width * (column + 0.5) / 4, y + height * 0.85] for column in range(4)])
    assert len({tuple(pixel) for pixel in pixels}) == 4


@pytest.mark.parametrize("kind", ["AstriaOutpaintCanvas", "AstriaRegions"])
def test_a_picture_is_not_saved_and_leaves_a_saved_node_its_size(editor: Editor, kind: str) -> None:
    number = added(editor, kind)
    names = editor.page.evaluate("id => app.graph.getNodeById(id).widgets.map(w => w.name)", number)
    saved = editor.saved()
    assert names[-1] == "placement"
    assert len(saved["nodes"][0]["widgets_values"]) == len(names) - 1
    assert "placement" not in editor.prompt()[str(number)]["inputs"]
    for size, is_shown in (([320, 300], False), ([320, 500], True)):
        saved["nodes"][0]["size"] = size
        editor.clear()
        editor.load(saved)
        editor.frames(8)
        assert editor.saved()["nodes"][0]["size"] == size
        assert picture(editor).is_visible() == is_shown
