"""Pictures in nodes: where the source stands on an outpainted canvas, and where people stand."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any

import pytest
from comfyui_astria.nodes.outpaint.geometry import ANCHORS, place
from comfyui_astria.tests.host.fixtures import LiveHost
from comfyui_astria.tests.host.graphs import node, upload_picture
from comfyui_astria.tests.web.browser import Editor, eventually
from comfyui_astria.tests.web.placement import (
    DRAWING,
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

BLUE = "blue.png"


def blue(
    editor: Editor, width: int, height: int, places: Sequence[tuple[float, float]]
) -> list[bool]:
    """Return where the colour is that of the source."""
    return [pixel[2] > pixel[0] + 20 for pixel in pixels(editor, width, height, places)]


def upload_blue(host: LiveHost) -> None:
    written = io.BytesIO()
    Image.new("RGB", (300, 100), "blue").save(written, "PNG")
    host.client.upload_image(written.getvalue(), BLUE)


def show_picture(editor: Editor, source: int, name: str) -> None:
    """Choose a picture in a Load Image and touch no other node."""
    script = """([id, name]) => {
        const widget = app.graph.getNodeById(id).widgets.find(w => w.name === 'image');
        widget.value = name;
        widget.callback(name);
    }"""
    editor.page.evaluate(script, [source, name])


def test_each_of_the_nine_places_can_be_clicked(editor: Editor) -> None:
    number = added(editor, "AstriaOutpaintCanvas")
    # The editor gives a new node the values of an earlier test's node with the same id.
    for name in ("width", "height"):
        choose(editor, number, name, 1024)
    x, y, width, height = drawn_box(editor, 1024, 1024)
    shown = picture(editor).bounding_box()
    factor = shown["width"] / picture(editor).evaluate("c => c.width")
    for index, anchor in enumerate(ANCHORS):
        across, down = index % 3 / 2, index // 3 / 2
        editor.page.mouse.click(
            shown["x"] + (x + width * across) * factor, shown["y"] + (y + height * down) * factor
        )
        eventually(lambda: widget(editor, number, "anchor"), anchor)
    assert editor.prompt()[str(number)]["inputs"]["anchor"] == ANCHORS[-1]


def test_the_source_is_dragged_and_moved_by_keys_to_the_nearest_place(editor: Editor) -> None:
    number = added(editor, "AstriaOutpaintCanvas")
    for name, value in (("width", 1024), ("height", 1024), ("anchor", "top-left")):
        choose(editor, number, name, value)
    x, y, width, height = drawn_box(editor, 1024, 1024)
    shown = picture(editor).bounding_box()
    factor = shown["width"] / picture(editor).evaluate("c => c.width")

    def spot(across: float, down: float) -> tuple[float, float]:
        return shown["x"] + (x + width * across) * factor, shown["y"] + (y + height * down) * factor

    place = editor.page.evaluate("id => [...app.graph.getNodeById(id).pos]", number)
    mouse = editor.page.mouse
    # The source is half as wide: held at its middle left of it, it goes by half the free room.
    mouse.move(*spot(0.05, 0.2))
    mouse.down()
    mouse.move(*spot(0.31, 0.66), steps=4)
    eventually(lambda: widget(editor, number, "anchor"), "bottom-center")
    mouse.up()
    mouse.move(*spot(0.9, 0.05), steps=2)
    assert widget(editor, number, "anchor") == "bottom-center"
    for key, anchor in (
        ("ArrowUp", "center"),
        ("ArrowRight", "right-center"),
        ("ArrowRight", "right-center"),
        ("ArrowUp", "top-right"),
    ):
        picture(editor).press(key)
        assert widget(editor, number, "anchor") == anchor
    assert editor.page.evaluate("id => [...app.graph.getNodeById(id).pos]", number) == place


@pytest.mark.parametrize("anchor", ["top-left", "center", "right-center", "bottom-center"])
def test_the_source_is_drawn_to_scale_where_the_node_puts_it(
    editor: Editor, host: LiveHost, anchor: str
) -> None:
    upload_picture(host, 300, 100, "to_scale.png")
    upload_blue(host)
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
    editor.page.wait_for_function(
        "id => app.graph.getNodeById(id).imgs?.[0]?.naturalWidth === 300", arg=source
    )
    for name, value in (("width", 800), ("height", 600), ("anchor", anchor)):
        choose(editor, number, name, value)
    # The photo itself is drawn: one in blue shows where.
    show_picture(editor, source, BLUE)
    window = place(300, 100, 800, 600, anchor).window
    inside = [
        (window.x + window.width * part, window.y + window.height / 3) for part in (0.07, 0.3, 0.93)
    ]
    outside = [
        (px, py)
        for px, py in (
            (window.x - 12, window.y + 30),
            (window.x + window.width + 12, window.y + 30),
            (window.x + 60, window.y + 118),
            (window.x + 60, window.y - 18),
        )
        if 0 < px < 800 and 0 < py < 600
    ]
    eventually(
        lambda: blue(editor, 800, 600, [*inside, *outside]),
        [True] * len(inside) + [False] * len(outside),
    )


def test_the_picture_follows_another_source_at_once(editor: Editor, host: LiveHost) -> None:
    upload_blue(host)
    upload_picture(host, 200, 160, "other.png")
    number, source = added(editor, "AstriaOutpaintCanvas"), editor.add("LoadImage")
    script = "([id, to]) => app.graph.getNodeById(id).connect(0, app.graph.getNodeById(to), 0)"
    editor.page.evaluate(script, [source, number])
    for name, size in ((BLUE, "300x100"), ("other.png", "200x160")):
        show_picture(editor, source, name)
        expect(picture(editor)).to_have_attribute("aria-label", re.compile(f"source {size}$"))


def test_people_are_drawn_in_columns(editor: Editor) -> None:
    number = added(editor, "AstriaRegions")
    for name, value in (("persons", 4), ("width", 800), ("height", 400)):
        choose(editor, number, name, value)
    eventually(
        lambda: len(
            set(pixels(editor, 800, 400, [(100 + 200 * column, 340) for column in range(4)]))
        ),
        4,
    )


def opened(editor: Editor, graph: dict[str, Any], number: int) -> None:
    """Open a graph in API form, with one of its nodes where it is seen, and large."""
    editor.load_api(graph)
    editor.page.evaluate("id => app.graph.getNodeById(id).setSize([400, 600])", number)
    look_at(editor, number)


def run(editor: Editor) -> None:
    editor.page.evaluate("() => app.queuePrompt(0)")


# Ids of their own: the editor shows a node's pictures in the next one of the same id, too. Of the
# editor's two kinds of nodes each gets a graph that has not run yet: what is cached is told once
# only.
def test_a_source_that_no_node_shows_is_drawn_as_the_last_run_had_it(editor: Editor) -> None:
    graph = {
        "51": node("EmptyImage", width=300, height=100, batch_size=1, color=int(editor.is_vue)),
        "53": node("PreviewImage", images=["52", 0]),
    }
    graph["52"] = node(
        "AstriaOutpaintCanvas",
        image=["51", 0],
        anchor="center",
        width=800,
        height=600,
        smaller="crop",
    )
    opened(editor, graph, 52)
    expect(picture(editor)).to_have_attribute(
        "aria-label", re.compile("800x600, source size known after a run$")
    )
    run(editor)
    expect(picture(editor)).to_have_attribute("aria-label", re.compile("800x600, source 300x100$"))
    window = place(300, 100, 800, 600, "center").window
    inside = [
        (window.x + 12, window.y + 12),
        (window.x + window.width - 12, window.y + window.height - 12),
    ]
    outside = [
        (window.x - 12, window.y + 12),
        (window.x + 12, window.y - 12),
        (window.x + 60, window.y + window.height + 12),
    ]
    eventually(lambda: blue(editor, 800, 600, [*inside, *outside]), [True] * 2 + [False] * 3)
    editor.page.evaluate("() => app.extensionManager.command.execute('Comfy.NewBlankWorkflow')")
    expect(picture(editor)).to_have_count(0)
    editor.page.evaluate(
        "() => app.extensionManager.command.execute('Workspace.PreviousOpenedWorkflow')"
    )
    expect(picture(editor)).to_have_attribute("aria-label", re.compile("800x600, source 300x100$"))
    editor.page.evaluate("() => app.graph.getNodeById(52).disconnectInput(0)")
    expect(picture(editor)).to_have_attribute(
        "aria-label", re.compile("source size known after a run$")
    )


def test_people_are_drawn_where_the_last_run_had_them(editor: Editor, host: LiveHost) -> None:
    """One stands at the left, from top to bottom, the other in the lower right quarter."""
    for name, spot in (("one", (0, 0, 80, 200)), ("two", (200, 100, 400, 200))):
        mask = Image.new("RGB", (400, 200), (0, int(editor.is_vue), 0))
        mask.paste("white", spot)
        mask.save(host.base / "input" / f"person_{name}.png")
    graph = {
        "61": node("LoadImage", image="person_one.png"),
        "62": node("LoadImage", image="person_two.png"),
        "63": node("ImageBatch", image1=["61", 0], image2=["62", 0]),
        "64": node("ImageToMask", image=["63", 0], channel="red"),
        "65": node(
            "AstriaRegions", persons=2, width=800, height=400, softness_px=0, masks=["64", 0]
        ),
        "66": node("PreviewImage", images=["65", 4]),
    }
    opened(editor, graph, 65)
    expect(picture(editor)).to_have_attribute(
        "aria-label", re.compile("800x400, by masks, known after a run$")
    )
    # Two of each person, two of the scene.
    places = [(50, 60), (110, 340), (450, 240), (750, 360), (280, 200), (560, 80)]
    eventually(lambda: len(set(pixels(editor, 800, 400, places))), 1)
    run(editor)
    expect(picture(editor)).to_have_attribute(
        "aria-label", re.compile("800x400, 2 people by masks, in the last run$")
    )
    eventually(lambda: len(set(pixels(editor, 800, 400, places))), 3)
    first, same, second, also, scene, rest = pixels(editor, 800, 400, places)
    assert (same, also, rest) == (first, second, scene)
    editor.page.evaluate(
        "() => { const node = app.graph.getNodeById(65);"
        " node.disconnectInput(node.findInputSlot('masks')); }"
    )
    expect(picture(editor)).to_have_attribute("aria-label", re.compile("2 people in columns$"))


def test_enlarging_a_node_brings_its_picture_back(editor: Editor) -> None:
    for kind in DRAWING:
        editor.clear()
        number = added(editor, kind)
        expect(picture(editor)).to_be_visible()
        for more, is_shown in ((70, False), (230, True), (70, False)):
            editor.page.evaluate(
                "([id, more]) => { const node = app.graph.getNodeById(id);"
                " node.setSize([360, node.computeSize()[1] + more]); }",
                [number, more],
            )
            expect(picture(editor)).to_be_visible(visible=is_shown)


@pytest.mark.parametrize("kind", DRAWING)
def test_a_picture_is_not_saved_and_leaves_a_saved_node_its_size(editor: Editor, kind: str) -> None:
    number = added(editor, kind)
    names = editor.page.evaluate("id => app.graph.getNodeById(id).widgets.map(w => w.name)", number)
    saved = editor.saved()
    assert names[-1] == "placement"
    assert len(saved["nodes"][0]["widgets_values"]) == len(names) - 1
    assert "placement" not in editor.prompt()[str(number)]["inputs"]
    least = editor.page.evaluate(
        "id => Math.ceil(app.graph.getNodeById(id).computeSize()[1])", number
    )
    for size, is_shown in (([320, least + 85], False), ([320, least + 230], True)):
        saved["nodes"][0]["size"] = size
        editor.clear()
        editor.load(saved)
        editor.frames(8)
        assert editor.saved()["nodes"][0]["size"] == size
        expect(picture(editor)).to_be_visible(visible=is_shown)
