"""The definitions shipped for work without a host are those of the host."""

from __future__ import annotations

import json

from comfyui_astria.devtools.definitions import reduced
from comfyui_astria.nodes.pipeline.definitions import FILE_INPUTS, SNAPSHOT, snapshot
from comfyui_astria.tests.host.fixtures import LiveHost


def test_the_snapshot_is_what_the_host_says(host: LiveHost) -> None:
    assert json.loads(SNAPSHOT.read_text(encoding="utf-8")) == reduced(host.object_info())


def test_the_snapshot_lists_no_files_of_a_machine() -> None:
    inputs = [entry for definition in snapshot().values() for entry in definition.inputs.values() if entry.name in FILE_INPUTS]
    assert [entry.name for entry in inputs if entry.kind == "COMBO" and (entry.choices is not None or "default" in entry.options)] == []


def test_an_image_socket_is_not_taken_for_a_choice_of_files() -> None:
    assert snapshot()["AstriaFitImage"].inputs["image"].kind == "IMAGE"
    assert snapshot()["LoadImage"].inputs["image"].kind == "COMBO"
