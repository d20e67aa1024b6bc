"""What a run sees of files and graphs that changed since the last one, though no widget did."""

from __future__ import annotations

import pytest
from comfyui_astria.devtools.client import RunError, cached_nodes
from comfyui_astria.nodes.tunes.store import TuneStore
from comfyui_astria.tests.host.fixtures import LiveHost
from comfyui_astria.tests.host.graphs import (
    STEPS,
    generate_graph,
    node,
    pictures,
    text_of,
    upload_picture,
)
from comfyui_astria.tests.host.tiny_lora import write_tiny_lora

KEEP = "denoising_strength=0\ninput_image=rewritten.png"


WAYS = pytest.mark.parametrize("way", ["widget", "link", "request", "linked request"])


def given_by(way: str, text: str) -> dict:
    """Return AstriaGenerate with the text in its widget, over a link, or read by AstriaPrompt."""
    written = {"words": node("PrimitiveStringMultiline", value=text)}
    if way in ("widget", "link"):
        return (
            generate_graph(text) if way == "widget" else {**generate_graph(["words", 0]), **written}
        )
    prompt = {"prompt": node("AstriaPrompt", text=text if way == "request" else ["words", 0])}
    return {**generate_graph("", request=["prompt", 0]), **prompt, **written}


@WAYS
def test_a_picture_that_the_prompt_names_is_loaded_anew_once_it_is_written_anew(
    host: LiveHost, way: str
) -> None:
    graph = given_by(way, KEEP)
    for width, height in ((64, 48), (48, 64)):
        levels = upload_picture(host, width, height, "rewritten.png")
        assert (pictures(host, graph)[0] == levels).all()


@WAYS
def test_a_tune_that_the_prompt_names_is_looked_up_anew_once_it_is_stored_anew(
    host: LiveHost, way: str
) -> None:
    write_tiny_lora(host.loras, "sd15", "of_tune.safetensors")
    store = TuneStore(host.state)
    graph = given_by(way, f"<lora:4711:1> a cat\n{STEPS}\nw=64\nh=48")
    for already in (False, True):
        if not already:
            store.delete(4711)
            store.create(
                title=f"kept {way}", model_type="lora", file="of_tune.safetensors", id=4711
            )
        assert ("generate" in cached_nodes(host.client.run(graph))) is already
    store.delete(4711)
    with pytest.raises(RunError, match="4711"):
        host.client.run(graph)


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


def test_explain_sees_a_tune_that_came_later(host: LiveHost) -> None:
    graph = {"explain": node("AstriaExplain", text="<faceid:4712:1> a cat", family="sd15", base="")}
    absent = "FaceID photo set '4712' is not in the tunes database"
    assert absent in text_of(host.client.run(graph), "explain")
    TuneStore(host.state).create(
        title="later", model_type="faceid", photos=[b"\xff\xd8\xff photo"], id=4712
    )
    assert absent not in text_of(host.client.run(graph), "explain")


def test_a_skipped_stage_runs_once_its_model_is_there(host: LiveHost) -> None:
    bindings = "[roles]\nupscaler = came_later.pth"
    graph = generate_graph(
        f"a cat\n{STEPS}\nw=64\nh=48\nsuper_resolution=true",
        models=["bundle", 0],
        missing_models="skip",
    )
    graph["bundle"] = node("AstriaModels", bindings=bindings)
    assert "Stage super_resolution is skipped" in text_of(host.client.run(graph), "generate")
    folder = host.base / "models" / "upscale_models"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "came_later.pth").write_bytes(b"not a model")
    with pytest.raises(RunError):
        host.client.run(graph)


def test_gathered_models_are_found_in_a_graph_with_other_ids(host: LiveHost) -> None:
    """AstriaModels is answered from the cache here, and the upscaler of its first run is not in the
    second graph.
    """
    graph = generate_graph(
        f"a cat\n{STEPS}\nw=64\nh=48\nsuper_resolution=true", models=["bundle", 0]
    )
    for seed, name in enumerate(("first_up", "second_up")):
        graph["generate"]["inputs"]["seed"] = seed
        gathered = {
            name: node("AstriaTestUpscaler"),
            "bundle": node("AstriaModels", bindings="", upscale_model=[name, 0]),
        }
        assert pictures(host, {**graph, **gathered}).shape == (1, 192, 256, 3)
