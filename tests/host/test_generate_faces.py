"""Faces through Astria Generate.

A real photo whose face is drawn anew, swapped and restored, and nothing else of it.
"""

from __future__ import annotations

import io

import numpy
import pytest
from comfyui_astria.devtools.examples import IMAGE
from comfyui_astria.tests.host.fixtures import LiveHost
from comfyui_astria.tests.host.graphs import generate_graph, node, saved, text_of
from comfyui_astria.tests.testpack.face_models import FACE_BOX, PHOTO_PX
from comfyui_astria.tests.workflows.furnish import furnish
from PIL import Image

SIDE = 128
TEXT = (
    "<faceid:788416:1.0> ohwx"
    " woman\ndenoising_strength=0\nsuper_resolution=true\nsteps=2\nscheduler=euler_a\n"
)
ROLES = """[roles]
face_analysis = buffalo_l
face_analysis_pulid = antelopev2
sd15.faceid = ip-adapter-faceid-plusv2_sd15.bin
flux.faceid = pulid_flux_v0.9.1.safetensors
eva_clip = EVA02_CLIP_L_336_psz14_s6B.pt
face_parsing = parsing_bisenet.pth
face_swapper = inswapper_128.onnx
"""


@pytest.fixture(scope="module")
def furnished(host: LiveHost) -> LiveHost:
    """The host with face models and tunes, and a photo of 128 pixels that super-resolution brings
    back to 512.
    """
    furnish(host)
    buffer = io.BytesIO()
    Image.open(host.base / "input" / IMAGE).resize((SIDE, SIDE), Image.Resampling.BOX).save(
        buffer, "PNG"
    )
    host.client.upload_image(buffer.getvalue(), "face_small.png")
    return host


def graph(text: str, family: str = "flux") -> dict:
    return {
        **generate_graph(text, family, image=["photo", 0], models=["models", 0]),
        "photo": node("LoadImage", image="face_small.png"),
        "upscaler": node("AstriaTestUpscaler"),
        "restorer": node("UpscaleModelLoader", model_name="GFPGANv1.4.pth"),
        "models": node(
            "AstriaModels",
            bindings=ROLES,
            upscale_model=["upscaler", 0],
            face_restorer=["restorer", 0],
        ),
    }


def changed(host: LiveHost, text: str, family: str = "flux") -> tuple[numpy.ndarray, str]:
    """Return where the picture differs from the one without face stages, and the report with what
    the stages add to it.
    """
    before = saved(host, host.client.run(graph(TEXT, family)))[0]
    entry = host.client.run(graph(text, family))
    after = saved(host, entry)[0]
    assert after.shape == before.shape == (4 * SIDE, 4 * SIDE, 3)
    notes = [
        note for output in entry["outputs"].values() for note in output.get("astria_notes", ())
    ]
    return (after != before).any(-1), "\n".join([text_of(entry, "generate"), *notes])


def face_of(differs: numpy.ndarray) -> tuple[float, float]:
    """Return the share of changed pixels in the face's box, and of those far from it."""
    scale = 4 * SIDE / PHOTO_PX
    left, top, right, bottom = (round(edge * scale) for edge in FACE_BOX)
    reach = 2 * (bottom - top)
    far = numpy.ones_like(differs)
    far[max(top - reach, 0) : bottom + reach, max(left - reach, 0) : right + reach] = False
    return float(differs[top:bottom, left:right].mean()), float(differs[far].mean())


@pytest.mark.parametrize(
    ("stage", "told"),
    [
        ("inpaint_faces", "1 of 1 face(s) in 1 image(s) drawn anew in 1 sampler call(s)."),
        ("face_swap", "Image 1: face 1 becomes person 788416, by likeness."),
        ("face_correct", "Image 1: 1 face(s) restored."),
    ],
)
def test_each_face_stage_changes_the_face_and_nothing_far_from_it(
    furnished: LiveHost, stage: str, told: str
) -> None:
    differs, report = changed(furnished, f"{TEXT}{stage}=true\n")
    inside, outside = face_of(differs)
    assert (inside > 0.5, outside) == (True, 0.0)
    assert f"stage {stage}: {stage.replace('_', ' ')} -> 4x the input image's size" in report
    assert told in report


def test_all_face_stages_of_one_prompt_on_sd15_with_its_faceid(furnished: LiveHost) -> None:
    portrait = {"clip_vision": node("AstriaTestClipVision")}
    text = f"{TEXT}inpaint_faces=true\nface_swap=true\nface_correct=true\n"
    wired = {**graph(text, "sd15"), **portrait}
    # PlusV2 wants CLIP's view of the face: an adapter that is connected brings it.
    wired["adapter"] = node(
        "AstriaLoadFaceID",
        faceid_name="ip-adapter-faceid-plusv2_sd15.bin",
        kind="auto",
        clip_vision=["clip_vision", 0],
    )
    wired["models"]["inputs"]["faceid"] = ["adapter", 0]
    entry = furnished.client.run(wired)
    assert saved(furnished, entry).shape == (1, 4 * SIDE, 4 * SIDE, 3)
    assert "cfg_scale = 3.0  (default with FaceID)" in text_of(entry, "generate")


def test_people_of_a_picture_that_is_padded_for_its_model_keep_their_faces(
    furnished: LiveHost,
) -> None:
    """128x104 is sampled as 128x112 on Flux.

    Faces are looked for in the picture without the padding, enlarged.
    """
    people = (
        "a street BREAK BREAK <faceid:788416:1.0> ohwx woman BREAK a"
        " man\nw=128\nh=104\ndenoising_strength=0.1\nsteps=2\nscheduler=euler\n"
    )
    entry = furnished.client.run(graph(f"{people}inpaint_faces=true", "flux"))
    assert saved(furnished, entry).shape == (1, 4 * 104, 4 * 128, 3)
