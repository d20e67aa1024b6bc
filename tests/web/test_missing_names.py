"""What a prompt names and is not here: marked while it is typed, mended and bound by a click."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from comfyui_astria.nodes.tunes.store import TuneStore
from comfyui_astria.tests.host.fixtures import LiveHost
from comfyui_astria.tests.host.graphs import generate_graph, numbered
from comfyui_astria.tests.host.tiny_lora import write_tiny_lora
from comfyui_astria.tests.web.browser import Editor, eventually
from comfyui_astria.tests.web.prompt_box import PromptBox
from comfyui_astria.tests.web.sidebar_support import Sidebar
from playwright.sync_api import Locator, expect

SIZE = "w=64\nh=64\nsteps=1"
TINY = f"a cat\n{SIZE}"


@pytest.fixture
def box(editor: Editor, store: TuneStore) -> PromptBox:
    return PromptBox(editor)


@pytest.fixture
def loras(host: LiveHost) -> Iterator[None]:
    """A LoRA of each family."""
    names = [f"names_{family}.safetensors" for family in ("sd15", "sdxl")]
    for name in names:
        write_tiny_lora(host.loras, name.split("_")[1].partition(".")[0], name)
    yield
    for name in names:
        (host.loras / name).unlink()


def warned(box: PromptBox, text: str) -> Locator:
    return box.page.locator(".astria-prompt .cm-lintRange-warning", has_text=text).first


def act(box: PromptBox, name: str) -> None:
    """Press a button of the line below the text."""
    box.status.get_by_role("button", name=name).click()


def test_a_name_that_leads_nowhere_is_marked_and_corrected_by_a_click(
    box: PromptBox, loras: None
) -> None:
    box.type("a cat <lora:names_sd51:0.5> <faceid:77:1>")
    expect(warned(box, "names_sd51")).to_be_visible()
    expect(warned(box, "77")).to_be_visible()
    expect(box.status).to_contain_text("2 warnings")
    expect(box.status).to_contain_text("in the Astria sidebar")
    expect(box.status).not_to_contain_text("dev.py")
    act(box, "Write names_sd15")
    box.holds("a cat <lora:names_sd15:0.5> <faceid:77:1>")
    expect(box.status).to_contain_text("1 warning")


def test_what_was_meant_is_written_by_a_click(box: PromptBox) -> None:
    box.type("a --outpaint topleft --outpaint_width 64 --outpaint_height 64 ")
    act(box, "Write top-left")
    box.holds("a --outpaint top-left --outpaint_width 64 --outpaint_height 64 ")
    # More may be typed behind it, before that is checked.
    box.set("a --outpaint topleft ")
    expect(box.status.get_by_role("button", name="Write top-left")).to_be_visible()
    box.text_area.click()
    box.page.keyboard.press("Control+End")
    box.page.keyboard.type("--out")
    box.status.get_by_role("button", name="Write top-left").dispatch_event("click")
    box.holds("a --outpaint top-left --out")
    box.set("a cat\nNegative prompt: dog\nSteps: 20, Seed: 7")
    act(box, "Write as key=value")
    box.holds("a cat\nnegative_prompt=dog\nseed=7\nsteps=20")


def test_a_missing_name_is_bound_from_its_tag(box: PromptBox, loras: None, host: LiveHost) -> None:
    box.type("a cat <lora:8812345:0.5> ")
    act(box, "Bind 8812345")
    sidebar = box.page.locator("dialog.astria-dialog")
    expect(sidebar.get_by_label("Id or name")).to_have_value("8812345")
    sidebar.get_by_label("File", exact=True).select_option("names_sd15.safetensors")
    sidebar.get_by_role("button", name="Bind", exact=True).click()
    expect(sidebar).to_have_count(0)
    eventually(lambda: "8812345 = names_sd15" in (host.state / "bindings.ini").read_text())
    box.text_area.click()
    box.page.keyboard.type("x")
    expect(box.status).to_be_empty()


@pytest.fixture
def generate(editor: Editor, store: TuneStore) -> PromptBox:
    """A tiny model, Astria Generate and a node that saves."""
    editor.load_api(numbered(generate_graph(TINY), {"model": 1, "generate": 2, "save": 3}))
    return PromptBox(editor, number=2)


def test_an_error_of_a_run_opens_the_binding_that_it_asks_for(generate: PromptBox) -> None:
    box = generate
    box.set(f"{TINY}\nsuper_resolution=true")
    box.page.evaluate("() => app.queuePrompt(0)")
    alert = box.page.locator("textarea[role=alert]")
    expect(alert).to_have_value(re.compile("Connect upscale_model to this node, or"))
    expect(alert).to_have_value(re.compile("bind upscaler in the Astria sidebar"))
    expect(alert).not_to_have_value(re.compile("dev.py"))
    box.page.locator(".astria-bind-buttons button", has_text="Bind upscaler").click()
    dialog = box.page.locator("dialog.astria-dialog")
    expect(dialog.get_by_label("Role")).to_have_value("upscaler")
    box.page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)


def test_the_connected_model_decides_what_roles_and_loras_fit(
    generate: PromptBox, loras: None
) -> None:
    """Its family is known by its last run, where it comes from no file."""
    box = generate
    # Of the editor's two kinds of nodes each gets a run of its own: what is cached is told once.
    box.set(f"a {'hen' if box.editor.is_vue else 'dog'}\n{SIZE}")
    sidebar = Sidebar(box.editor, "Explain")
    box.text_area.click()
    state, report = (sidebar.shown.locator(f".astria-{part}") for part in ("state", "report"))
    expect(report).to_contain_text("cannot be read off its file before a run")
    expect(state).to_be_empty()
    box.page.evaluate("() => app.queuePrompt(0)")
    expect(state).to_have_text("It can run.")
    expect(report).to_contain_text("Model family: SD1.5")
    box.set(f"a cat <lora:names_sdxl:1>\n{SIZE}\nsuper_resolution=true")
    expect(warned(box, "names_sdxl")).to_be_visible()
    expect(warned(box, "super_resolution")).to_be_visible()
    expect(report).to_contain_text("Connect upscale_model to this node, or")
    expect(state).to_have_text("It cannot run yet.")
    sidebar.close()
    warned(box, "names_sdxl").hover()
    expect(box.page.locator(".cm-tooltip-hover")).to_contain_text("the model is SD1.5")


def test_explain_follows_the_node_that_is_selected(editor: Editor, store: TuneStore) -> None:
    first, second = PromptBox(editor), editor.add("AstriaPrompt")
    first.set("one cat")
    which = Sidebar(editor, "Explain").shown.locator(".astria-quiet")
    for number, title in ((second, "Second"), (first.number, "First")):
        editor.page.evaluate(
            "([id, title]) => { const node = app.graph.getNodeById(id); node.title = title;"
            " app.canvas.deselectAll(); app.canvas.select(node); }",
            [number, title],
        )
        expect(which.filter(has_text=title)).to_have_count(1)
