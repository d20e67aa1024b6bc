"""The prompt editor behaves as the stock text box.

Undo, clipboard, shortcuts, weights, zoom, wheel, input methods.
"""

from __future__ import annotations

import pytest
from comfyui_astria.tests.web.browser import Editor
from comfyui_astria.tests.web.prompt_box import PromptBox
from playwright.sync_api import expect


@pytest.fixture
def box(editor: Editor) -> PromptBox:
    return PromptBox(editor)


def test_undo_takes_back_text_and_not_the_node(box: PromptBox) -> None:
    box.type("one")
    box.page.wait_for_timeout(700)  # a pause ends a step of undo
    box.page.keyboard.type(" two")
    box.page.keyboard.press("Control+z")
    box.holds("one")
    box.page.keyboard.press("Control+y")
    box.holds("one two")
    for _ in range(3):
        box.page.keyboard.press("Control+z")
        box.editor.frames(3)
    assert box.page.evaluate("() => app.graph._nodes.length") == 1


def test_a_text_set_by_the_graph_is_no_step_of_undo(box: PromptBox) -> None:
    box.set("loaded")
    box.text_area.click()
    box.page.keyboard.press("Control+End")
    box.page.keyboard.press("Control+z")
    box.page.keyboard.type("!")
    box.holds("loaded!")


def test_paste_copy_and_cut_are_of_text(box: PromptBox) -> None:
    box.type("one two")
    box.page.keyboard.press("Control+a")
    box.page.keyboard.press("Control+c")
    box.page.keyboard.press("ArrowRight")
    box.page.keyboard.press("Control+v")
    box.holds("one twoone two")
    box.page.keyboard.press("Control+a")
    box.page.keyboard.press("Control+x")
    box.holds("")
    box.page.keyboard.press("Control+c")
    box.page.keyboard.press("Control+v")
    box.editor.frames(3)
    assert box.page.evaluate("() => app.graph._nodes.length") == 1, "no node was pasted"


def test_keys_of_text_reach_no_shortcut_and_ctrl_enter_queues(box: PromptBox) -> None:
    box.type("a cat")
    box.page.evaluate(
        "() => { window.queued = 0; api_ = app.queuePrompt; app.queuePrompt = (...given) => {"
        " window.queued++; }; }"
    )
    try:
        for key in ("Delete", "Backspace", "r", "q", "w"):
            box.page.keyboard.press(key)
        box.holds("a carqw")
        box.page.keyboard.press("Control+Enter")
        box.page.wait_for_function("() => window.queued === 1")
        assert box.value() == "a carqw"
    finally:
        box.page.evaluate("() => { app.queuePrompt = api_; }")
    assert box.page.evaluate("() => app.graph._nodes.length") == 1


def test_focus_comes_by_a_click_and_goes_by_tab_or_another_click(box: PromptBox) -> None:
    box.type("a cat")
    expect(box.text_area).to_be_focused()
    box.page.keyboard.press("Tab")
    expect(box.text_area).not_to_be_focused()
    box.text_area.click()
    expect(box.text_area).to_be_focused()
    box.page.mouse.click(1000, 700)
    expect(box.text_area).not_to_be_focused()
    box.page.keyboard.type("x")
    box.editor.frames(3)
    assert box.value() == "a cat"


@pytest.mark.parametrize(
    ("text", "place", "keys", "expected"),
    [
        ("a red cat", 4, ["Up"], "a (red:1.05) cat"),
        ("a (red:1.05) cat", 5, ["Down"], "a red cat"),
        ("a red cat", 3, ["Up", "Up", "Down"], "a (red:1.05) cat"),
        ("a (red cat:0.9) b", 6, ["Down"], "a (red cat:0.85) b"),
        ("a (red (cat)) b", 9, ["Up"], "a (red (cat:1.05)) b"),
    ],
)
def test_weights_change_as_in_the_stock_text_box(
    box: PromptBox, text: str, place: int, keys: list[str], expected: str
) -> None:
    """The same keys in one of the host's own text boxes give the same text."""
    box.set(text)
    stock = (
        "text => Object.assign(document.body.appendChild(document.createElement('textarea')), { id:"
        " 'stock-box', value: text }).focus()"
    )
    for content in (box.text_area, None):
        if content is None:
            box.page.evaluate(stock, text)
        else:
            content.click()
        box.page.keyboard.press("Control+Home")
        for _ in range(place):
            box.page.keyboard.press("ArrowRight")
        for key in keys:
            box.page.keyboard.press(f"Control+Arrow{key}")
    expect(box.page.locator("#stock-box")).to_have_value(expected)
    box.page.evaluate("() => document.getElementById('stock-box').remove()")
    box.holds(expected)


