"""A smoke test of the pack in the newest editor, which people have before the pack's own pin moves.

What an update may break shows here first.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from comfyui_astria.devtools import workflows
from comfyui_astria.devtools.environment import current
from comfyui_astria.devtools.frontend import VERSION, newest
from comfyui_astria.devtools.host import Host, HostOptions
from comfyui_astria.tests.web.browser import Editor
from comfyui_astria.tests.web.prompt_box import PromptBox
from comfyui_astria.tests.web.sidebar_support import Sidebar
from playwright.sync_api import Browser, expect

pytestmark = pytest.mark.long  # an editor and a host of its own, while nobody has moved the pin

EXAMPLE = "outpaint_text_to_image"


@pytest.fixture(scope="module")
def newest_editor(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[Editor]:
    options = HostOptions(
        tmp_path_factory.mktemp("newest"),
        test_pack=True,
        extra_args=("--front-end-root", str(newest())),
    )
    with Host(current(), options) as host:
        for path in [
            host.base / "models" / folder / name
            for folder, names in workflows.FILES.items()
            for name in names
        ]:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        editor = Editor(browser, host.client)
        yield editor
        editor.close()


@pytest.mark.parametrize("renderer", ["litegraph", "vue"])
def test_the_pack_works_in_the_newest_editor(newest_editor: Editor, renderer: str) -> None:
    newest_editor.open(vue=renderer == "vue")
    assert newest_editor.page.evaluate("() => window.__COMFYUI_FRONTEND_VERSION__") == VERSION
    assert newest_editor.opening == []

    box = PromptBox(newest_editor, "AstriaGenerate")
    box.type("a 😀 cat --outpaint topleft ")
    expect(box.page.locator(".astria-flag-name")).to_have_text("--outpaint")
    expect(box.status).to_contain_text("Line 1, column 20: --outpaint: `topleft` is not an anchor")
    assert min(box.contrasts("flag-name", "flag-value")) >= 3, (
        "the colours are those of the dark palette"
    )
    assert (
        newest_editor.prompt()[str(box.number)]["inputs"]["text"] == "a 😀 cat --outpaint topleft "
    )

    sidebar = Sidebar(newest_editor, "Tunes")
    expect(sidebar.shown.locator(".astria-empty")).to_contain_text("No tunes yet")
    sidebar.root.get_by_role("tab", name="Bindings").click()
    expect(sidebar.shown).to_contain_text("Nothing is bound yet")
    sidebar.root.get_by_role("tab", name="Explain").click()
    expect(sidebar.shown.locator(".astria-state")).to_have_text("It cannot run yet.")
    sidebar.close()
    assert (newest_editor.complaints, newest_editor.popups()) == ([], [])

    newest_editor.clear()
    newest_editor.load(json.loads(workflows.ui_file(EXAMPLE).read_text(encoding="utf-8")))
    assert (newest_editor.node_errors(), newest_editor.complaints, newest_editor.popups()) == (
        [],
        [],
        [],
    )
    assert len(newest_editor.prompt()) == len(
        json.loads((workflows.API_FORMS / f"{EXAMPLE}.api.json").read_text(encoding="utf-8"))
    )
