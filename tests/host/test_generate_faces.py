"""Faces through Astria Generate.

A real photo whose face is drawn anew, swapped and restored, and nothing else of it.
"""

from __future__ import annotations

import io

import numpy
import pytest
from comfyui_astria.devtools.client import RunError, cached_nodes
from comfyui_astria.devtools.examples import IMAGE
from comfyui_astria.nodes.faces.photos import png_bytes
from comfyui_astria.nodes.tunes.store import TuneStore
from comfyui_astria.tests.host.fixtures import LiveHost
from comfyui_astria.tests.host.graphs import generate_graph, node, notes_of, saved, text_of
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
    """The photo through Astria Generate, its report to be read by a program from node `report`."""
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
        "report": node("PreviewAny", source=["generate", 1]),
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
    told = text_of(entry, "report")
    shown = "\n".join([text_of(entry, "generate"), *notes])
    # The nodes told in the order in which they ran, the report has that of the plan.
    assert sorted(told.split("\n")) == sorted(shown.split("\n")), "programs read what people do"
    return (after != before).any(-1), told


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


def test_the_report_that_programs_read_holds_what_the_nodes_tell_and_is_cached(
    furnished: LiveHost,
) -> None:
    wired = graph(f"{TEXT}face_swap=true\nseed=7\n".replace("super_resolution=true\n", ""))
    wired["photo"]["inputs"]["image"] = IMAGE
    told = text_of(furnished.client.run(wired), "report")
    assert "stage face_swap: face swap" in told
    assert told.endswith(
        "1 of 1 photo(s) used.\nImage 1: 1 face(s).\n"
        "Image 1: face 1 becomes person 788416, by likeness."
    )
    again = furnished.client.run(wired)
    assert {"generate", "report", "save"} <= cached_nodes(again)
    # Expanded anew, with the same nodes in it, which the cache answers for: what they told stays.
    wired["generate"]["inputs"]["smaller_canvas"] = "error"
    assert text_of(furnished.client.run(wired), "report") == told

    wired["photo"] = node("EmptyImage", width=64, height=64, batch_size=2, color=0)
    told = text_of(furnished.client.run(wired), "report")
    assert told.endswith("Image 1: no face, unchanged.\nImage 2: no face, unchanged.")


def test_faces_are_drawn_without_an_upscaler_where_that_may_be_left_out(
    furnished: LiveHost,
) -> None:
    text = "ohwx woman\ndenoising_strength=0\nsteps=1\nscheduler=euler_a\ninpaint_faces=true\n"
    wired = graph(text, "sd15")
    wired["photo"]["inputs"]["image"] = IMAGE
    del wired["models"]["inputs"]["upscale_model"]
    with pytest.raises(RunError, match=r"no upscaler is bound[\s\S]*set missing_models to skip"):
        furnished.client.run(wired)
    wired["generate"]["inputs"]["missing_models"] = "skip"
    entry = furnished.client.run(wired)
    before = numpy.asarray(Image.open(furnished.base / "input" / IMAGE).convert("RGB"))
    after = saved(furnished, entry)[0]
    assert after.shape == before.shape, "not enlarged"
    left, top, right, bottom = (round(edge) for edge in FACE_BOX)
    differs = (after != before).any(-1)
    assert differs[top:bottom, left:right].mean() > 0.5
    assert not differs[300:].any()
    told = text_of(entry, "report")
    assert "stage inpaint_faces: inpaint faces -> the input image's size" in told
    assert "warning: inpaint_faces draws the faces in the picture as it is" in told
    assert "1 of 1 face(s) in 1 image(s) drawn anew" in told


@pytest.mark.parametrize("persons", ["", "a street BREAK BREAK "])
def test_a_face_that_no_photo_shows_is_left_out_where_that_may_be(
    furnished: LiveHost, persons: str
) -> None:
    store = TuneStore(furnished.state)
    if store.get(4713) is None:
        black = png_bytes(numpy.zeros((64, 64, 3), numpy.uint8))
        store.create(title="nobody to see", model_type="faceid", photos=[black], id=4713)
    text = "a woman\nw=64\nh=64\nsteps=2\ncfg_scale=3\nface_swap=true"
    wired = graph(f"{persons}<faceid:4713:1> {text}")
    del wired["generate"]["inputs"]["image"]
    with pytest.raises(RunError, match="No photo of 'nobody to see' shows a usable face"):
        furnished.client.run(wired)
    wired["generate"]["inputs"]["missing_models"] = "skip"
    entry = furnished.client.run(wired)
    told = text_of(entry, "report")
    assert "The face of 4713 is left out: No photo of 'nobody to see' shows a usable face." in told
    assert "Photo 1: not used: no face was found." in told
    without = graph(f"{persons}{text}")
    without["generate"]["inputs"].pop("image")
    without["generate"]["inputs"]["missing_models"] = "skip"
    assert (saved(furnished, entry) == saved(furnished, furnished.client.run(without))).all()


def test_a_small_photo_is_a_tune_where_that_is_asked_for(furnished: LiveHost) -> None:
    buffer = io.BytesIO()
    Image.open(furnished.base / "input" / IMAGE).resize((256, 256)).save(buffer, "PNG")
    furnished.client.upload_image(buffer.getvalue(), "face_256.png")
    made = {
        "photo": node("LoadImage", image="face_256.png"),
        "analysis": node("AstriaLoadFaceAnalysis", pack="buffalo_l"),
        "tune": node(
            "AstriaCreateTune",
            images=["photo", 0],
            analysis=["analysis", 0],
            title="small",
            name="woman",
            token="ohwx",
            tune_id=4714,
            model_type="faceid",
            file="none",
        ),
    }
    with pytest.raises(RunError, match=r"44 px wide; expected at least 64 px[\s\S]*min_face_px"):
        furnished.client.run(made)
    made["tune"]["inputs"]["min_face_px"] = 40
    assert "with 1 of 1 photo(s)" in text_of(furnished.client.run(made), "tune")
    # What was taken then is taken wherever the tune is named.
    used = {
        "analysis": made["analysis"],
        "photo": made["photo"],
        "identity": node("AstriaIdentity", analysis=["analysis", 0], tune="4714"),
        "photos": node(
            "AstriaIdentity", analysis=["analysis", 0], photos=["photo", 0], tune="", min_face_px=40
        ),
        "end": node("PreviewAny", source=["identity", 0]),
        "info": node("PreviewAny", source=["photos", 1]),
    }
    entry = furnished.client.run(used)
    noted = "Photo 1: the largest face is 44 px wide, and below 64 px the likeness suffers."
    assert notes_of(entry, "identity") == f"small: 1 of 1 photo(s) used.\n{noted}"
    assert text_of(entry, "info") == f"photos: 1 of 1 photo(s) used.\n{noted}"
