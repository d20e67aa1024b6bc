"""The prompt editor in the real editor, with both ways of drawing nodes."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Any

import pytest
from comfyui_astria.tests.host.fixtures import LiveHost
from comfyui_astria.tests.prompt.seed_prompts import FILM_NOIR
from comfyui_astria.tests.web.browser import Editor
from playwright.sync_api import Locator, expect

KINDS = ("AstriaPrompt", "AstriaGenerate", "AstriaExplain", "AstriaCompile")
PROMPT = "a 😀 cat <lora:1533312:0.5> --outpaint topleft BREAK x\nw=64"


class PromptBox:
    """The one prompt editor on the screen."""

    def __init__(self, editor: Editor, kind: str = "AstriaPrompt") -> None:
        self.editor = editor
        self.page = editor.page
        self.number = editor.add(kind)
        script = "id => { const n = app.graph.getNodeById(id); n.pos = [120, 90]; n.setSize([620, Math.max(520, n.size[1])]); }"
        self.page.evaluate(script, self.number)
        editor.frames(3)

    @property
    def text_area(self) -> Locator:
        return self.page.locator(".astria-prompt .cm-content")

    @property
    def status(self) -> Locator:
        return self.page.locator(".astria-prompt [role=status]")

    @property
    def options(self) -> Locator:
        return self.page.locator(".cm-tooltip-autocomplete li")

    def value(self) -> Any:
        return self.page.evaluate("id => app.graph.getNodeById(id).widgets.find(w => w.name === 'text').value", self.number)

    def set(self, text: Any) -> None:
        self.page.evaluate("([id, text]) => { app.graph.getNodeById(id).widgets.find(w => w.name === 'text').value = text; }", [self.number, text])

    def type(self, text: str) -> None:
        self.text_area.click()
        self.page.keyboard.type(text)

    def settle(self) -> None:
        """Wait as a person would: a list that has just come up takes no key for a moment."""
        self.page.wait_for_timeout(120)

    def painted(self, kind: str) -> list[str]:
        return self.page.locator(f".astria-prompt .astria-{kind}").all_inner_texts()


@pytest.fixture
def box(editor: Editor) -> PromptBox:
    return PromptBox(editor)


@pytest.fixture
def lora(host: LiveHost) -> Iterator[str]:
    path = host.loras / "editor_browser_test.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    yield path.stem
    path.unlink()


def test_typing_paints_each_construct(box: PromptBox) -> None:
    box.type(PROMPT.replace("\n", " "))
    box.page.keyboard.press("Escape")
    expect(box.page.locator(".astria-flag-name")).to_have_text("--outpaint")
    box.set(PROMPT)
    expect(box.page.locator(".astria-key")).to_have_text("w")
    found = {kind: box.painted(kind) for kind in ("tag-kind", "tag-name", "tag-number", "flag-value", "break", "param-value")}
    assert found == {"tag-kind": ["lora"], "tag-name": ["1533312"], "tag-number": ["0.5"], "flag-value": ["topleft"], "break": ["BREAK"],
                     "param-value": ["64"]}
    colours = box.page.evaluate("""() => ['flag-name', 'flag-value', 'tag-kind', 'tag-name', 'break', 'key']
        .map(kind => getComputedStyle(document.querySelector('.astria-' + kind)).color)""")
    assert len({*colours, box.text_area.evaluate("e => getComputedStyle(e).color")}) >= 6


def test_people_have_colours_of_their_own(box: PromptBox) -> None:
    box.set(FILM_NOIR)
    expect(box.page.locator(".astria-person-1").first).to_be_visible()
    tints = [box.page.locator(f".astria-person-{number}").first.evaluate("e => getComputedStyle(e).backgroundColor") for number in (0, 1)]
    assert len(set(tints)) == 2
    assert "ohwx woman" in "".join(box.painted("person-0"))


def test_an_error_has_a_squiggle_its_message_and_is_read_aloud(box: PromptBox) -> None:
    box.set("a 😀 cat --outpaint topleft --outpaint_width 800 --outpaint_height 640")
    squiggle = box.page.locator(".cm-lintRange-error", has_text="topleft").first
    expect(squiggle).to_be_visible()
    expect(box.status).to_contain_text("Line 1, column 20: --outpaint")
    expect(box.status).to_contain_text("Did you mean top-left?")
    assert box.status.get_attribute("aria-live") == "polite"
    assert box.status.get_attribute("id") in box.text_area.get_attribute("aria-describedby").split()
    assert (box.text_area.get_attribute("role"), box.text_area.get_attribute("aria-label")) == ("textbox", "Prompt")
    box.page.locator(".astria-flag-value").first.hover()
    tooltip = box.page.locator(".cm-tooltip-hover")
    expect(tooltip).to_contain_text("Did you mean top-left?")
    expect(tooltip).to_contain_text("where the source image sits on the new canvas")
    box.page.mouse.move(2, 2)
    box.set("a cat")
    expect(box.page.locator(".cm-lintRange-error")).to_have_count(0)
    expect(box.status).to_have_text("")


def test_clicking_the_message_leads_to_its_place(box: PromptBox) -> None:
    box.set("a cat " * 80 + "--outpaint topleft")
    expect(box.status).to_contain_text("error")
    box.status.click()
    assert box.page.evaluate("() => document.querySelector('.cm-content').contains(document.activeElement)")
    box.page.keyboard.type("!")
    assert "!" in box.value()[len("a cat ") * 80 :]


def test_completion_inserts_flags_values_and_names(box: PromptBox, lora: str) -> None:
    box.type("a cat --outpai")
    expect(box.options.first).to_contain_text("--outpaint")
    box.settle()
    box.page.keyboard.press("Tab")
    expect(box.options.first).to_have_text("top-left")
    box.settle()
    box.page.keyboard.press("ArrowDown")
    box.page.keyboard.press("Enter")
    assert box.value() == "a cat --outpaint top-center"
    box.page.keyboard.type(" <lora:brow")
    expect(box.options.first).to_contain_text(lora)
    box.options.first.click()
    assert box.value() == f"a cat --outpaint top-center <lora:{lora}:1.0>"
    box.page.keyboard.press("Escape")
    box.page.keyboard.type(" --outpaint_width 64\n")
    assert box.value().endswith("--outpaint_width 64\n"), "an Enter with nothing to choose is a new line"


def test_a_word_written_in_full_needs_no_choice(box: PromptBox) -> None:
    box.set("w=64\n")
    box.text_area.click()
    box.page.keyboard.press("Control+End")
    box.page.keyboard.type("face_swap=tru")
    expect(box.options.first).to_have_text("true")
    box.page.keyboard.type("e")
    expect(box.options).to_have_count(0)
    box.page.keyboard.press("Enter")
    assert box.value() == "w=64\nface_swap=true\n"


def test_undo_takes_back_text_and_not_the_node(box: PromptBox) -> None:
    box.type("one")
    box.page.wait_for_timeout(700)  # a pause ends a step of undo
    box.page.keyboard.type(" two")
    box.page.keyboard.press("Control+z")
    box.editor.frames(3)
    assert box.value() == "one"
    box.page.keyboard.press("Control+y")
    box.editor.frames(3)
    assert box.value() == "one two"
    for _ in range(3):
        box.page.keyboard.press("Control+z")
        box.editor.frames(3)
    assert box.page.evaluate("() => app.graph._nodes.length") == 1


def test_a_text_set_by_the_graph_is_no_step_of_undo(box: PromptBox) -> None:
    box.set("loaded")
    box.text_area.click()
    box.page.keyboard.press("Control+z")
    box.editor.frames(3)
    assert box.value() == "loaded"


def test_paste_copy_and_cut_are_of_text(box: PromptBox) -> None:
    box.type("one two")
    box.page.keyboard.press("Control+a")
    box.page.keyboard.press("Control+c")
    box.page.keyboard.press("ArrowRight")
    box.page.keyboard.press("Control+v")
    assert box.value() == "one twoone two"
    box.page.keyboard.press("Control+a")
    box.page.keyboard.press("Control+x")
    assert box.value() == ""
    box.page.keyboard.press("Control+c")
    box.page.keyboard.press("Control+v")
    box.editor.frames(3)
    assert box.page.evaluate("() => app.graph._nodes.length") == 1, "no node was pasted"


def test_keys_of_text_reach_no_shortcut_and_ctrl_enter_queues(box: PromptBox) -> None:
    box.type("a cat")
    box.page.evaluate("() => { window.queued = 0; api_ = app.queuePrompt; app.queuePrompt = (...given) => { window.queued++; }; }")
    try:
        for key in ("Delete", "Backspace", "r", "q", "w"):
            box.page.keyboard.press(key)
        assert box.value() == "a carqw"
        box.page.keyboard.press("Control+Enter")
        box.page.wait_for_function("() => window.queued === 1")
        assert box.value() == "a carqw"
    finally:
        box.page.evaluate("() => { app.queuePrompt = api_; }")
    assert box.page.evaluate("() => app.graph._nodes.length") == 1


@pytest.mark.parametrize(("text", "place", "keys", "expected"), [
    ("a red cat", 4, ["Up"], "a (red:1.05) cat"), ("a (red:1.05) cat", 5, ["Down"], "a red cat"), ("a red cat", 3, ["Up", "Up", "Down"], "a (red:1.05) cat"),
    ("a (red cat:0.9) b", 6, ["Down"], "a (red cat:0.85) b"), ("a (red (cat)) b", 9, ["Up"], "a (red (cat:1.05)) b"),
])
def test_weights_change_as_in_the_stock_text_box(box: PromptBox, text: str, place: int, keys: list[str], expected: str) -> None:
    """The same keys in one of the host's own text boxes give the same text."""
    box.set(text)
    stock = "text => Object.assign(document.body.appendChild(document.createElement('textarea')), { id: 'stock-box', value: text }).focus()"
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
    assert box.page.evaluate("() => { const b = document.getElementById('stock-box'); b.remove(); return b.value; }") == expected
    assert box.value() == expected


