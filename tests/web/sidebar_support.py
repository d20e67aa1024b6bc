"""The sidebar on the screen, and photos to put into it."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from comfyui_astria.nodes.tunes.store import TuneStore
from comfyui_astria.tests.web.browser import Editor, eventually
from PIL import Image
from playwright.sync_api import Locator, expect

TOGGLE = "() => app.extensionManager.command.execute('Workspace.ToggleSidebarTab.astria')"
IS_OPEN = "() => app.extensionManager.sidebarTab.activeSidebarTabId === 'astria'"
DROP = """([selector, files]) => {
    const transfer = new DataTransfer();
    for (const { name, mimeType, data } of files) {
        const bytes = Uint8Array.from(atob(data), one => one.charCodeAt(0));
        transfer.items.add(new File([bytes], name, { type: mimeType }));
    }
    const place = document.querySelector(selector);
    const how = { dataTransfer: transfer, bubbles: true, cancelable: true };
    for (const kind of ['dragenter', 'dragover', 'drop'])
        place.dispatchEvent(new DragEvent(kind, how));
}"""


FOCUSED = (
    "() => document.activeElement?.getAttribute('aria-label') ?? document.activeElement?.innerText"
)


def jpeg(picture: str | np.ndarray = "navy") -> bytes:
    """Return a photo as a file: these pixels, or of one colour."""
    written = io.BytesIO()
    (
        Image.fromarray(picture)
        if isinstance(picture, np.ndarray)
        else Image.new("RGB", (300, 300), picture)
    ).save(written, "JPEG")
    return written.getvalue()


def upload(name: str, content: bytes, kind: str = "image/jpeg") -> dict[str, Any]:
    """Return a file as the browser's file dialog hands it over."""
    return {"name": name, "mimeType": kind, "buffer": content}


def add_tune(store: TuneStore, title: str = "Anna", **about: str) -> int:
    return store.create(title=title, model_type="faceid", photos=[jpeg()], **about).id


def focus(editor: Editor, name: str) -> None:
    """Wait until what has the focus is called so."""
    eventually(lambda: editor.page.evaluate(FOCUSED), name)


class Sidebar:
    """The sidebar, opened at one of its tabs, or at the last one."""

    def __init__(self, editor: Editor, tab: str = "") -> None:
        self.editor = editor
        self.page = editor.page
        if self.page.evaluate(IS_OPEN):
            self.page.evaluate(TOGGLE)  # opened anew it shows what is there now
            expect(self.root).to_have_count(0)
        self.page.evaluate(TOGGLE)
        if tab:
            self.root.get_by_role("tab", name=tab).click()

    @property
    def root(self) -> Locator:
        return self.page.locator(".astria-sidebar")

    @property
    def shown(self) -> Locator:
        """The open page."""
        return self.root.get_by_role("tabpanel")

    @property
    def cards(self) -> Locator:
        return self.shown.locator(".astria-card:visible")

    @property
    def dialog(self) -> Locator:
        return self.page.locator("dialog.astria-dialog")

    @property
    def note(self) -> Locator:
        return self.shown.locator(".astria-note")

    @property
    def error(self) -> Locator:
        return self.shown.locator(".astria-error")

    def press(self, name: str) -> None:
        self.shown.get_by_role("button", name=name).first.click()

    def answer(self, name: str) -> None:
        """Press a button of the open dialog."""
        self.dialog.get_by_role("button", name=name, exact=True).click()

    def close(self) -> None:
        if self.page.evaluate(IS_OPEN):
            self.page.evaluate(TOGGLE)
