"""The sidebar's lists in the real editor.

Bindings: what is missing, and what is bound by a person's hand. Tunes: a list read anew.
"""

from __future__ import annotations

import pytest
from comfyui_astria.nodes.tunes.bindings import load
from comfyui_astria.nodes.tunes.store import TuneStore
from comfyui_astria.tests.host.fixtures import LiveHost
from comfyui_astria.tests.web.browser import Editor, however_drawn
from comfyui_astria.tests.web.prompt_box import PromptBox
from comfyui_astria.tests.web.sidebar_support import Sidebar, add_tune, focus
from playwright.sync_api import expect


def test_a_missing_file_is_marked_and_another_chosen(
    editor: Editor, bindings: None, host: LiveHost
) -> None:
    sidebar = Sidebar(editor, "Bindings")
    gone = sidebar.cards.filter(has_text="1558021")
    expect(gone).to_contain_text("Missing. Put it into")
    expect(sidebar.cards.filter(has_text="1533312")).not_to_contain_text("Missing")
    expect(sidebar.shown).to_contain_text("2, 1 missing")
    sidebar.press("Change 1558021")
    expect(sidebar.dialog).to_contain_text(
        "the file 'sidebar_gone.safetensors' that LoRA 1558021 stands for was not found"
    )
    sidebar.dialog.get_by_label("Narrow the list of files").fill("other sidebar")
    expect(sidebar.dialog.get_by_label("File", exact=True).locator("option")).to_have_text(
        ["sidebar_other.safetensors"]
    )
    sidebar.answer("Bind")
    expect(sidebar.note).to_have_text("1558021 stands for sidebar_other.safetensors.")
    expect(gone).not_to_contain_text("Missing")
    assert load(host.state / "bindings.ini").tunes["1558021"] == "sidebar_other.safetensors"


def test_the_tag_of_a_bound_id_goes_into_the_prompt(editor: Editor, bindings: None) -> None:
    box = PromptBox(editor)
    sidebar = Sidebar(editor, "Bindings")
    sidebar.press("Insert <lora:1533312:1.0>")
    box.holds("<lora:1533312:1.0>")


@however_drawn
@pytest.mark.parametrize(
    ("fields", "file", "key"),
    [
        (
            {"What": "tune", "Id or name": "98765432"},
            "sidebar_test.safetensors",
            ("tunes", "98765432"),
        ),
        ({"What": "tune", "Id or name": "wife"}, "sidebar_test.safetensors", ("tunes", "wife")),
        (
            {"What": "role", "Role": "upscaler", "For": "sdxl"},
            "sidebar_up.pth",
            ("roles", "sdxl.upscaler"),
        ),
    ],
)
def test_binding_and_removing(
    editor: Editor,
    bindings: None,
    host: LiveHost,
    fields: dict[str, str],
    file: str,
    key: tuple[str, str],
) -> None:
    (host.base / "models" / "upscale_models").mkdir(parents=True, exist_ok=True)
    (host.base / "models" / "upscale_models" / "sidebar_up.pth").touch()
    sidebar = Sidebar(editor, "Bindings")
    sidebar.press("Bind a file")
    for label, value in fields.items():
        place = sidebar.dialog.get_by_label(label, exact=True)
        place.fill(value) if label == "Id or name" else place.select_option(value)
    sidebar.dialog.get_by_label("File", exact=True).select_option(file)
    sidebar.answer("Bind")
    expect(sidebar.dialog).to_have_count(0)
    section, name = key
    assert getattr(load(host.state / "bindings.ini"), section)[name] == file
    sidebar.press(f"Remove {name}")
    sidebar.answer("Remove")
    expect(sidebar.cards.filter(has_text=name)).to_have_count(0)
    assert name not in getattr(load(host.state / "bindings.ini"), section)


@however_drawn
def test_a_base_is_bound_and_made_the_default(
    editor: Editor, bindings: None, host: LiveHost
) -> None:
    path = host.base / "models" / "checkpoints" / "sidebar_base.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    sidebar = Sidebar(editor, "Bindings")
    sidebar.press("Bind a file")
    sidebar.dialog.get_by_label("What").select_option("base")
    sidebar.dialog.get_by_label("Id", exact=True).fill("690204")
    sidebar.dialog.get_by_label("File", exact=True).select_option("sidebar_base.safetensors")
    sidebar.answer("Bind")
    expect(sidebar.cards.filter(has_text="690204 family")).to_contain_text("sd15")
    sidebar.press("Bind a file")
    sidebar.dialog.get_by_label("What").select_option("default")
    sidebar.dialog.get_by_label("File", exact=True).select_option("690204")
    sidebar.answer("Bind")
    expect(sidebar.note).to_have_text("default stands for 690204.")
    found = load(host.state / "bindings.ini")
    assert (found.default_base, found.bases["690204"].checkpoint) == (
        "690204",
        "sidebar_base.safetensors",
    )


@however_drawn
def test_a_broken_bindings_file_is_told_in_the_panel(
    editor: Editor, bindings: None, host: LiveHost
) -> None:
    (host.state / "bindings.ini").write_text("[tunes]\nnonsense\n", encoding="utf-8")
    sidebar = Sidebar(editor, "Bindings")
    expect(sidebar.error).to_contain_text("line 2")
    assert editor.popups() == []


@however_drawn
def test_a_list_that_did_not_change_keeps_the_focus(editor: Editor, store: TuneStore) -> None:
    add_tune(store)
    sidebar = Sidebar(editor, "Tunes")
    expect(sidebar.cards).to_have_count(1)
    editor.page.wait_for_load_state("networkidle")
    sidebar.cards.first.get_by_role("button", name="Delete Anna").focus()
    with editor.page.expect_response(lambda answer: "/astria/editor/tunes?" in answer.url):
        sidebar.root.get_by_role("tab", name="Tunes").dispatch_event("click")
    add_tune(store, "Tom")
    with editor.page.expect_response(lambda answer: "/astria/editor/tunes?" in answer.url):
        focus(editor, "Delete Anna")
        sidebar.root.get_by_role("tab", name="Tunes").dispatch_event("click")
    expect(sidebar.cards).to_have_count(2)
