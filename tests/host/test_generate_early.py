"""Errors stop a run before any model loads, all of them at once."""

from __future__ import annotations

import itertools

import numpy
import pytest
from comfyui_astria.devtools.client import RunError
from comfyui_astria.tests.host.fixtures import LiveHost
from comfyui_astria.tests.host.graphs import STEPS, generate_graph, node, pictures, upload_picture

_fresh = itertools.count(1000)
CROWD = "a street" + " BREAK" + " BREAK a person" * 9


def refused(host: LiveHost, graph: dict) -> RunError:
    """Run a graph that is refused; its model is one that no run has loaded yet."""
    graph["model"]["inputs"]["seed"] = next(_fresh)
    with pytest.raises(RunError) as caught:
        host.client.run(graph)
    return caught.value


def by_request(text: str) -> dict:
    return {**generate_graph("", request=["prompt", 0]), "prompt": node("AstriaPrompt", text=text)}


@pytest.mark.parametrize("graph_of", [generate_graph, by_request])
def test_every_error_is_told_before_a_model_loads(host: LiveHost, graph_of) -> None:
    text = (
        f"<lora:99:1> {CROWD}"
        " <faceid:98:1>\ncontrolnet=hed\ninput_image=nowhere.png\nsuper_resolution=true"
    )
    graph = {**graph_of(text), "bundle": node("AstriaModels", bindings=f"# {next(_fresh)}")}
    graph["generate"]["inputs"]["models"] = ["bundle", 0]
    error = refused(host, graph)
    for told in (
        "9 persons",
        "no node that draws this map",
        "'nowhere.png', not found",
        "LoRA '99'",
        "FaceID photo set '98'",
    ):
        assert told in str(error)
    assert "model" not in error.execution["executed"]
    assert "bundle" in error.execution["executed"], "what does run is told"


@pytest.mark.parametrize(("text", "told"), [
    ("<lora:99:1> a cat", "LoRA '99'"),
    ("a cat\nsuper_resolution=true", "no upscaler is bound"),
    ("a cat\ninput_image=nowhere.png", r"nowhere\.png.*input"),
    ("a cat\ndenoising_strength=0.5\nmask_image=nowhere.png", "without an input image"),
    ("a cat\ninput_image_base64=aGVsbG8=", "expected a JPEG, PNG or WebP picture"),
])  # fmt: skip
def test_one_error_stops_before_a_model_loads(host: LiveHost, text: str, told: str) -> None:
    error = refused(host, generate_graph(text))
    with pytest.raises(RunError, match=f"(?s){told}"):
        raise error
    assert "model" not in error.execution["executed"]


def test_a_bundled_binding_counts_before_the_model_loads(host: LiveHost) -> None:
    graph = {
        **generate_graph("<lora:99:1> <lora:98:1> a cat", models=["bundle", 0]),
        "bundle": node("AstriaModels", bindings="[tunes]\n99 = x.pt"),
    }
    assert "the file 'x.pt' that LoRA 99 stands for was not found" in str(refused(host, graph))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("<lora:99:1> a cat", "LoRA '99'"),
        ("a street BREAK BREAK a man", "no regions are connected"),
    ],
)
def test_encode_request_loads_no_model_for_a_request_it_refuses(
    host: LiveHost, text: str, told: str
) -> None:
    graph = {
        "model": node("AstriaTestModel", family="sd15", seed=0),
        "prompt": node("AstriaPrompt", text=text),
        "encode": node(
            "AstriaEncodeRequest", model=["model", 0], clip=["model", 1], request=["prompt", 0]
        ),
        "show": node("PreviewAny", source=["encode", 1]),
    }
    error = refused(host, graph)
    assert told in str(error)
    assert "model" not in error.execution["executed"]
    assert "prompt" in error.execution["executed"], "what does run is told"


def test_a_model_of_another_kind_cannot_outpaint(host: LiveHost) -> None:
    source = upload_picture(host, 64, 48, "outpaint_family.png")
    text = (
        "fields --outpaint center --outpaint_width 96 --outpaint_height"
        f" 64\n{STEPS}\ndenoising_strength=0"
    )
    graph = {
        **generate_graph(text, "sdxl", image=["photo", 0], outpaint_model=["fill", 0]),
        "photo": node("LoadImage", image="outpaint_family.png"),
    }
    with pytest.raises(RunError, match=r"outpaint_model is Flux\.1 Fill, and the model is SDXL"):
        host.client.run({**graph, "fill": node("AstriaTestModel", family="flux_fill", seed=0)})
    [result] = pictures(
        host, {**graph, "fill": node("AstriaTestModel", family="sdxl_inpaint", seed=0)}
    )
    assert numpy.array_equal(result[8:56, 16:80], source)


def test_a_text_encoder_of_another_family_is_refused_before_it_is_loaded(host: LiveHost) -> None:
    name = "qwen_of_another_type.safetensors"  # empty: loading it would be another error
    path = host.base / "models" / "text_encoders" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    loader = node("CLIPLoader", clip_name=name, type="flux2")
    generate = {**generate_graph("a cat", "zimage", clip=["clip", 0]), "clip": loader}
    encode = {
        "model": generate["model"],
        "clip": loader,
        "prompt": node("AstriaPrompt", text="a cat"),
        "encode": node(
            "AstriaEncodeRequest", model=["model", 0], clip=["clip", 0], request=["prompt", 0]
        ),
        "show": node("PreviewAny", source=["encode", 1]),
    }
    for graph in (generate, encode):
        with pytest.raises(RunError, match=r"type 'flux2'(?s:.*)Choose type lumina2 in CLIPLoader"):
            host.client.run(graph)
