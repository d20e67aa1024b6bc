"""The prompt editor in the real editor, with both ways of drawing nodes."""

from __future__ import annotations

import re
import statistics
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from comfyui_astria.nodes.tunes.store import TuneStore
from comfyui_astria.tests.host.fixtures import LiveHost
from comfyui_astria.tests.host.graphs import generate_graph, numbered
from comfyui_astria.tests.prompt.seed_prompts import FILM_NOIR
from comfyui_astria.tests.web.browser import Editor, eventually
from comfyui_astria.tests.web.prompt_box import PromptBox
from playwright.sync_api import Route, expect

KINDS = ("AstriaPrompt", "AstriaGenerate", "AstriaExplain", "AstriaCompile")
PAINTED = ("flag-name", "flag-value", "tag", "tag-kind", "tag-name", "tag-number", "break")
PAINTED += ("key", "param-value", "idle")
PROMPT = "a 😀 cat <lora:1533312:0.5> --outpaint topleft BREAK x\nw=64"


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
    painted = {
        "tag-kind": ["lora"],
        "tag-name": ["1533312"],
        "tag-number": ["0.5"],
        "flag-value": ["topleft"],
        "break": ["BREAK"],
        "param-value": ["64"],
    }
    eventually(lambda: {kind: box.painted(kind) for kind in painted}, painted)
    colours = box.page.evaluate(
        """() => ['flag-name', 'flag-value', 'tag-kind', 'tag-name', 'break', 'key']
        .map(kind => getComputedStyle(document.querySelector('.astria-' + kind)).color)"""
    )
    assert len({*colours, box.text_area.evaluate("e => getComputedStyle(e).color")}) >= 6


@pytest.mark.parametrize("palette", ["light", "dark"])
def test_colours_are_readable_in_light_and_dark(box: PromptBox, palette: str) -> None:
    people = " ".join(f"BREAK --multi <lora:p{number}:1> x" for number in range(8))
    box.set(f"<faceid:7:0.5> --outpaint topleft <lora:x:1> {people}\nstyle=\nw=64\nx=1")
    expect(box.status).to_contain_text("error")
    expect(box.page.locator(".astria-person-5 .astria-tag-kind").first).to_be_visible()
    box.page.evaluate(
        "palette => app.extensionManager.setting.set('Comfy.ColorPalette', palette)", palette
    )
    try:
        eventually(lambda: min(box.contrasts(*PAINTED)) >= 4.5)
    finally:
        box.page.evaluate("() => app.extensionManager.setting.set('Comfy.ColorPalette', 'dark')")


def test_people_have_colours_of_their_own(box: PromptBox) -> None:
    box.set(FILM_NOIR)
    expect(box.page.locator(".astria-person-1").first).to_be_visible()
    tints = [
        box.page.locator(f".astria-person-{number}").first.evaluate(
            "e => getComputedStyle(e).backgroundColor"
        )
        for number in (0, 1)
    ]
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
    assert (box.text_area.get_attribute("role"), box.text_area.get_attribute("aria-label")) == (
        "textbox",
        "Prompt",
    )
    box.page.locator(".astria-flag-value").first.hover()
    tooltip = box.page.locator(".cm-tooltip-hover")
    expect(tooltip).to_contain_text("Did you mean top-left?")
    expect(tooltip).to_contain_text("where the source image sits on the new canvas")
    box.page.mouse.move(2, 2)
    box.set("a cat")
    expect(box.page.locator(".cm-lintRange-error")).to_have_count(0)
    expect(box.status).to_have_text("")


def test_what_can_be_mended_is_by_a_key_or_a_button_as_one_step(box: PromptBox) -> None:
    pasted = "a cat\nNegative prompt: dog\nSteps: 20, Seed: 7"
    own = "a cat\nnegative_prompt=dog\nseed=7\nsteps=20"
    box.set(pasted)
    expect(box.status).to_contain_text("settings of another program are read")
    box.text_area.click()
    box.page.keyboard.press("Control+.")
    box.holds(own)
    expect(box.status).to_be_empty()
    box.page.keyboard.press("Control+z")
    box.holds(pasted)
    expect(box.status).to_contain_text("settings of another program")
    box.page.locator(".astria-info").first.hover()
    box.page.locator(".cm-diagnosticAction").first.click()
    box.holds(own)


