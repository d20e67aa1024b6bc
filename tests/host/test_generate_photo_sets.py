"""Ids of the service that the bindings give to photo sets stored here."""

from __future__ import annotations

import pytest
from comfyui_astria.nodes.tunes.store import TuneStore
from comfyui_astria.tests.host.fixtures import LiveHost
from comfyui_astria.tests.host.graphs import node, text_of

PHOTO = b"\xff\xd8\xff photo"


@pytest.mark.parametrize("by", ["the bindings file", "Astria Models"])
def test_a_bound_photo_set_is_found_once_it_is_stored(host: LiveHost, by: str) -> None:
    binding = f"[tunes]\n749152 = Anna of {by}\n"
    graph = {
        "explain": node("AstriaExplain", text="<faceid:749152:1> a cat", family="sd15", base="")
    }
    if by == "Astria Models":
        graph |= {"models": node("AstriaModels", bindings=binding)}
        graph["explain"]["inputs"]["models"] = ["models", 0]
    else:
        host.state.mkdir(parents=True, exist_ok=True)
        (host.state / "bindings.ini").write_text(binding, encoding="utf-8")
    absent = "FaceID photo set '749152' is not in the tunes database"
    report = text_of(host.client.run(graph), "explain")
    assert absent in report
    assert "Bind 749152 in the Astria sidebar" in report
    TuneStore(host.state).create(title=f"Anna of {by}", model_type="faceid", photos=[PHOTO])
    assert absent not in text_of(host.client.run(graph), "explain")
