"""The sidebar in the real editor: tunes, bindings, and the plan of the prompt in hand."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import numpy as np
import pytest
from comfyui_astria.nodes.tunes.prompts import PromptStore
from comfyui_astria.nodes.tunes.store import TuneStore
from comfyui_astria.tests.host.api_support import api_of, png, until
from comfyui_astria.tests.host.fixtures import LiveHost
from comfyui_astria.tests.host.tiny_lora import write_tiny_lora
from comfyui_astria.tests.testpack.face_models import astronaut, write_face_pack
from comfyui_astria.tests.web.browser import Editor, eventually, however_drawn
from comfyui_astria.tests.web.prompt_box import PromptBox
from comfyui_astria.tests.web.sidebar_support import (
    DROP,
    Sidebar,
    add_tune,
    focus,
    jpeg,
    upload,
)
from playwright.sync_api import expect

SLOW = {"w": 128, "h": 128, "steps": 50, "num_images": 8}
BLUE = """image => {
    const pen = new OffscreenCanvas(1, 1).getContext('2d');
    pen.drawImage(image, 0, 0);
    return pen.getImageData(0, 0, 1, 1).data[2];
}"""


@pytest.fixture
def face_pack(store: TuneStore, host: LiveHost) -> None:
    write_face_pack(host.base / "models" / "insightface" / "models" / "sidebar_pack")
    (host.state / "bindings.ini").write_text(
        "[roles]\nface_analysis = sidebar_pack\n", encoding="utf-8"
    )


def drop(sidebar: Sidebar, selector: str, *files: tuple[str, str, bytes]) -> None:
    sent = [
        {"name": name, "mimeType": kind, "data": base64.b64encode(content).decode()}
        for name, kind, content in files
    ]
    sidebar.page.evaluate(DROP, [selector, sent])


def test_tunes_are_listed_newest_first_with_their_photos(editor: Editor, store: TuneStore) -> None:
    add_tune(store, "Anna", name="woman")
    lora = store.create(title="Noir", model_type="lora", file="noir.safetensors").id
    sidebar = Sidebar(editor, "Tunes")
    expect(sidebar.cards).to_have_count(2)
    expect(sidebar.cards.locator("strong")).to_have_text(["Noir", "Anna"])
    expect(sidebar.cards.nth(1)).to_contain_text("1 photo · ohwx woman")
    picture = sidebar.cards.nth(1).locator("img")
    sidebar.page.wait_for_function(
        "() => document.querySelector('img.astria-portrait')?.naturalWidth === 192"
    )
    assert picture.evaluate(BLUE) > 100
    expect(sidebar.cards.nth(0).get_by_role("button", name="Insert")).to_have_text(
        f"<lora:{lora}:1.0>"
    )
    assert (editor.complaints, editor.popups()) == ([], [])


@however_drawn
def test_searching_and_turning_pages(editor: Editor, store: TuneStore) -> None:
    for number in range(22):
        store.create(
            title=f"{'Red' if number in (7, 17) else 'Blue'} person {number}",
            model_type="lora",
            file="x.safetensors",
        )
    sidebar = Sidebar(editor, "Tunes")
    expect(sidebar.cards).to_have_count(20)
    expect(sidebar.shown).to_contain_text("1\u201320 of 22")
    sidebar.press("Older")
    expect(sidebar.cards).to_have_count(2)
    expect(sidebar.cards.last).to_contain_text("Blue person 0")
    sidebar.shown.get_by_label("Search tunes").fill("person red")
    expect(sidebar.cards.locator("strong")).to_have_text(["Red person 17", "Red person 7"])
    sidebar.shown.get_by_label("Search tunes").fill("nobody")
    expect(sidebar.shown.locator(".astria-empty")).to_have_text("No tune holds “nobody”.")


def test_a_tag_goes_where_the_cursor_was_and_can_be_undone(
    editor: Editor, store: TuneStore
) -> None:
    number = add_tune(store)
    box = PromptBox(editor)
    box.type("a photo of a woman, smiling")
    for _ in range(len(", smiling")):
        box.page.keyboard.press("ArrowLeft")
    sidebar = Sidebar(editor, "Tunes")
    sidebar.press("Insert")
    box.holds(f"a photo of a woman <faceid:{number}:1.0>, smiling")
    expect(sidebar.note).to_contain_text("is written into Astria Prompt")
    expect(box.text_area).to_be_focused()  # a person goes on typing
    box.page.keyboard.press("Control+z")
    box.holds("a photo of a woman, smiling")
    assert box.page.evaluate("() => app.graph._nodes.length") == 1


def test_a_tag_goes_into_the_editor_focused_last(editor: Editor, store: TuneStore) -> None:
    number = add_tune(store)
    sidebar = Sidebar(editor, "Tunes")
    sidebar.press("Insert")
    expect(sidebar.error).to_contain_text("No prompt is chosen.")
    first = PromptBox(editor)
    second = editor.add("AstriaExplain")
    editor.page.evaluate("id => { app.graph.getNodeById(id).pos = [900, 90]; }", second)
    editor.frames(4)
    sidebar.press("Insert")
    expect(sidebar.error).to_contain_text("No prompt is chosen.")
    editor.page.locator(".astria-prompt .cm-content").nth(1).click()
    sidebar.press("Insert")
    script = "id => app.graph.getNodeById(id).widgets.find(w => w.name === 'text').value"
    eventually(
        lambda: (editor.page.evaluate(script, second), first.value()),
        (f"<faceid:{number}:1.0>", ""),
    )


@however_drawn
def test_a_tune_is_made_from_chosen_photos(
    editor: Editor, store: TuneStore, face_pack: None
) -> None:
    sidebar = Sidebar(editor, "Tunes")
    expect(sidebar.shown.locator(".astria-empty")).to_contain_text("No tunes yet")
    sidebar.press("New tune")
    expect(sidebar.dialog).to_contain_text("The pack sidebar_pack looks at them.")
    sidebar.answer("Create")
    expect(sidebar.dialog.get_by_role("alert")).to_contain_text("The tune has no title.")
    sidebar.dialog.get_by_label("Title").fill("Eileen")
    sidebar.dialog.get_by_label("Who it is").fill("woman")
    photos = sidebar.dialog.locator("input[type=file]")
    photos.set_input_files(
        [
            upload("nobody.jpg", jpeg()),
            upload("eileen.jpg", jpeg(astronaut())),
            upload("notes.txt", b"x", "text/plain"),
        ]
    )
    expect(sidebar.dialog.locator(".astria-photos img")).to_have_count(2)
    expect(sidebar.dialog.get_by_role("alert")).to_contain_text(
        "notes.txt: expected JPEG, PNG or WebP."
    )
    sidebar.answer("Create")
    expect(sidebar.dialog).to_have_count(0)
    expect(sidebar.note).to_contain_text("“Eileen” is stored with 1 photo.")
    expect(sidebar.note).to_contain_text("Photo 1: not used: no face was found.")
    expect(sidebar.cards).to_have_count(1)
    tune = store.list()[0]
    assert (tune.title, tune.name, tune.token, len(tune.orig_images)) == (
        "Eileen",
        "woman",
        "ohwx",
        1,
    )


@however_drawn
def test_a_refusal_is_told_in_the_dialog(editor: Editor, store: TuneStore, face_pack: None) -> None:
    sidebar = Sidebar(editor, "Tunes")
    sidebar.press("New tune")
    sidebar.dialog.get_by_label("Title").fill("Nobody")
    sidebar.dialog.locator("input[type=file]").set_input_files([upload("wall.jpg", jpeg())])
    sidebar.answer("Create")
    alert = sidebar.dialog.get_by_role("alert")
    expect(alert).to_contain_text("No photo of 'Nobody' shows a usable face.")
    expect(alert).to_contain_text("Use sharp photos in which the face is large")
    assert store.list() == []
    expect(sidebar.dialog.get_by_label("Title")).to_have_value("Nobody")


def test_dropped_photos_open_the_dialog_and_not_a_workflow(
    editor: Editor, store: TuneStore, face_pack: None
) -> None:
    editor.add("AstriaPrompt")
    sidebar = Sidebar(editor, "Tunes")
    drop(
        sidebar,
        ".astria-sidebar .astria-list",
        ("one.jpg", "image/jpeg", jpeg(astronaut())),
        ("two.png", "image/png", jpeg()),
    )
    expect(sidebar.dialog.locator(".astria-photos img")).to_have_count(2)
    sidebar.dialog.get_by_role("button", name="Leave out two.png").click()
    drop(
        sidebar, ".astria-zone", ("three.jpg", "image/jpeg", jpeg(np.roll(astronaut(), 16, axis=1)))
    )
    sidebar.dialog.get_by_label("Title").fill("Eileen")
    sidebar.answer("Create")
    expect(sidebar.note).to_contain_text("is stored with 2 photos.")
    assert len(store.list()[0].orig_images) == 2
    assert editor.page.evaluate("() => app.graph._nodes.map(n => n.type)") == ["AstriaPrompt"]
    assert editor.popups() == []


@however_drawn
def test_deleting_asks_first(editor: Editor, store: TuneStore) -> None:
    number = add_tune(store)
    sidebar = Sidebar(editor, "Tunes")
    sidebar.press("Delete Anna")
    expect(sidebar.dialog).to_contain_text(
        "Its photo and what was found in them will be gone for good."
    )
    focus(editor, "Keep it")  # a hasty Enter deletes nothing
    editor.page.keyboard.press("Enter")
    expect(sidebar.dialog).to_have_count(0)
    assert store.get(number) is not None
    focus(editor, "Delete Anna")
    sidebar.press("Delete Anna")
    sidebar.answer("Delete")
    expect(sidebar.note).to_contain_text("are deleted")
    assert store.get(number) is None
    expect(sidebar.cards).to_have_count(0)


@however_drawn
def test_deleting_says_what_goes_along_and_takes_it_along(
    editor: Editor, store: TuneStore, host: LiveHost
) -> None:
    """A model file that a program sent, and what it asked of the tune.

    Running, waiting and done.
    """
    api = api_of(host)
    write_tiny_lora(host.loras, "sd15", "sidebar_noir.safetensors")
    content = (host.loras / "sidebar_noir.safetensors").read_bytes()
    sent = {
        "data": {"tune[title]": "Noir", "tune[model_type]": "lora"},
        "files": {"tune[file]": ("x.safetensors", content)},
    }
    tune = api.post("/tunes", **sent).json()["id"]
    file = host.loras / store.get(tune).file
    named = store.create(title="Kept", model_type="lora", file="sidebar_noir.safetensors").id
    api.finished(api.create_prompt("a cat", tune=tune))
    for seed in range(4):
        api.create_prompt(
            "a cat",
            tune=tune,
            seed=seed,
            input_image_base64=base64.b64encode(png(seed=seed)).decode(),
            **SLOW,
        )
    pictures = host.base / "input" / "astria"
    assert len(list(pictures.iterdir())) == 4
    sidebar = Sidebar(editor, "Tunes")
    sidebar.press("Delete Kept")
    expect(sidebar.dialog).to_contain_text("The file sidebar_noir.safetensors stays where it is.")
    expect(sidebar.dialog).not_to_contain_text("over the API")
    sidebar.answer("Delete")
    expect(sidebar.note).to_have_text(f"Tune {named} 'Kept' and its 0 photo(s) are deleted.")
    sidebar.press("Delete Noir")
    expect(sidebar.dialog).to_contain_text(
        f"The file {file.relative_to(host.loras).as_posix()} belongs to it, and is deleted as well."
    )
    expect(sidebar.dialog).to_contain_text(
        "What programs asked of it over the API ends and is forgotten"
    )
    sidebar.answer("Delete")
    expect(sidebar.note).to_contain_text(
        f"and the file {file.relative_to(host.loras).as_posix()}, are deleted."
    )
    assert (file.exists(), (host.loras / "sidebar_noir.safetensors").exists()) == (False, True)
    assert PromptStore(host.state).list(str(tune), limit=10, offset=0) == []
    assert list(pictures.iterdir()) == []
    until(lambda: not any(host.client.get_json("/queue").values()), timeout_s=20)


@however_drawn
def test_a_file_that_another_tune_names_stays(
    editor: Editor, store: TuneStore, host: LiveHost
) -> None:
    name = f"astria/upload-{'0' * 32}.safetensors"
    (host.loras / name).parent.mkdir(parents=True, exist_ok=True)
    (host.loras / name).touch()
    for title in ("One", "Two"):
        store.create(title=title, model_type="lora", file=name)
    for title, says in (("One", "stays where it is"), ("Two", "is deleted as well")):
        sidebar = Sidebar(editor, "Tunes")
        sidebar.press(f"Delete {title}")
        expect(sidebar.dialog).to_contain_text(f"The file {name}")
        expect(sidebar.dialog).to_contain_text(says)
        sidebar.answer("Delete")
        expect(sidebar.note).to_contain_text("are deleted")
        assert (host.loras / name).exists() == (title == "One")


@however_drawn
def test_everything_is_reached_by_keyboard(editor: Editor, store: TuneStore) -> None:
    number = add_tune(store)
    sidebar = Sidebar(editor, "Tunes")
    expect(sidebar.cards).to_have_count(1)
    sidebar.root.get_by_role("tab", name="Tunes").focus()
    for name in (
        "Search tunes by title, id, token or file",
        "New tune",
        f"Insert <faceid:{number}:1.0>",
        "Delete Anna",
    ):
        editor.page.keyboard.press("Tab")
        focus(editor, name)
    sidebar.root.get_by_role("tab", name="Tunes").focus()
    editor.page.keyboard.press("ArrowRight")
    expect(sidebar.root.get_by_role("tab", name="Bindings")).to_be_focused()
    expect(sidebar.root.get_by_role("tab", name="Bindings")).to_have_attribute(
        "aria-selected", "true"
    )
    editor.page.keyboard.press("Tab")
    editor.page.keyboard.press("Tab")
    focus(editor, "Bind a file")
    editor.page.keyboard.press("Enter")
    expect(sidebar.dialog).to_be_visible()
    editor.page.keyboard.press("Escape")
    expect(sidebar.dialog).to_have_count(0)
    focus(editor, "Bind a file")


def test_the_plan_follows_the_prompt(editor: Editor, store: TuneStore) -> None:
    sidebar = Sidebar(editor, "Explain")
    expect(sidebar.shown).to_contain_text("Click into a prompt to see its plan.")
    box = PromptBox(editor)
    expect(sidebar.shown).to_contain_text("The prompt of Astria Prompt is empty.")
    sidebar.shown.get_by_label("Models").select_option("family:flux")
    box.type("a lighthouse --outpaint center --outpaint_width 800 --outpaint_height 640 ")
    expect(sidebar.shown.locator(".astria-report")).to_contain_text("Model family: Flux.1 dev")
    expect(sidebar.shown.locator(".astria-report")).to_contain_text("800x640")
    expect(sidebar.shown.locator(".astria-state")).to_have_text("It can run.")
    row = sidebar.shown.locator(".astria-row", has_text="num_images").locator("span")
    eventually(lambda: row.all_inner_texts()[:2], ["num_images", "1"])
    sidebar.shown.get_by_label("Models").select_option("family:sd15")
    expect(sidebar.shown.locator(".astria-report")).to_contain_text("Model family: SD1.5")
    box.set("a 😀 cat --outpaint topleft")
    expect(sidebar.shown.locator(".astria-state")).to_have_text("It cannot run yet.")
    expect(sidebar.shown.locator(".astria-report")).to_contain_text("Did you mean top-left?")
    expect(sidebar.shown.locator(".astria-quoted-line").last).to_contain_text("^^^^^^^")
    editor.clear()
    expect(sidebar.shown).to_contain_text("Click into a prompt to see its plan.")


def test_the_plan_of_a_prompt_knows_the_connected_picture(editor: Editor, store: TuneStore) -> None:
    box = PromptBox(editor, "AstriaGenerate")
    box.set("a cat\ndenoising_strength=0.5")
    script = """id => {
        const source = LiteGraph.createNode('LoadImage');
        app.graph.add(source);
        const node = app.graph.getNodeById(id);
        source.connect(0, node, node.inputs.findIndex(input => input.name === 'image'));
    }"""
    sidebar = Sidebar(editor, "Explain")
    sidebar.shown.get_by_label("Models").select_option("family:flux")
    report = sidebar.shown.locator(".astria-report")
    expect(report).to_contain_text("base: txt2img")
    editor.page.evaluate(script, box.number)
    expect(report).to_contain_text("base: img2img")


def test_completion_and_hover_show_the_photo_of_a_tune(editor: Editor, store: TuneStore) -> None:
    number = add_tune(store, "Anna")
    box = PromptBox(editor)
    box.type("a <faceid:")
    expect(box.options.first).to_contain_text(f"{number} Anna")
    for picture in (box.options.first.locator("img"), box.page.locator(".cm-completionInfo img")):
        expect(picture).to_be_visible()
        assert picture.evaluate("i => i.decode().then(() => i.naturalWidth)") == 192
    box.settle()
    box.page.keyboard.press("Enter")
    box.holds(f"a <faceid:{number}:1.0>")
    box.page.locator(".astria-tag-name").hover()
    about = box.page.locator(".cm-tooltip-hover")
    expect(about).to_contain_text(f"Tune {number}: Anna, 1 photo")
    assert about.locator("img").evaluate("i => i.decode().then(() => i.naturalWidth)") == 192


@pytest.fixture
def from_afar(store: TuneStore, host: LiveHost, editor: Editor) -> Iterator[str]:
    """The key of a ComfyUI whose page is then seen from another machine."""
    key = "the-key-of-this-machine"
    (host.state / "api.ini").write_text(f"key = {key}\n", encoding="utf-8")
    yield key
    editor.page.set_extra_http_headers({})
    editor.page.context.clear_cookies()


@however_drawn
def test_from_another_machine_it_asks_for_the_key_once(
    editor: Editor, store: TuneStore, from_afar: str
) -> None:
    add_tune(store, "Anna")
    Sidebar(editor, "Tunes").close()
    editor.page.set_extra_http_headers({"X-Forwarded-For": "203.0.113.9"})
    sidebar = Sidebar(editor)
    expect(sidebar.dialog).to_contain_text("can be reached from other machines")
    expect(sidebar.dialog).to_contain_text("api.ini")
    sidebar.dialog.get_by_label("Key").fill("another-key")
    sidebar.dialog.get_by_role("button", name="Open the sidebar").click()
    expect(sidebar.dialog).to_contain_text("another key")
    sidebar.dialog.get_by_label("Key").fill(from_afar)
    sidebar.dialog.get_by_role("button", name="Open the sidebar").click()
    expect(sidebar.cards.locator("strong")).to_have_text(["Anna"])
    editor.page.wait_for_function(
        "() => document.querySelector('img.astria-portrait')?.naturalWidth === 192"
    )
    sidebar = Sidebar(editor, "Bindings")
    expect(sidebar.dialog).to_have_count(0)


@however_drawn
def test_without_the_key_it_shows_why_it_is_empty(editor: Editor, from_afar: str) -> None:
    Sidebar(editor, "Tunes").close()
    editor.page.set_extra_http_headers({"X-Forwarded-For": "203.0.113.9"})
    sidebar = Sidebar(editor)
    sidebar.dialog.get_by_role("button", name="Cancel").click()
    expect(sidebar.error).to_contain_text("the sidebar needs the key once")