@pytest.mark.parametrize("scale", [0.8, 1.6])
def test_a_click_lands_where_it_points_on_a_scaled_canvas(box: PromptBox, scale: float) -> None:
    box.set("first line\nsecond wordhere line\nthird line")
    box.page.evaluate("scale => { app.canvas.ds.scale = scale; app.graph.setDirtyCanvas(true, true); }", scale)
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
    assert box.value() == "first line\nsecond word!here line\nthird line"


def test_the_wheel_scrolls_a_long_prompt_and_zooms_elsewhere(box: PromptBox) -> None:
    box.set("line\n" * 200)
    box.text_area.click()
    scroller = box.page.locator(".astria-prompt .cm-scroller")
    scroller.hover()
    before = box.page.evaluate("() => app.canvas.ds.scale")
    box.page.mouse.wheel(0, 300)
    box.page.wait_for_function("() => document.querySelector('.astria-prompt .cm-scroller').scrollTop > 100")
    assert box.page.evaluate("() => app.canvas.ds.scale") == before
    box.page.keyboard.down("Control")
    box.page.mouse.wheel(0, -300)
    box.page.keyboard.up("Control")
    box.page.wait_for_function("before => app.canvas.ds.scale > before", arg=before)


def test_composed_text_arrives(box: PromptBox) -> None:
    box.type("a ")
    session = box.page.context.new_cdp_session(box.page)
    for text in ("k", "ka", "か"):
        session.send("Input.imeSetComposition", {"text": text, "selectionStart": len(text), "selectionEnd": len(text)})
        box.page.wait_for_timeout(60)
    session.send("Input.insertText", {"text": "か"})
    box.page.keyboard.type(" --multi")
    assert box.value() == "a か --multi"
    expect(box.page.locator(".astria-idle")).to_have_text("--multi")


