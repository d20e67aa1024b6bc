"""The API examples of the service's own pages, cut out of the pages as they are."""

from __future__ import annotations

import re
from pathlib import Path

SEEDS = Path(__file__).parent / "seeds"
PAGES = {path.stem: path.read_text(encoding="utf-8") for path in sorted(SEEDS.glob("*.txt"))}
_FENCE = re.compile(r"^```(bash|javascript|python)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_ENDINGS = {"bash": "sh", "javascript": "js", "python": "py"}


def _fenced(page: str) -> list[tuple[str, str]]:
    return [(_ENDINGS[language], text) for language, text in _FENCE.findall(PAGES[page])]


def _unfenced(page: str) -> list[tuple[str, str]]:
    """The examples of a page that came without fences, each by its first line."""
    text = PAGES[page].partition("- Python\n")[2]
    shell, javascript, python = (
        text.index(first) for first in ("# Note the hard-coded", "const fetch", "import requests")
    )
    return [("sh", text[shell:javascript]), ("js", text[javascript:python]), ("py", text[python:])]


def _all() -> dict[tuple[str, str], str]:
    faceid = _fenced("faceid")
    found = {("tune", kind): text for kind, text in faceid[:3]} | {
        ("prompt", kind): text for kind, text in faceid[3:]
    }
    found |= {("outpaint", kind): text for kind, text in _unfenced("outpainting")}
    [(_, generate)] = _fenced("face_inpainting")
    return found | {("generate", "http"): generate}


EXAMPLES = _all()
