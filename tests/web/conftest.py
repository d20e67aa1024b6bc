"""The editor of the live host, opened once with LiteGraph nodes and once with Vue nodes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from comfyui_astria.devtools import workflows
from comfyui_astria.nodes.tunes.store import TuneStore
from comfyui_astria.tests.host.fixtures import LiveHost, live_host
from comfyui_astria.tests.host.tiny_lora import write_tiny_lora
from comfyui_astria.tests.web.browser import Editor, chromium
from comfyui_astria.tests.web.camera import CLUTTER, Gallery, furnish
from comfyui_astria.tests.web.sidebar_support import Sidebar
from PIL import Image
from playwright.sync_api import Browser

BINDINGS = "[tunes]\n1533312 = sidebar_test.safetensors\n1558021 = sidebar_gone.safetensors\n"


@pytest.fixture(scope="session")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveHost]:
    """A host of the editor's own.

    It keeps the examples' files from test to test, which elsewhere would be in the way.
    """
    yield from live_host(tmp_path_factory.mktemp("web_host"))


@pytest.fixture(scope="session")
def example_files(host: LiveHost) -> None:
    """The files that the example workflows name.

    A real picture and LoRA, and empty ones for the models that are never loaded.
    """
    made = [
        host.base / "models" / folder / name
        for folder, names in workflows.FILES.items()
        for name in names
    ]
    for path in made:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    write_tiny_lora(host.loras, "flux", workflows.FILES["loras"][0])
    picture = host.base / "input" / workflows.IMAGE
    Image.linear_gradient("L").convert("RGB").save(picture)
    host.fresh.update(made)  # the browser that all modules here share was opened with them


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def _editor(host: LiveHost, example_files: None, browser: Browser) -> Editor:
    return Editor(browser, host.client)


# pytest runs all tests with one of them before those with the other: the page is loaded twice.
@pytest.fixture(scope="session", params=["litegraph", "vue"])
def opened(request: pytest.FixtureRequest, _editor: Editor) -> Editor:
    """The editor in one of its ways of drawing nodes."""
    _editor.open(vue=request.param == "vue")
    return _editor


@pytest.fixture
def editor(opened: Editor) -> Editor:
    """An empty graph in the editor; every test runs with both ways of drawing nodes."""
    opened.clear()
    return opened


@pytest.fixture(params=workflows.names())
def example(request: pytest.FixtureRequest) -> str:
    """The name of each example workflow."""
    return request.param


@pytest.fixture
def ui_file(example: str) -> Path:
    return workflows.ui_file(example)


@pytest.fixture
def api_file(example: str) -> Path:
    return workflows.API_FORMS / f"{example}.api.json"


@pytest.fixture
def store(editor: Editor, host: LiveHost) -> Iterator[TuneStore]:
    """No tunes and no bindings, before and after; the sidebar is closed in the end."""
    kept = host.fresh.copy()
    host.clean()
    host.state.mkdir(parents=True, exist_ok=True)
    yield TuneStore(host.state)
    editor.page.evaluate(
        "() => document.querySelectorAll('dialog.astria-dialog').forEach(dialog => dialog.close())"
    )
    Sidebar(editor, "Tunes").close()
    host.clean()
    assert host.fresh == kept


@pytest.fixture
def bindings(store: TuneStore, host: LiveHost) -> None:
    """Two bound LoRAs, one of which is missing, and a third that is there."""
    (host.loras / "sidebar_test.safetensors").touch()
    (host.loras / "sidebar_other.safetensors").touch()
    (host.state / "bindings.ini").write_text(BINDINGS, encoding="utf-8")


@pytest.fixture(scope="module")
def _opened_gallery(
    host: LiveHost, browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gallery]:
    host.clean()
    eileen = furnish(host)
    folder = Path(os.environ.get("ASTRIA_GALLERY") or tmp_path_factory.mktemp("gallery"))
    folder.mkdir(parents=True, exist_ok=True)
    editor = Editor(browser, host.client)
    # Set before the editor opens: one that hides its map later draws no new Vue nodes until it is
    # loaded again.
    host.client.post_json("/api/settings", dict.fromkeys(CLUTTER, False))
    editor.open(vue=True)
    yield Gallery(editor, folder, eileen)
    editor.close()
    host.client.post_json("/api/settings", dict.fromkeys(CLUTTER, True))


@pytest.fixture
def gallery(_opened_gallery: Gallery) -> Iterator[Gallery]:
    _opened_gallery.editor.clear()
    yield _opened_gallery
    Sidebar(_opened_gallery.editor, "Tunes").close()
