"""The pack's nodes in the real editor.

Each can be added and shows what its definition says; reports appear and are not saved.
"""

from __future__ import annotations

import pytest
from comfyui_astria.nodes.graph.definitions import NodeDefinition, snapshot
from comfyui_astria.tests.host.fixtures import LiveHost
from comfyui_astria.tests.host.graphs import (
    STEPS,
    generate_graph,
    node,
    numbered,
    upload_picture,
)
from comfyui_astria.tests.web.browser import Editor, eventually
from comfyui_astria.tests.web.placement import DRAWING
from playwright.sync_api import Locator, expect

NODES = sorted(name for name in snapshot() if name.startswith("Astria"))
REPORTING = {"AstriaPrompt", "AstriaGenerate", "AstriaModels", "AstriaExplain", "AstriaCompile"}
# The prompt's own box stands there without a name.
PROMPTING = {"AstriaPrompt", "AstriaGenerate", "AstriaExplain", "AstriaCompile"}
PROMPT = "a lighthouse --outpaint center --outpaint_width 800 --outpaint_height 640"


def expected_widgets(kind: str, definition: NodeDefinition) -> list[str]:
    names = []
    for entry in definition.inputs.values():
        if entry.is_widget:
            names += (
                [entry.name, "control_after_generate"]
                if entry.options.get("control_after_generate")
                else [entry.name]
            )
    return [
        *names,
        *(["report"] if kind in REPORTING else []),
        *(["placement"] if kind in DRAWING else []),
    ]


def test_the_pack_s_extension_loads_without_a_complaint(editor: Editor) -> None:
    assert editor.opening == []
    names = editor.page.evaluate(
        "() => app.extensions.map(e => e.name).filter(name => name.startsWith('astria.'))"
    )
    assert sorted(names) == [
        "astria.empty_prompt",
        "astria.previews",
        "astria.prompt_editor",
        "astria.report",
        "astria.run_errors",
        "astria.sidebar",
        "astria.template_link",
    ]


def test_the_editor_knows_every_node(editor: Editor) -> None:
    known = editor.page.evaluate("() => Object.keys(LiteGraph.registered_node_types)")
    assert (
        sorted(
            kind
            for kind in known
            if kind.startswith("Astria") and not kind.startswith("AstriaTest")
        )
        == NODES
    )


@pytest.mark.parametrize("kind", NODES)
def test_a_node_can_be_added(editor: Editor, kind: str) -> None:
    number = editor.add(kind)
    definition = snapshot()[kind]
    script = """id => {
        const node = app.graph.getNodeById(id);
        const widgets = node.widgets ?? [];
        const rare = widgets.filter(w => w.advanced || w.options?.advanced);
        return [node.title, widgets.map(w => w.name), rare.map(w => w.name)];
    }"""
    title, widgets, rare = editor.page.evaluate(script, number)
    assert title == definition.title
    assert widgets == expected_widgets(kind, definition)
    if editor.is_vue:
        drawn = editor.page.locator(f"[data-node-id='{number}']")
        # The node's inputs come after its title, one by one; an output may have the name of an
        # input. Rare ones are behind a button.
        unseen = {*rare, *(["text"] if kind in PROMPTING else [])}
        for name in (definition.title, *(one for one in definition.inputs if one not in unseen)):
            drawn.get_by_text(name, exact=True).first.wait_for()
        expect(drawn.locator(".astria-prompt")).to_have_count(int(kind in PROMPTING))
    assert editor.complaints == []
    assert editor.popups() == []


def explain(editor: Editor) -> int:
    """Add AstriaExplain with a prompt for a connected Flux model; return the node's id."""
    number = editor.add("AstriaExplain")
    script = """([id, text]) => {
        const node = app.graph.getNodeById(id);
        node.widgets.find(w => w.name === 'text').value = text;
        node.widgets.find(w => w.name === 'family').value = 'flux';
    }"""
    editor.page.evaluate(script, [number, PROMPT])
    editor.frames()
    return number


def report_box(editor: Editor) -> Locator:
    return editor.page.get_by_label("Report of the last run")


def shown_report(editor: Editor) -> str:
    """Run the graph and return the text of the one report box that is on the screen."""
    box = report_box(editor)
    editor.page.evaluate("() => app.queuePrompt(0)")
    expect(box).to_have_count(1)
    expect(box).not_to_have_value("")
    expect(box).to_be_visible()
    eventually(lambda: box.bounding_box()["height"] > 100)
    return box.input_value()