@pytest.mark.parametrize("text", [PROMPT, "{a|b} // c /* d */ \\{e\\}", "one\r\ntwo\rthree\n", " \ttrailing  \n\n", ""])
def test_a_text_comes_back_to_the_letter(box: PromptBox, text: str) -> None:
    box.set(text)
    saved = box.editor.saved()
    assert saved["nodes"][0]["widgets_values"] == [text]
    assert box.editor.prompt()[str(box.number)]["inputs"]["text"] == text
    box.editor.clear()
    box.editor.load(saved)
    assert box.editor.saved()["nodes"] == saved["nodes"]
    assert box.editor.prompt()[str(box.number)]["inputs"]["text"] == text
    expect(box.text_area).to_have_count(1)


@pytest.mark.parametrize("kind", KINDS)
def test_every_node_with_a_prompt_has_the_editor(editor: Editor, kind: str) -> None:
    box = PromptBox(editor, kind)
    box.type("{x} --multi")
    expect(box.page.locator(".astria-idle")).to_have_text("--multi")
    assert editor.prompt()[str(box.number)]["inputs"]["text"] == "{x} --multi"
    assert editor.complaints == []


def test_a_linked_text_cannot_be_edited_here(box: PromptBox) -> None:
    script = """id => {
        const source = LiteGraph.createNode('PrimitiveStringMultiline');
        app.graph.add(source);
        const node = app.graph.getNodeById(id);
        source.connect(0, node, node.inputs.findIndex(input => input.name === 'text'));
    }"""
    box.page.evaluate(script, box.number)
    box.editor.frames(3)
    assert box.page.locator(".astria-prompt").evaluate("e => e.inert")
    box.page.evaluate("id => app.graph.getNodeById(id).disconnectInput('text')", box.number)
    box.editor.frames(3)
    assert not box.page.locator(".astria-prompt").evaluate("e => e.inert")


