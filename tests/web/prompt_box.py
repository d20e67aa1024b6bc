"""The prompt editor of one node on the screen, and what the tests ask of it."""

from __future__ import annotations

from typing import Any

from comfyui_astria.tests.web.browser import Editor, eventually
from playwright.sync_api import Locator

CONTRASTS = """selectors => {
    const light = colours => {
        const pen = new OffscreenCanvas(1, 1).getContext('2d');
        for (const colour of colours) {
            pen.fillStyle = colour;
            pen.fillRect(0, 0, 1, 1);
        }
        const [r, g, b] = [...pen.getImageData(0, 0, 1, 1).data].map(one => one / 255)
            .map(one => one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05;
    };
    const grounds = element => element.matches('.astria-prompt')
        ? [element] : [...grounds(element.parentElement), element];
    const contrast = element => {
        const behind = grounds(element).map(one => getComputedStyle(one).backgroundColor);
        const one = light([getComputedStyle(element).color]) / light(behind);
        return Math.max(one, 1 / one);
    };
    return selectors.map(selector =>
        Math.min(...[...document.querySelectorAll(selector)].map(contrast)));
}"""


class PromptBox:
    """The one prompt editor on the screen."""

    def __init__(
        self, editor: Editor, kind: str = "AstriaPrompt", *, number: int | None = None
    ) -> None:
        """`number` is that of a node which is there already, without one it is added."""
        self.editor = editor
        self.page = editor.page
        self.number = editor.add(kind) if number is None else number
        script = (
            "id => { const n = app.graph.getNodeById(id); n.pos = [120, 90]; n.setSize([620,"
            " Math.max(520, n.size[1])]); }"
        )
        self.page.evaluate(script, self.number)
        editor.frames(3)

    @property
    def text_area(self) -> Locator:
        return self.page.locator(".astria-prompt .cm-content")

    @property
    def status(self) -> Locator:
        return self.page.locator(".astria-prompt [role=status]")

    @property
    def options(self) -> Locator:
        return self.page.locator(".cm-tooltip-autocomplete li")

    def value(self) -> Any:
        return self.page.evaluate(
            "id => app.graph.getNodeById(id).widgets.find(w => w.name === 'text').value",
            self.number,
        )

    def holds(self, text: str) -> None:
        """Wait until this is the value."""
        eventually(self.value, text)

    def set(self, text: Any) -> None:
        self.page.evaluate(
            "([id, text]) => { app.graph.getNodeById(id).widgets.find(w => w.name === 'text').value"
            " = text; }",
            [self.number, text],
        )

    def type(self, text: str) -> None:
        self.text_area.click()
        self.page.keyboard.type(text)

    def settle(self) -> None:
        """Wait as a person would: a list that has just come up takes no key for a moment."""
        self.page.wait_for_timeout(120)

    def painted(self, kind: str) -> list[str]:
        return self.page.locator(f".astria-prompt .astria-{kind}").all_inner_texts()

    def contrasts(self, *kinds: str) -> list[float]:
        """Return the least contrast (WCAG, 1 to 21) of each kind of mark to what lies behind it,
        each person's ground too, and that of the message below the text.
        """
        return self.page.evaluate(
            CONTRASTS,
            [f".astria-prompt .astria-{kind}" for kind in kinds] + [".astria-prompt-status b"],
        )
