"""The English texts that translators start from are those of the nodes, and the host serves
them.
"""

from __future__ import annotations

import json

from comfyui_astria.devtools.locales import ENGLISH, node_texts, text_of
from comfyui_astria.tests.host.fixtures import LiveHost


def test_the_english_texts_are_those_of_the_nodes(host: LiveHost) -> None:
    """When this fails after a change of a node.

    `python dev.py definitions` writes the texts anew.
    """
    assert ENGLISH.read_text(encoding="utf-8") == text_of(node_texts(host.object_info()))


def test_the_host_serves_the_texts_to_the_editor(host: LiveHost) -> None:
    served = host.client.get_json("/api/i18n")["en"]["nodeDefs"]
    assert {name: served[name] for name in served if name.startswith("Astria")} == json.loads(
        ENGLISH.read_text(encoding="utf-8")
    )
    assert served["AstriaGenerate"]["display_name"] == "Astria Generate"


def test_characters_with_a_meaning_in_translations_stand_for_themselves() -> None:
    entry = {
        "input": {"required": {"a": ["INT", {"tooltip": "{b} | c"}]}},
        "output_name": [],
        "display_name": "A | B",
        "description": "{x} @y",
    }
    assert node_texts({"AstriaX": entry})["AstriaX"] == {
        "display_name": "A {'|'} B",
        "description": "{'{'}x{'}'} {'@'}y",
        "inputs": {"a": {"name": "a", "tooltip": "{b} | c"}},
        "outputs": {},
    }
