"""The nodes that draw where something stands, and whether their picture is seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from comfyui_astria.tests.web.browser import Editor
from playwright.sync_api import Locator

MASKING = ("AstriaPromptMask", "AstriaAdjustMask", "AstriaFindPeople")
DRAWING = ("AstriaOutpaintCanvas", "AstriaRegions", *MASKING)
LEAST_SEEN_PX = 100
IS_SEEN = """([id, least]) => {
    const box = app.graph.getNodeById(id).widgets.find(w => w.name === 'placement').element;
    return box.checkVisibility({ visibilityProperty: true })
        && box.querySelector('canvas').clientHeight >= least;
}"""

# The colour of the pixels at places given as parts of the drawn canvas's width and height.
PIXELS = """(canvas, spots) => {
    const pen = canvas.getContext('2d');
    return spots.map(([x, y]) => [...pen.getImageData(Math.round(x), Math.round(y), 1, 1).data]);
}"""


def picture(editor: Editor) -> Locator:
    return editor.page.locator("canvas[role=img]")


def widget(editor: Editor, number: int, name: str) -> Any:
    return editor.page.evaluate(
        "([id, name]) => app.graph.getNodeById(id).widgets.find(w => w.name === name).value",
        [number, name],
    )


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
    editor.page.evaluate(
        "id => { const n = app.graph.getNodeById(id); n.pos = [140, 100]; n.setSize([360, n.size[1]"
        " + 120]); }",
        number,
    )
    editor.frames(5)
    return number


def drawn_box(
    editor: Editor, width: int, height: int, canvas: Locator | None = None
) -> tuple[float, float, float, float]:
    """Return the frame of a picture of this size inside the drawn canvas, in its own pixels.

    X, y, width, height.
    """
    wide, high, density = (canvas or picture(editor)).evaluate(
        "c => [c.clientWidth, c.clientHeight, c.width / c.clientWidth]"
    )
    scale = min((wide - 16) / width, (high - 30) / height)
    return (
        (wide - width * scale) / 2 * density,
        8 * density,
        width * scale * density,
        height * scale * density,
    )


def pixels(
    editor: Editor,
    width: int,
    height: int,
    places: Sequence[tuple[float, float]],
    canvas: Locator | None = None,
) -> list[tuple[int, ...]]:
    """Return the colours at these pixels of the picture of this size that is drawn."""
    x, y, wide, high = drawn_box(editor, width, height, canvas)
    spots = [[x + across / width * wide, y + down / height * high] for across, down in places]
    return [tuple(pixel) for pixel in (canvas or picture(editor)).evaluate(PIXELS, spots)]


def look_at(editor: Editor, number: int) -> None:
    """Show a node unscaled in the middle of the screen."""
    script = (
        "id => { const { pos } = app.graph.getNodeById(id); app.canvas.ds.scale = 1;"
        " app.canvas.ds.offset = [400 - pos[0], 120 - pos[1]]; }"
    )
    editor.page.evaluate(script, number)
    editor.frames(5)


def assert_its_picture_is_seen(editor: Editor, number: int) -> None:
    """The node's own size leaves room for the picture that it draws."""
    look_at(editor, number)
    editor.page.wait_for_function(IS_SEEN, arg=[number, LEAST_SEEN_PX])
