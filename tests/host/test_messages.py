"""What nodes say of a prompt that runs, and of one that lacks something."""

from __future__ import annotations

import pytest
from comfyui_astria.devtools.client import RunError
from comfyui_astria.tests.host.fixtures import LiveHost
from comfyui_astria.tests.host.graphs import STEPS, generate_graph, node, text_of, upload_picture

IN_VAIN = f"a cat, <hat:red> --video\n{STEPS}\nw=64\nh=48\nbackend_version=1\nnot_known=1"


def test_generate_and_explain_tell_what_the_text_says_in_vain(host: LiveHost) -> None:
    graph = {
        **generate_graph(IN_VAIN),
        "explain": node("AstriaExplain", text=IN_VAIN, family="sd15", base=""),
    }
    entry = host.client.run(graph)
    for name in ("generate", "explain"):
        told = text_of(entry, name)
        for part in (
            "line 1, column 8: `<hat:red>` is read as text",
            "--video",
            "backend_version=",
            "not_known",
        ):
            assert part in told


def test_the_empty_mask_of_a_picture_without_alpha_is_told_in_the_report(host: LiveHost) -> None:
    upload_picture(host, 96, 64, "no_alpha.png")
    graph = {
        **generate_graph(f"a cat\n{STEPS}", image=["photo", 0], mask=["photo", 1]),
        "photo": node("LoadImage", image="no_alpha.png"),
    }
    outputs = host.client.run(graph)["outputs"].values()
    notes = [note for one in outputs for note in one.get("astria_notes", ())]
    assert len(notes) == 1, "told once, whatever the mask goes through"
    assert notes[0].startswith("The mask is empty (64x64, all 0)")


@pytest.mark.parametrize(("size", "error"), [("", "names an input image"), ("\nw=64\nh=48", None)])
def test_settings_need_the_image_that_the_prompt_names_only_for_its_size(
    host: LiveHost, size: str, error: str | None
) -> None:
    upload_picture(host, 64, 48, "named.png")
    graph = {
        "model": node("AstriaTestModel", family="sd15", seed=0),
        "prompt": node("AstriaPrompt", text=f"a cat\ninput_image=named.png{size}"),
        "settings": node(
            "AstriaRequestSettings", request=["prompt", 0], model=["model", 0], seed=1
        ),
        "show": node("PreviewAny", source=["settings", 8]),
    }
    if error is None:
        assert text_of(host.client.run(graph), "show") == "0.8", (
            "an input image, so not all is made from noise"
        )
        return
    with pytest.raises(RunError, match=error):
        host.client.run(graph)


def test_models_behind_another_node_are_not_guessed(host: LiveHost) -> None:
    graph = generate_graph(
        f"a cat\n{STEPS}\nw=64\nh=48\nsuper_resolution=true", models=["switch", 0]
    )
    graph |= {
        "up": node("AstriaTestUpscaler"),
        "bundle": node("AstriaModels", bindings="", upscale_model=["up", 0]),
    }
    graph["switch"] = node(
        "ComfySwitchNode", switch=True, on_true=["bundle", 0], on_false=["bundle", 0]
    )
    with pytest.raises(RunError, match="'models' comes from a ComfySwitchNode"):
        host.client.run(graph)
