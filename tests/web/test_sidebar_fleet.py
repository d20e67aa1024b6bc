"""The sidebar's page of a fleet: there where one is, and true."""

from __future__ import annotations

import json
import time
from typing import Any

from comfyui_astria.nodes.net.fleet_files import STATUS_FILE
from comfyui_astria.tests.host.api_support import api_of, settings_of
from comfyui_astria.tests.host.fixtures import LiveHost
from comfyui_astria.tests.web.browser import Editor, however_drawn
from comfyui_astria.tests.web.sidebar_support import Sidebar
from playwright.sync_api import expect

WORKER = {"state": "running", "base": ["a.safetensors"], "done": 7, "seconds": 3.2}
TOLD = {
    "waiting": 12,
    "waiting_for_training": 2,
    "running": 1,
    "done": 40,
    "failed": 3,
    "rerun": 1,
    "loads": 5,
    "per_minute": 2.5,
    "problem": "",
    "workers": {
        "b/0": WORKER,
        "a/1": {"state": "gone", "base": [], "done": 0, "seconds": None},
    },
}


def tell(host: LiveHost, **changes: Any) -> None:
    told = {"updated_at": time.time(), **TOLD, **changes}
    (host.state / STATUS_FILE).write_text(json.dumps(told), encoding="utf-8")


@however_drawn
def test_a_fleet_has_a_page_that_follows_it(editor: Editor, host: LiveHost) -> None:
    api_of(host)
    tabs = Sidebar(editor, "Explain").root.get_by_role("tab")
    expect(tabs).to_have_text(["Tunes", "Bindings", "LoRAs", "Explain"])
    editor.page.keyboard.press("ArrowRight")
    expect(tabs.first).to_be_focused()
    try:
        with settings_of(host, "fleet = yes\n"):
            shown = Sidebar(editor, "Fleet").shown
            expect(shown.get_by_role("status")).to_contain_text("No dispatcher has run yet")
            fits = "one => one.scrollWidth <= one.clientWidth"
            assert editor.page.locator(".astria-sidebar").evaluate(fits), "also with a fifth tab"
            tell(host)
            lines = shown.get_by_role("list", name="Prompts of the fleet").get_by_role("listitem")
            expect(lines).to_have_text(
                [
                    "12 wait, 1 run",
                    "2 wait until their tune is trained",
                    "40 done (2.5 a minute), 3 failed",
                    "1 run again, models loaded 5 times",
                ]
            )
            workers = shown.get_by_role("list", name="Workers of the fleet").get_by_role("listitem")
            expect(workers).to_have_text(
                ["a/1gone, 0 doneno model yet", "b/0running for 3 s, 7 donea.safetensors"]
            )
            tell(host, problem="the disk is full")
            expect(shown.get_by_role("alert")).to_contain_text("Held up: the disk is full")
            tell(host, updated_at=time.time() - 60)
            expect(shown.get_by_role("alert")).to_contain_text("no dispatcher runs")
        reopened = Sidebar(editor, "Explain")
        expect(reopened.root.get_by_role("tab")).to_have_count(4)
        reopened.close()
    finally:
        (host.state / STATUS_FILE).unlink(missing_ok=True)
