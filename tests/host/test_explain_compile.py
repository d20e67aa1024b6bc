"""Astria Explain and Astria Compile on the live host.

What they tell of a run, and the workflow that they write.
"""

from __future__ import annotations

import json

import pytest
from comfyui_astria.devtools.client import RunError
from comfyui_astria.devtools.testmodels import with_test_models
from comfyui_astria.nodes.graph.graph import api_workflow
from comfyui_astria.nodes.pipeline.compiling import CompileOptions, compile_request
from comfyui_astria.nodes.prompt import PromptRequest
from comfyui_astria.tests.host.fixtures import LiveHost
from comfyui_astria.tests.host.graphs import (
    STEPS,
    node,
    pictures,
    runs,
    text_of,
    upload_picture,
)
from comfyui_astria.tests.pipeline.support import resolver


def test_explain_loads_no_model_and_names_what_is_missing(host: LiveHost) -> None:
    text = (
        "<lora:424242:1> a cat --outpaint center --outpaint_width 96 --outpaint_height"
        " 96\nsuper_resolution=true"
    )
    graph = {"explain": node("AstriaExplain", text=text, family="flux", base="")}
    report = text_of(host.client.run(graph), "explain")
    assert "Model family: Flux.1 dev" in report
    assert "1. base: txt2img -> 1024x1024" in report
    assert "2. outpaint: outpaint -> 96x96" in report
    assert "3. super_resolution: upscale model -> 384x384" in report
    assert "Sampler calls: 2 for 1 image(s)" in report
    assert "424242" in report
    assert "then bind 424242 in the Astria sidebar." in report
    assert str(host.loras) in report


def test_explain_counts_what_is_connected_and_loads_none_of_it(host: LiveHost) -> None:
    pictures_and_models = {
        "image": 0,
        "mask": 1,
        "person_masks": 1,
        "control_image": 0,
        "upscale_model": 2,
        "pose_controlnet": 3,
    }
    text = "a street BREAK BREAK a man --remove_background\nsuper_resolution=true"
    graph = {
        "loaders": node("AstriaTestLoaders", name="explained"),
        "models": node(
            "AstriaModels", bindings="", controlnet=["loaders", 3], background_model=["loaders", 4]
        ),
        "explain": node(
            "AstriaExplain",
            text=text,
            family="sd15",
            base="",
            models=["models", 0],
            **{name: ["loaders", slot] for name, slot in pictures_and_models.items()},
        ),
    }
    report = text_of(host.client.run(graph), "explain")
    assert "base: inpaint" in report
    assert "MISSING" not in report
    assert runs(host, "explained") == 1, (
        "asked here for the first time: nothing was loaded to tell the plan"
    )
    graph["save"] = node("SaveImage", images=["loaders", 0], filename_prefix="explained")
    host.client.run(graph)
    assert runs(host, "explained") == 3, "a node that takes the picture does load it"


def test_explain_refuses_a_family_and_a_base_at_once(host: LiveHost) -> None:
    with pytest.raises(RunError, match=r"Family flux is chosen.*and base 690204 as well"):
        host.client.run(
            {"explain": node("AstriaExplain", text="a cat", family="flux", base="690204")}
        )


def test_the_masks_of_a_compiled_workflow_are_joined_and_of_one_size(host: LiveHost) -> None:
    """By a node that refuses others, where the host's crops and scales them."""
    upload_picture(host, 64, 48, "her_mask.png")
    upload_picture(host, 64, 48, "his_mask.png")
    upload_picture(host, 48, 64, "tall_mask.png")
    bound = resolver("[base 7]\nfamily = sd15\ncheckpoint = rv51.safetensors")
    for his, error in (("his_mask.png", ""), ("tall_mask.png", r"sizes \(64x48x3, 48x64x3")):
        graph = compile_request(
            PromptRequest.require(
                f"a street BREAK BREAK a man BREAK a woman BREAK a boy\n{STEPS}\nw=64\nh=48"
            ),
            bound,
            CompileOptions("7", person_masks=("her_mask.png", his, "her_mask.png")),
        ).graph
        workflow = with_test_models(api_workflow(graph), "sd15")
        if error:
            with pytest.raises(RunError, match=error):
                host.client.run(workflow)
        else:
            assert pictures(host, workflow, "output.save").shape == (1, 48, 64, 3)


def test_compile_writes_a_workflow_that_runs(host: LiveHost) -> None:
    for name in ("checkpoints/compile_sd15.safetensors", "upscale_models/compile_4x.pth"):
        path = host.base / "models" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    bindings = (
        "[base 690204]\nfamily = sd15\ncheckpoint = compile_sd15.safetensors\n[roles]\nupscaler ="
        " compile_4x.pth"
    )
    graph = {
        "bundle": node("AstriaModels", bindings=bindings),
        "compile": node(
            "AstriaCompile",
            text=f"a cat\n{STEPS}\nw=64\nh=48\nsuper_resolution=true",
            seed=43,
            form="api",
            base="",
            image="",
            mask="",
            filename_prefix="workflows/compiled",
            models=["bundle", 0],
        ),
    }
    entry = host.client.run(graph)
    assert "found    base 690204 Realistic Vision v5.1 (sd15)" in text_of(entry, "bundle")
    path = (
        host.base
        / "output"
        / text_of(entry, "compile").removeprefix("Saved as ").removesuffix(" in the output folder.")
    )
    compiled = json.loads(path.read_text(encoding="utf-8"))
    assert compiled["base.noise"]["inputs"]["seed"] == 43
    assert pictures(host, with_test_models(compiled, "sd15"), "output.save").shape == (
        1,
        192,
        256,
        3,
    )
    outside = {
        **graph,
        "compile": {
            **graph["compile"],
            "inputs": {**graph["compile"]["inputs"], "filename_prefix": "../../evil"},
        },
    }
    with pytest.raises(RunError, match="leads out of the output folder"):
        host.client.run(outside)
