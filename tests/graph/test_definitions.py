"""What the shipped definitions say about files.

The machine's own are left out, and sockets are not taken for them.
"""

from __future__ import annotations

from comfyui_astria.nodes.graph.definitions import FILE_INPUTS, snapshot


def test_the_snapshot_lists_no_files_of_a_machine() -> None:
    inputs = [
        entry
        for definition in snapshot().values()
        for entry in definition.inputs.values()
        if entry.name in FILE_INPUTS
    ]
    assert [
        entry.name
        for entry in inputs
        if entry.kind == "COMBO" and (entry.choices is not None or "default" in entry.options)
    ] == []


def test_an_image_socket_is_not_taken_for_a_choice_of_files() -> None:
    assert snapshot()["AstriaFitImage"].inputs["image"].kind == "IMAGE"
    assert snapshot()["LoadImage"].inputs["image"].kind == "COMBO"
