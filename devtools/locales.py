"""The texts of the pack's nodes as ComfyUI's translation files hold them.

locales/en/nodeDefs.json.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .paths import ROOT

ENGLISH = ROOT / "locales" / "en" / "nodeDefs.json"
# With these the editor's translations refer to other texts, interpolate or choose between plural
# forms; tooltips are shown as they are.
SPECIAL = "@{}|%$"


def node_texts(info: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the display name, description, and the names and tooltips of inputs and outputs of the
    pack's nodes in an `/object_info` answer.
    """
    own = sorted(
        name for name in info if name.startswith("Astria") and not name.startswith("AstriaTest")
    )
    return {name: _texts(info[name]) for name in own}


def text_of(texts: Mapping[str, Any]) -> str:
    """Return the texts as they are written to the file."""
    return json.dumps(texts, indent=2, ensure_ascii=False) + "\n"


def _texts(entry: Mapping[str, Any]) -> dict[str, Any]:
    specs = {**entry["input"].get("required", {}), **entry["input"].get("optional", {})}
    inputs = {
        name: _named(name, spec[1].get("tooltip") if len(spec) > 1 else None)
        for name, spec in specs.items()
    }
    tooltips = entry.get("output_tooltips") or [None] * len(entry["output_name"])
    outputs = {
        str(at): _named(name, tooltip)
        for at, (name, tooltip) in enumerate(zip(entry["output_name"], tooltips, strict=True))
    }
    texts = {
        "display_name": _plain(entry["display_name"]),
        "description": _plain(entry["description"]),
    }
    return {**texts, "inputs": inputs, "outputs": outputs}


def _named(name: str, tooltip: str | None) -> dict[str, str]:
    return {"name": _plain(name), "tooltip": tooltip} if tooltip else {"name": _plain(name)}


def _plain(text: str) -> str:
    """Return a text in which the translations' special characters stand for themselves."""
    return "".join(
        f"{{'{character}'}}" if character in SPECIAL else character for character in text
    )
