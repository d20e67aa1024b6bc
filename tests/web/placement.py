"""The nodes that draw where something stands, and whether their picture is seen."""

from __future__ import annotations

from comfyui_astria.tests.web.browser import Editor

DRAWING = ("AstriaOutpaintCanvas", "AstriaRegions")
LEAST_SEEN_PX = 100
IS_SEEN = """([id, least]) => {
    const box = app.graph.getNodeById(id).widgets.find(w => w.name === 'placement').element;
    return box.checkVisibility({ visibilityProperty: true })
        && box.querySelector('canvas').clientHeight >= least;
}"""


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
