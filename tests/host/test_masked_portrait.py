"""The service's masked-portrait prompt, pasted unchanged, with a scripted segmenter and a prepared
pose.
"""

from __future__ import annotations

import io

import numpy
import pytest
from comfyui_astria.devtools import workflows
from comfyui_astria.devtools.examples import IMAGE, SD15
from comfyui_astria.devtools.testmodels import with_test_models
from comfyui_astria.nodes.graph.graph import api_workflow
from comfyui_astria.nodes.pipeline.build.sources import Options
from comfyui_astria.nodes.pipeline.compiling import CompileOptions, compile_request
from comfyui_astria.nodes.prompt import PromptRequest
from comfyui_astria.tests.host.fixtures import LiveHost
from comfyui_astria.tests.host.graphs import node, saved, text_of
from comfyui_astria.tests.pipeline.support import seed_prompt
from comfyui_astria.tests.workflows.furnish import furnish
from PIL import Image
from scipy.ndimage import binary_erosion

SIDE = 128
SMALL = 64  # for the thirty steps that the prompt asks for
STEPS = 2
PROMPT = seed_prompt("masked_portrait")


@pytest.fixture(scope="module")
def furnished(host: LiveHost) -> LiveHost:
    """The host with the models that the prompt needs, and a small photo."""
    furnish(host)
    for side, name in ((SIDE, "portrait.png"), (SMALL, "portrait_small.png")):
        buffer = io.BytesIO()
        Image.open(host.base / "input" / IMAGE).resize((side, side)).save(buffer, "PNG")
        host.client.upload_image(buffer.getvalue(), name)
    return host


def stages_of(host: LiveHost, *, keep_unmasked: bool = False) -> dict[str, numpy.ndarray]:
    """Run the prompt compiled with every stage's picture saved.

    Return the first picture of each, the input and the mask.
    """
    options = CompileOptions(
        SD15, "portrait.png", options=Options(43, keep_unmasked=keep_unmasked), save_stages=True
    )
    compiled = compile_request(PromptRequest.require(PROMPT), workflows.resolver(), options)
    graph = with_test_models(api_workflow(compiled.graph), "sd15")
    for entry in graph.values():
        if "steps" in entry["inputs"]:
            entry["inputs"]["steps"] = STEPS
    graph["mask_picture"] = node("MaskToImage", mask=["base.mask", 0])
    graph["output.save_mask"] = node(
        "SaveImage", images=["mask_picture", 0], filename_prefix="mask"
    )
    graph["output.save_enlarged"] = node(
        "SaveImage", images=["hires_fix.upscale", 0], filename_prefix="enlarged"
    )
    entry = host.client.run(graph)
    found = {
        stage: saved(host, entry, f"output.save_{stage}")[0]
        for stage in (*compiled.plan.stage_outputs, "mask", "enlarged")
    }
    return {
        **found,
        "input": numpy.array(Image.open(host.base / "input" / "portrait.png").convert("RGB")),
    }


@pytest.fixture(scope="module")
def pictures(furnished: LiveHost) -> dict[str, numpy.ndarray]:
    return stages_of(furnished)


def test_the_mask_is_foreground_without_clothes_inverted_and_shrunk(
    pictures: dict[str, numpy.ndarray],
) -> None:
    mask = pictures["mask"][..., 0]
    middle = SIDE // 2
    assert mask[middle - 5, middle] == 0, "the upper foreground is kept"
    # The foreground is 0.3 of the width to each side of the middle; 20 px more around what is kept
    # are kept.
    edge = middle - round(SIDE * 0.3)
    assert mask[middle - 1, edge - 18] == 0
    assert mask[middle - 1, edge - 23] == 255
    assert mask[middle + 18, middle] == 0
    assert mask[middle + 23, middle] == 255, "the clothes are painted"
    assert mask[5, 5] == mask[-5, -5] == 255, "and the background"


def test_unmasked_pixels_stay_masked_ones_change_and_sizes_are_right(
    pictures: dict[str, numpy.ndarray],
) -> None:
    kept = pictures["mask"][..., 0] == 0
    assert 0.1 < kept.mean() < 0.9
    assert numpy.array_equal(pictures["base"][kept], pictures["input"][kept])
    assert (pictures["base"][~kept] != pictures["input"][~kept]).any(-1).mean() > 0.9
    assert pictures["hires_fix"].shape == (2 * SIDE, 2 * SIDE, 3)
    assert (
        pictures["super_resolution"].shape
        == pictures["face_correct"].shape
        == (4 * SIDE, 4 * SIDE, 3)
    )


def test_hires_fix_can_keep_what_the_mask_left_alone(furnished: LiveHost) -> None:
    pictures = stages_of(furnished, keep_unmasked=True)
    kept = (pictures["mask"][..., 0] == 0).repeat(2, 0).repeat(2, 1)
    inner = binary_erosion(kept, numpy.ones((5, 5)))  # the doubled mask is soft at its edge
    assert inner.any()
    assert numpy.array_equal(pictures["hires_fix"][inner], pictures["enlarged"][inner])
    assert (pictures["hires_fix"][~kept] != pictures["enlarged"][~kept]).any(-1).mean() > 0.9


def test_generate_runs_the_prompt_unchanged(furnished: LiveHost) -> None:
    graph = {
        "model": node("AstriaTestModel", family="sd15", seed=0),
        "photo": node("LoadImage", image="portrait_small.png"),
        "regions": node("AstriaRegions", persons=1, width=SMALL, height=SMALL, softness_px=16),
        "upscaler": node("AstriaTestUpscaler"),
        "segmenter": node("AstriaTestSegmenter"),
        "control": node("AstriaTestControlNet"),
        "restorer": node("UpscaleModelLoader", model_name="GFPGANv1.4.pth"),
        "analysis": node("AstriaLoadFaceAnalysis", pack="buffalo_l"),
        "models": node(
            "AstriaModels",
            bindings="",
            upscale_model=["upscaler", 0],
            segmenter=["segmenter", 0],
            pose_controlnet=["control", 0],
            face_restorer=["restorer", 0],
            face_analysis=["analysis", 0],
        ),
        "generate": node(
            "AstriaGenerate",
            text=PROMPT,
            seed=1,
            model=["model", 0],
            clip=["model", 1],
            vae=["model", 2],
            image=["photo", 0],
            control_image=["regions", 3],
            models=["models", 0],
        ),
        "save": node("SaveImage", images=["generate", 0], filename_prefix="masked"),
    }
    entry = furnished.client.run(graph)
    assert saved(furnished, entry, "save").shape == (1, 4 * SMALL, 4 * SMALL, 3)
    report = text_of(entry, "generate")
    for stage in (
        "base: inpaint",
        "hires_fix: hires fix",
        "super_resolution: upscale model",
        "face_correct: face correct",
    ):
        assert f"stage {stage}" in report
