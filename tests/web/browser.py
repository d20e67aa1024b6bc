"""One Chromium with one page on the live host's own editor, and what the tests ask of it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from comfyui_astria.devtools.browser import find_chromium
from comfyui_astria.devtools.client import Client
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect, sync_playwright

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)
SIZE = {"width": 1600, "height": 1000}
TIMEOUT_MS = 60_000
STILL_FRAMES = 10
PATIENCE_S = 20  # for what the page does by itself, on a busy machine
# What the editor itself complains about on a host without network and without user files; none of
# it concerns a pack.
KNOWN_NOISE = ("user.css", "/api/userdata", "accessed before initialization", "huggingface.co")
SETTINGS = {
    "Comfy.TutorialCompleted": True,
    "Comfy.Notification.ShowVersionUpdates": False,
    "Comfy.Validation.Workflows": True,
}

# For what the way of drawing nodes has no part in: with LiteGraph nodes, and with --long in both.
however_drawn = pytest.mark.parametrize(
    "opened",
    ["litegraph", pytest.param("vue", marks=pytest.mark.long)],
    indirect=True,
    scope="session",
)


def eventually(look: Callable[[], Any], expected: Any = True) -> None:
    """Look until it is as expected: the page answers an action in its own time."""
    deadline = time.monotonic() + PATIENCE_S
    while (seen := look()) != expected and time.monotonic() < deadline:
        time.sleep(0.05)
    assert seen == expected, f"{seen!r} instead of {expected!r}"


class Editor:
    """The editor in a page.

    `complaints` are the console's errors, and its warnings about workflows, since the last `clear`;
    `opening` those of the last `open`.
    """

    def __init__(self, browser: Browser, client: Client) -> None:
        self.client = client
        self.complaints: list[str] = []
        self.opening: list[str] = []
        self.is_vue = False
        self._browser = browser
        self._context: BrowserContext | None = None

    @property
    def page(self) -> Page:
        assert self._context is not None, "open the editor first"
        return self._context.pages[0]

    def _note(self, kind: str, text: str) -> None:
        matters = kind == "error" or (kind == "warning" and "Invalid workflow" in text)
        if matters and not any(noise in text for noise in KNOWN_NOISE):
            self.complaints.append(text)

    def open(self, *, vue: bool) -> None:
        """Load the editor with an empty graph, with nodes drawn by LiteGraph or by Vue."""
        self.close()
        # A context of its own: the editor brings back the workflows that it was left with, at a
        # moment of its own.
        self._context = self._browser.new_context(viewport=SIZE)
        page = self._context.new_page()
        page.set_default_timeout(TIMEOUT_MS)
        page.on(
            "console",
            lambda message: self._note(
                message.type, f"{message.text} {message.location.get('url', '')}"
            ),
        )
        page.on("pageerror", lambda error: self._note("error", str(error)))
        self.is_vue = vue
        self.complaints.clear()
        self.client.post_json("/api/settings", {**SETTINGS, "Comfy.VueNodes.Enabled": vue})
        page.goto(self.client.url, wait_until="domcontentloaded")
        page.wait_for_function(
            "() => window.app?.extensionManager?.workflow?.activeWorkflow &&"
            " LiteGraph.registered_node_types.AstriaGenerate"
        )
        self.opening = list(self.complaints)
        self.clear()

    def close(self) -> None:
        """Close the page."""
        if self._context is not None:
            self._context.close()
            self._context = None

    def clear(self) -> None:
        """Empty the graph, look at it unscaled, and forget earlier results, complaints and toasts.

        Results stay by the number of a node, and a cleared graph counts from 1 again: a new node
        would show what another test's node made.
        """
        self.page.evaluate(
            "() => { app.graph.clear(); app.clean(); app.canvas.ds.reset();"
            " app.extensionManager.toast.removeAll?.(); }"
        )
        self.frames()
        self.complaints.clear()

    def frames(self, count: int = 2) -> None:
        """Let the page draw `count` frames, after which it has built and checked what was
        loaded.
        """
        script = """count => new Promise(done => {
            const step = left => left ? requestAnimationFrame(() => step(left - 1)) : done();
            app.graph.setDirtyCanvas(true, true);
            step(count);
        })"""
        self.page.evaluate(script, count)

    def settled(self, place: Locator) -> None:
        """Wait until an element keeps its size."""
        script = """(element, [still]) => new Promise(done => {
            const look = (before, same) => {
                const { width, height } = element.getBoundingClientRect();
                const now = `${width}x${height}`;
                if (same === still) done();
                else requestAnimationFrame(() => look(now, now === before ? same + 1 : 0));
            };
            look('', 0);
        })"""
        place.evaluate(script, [STILL_FRAMES])

    def load(self, workflow: dict[str, Any]) -> None:
        """Open a workflow in UI form."""
        self.page.evaluate(
            "async text => { await app.loadGraphData(JSON.parse(text)); }", json.dumps(workflow)
        )
        self.frames()

    def load_api(self, graph: dict[str, Any]) -> None:
        """Open a workflow in API form."""
        self.page.evaluate(
            "async text => { await app.loadApiJson(JSON.parse(text), 'api'); }", json.dumps(graph)
        )
        self.frames()

    def prompt(self) -> dict[str, Any]:
        """Return what the editor would queue, by node id, without the titles."""
        text = self.page.evaluate("async () => JSON.stringify((await app.graphToPrompt()).output)")
        return {
            node: {key: value for key, value in entry.items() if key != "_meta"}
            for node, entry in json.loads(text).items()
        }

    def saved(self) -> dict[str, Any]:
        """Return the workflow as the editor would save it."""
        return json.loads(self.page.evaluate("() => JSON.stringify(app.graph.serialize())"))

    def node_errors(self) -> list[str]:
        """Return the nodes that are marked red, whose class is unknown or that lost their
        widgets.
        """
        script = """() => app.graph._nodes
            .filter(n => n.has_errors || !LiteGraph.registered_node_types[n.type])
            .map(n => `${n.id} ${n.type}`)"""
        return self.page.evaluate(script)

    def popups(self) -> list[str]:
        """Return the texts of toasts and dialogs that are open."""
        kinds = ".p-toast-message, .p-dialog, [role=dialog], [role=alertdialog]"
        return self.page.evaluate(
            "kinds => [...document.querySelectorAll(kinds)].map(e => e.innerText)", kinds
        )

    def add(self, kind: str) -> int:
        """Add a node and return its id."""
        script = """kind => {
            const node = LiteGraph.createNode(kind);
            node.pos = [40, 80];
            app.graph.add(node);
            return node.id;
        }"""
        number = self.page.evaluate(script, kind)
        self.frames(3)
        return number


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start Chromium; ends it afterwards.

    One at a time: a second driver does not start beside the first.
    """
    expect.set_options(timeout=PATIENCE_S * 1000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(find_chromium()), headless=True, args=list(FLAGS)
        )
        try:
            yield browser
        finally:
            browser.close()