def test_a_report_is_shown_in_its_node(editor: Editor) -> None:
    explain(editor)
    report = shown_report(editor)
    assert report.startswith("Model family: Flux.1 dev")
    assert "800x640" in report
    # Long lines are not wrapped: its columns, and the carets of errors, keep their places.
    assert report_box(editor).evaluate("box => box.scrollWidth > box.clientWidth")


def test_what_nodes_of_an_expansion_tell_comes_after_the_report(
    editor: Editor, host: LiveHost
) -> None:
    upload_picture(host, 64, 48, "masked.png")
    graph = {
        **generate_graph(
            f"a cat --mask_prompt foreground\n{STEPS}",
            seed=43 + editor.is_vue,  # the same run again would come from the cache
            image=["photo", 0],
            models=["bundle", 0],
        ),
        "photo": node("LoadImage", image="masked.png"),
        "segmenter": node("AstriaTestSegmenter"),
        "bundle": node("AstriaModels", bindings="", segmenter=["segmenter", 0]),
    }
    numbers = {name: number for number, name in enumerate(graph, start=1)}
    editor.load_api(numbered(graph, numbers))
    editor.page.evaluate("() => app.queuePrompt(0)")
    shown = (
        "() => [...document.querySelectorAll('textarea[readonly]')].map(box => box.value).find(text"
        " => text.includes('the mask covers'))"
    )
    report = editor.page.wait_for_function(shown).json_value()
    assert report.startswith("scheduler = euler_a") and "stage base: inpaint" in report


def test_two_nodes_of_an_expansion_that_tell_the_same_are_heard_once(editor: Editor) -> None:
    number = editor.add("AstriaGenerate")
    script = """id => {
        const node = app.graph.getNodeById(id);
        node.onExecuted({ text: ["seed = 1"] });
        node.onExecuted({ astria_notes: ["LoRA 'a' fits 2 of 3\\none face"] });
        node.onExecuted({ astria_notes: ["LoRA 'a' fits 2 of 3"] });
        return node.widgets.find(widget => widget.name === "report").told.value;
    }"""
    told = "seed = 1\nLoRA 'a' fits 2 of 3\none face"
    assert editor.page.evaluate(script, number) == told


def test_a_node_without_a_report_warns_of_a_lora_that_fits_in_part(editor: Editor) -> None:
    number = editor.add("AstriaLoadLora")
    script = """([id, message]) => app.graph.getNodeById(id).onExecuted(message)"""
    editor.page.evaluate(script, [number, {"astria_notes": ["LoRA 'a' fits 3 of 3"]}])
    said = "LoRA 'a' at 1 on the whole model: fits 2 of 3 tensors. Left out: b (no such layer)."
    notes = {"astria_notes": [said], "astria_warnings": [said]}
    editor.page.evaluate(script, [number, notes])
    toast = editor.page.locator(".p-toast-message")
    expect(toast).to_have_count(1)
    expect(toast).to_contain_text(said)
    toast.get_by_role("button").click()


def test_a_report_stays_readable_in_the_smallest_node(editor: Editor) -> None:
    number = explain(editor)
    shown_report(editor)
    editor.page.evaluate(
        "id => { const n = app.graph.getNodeById(id); n.setSize(n.computeSize()); }", number
    )
    eventually(lambda: report_box(editor).bounding_box()["height"] > 100)


def test_a_report_is_neither_saved_nor_queued(editor: Editor) -> None:
    explain(editor)
    saved, queued = editor.saved(), editor.prompt()
    assert shown_report(editor)
    assert editor.saved()["nodes"] == saved["nodes"]
    assert editor.prompt() == queued
    assert saved["nodes"][0]["widgets_values"] == [PROMPT, "flux", "", "error", "crop", False]


def test_a_node_with_a_report_keeps_the_size_it_was_saved_with(editor: Editor) -> None:
    number = editor.add("AstriaPrompt")
    editor.page.evaluate("id => app.graph.getNodeById(id).setSize([520, 610])", number)
    editor.frames()
    saved = editor.saved()
    editor.clear()
    editor.load(saved)
    assert editor.saved()["nodes"][0]["size"] == [520, 610]


def test_reopening_a_workflow_leaves_the_report_empty(editor: Editor) -> None:
    explain(editor)
    shown_report(editor)
    saved = editor.saved()
    editor.clear()
    editor.load(saved)
    expect(report_box(editor)).to_have_count(1)
    expect(report_box(editor)).to_have_value("")


@pytest.mark.parametrize("kind", sorted(REPORTING))
def test_a_new_node_has_room_for_a_pasted_prompt_and_its_report(editor: Editor, kind: str) -> None:
    number = editor.add(kind)
    script = "id => { const n = app.graph.getNodeById(id); return n.size[1] - n.computeSize()[1]; }"
    assert editor.page.evaluate(script, number) >= 200
