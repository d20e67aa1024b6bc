"""What a run sees of files and graphs that changed since the last one, though no widget did."""

from __future__ import annotations

import pytest
from comfyui_astria.devtools.client import RunError
from comfyui_astria.tests.host.fixtures import LiveHost
from comfyui_astria.tests.host.graphs import STEPS, generate_graph, node, pictures, text_of, upload_picture
from comfyui_astria.tests.host.tiny_lora import write_tiny_lora

KEEP = "denoising_strength=0\ninput_image=rewritten.png"


@pytest.mark.parametrize("by_request", [False, True])
def test_a_picture_that_the_prompt_names_is_loaded_anew_once_it_is_written_anew(host: LiveHost, by_request: bool) -> None:
    graph = generate_graph(KEEP)
    if by_request:
        graph = {**generate_graph("", request=["prompt", 0]), "prompt": node("AstriaPrompt", text=KEEP)}
    for width, height in ((64, 48), (48, 64)):
        levels = upload_picture(host, width, height, "rewritten.png")
        assert (pictures(host, graph)[0] == levels).all()


def test_explain_and_models_see_a_file_that_came_later(host: LiveHost) -> None:
    later = "came_later.safetensors"
    graph = {
        "explain": node("AstriaExplain", text="<lora:came_later:1> a cat", family="sd15", base=""),
        "models": node("AstriaModels", bindings=f"[tunes]\n6 = {later}"),
    }
    before = host.client.run(graph)
    assert all("MISSING" in text_of(before, name) for name in graph)
    write_tiny_lora(host.loras, "sd15", later)
    after = host.client.run(graph)
    assert not any("MISSING" in text_of(after, name) for name in graph)


def test_a_skipped_stage_runs_once_its_model_is_there(host: LiveHost) -> None:
    bindings = "[roles]\nupscaler = came_later.pth"
    graph = generate_graph(f"a cat\n{STEPS}\nw=64\nh=48\nsuper_resolution=true", models=["bundle", 0], missing_models="skip")
    graph["bundle"] = node("AstriaModels", bindings=bindings)
    assert "Stage super_resolution is skipped" in text_of(host.client.run(graph), "generate")
    folder = host.base / "models" / "upscale_models"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "came_later.pth").write_bytes(b"not a model")
    with pytest.raises(RunError):
        host.client.run(graph)


def test_gathered_models_are_found_in_a_graph_with_other_ids(host: LiveHost) -> None:
    """AstriaModels is answered from the cache here, and the upscaler of its first run is not in the second graph."""
    graph = generate_graph(f"a cat\n{STEPS}\nw=64\nh=48\nsuper_resolution=true", models=["bundle", 0])
    for seed, name in enumerate(("first_up", "second_up")):
        graph["generate"]["inputs"]["seed"] = seed
        gathered = {name: node("AstriaTestUpscaler"), "bundle": node("AstriaModels", bindings="", upscale_model=[name, 0])}
        assert pictures(host, {**graph, **gathered}).shape == (1, 192, 256, 3)