def test_clicking_the_message_leads_to_its_place(box: PromptBox) -> None:
    box.set("a cat " * 80 + "--outpaint topleft")
    expect(box.status).to_contain_text("error")
    box.status.click()
    expect(box.text_area).to_be_focused()
    box.page.keyboard.type("!")
    eventually(lambda: "!" in box.value()[len("a cat ") * 80 :])


def test_completion_inserts_flags_values_and_names(box: PromptBox, lora: str) -> None:
    box.type("a cat --outpai")
    expect(box.options.first).to_contain_text("--outpaint")
    box.settle()
    box.page.keyboard.press("Tab")
    expect(box.options.first).to_have_text("top-left")
    box.settle()
    box.page.keyboard.press("ArrowDown")
    box.page.keyboard.press("Enter")
    box.holds("a cat --outpaint top-center")
    box.page.keyboard.type(" <lora:brow")
    expect(box.options.first).to_contain_text(lora)
    box.options.first.click()
    box.holds(f"a cat --outpaint top-center <lora:{lora}:1.0>")
    box.page.keyboard.press("Escape")
    box.page.keyboard.type(" --outpaint_width 64\n")
    # An Enter with nothing to choose is a new line.
    eventually(lambda: box.value().endswith("--outpaint_width 64\n"))


def test_a_late_answer_to_an_earlier_text_takes_no_list_away(box: PromptBox) -> None:
    held: list[Route] = []

    def hold_the_first(route: Route) -> None:
        if held:
            route.continue_()
        held.append(route)

    box.page.route("**/astria/complete", hold_the_first)
    with box.page.expect_request("**/astria/complete"):
        box.type("a cat")  # nothing fits there
    box.page.keyboard.type(" --outpai")
    box.page.wait_for_timeout(300)  # the pause after which the editor asks
    held[0].continue_()
    expect(box.options.first).to_contain_text("--outpaint")
    box.page.unroute("**/astria/complete")


def test_errors_stay_visible_beside_the_list(box: PromptBox) -> None:
    box.type("a --outpaint topleft --outpaint_width 64 --outpai")
    expect(box.options.first).to_be_visible()
    expect(box.page.locator(".cm-lintRange-error", has_text="topleft").first).to_be_visible()
    expect(box.status).to_contain_text("Did you mean top-left?")
    expect(box.options.first).to_be_visible()


@pytest.mark.parametrize(("text", "lefts"), [("a cat", 1), ("a cat\nw=512", 2)])
def test_a_list_comes_up_wherever_a_person_asks(box: PromptBox, text: str, lefts: int) -> None:
    box.set(text)
    box.text_area.click()
    box.page.keyboard.press("Control+End")
    for _ in range(lefts):
        box.page.keyboard.press("ArrowLeft")
    box.page.keyboard.press("Control+Space")
    expect(box.options.first).to_be_visible()
    box.settle()
    box.page.keyboard.press("Enter")
    eventually(lambda: box.value().startswith(text) and len(box.value()) > len(text))


def test_an_option_taken_inside_a_word_replaces_the_word(box: PromptBox) -> None:
    box.set("a --outpaint top-left x")
    box.text_area.click()
    box.page.keyboard.press("Control+Home")
    for _ in range(len("a --outpaint top")):
        box.page.keyboard.press("ArrowRight")
    box.page.keyboard.press("Control+Space")
    expect(box.options).to_have_count(3)
    box.options.nth(2).click()
    box.holds("a --outpaint top-right x")


def test_a_word_written_in_full_needs_no_choice(box: PromptBox) -> None:
    box.set("w=64\n")
    box.text_area.click()
    box.page.keyboard.press("Control+End")
    box.page.keyboard.type("face_swap=tru")
    expect(box.options.first).to_have_text("true")
    box.page.keyboard.type("e")
    expect(box.options).to_have_count(0)
    box.page.keyboard.press("Enter")
    box.holds("w=64\nface_swap=true\n")


