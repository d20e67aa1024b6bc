"""The screens of docs/gallery.md on which something is drawn by hand."""

from __future__ import annotations

import re

from comfyui_astria.tests.host.graphs import generate_graph, node, numbered
from comfyui_astria.tests.web.camera import Gallery
from playwright.sync_api import Locator, expect


def test_the_outpaint_picker(gallery: Gallery) -> None:
    # Ids of their own: the editor shows a node's pictures in the next one of the same id, too.
    graph = {
        "91": node("LoadImage", image="eileen.png"),
        "92": node(
            "AstriaOutpaintCanvas",
            image=["91", 0],
            width=1024,
            height=768,
            anchor="bottom-right",
            smaller="crop",
        ),
    }
    gallery.editor.load_api(graph)
    gallery.page.wait_for_function("() => app.graph.getNodeById(91).imgs?.[0]?.naturalWidth")
    gallery.place(91, 90, 140, 320, 420)
    gallery.place(92, 480, 140, 420, 560)
    canvas = gallery.page.locator("canvas[role=img]")
    canvas.hover()
    expect(canvas).to_be_visible()
    gallery.take("outpaint_picker", gallery.node(91), gallery.node(92))


def test_people_placed_by_hand(gallery: Gallery) -> None:
    boxes = "0.04 0.16 0.32 0.84 | 0.3 0.3 0.3 0.7 | 0.62 0.08 0.34 0.92"
    values = {"persons": 3, "width": 512, "height": 512, "softness_px": 40}
    names = "Anna | her daughter | Tom"
    graph = {
        "95": node("LoadImage", image="eileen.png"),
        "96": node("AstriaRegions", image=["95", 0], names=names, drawn_boxes=boxes, **values),
    }
    gallery.editor.load_api(graph)
    gallery.page.wait_for_function("() => app.graph.getNodeById(95).imgs?.[0]?.naturalWidth")
    gallery.place(95, 60, 140, 240, 340)
    gallery.place(96, 340, 140, 520, 800)
    canvas = gallery.page.locator("canvas[role=img]")
    shown = canvas.bounding_box()
    assert shown is not None
    gallery.page.mouse.click(shown["x"] + shown["width"] / 2, shown["y"] + 0.6 * shown["height"])
    expect(gallery.page.get_by_label("Name of the selected person")).to_have_value("her daughter")
    gallery.take("region_preview", gallery.node(96))


def test_masks_brushed_by_hand(gallery: Gallery) -> None:
    values = {"persons": 2, "width": 512, "height": 512, "softness_px": 24}
    graph = {
        "97": node("LoadImage", image="eileen.png"),
        "98": node("AstriaRegions", image=["97", 0], names="Eileen | shuttle", **values),
    }
    gallery.editor.load_api(graph)
    gallery.page.wait_for_function("() => app.graph.getNodeById(97).imgs?.[0]?.naturalWidth")
    gallery.place(97, 60, 140, 240, 340)
    gallery.place(98, 340, 140, 520, 800)
    page, canvas = gallery.page, gallery.page.locator("canvas[role=img]")
    canvas.focus()
    for key in ("PageDown", "b", "]", "]"):
        page.keyboard.press(key)
    paint(gallery, canvas, (0.44, 0.2), (0.44, 0.36), (0.3, 0.6), (0.3, 0.9), (0.6, 0.9))
    paint(gallery, canvas, (0.44, 0.5), (0.58, 0.62), (0.6, 0.8), (0.4, 0.75))
    for key in ("Escape", "PageDown", "b"):
        page.keyboard.press(key)
    paint(gallery, canvas, (0.79, 0.08), (0.8, 0.5), (0.74, 0.56), (0.87, 0.54))
    expect(page.get_by_label("Size of the brush")).to_be_visible()
    gallery.take("brushed_people", gallery.node(98))


def paint(gallery: Gallery, canvas: Locator, *places: tuple[float, float]) -> None:
    """Draw a line by the mouse, by places in parts of the square picture on a canvas."""
    shown = canvas.bounding_box()
    assert shown is not None
    side = min(shown["width"] - 16, shown["height"] - 30)
    left, top = shown["x"] + (shown["width"] - side) / 2, shown["y"] + 8
    for number, (across, down) in enumerate(places):
        gallery.page.mouse.move(left + across * side, top + down * side, steps=6)
        if number == 0:
            gallery.page.mouse.down()
    gallery.page.mouse.up()


def test_a_mask_before_a_run(gallery: Gallery) -> None:
    text = "an astronaut of porcelain, studio light\n--mask_prompt face --mask_dilate 3%"
    graph = generate_graph(text, image=["photo", 0], models=["bindings", 0])
    graph["photo"] = node("LoadImage", image="eileen.png")
    graph["segmenter"] = node("AstriaTestSegmenter")
    graph["bindings"] = node("AstriaModels", bindings="", segmenter=["segmenter", 0])
    numbers = {name: number for number, name in enumerate(graph, start=171)}
    gallery.editor.load_api(numbered(graph, numbers))
    number = numbers["generate"]
    gallery.place(number, 420, 130, 560, 420)
    for place, other in enumerate(("model", "photo", "bindings", "segmenter")):
        gallery.place(numbers[other], 100, 120 + 220 * place, 230, 180)
    gallery.place(numbers["save"], 1300, 120, 230, 200)
    gallery.node(number).get_by_role("button", name="Show the mask").click()
    shown = gallery.node(number).locator("img")
    expect(shown.first).to_be_visible()
    gallery.page.wait_for_function("() => [...document.images].every(one => one.complete)")
    gallery.take("mask", gallery.node(number))


def test_a_mask_is_drawn_over(gallery: Gallery) -> None:
    text = "an astronaut of porcelain, studio light\n--mask_prompt face --mask_dilate 3%"
    graph = generate_graph(text, image=["photo", 0], models=["bindings", 0])
    graph["photo"] = node("LoadImage", image="eileen.png")
    graph["segmenter"] = node("AstriaTestSegmenter")
    graph["bindings"] = node("AstriaModels", bindings="", segmenter=["segmenter", 0])
    numbers = {name: number for number, name in enumerate(graph, start=181)}
    gallery.editor.load_api(numbered(graph, numbers))
    gallery.place(numbers["generate"], 420, 130, 560, 420)
    for place, other in enumerate(("photo", "model", "bindings", "segmenter")):
        gallery.place(numbers[other], 100, 120 + 220 * place, 230, 180)
    shown = "id => app.graph.getNodeById(id).imgs?.[0]?.naturalWidth"
    gallery.page.wait_for_function(shown, arg=numbers["photo"])  # drawn only where it is seen
    gallery.node(numbers["generate"]).get_by_role("button", name="Draw on the mask").click()
    dialog = gallery.page.locator("dialog.astria-dialog")
    canvas = dialog.locator("canvas")
    expect(canvas).to_have_attribute("aria-label", re.compile("as found$"))
    paint(gallery, canvas, (0.3, 0.8), (0.45, 0.7), (0.58, 0.8))
    expect(canvas).to_have_attribute("aria-label", re.compile("drawn over$"))
    gallery.take("drawn_mask", dialog)
    for _ in range(2):  # puts the brush away, then closes the dialog
        gallery.page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