def test_the_same_keys_know_tags_numbers_and_choices(box: PromptBox) -> None:
    box.set("a <lora:x:1.0> cat --outpaint top-left\nw=512")
    box.text_area.click()
    box.page.keyboard.press("Control+Home")
    for _ in range(len("a <lora:x:1")):
        box.page.keyboard.press("ArrowRight")
    box.page.keyboard.press("Control+ArrowUp")
    box.page.keyboard.press("Control+ArrowUp")
    box.holds("a <lora:x:1.1> cat --outpaint top-left\nw=512")
    box.page.keyboard.press("Control+End")
    box.page.keyboard.press("Control+ArrowUp")
    box.holds("a <lora:x:1.1> cat --outpaint top-left\nw=520")
    box.page.keyboard.press("Control+z")
    box.holds("a <lora:x:1.1> cat --outpaint top-left\nw=512")
    box.page.keyboard.press("ArrowUp")
    box.page.keyboard.press("End")
    box.page.keyboard.press("Control+ArrowUp")
    box.holds("a <lora:x:1.1> cat --outpaint top-center\nw=512")


@pytest.mark.parametrize("scale", [0.8, 1.6])
def test_a_click_lands_where_it_points_on_a_scaled_canvas(box: PromptBox, scale: float) -> None:
    box.set("first line\nsecond wordhere line\nthird line")
    box.page.evaluate(
        "scale => { app.canvas.ds.scale = scale; app.graph.setDirtyCanvas(true, true); }", scale
    )
    box.editor.frames(6)
    line = box.page.locator(".astria-prompt .cm-line").nth(1)
    x, y = line.evaluate("""line => {
        const range = document.createRange();
        range.setStart(line.firstChild, 11);
        range.setEnd(line.firstChild, 11);
        const { left, top, height } = range.getBoundingClientRect();
        return [left, top + height / 2];
    }""")
    box.page.mouse.click(x + 1, y)
    box.page.keyboard.type("!")
    box.holds("first line\nsecond word!here line\nthird line")


def test_the_wheel_scrolls_a_long_prompt_and_zooms_elsewhere(box: PromptBox) -> None:
    box.set("line\n" * 200)
    box.text_area.click()
    scroller = box.page.locator(".astria-prompt .cm-scroller")
    scroller.hover()
    before = box.page.evaluate("() => app.canvas.ds.scale")
    box.page.mouse.wheel(0, 300)
    box.page.wait_for_function(
        "() => document.querySelector('.astria-prompt .cm-scroller').scrollTop > 100"
    )
    assert box.page.evaluate("() => app.canvas.ds.scale") == before
    box.page.keyboard.down("Control")
    box.page.mouse.wheel(0, -300)
    box.page.keyboard.up("Control")
    box.page.wait_for_function("before => app.canvas.ds.scale > before", arg=before)


def test_composed_text_arrives(box: PromptBox) -> None:
    box.type("a ")
    session = box.page.context.new_cdp_session(box.page)
    for text in ("k", "ka", "か"):
        session.send(
            "Input.imeSetComposition",
            {"text": text, "selectionStart": len(text), "selectionEnd": len(text)},
        )
        box.page.wait_for_timeout(60)
    session.send("Input.insertText", {"text": "か"})
    box.page.keyboard.type(" --multi")
    box.holds("a か --multi")
    expect(box.page.locator(".astria-idle")).to_have_text("--multi")