@pytest.mark.parametrize(
    "text", [PROMPT, "{a|b} // c /* d */ \\{e\\}", "one\r\ntwo\rthree\n", " \ttrailing  \n\n", ""]
)
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
    is_inert = "() => document.querySelector('.astria-prompt').inert"
    box.page.wait_for_function(is_inert)
    box.page.evaluate("id => app.graph.getNodeById(id).disconnectInput('text')", box.number)
    eventually(lambda: box.page.evaluate(is_inert), False)


def test_a_node_that_was_removed_and_put_back_is_edited_on(box: PromptBox) -> None:
    box.type("one")
    box.page.evaluate(
        "id => { const n = app.graph.getNodeById(id); app.graph.remove(n); app.graph.add(n); }",
        box.number,
    )
    box.editor.frames(4)
    box.number = box.page.evaluate("() => app.graph._nodes[0].id")
    box.text_area.click()
    box.page.keyboard.press("Control+End")
    box.page.keyboard.type(" two")
    box.holds("one two")


def test_a_prompt_too_long_to_be_checked_says_so(box: PromptBox) -> None:
    box.set("word " * 250_000)
    expect(box.status).to_contain_text(
        "The prompt is not being checked: The request has more than 1048576 bytes"
    )


def test_an_empty_prompt_asks_before_it_paints(editor: Editor) -> None:
    PromptBox(editor, "AstriaGenerate")
    queued = []
    editor.page.on("request", lambda one: queued.append(one.url) if one.method == "POST" else None)
    editor.page.evaluate("() => void app.queuePrompt(0)")
    dialog = editor.page.get_by_role("dialog")
    expect(dialog).to_contain_text("The prompt of Astria Generate is empty.")
    editor.page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    editor.frames(5)
    assert [url for url in queued if url.endswith("/prompt")] == []


def test_a_report_takes_no_room_of_the_prompt(editor: Editor, store: TuneStore) -> None:
    # Of the editor's two kinds of nodes each gets a run of its own: what is cached is told once.
    text = f"a {'hare' if editor.is_vue else 'fox'}\nw=64\nh=64\nsteps=1"
    editor.load_api(numbered(generate_graph(text), {"model": 1, "generate": 2, "save": 3}))
    box = PromptBox(editor, number=2)
    report = box.page.get_by_label("Report of the last run")
    expect(report).to_be_hidden()
    room = box.text_area.locator("xpath=ancestor::*[contains(@class, 'astria-prompt')][last()]")
    before = room.bounding_box()["height"]
    box.page.evaluate("() => app.queuePrompt(0)")
    expect(report).to_be_visible()
    expect(report).to_have_value(re.compile("stage base"))
    editor.settled(room)
    eventually(lambda: room.bounding_box()["height"] >= before - 2)
    assert report.bounding_box()["height"] >= 100


@pytest.mark.long  # a figure to read; test_typing_paints_each_construct has the painting itself
def test_time_from_key_to_painted_text(
    box: PromptBox, record_property: Any, capsys: pytest.CaptureFixture
) -> None:
    text = (FILM_NOIR.split("num_images")[0] * 5)[:1984]
    box.set(text + " --multi")
    expect(box.page.locator(".astria-idle")).to_have_text("--multi")
    box.text_area.click()
    box.page.keyboard.press("Control+End")
    script = """() => new Promise(done => {
        const content = document.querySelector('.cm-content');
        const started = performance.now();
        const isPainted = () => [...document.querySelectorAll('.astria-flag-name')]
            .some(e => e.textContent === '--tiled_upscale');
        const look = () => isPainted()
            ? done(performance.now() - started)
            : requestAnimationFrame(look);
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
    with capsys.disabled():
        sys.stdout.write(
            f"\nkey press to painted text, {len(text)} characters: median"
            f" {statistics.median(times):.0f} ms\n"
        )