def test_a_node_that_was_removed_and_put_back_is_edited_on(box: PromptBox) -> None:
    box.type("one")
    box.page.evaluate("id => { const n = app.graph.getNodeById(id); app.graph.remove(n); app.graph.add(n); }", box.number)
    box.editor.frames(4)
    box.number = box.page.evaluate("() => app.graph._nodes[0].id")
    box.text_area.click()
    box.page.keyboard.press("Control+End")
    box.page.keyboard.type(" two")
    assert box.value() == "one two"


def test_a_prompt_too_long_to_be_checked_says_so(box: PromptBox) -> None:
    box.set("word " * 250_000)
    expect(box.status).to_contain_text("The prompt is not being checked: The request has more than 1048576 bytes")


def test_time_from_key_to_painted_text(box: PromptBox, record_property: Any) -> None:
    text = (FILM_NOIR.split("num_images")[0] * 4)[:1980]
    box.set(text + " --multi")
    expect(box.page.locator(".astria-idle")).to_have_text("--multi")
    box.text_area.click()
    box.page.keyboard.press("Control+End")
    script = """() => new Promise(done => {
        const content = document.querySelector('.cm-content');
        const started = performance.now();
        const isPainted = () => [...document.querySelectorAll('.astria-flag-name')].some(e => e.textContent === '--tiled_upscale');
        const look = () => isPainted() ? done(performance.now() - started) : requestAnimationFrame(look);
        document.execCommand('insertText', false, 'e');
        look();
    })"""
    times = []
    for _ in range(5):
        box.page.keyboard.type(" --tiled_upscal")
        box.page.keyboard.press("Escape")
        box.page.wait_for_timeout(100)
        times.append(box.page.evaluate(script))
        box.set(text + " --multi")
        box.page.keyboard.press("Control+End")
    record_property("key_to_paint_ms", round(statistics.median(times), 1))
    print(f"key press to painted text, {len(text)} characters: median {statistics.median(times):.0f} ms of {[round(one) for one in times]}")
