"""A person trained from the sidebar: agreed to, watched, stopped, gone on with, written down."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
from comfyui_astria.nodes.tunes.store import TuneStore
from comfyui_astria.tests.host.api_support import api_of, until
from comfyui_astria.tests.host.fixtures import LiveHost
from comfyui_astria.tests.host.tiny_lora import write_tiny_lora
from comfyui_astria.tests.testpack.face_models import astronaut, write_face_pack
from comfyui_astria.tests.web.browser import Editor, however_drawn
from comfyui_astria.tests.web.prompt_box import PromptBox
from comfyui_astria.tests.web.sidebar_support import Sidebar, jpeg, upload
from playwright.sync_api import Locator, expect

STEP = r"Step \d+ of 500, (how long is known after ten steps|about .+ left)\."


def photo(number: int) -> bytes:
    """One face, another file each time."""
    return jpeg(np.roll(astronaut(), 4 * number, axis=1))


def ask(sidebar: Sidebar, is_begun: Callable[[], bool]) -> None:
    """Fill in the dialog; nothing begins before the agreement is confirmed."""
    dialog = sidebar.dialog
    dialog.get_by_label("Title").fill("Anna")
    dialog.get_by_label("Who it is").fill("woman")
    expect(dialog.get_by_label("Preset")).to_be_hidden()
    dialog.get_by_role("radio", name="Train").check()
    expect(dialog.get_by_label("Base")).to_have_value("690204")
    expect(dialog.get_by_label("Preset")).to_have_value("sd15")
    expect(dialog.get_by_label("Smallest face")).to_be_hidden()
    photos = dialog.locator("input[type=file]")
    photos.set_input_files([upload(f"{one}.jpg", photo(one)) for one in range(4)])
    sidebar.answer("Create")
    expect(dialog.get_by_role("alert")).to_contain_text("Nobody has confirmed yet")
    assert not is_begun()
    dialog.get_by_role("checkbox").check()
    sidebar.answer("Create")
    expect(dialog).to_have_count(0)
    expect(sidebar.note).to_contain_text("is trained with 4 photos")


def lose_the_host(sidebar: Sidebar, line: Locator) -> None:
    """ComfyUI is away for a while, as when it is started again."""
    sidebar.page.route("**/astria/editor/tunes?*", lambda route: route.abort())
    expect(sidebar.error).not_to_be_empty()
    sidebar.page.unroute("**/astria/editor/tunes?*")
    expect(sidebar.error).to_be_empty()
    expect(line).to_have_text(re.compile(STEP))
    sidebar.editor.complaints.clear()


def stop_and_go_on(card: Locator) -> None:
    card.get_by_role("button", name="Stop the training of Anna").click()
    expect(card).to_contain_text("It was stopped.")
    card.get_by_role("button", name="Go on with the training of Anna").click()
    expect(card.get_by_role("button", name="Stop the training of Anna")).to_be_visible()
    card.get_by_role("button", name="Stop the training of Anna").click()
    expect(card).to_contain_text("It was stopped.")


@however_drawn
def test_a_person_is_trained_from_the_sidebar(
    editor: Editor, store: TuneStore, host: LiveHost
) -> None:
    api_of(host)
    write_face_pack(host.base / "models" / "insightface" / "models" / "sidebar_pack")
    with (host.state / "bindings.ini").open("a", encoding="utf-8") as bindings:
        bindings.write("\n[roles]\nface_analysis = sidebar_pack\n")
    agreed = host.state / "training" / "agreed.json"
    agreed.unlink(missing_ok=True)
    box = PromptBox(editor)
    box.type("portrait of ")
    sidebar = Sidebar(editor, "Tunes")
    sidebar.press("New tune")
    ask(sidebar, lambda: agreed.exists() or bool(store.list()))
    assert agreed.exists()
    [tune] = store.list()
    card = sidebar.cards.first
    line = card.locator(".astria-training .astria-quiet")
    expect(line).to_have_text(re.compile(STEP), timeout=60_000)
    expect(card.get_by_role("progressbar")).to_be_visible()
    lose_the_host(sidebar, line)
    sidebar.press("Delete Anna")
    expect(sidebar.dialog).to_contain_text("Its training ends.")
    sidebar.answer("Keep it")
    expect(card.get_by_role("img", name="Newest sample of Anna")).to_be_visible(timeout=60_000)
    stop_and_go_on(card)
    # As its last node notes it, some 500 steps later.
    write_tiny_lora(host.loras, "sd15", f"astria/tune-{tune.id}.safetensors")
    store.trained(tune.id, f"astria/tune-{tune.id}.safetensors", "lora")
    sidebar = Sidebar(editor, "Tunes")
    sidebar.press(f"Insert <lora:{tune.id}:1.0>")
    box.holds(f"portrait of <lora:{tune.id}:1.0>")
    sidebar.press("Delete Anna")
    expect(sidebar.dialog).to_contain_text("belongs to it, and is deleted as well")
    sidebar.answer("Delete")
    expect(sidebar.note).to_contain_text("are deleted")
    until(lambda: not (host.state / "training" / str(tune.id)).exists())
    assert not (host.loras / "astria" / f"tune-{tune.id}.safetensors").exists()
    agreed.unlink()
    assert editor.complaints == []


@however_drawn
def test_a_file_that_is_no_picture_is_called_by_its_name(editor: Editor, store: TuneStore) -> None:
    sidebar = Sidebar(editor, "Tunes")
    sidebar.press("New tune")
    sidebar.dialog.get_by_label("Title").fill("Anna")
    sidebar.dialog.locator("input[type=file]").set_input_files([upload("holiday.jpg", b"hello")])
    sidebar.answer("Create")
    alert = sidebar.dialog.get_by_role("alert")
    expect(alert).to_contain_text("photo 'holiday.jpg' is refused")
    expect(alert).not_to_contain_text("68 65")
