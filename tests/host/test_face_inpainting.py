"""Face inpainting on the live host, wired as an artist would.

A photo's face is found, drawn anew as its person, and nothing else changes.
"""

from __future__ import annotations

import io

import numpy
import pytest
from comfyui_astria.tests.host.fixtures import LiveHost
from comfyui_astria.tests.host.graphs import node, saved, text_of
from comfyui_astria.tests.host.tiny_lora import write_tiny_lora
from comfyui_astria.tests.testpack.face_models import FACE_BOX, astronaut, write_face_pack
from PIL import Image

PACK = "faces_to_inpaint"
FEATHER_PX = 28  # a quarter of the face's longer side


@pytest.fixture(scope="module", autouse=True)
def face_pack(host: LiveHost) -> None:
    write_face_pack(host.base / "models" / "insightface" / "models" / PACK)
    buffer = io.BytesIO()
    Image.fromarray(astronaut()).save(buffer, "PNG")
    host.client.upload_image(buffer.getvalue(), "inpaint_me.png")


DRAW = {
    "model": ["model", 0],
    "vae": ["model", 2],
    "positive": ["scene", 0],
    "negative": ["nothing", 0],
    "noise": ["noise", 0],
    "sampler": ["sampler", 0],
    "sigmas": ["sigmas", 0],
    "cfg": 4.0,
    "face_size": 64,
    "context": 2.0,
    "feather": 0.25,
    "unmatched": "skip",
    "max_batch": 0,
}
SAVED = {
    "save": node("SaveImage", images=["inpaint", 0], filename_prefix="inpainted"),
    "picture": node("MaskToImage", mask=["inpaint", 1]),
    "mask": node("SaveImage", images=["picture", 0], filename_prefix="inpaint_mask"),
    "matches": node("SaveImage", images=["inpaint", 2], filename_prefix="inpaint_matches"),
    "info": node("PreviewAny", source=["inpaint", 3]),
}


def graph_of(host: LiveHost, family: str, text: str, seed: int = 5) -> dict:
    branch = family.removesuffix("_fill")
    write_tiny_lora(host.loras, branch, f"face_{branch}.safetensors", seed=9)
    return {
        "photo": node("LoadImage", image="inpaint_me.png"),
        "analysis": node("AstriaLoadFaceAnalysis", pack=PACK),
        "faces": node(
            "AstriaDetectFaces",
            image=["photo", 0],
            analysis=["analysis", 0],
            min_confidence=0.5,
            min_size_px=0,
        ),
        "model": node("AstriaTestModel", family=family, seed=0),
        "scene": node("CLIPTextEncode", clip=["model", 1], text="an office"),
        "nothing": node("CLIPTextEncode", clip=["model", 1], text=""),
        "text": node("CLIPTextEncode", clip=["model", 1], text=text),
        "lora": node("AstriaPersonLora", lora_name=f"face_{branch}.safetensors", strength=0.8),
        "person": node("AstriaPerson", positive=["text", 0], loras=["lora", 0]),
        "noise": node("AstriaNoise", seed=seed),
        "sampler": node("AstriaSampler", sampler_name="euler_ancestral"),
        "sigmas": node(
            "BasicScheduler", model=["model", 0], scheduler="simple", steps=2, denoise=0.6
        ),
        "inpaint": node(
            "AstriaInpaintFaces",
            image=["photo", 0],
            faces=["faces", 0],
            persons=["person", 0],
            **DRAW,
        ),
        **SAVED,
    }


@pytest.mark.parametrize("family", ["sd15", "sdxl", "flux_fill"])
def test_the_face_of_a_photo_is_drawn_anew_and_nothing_else(host: LiveHost, family: str) -> None:
    entry = host.client.run(graph_of(host, family, "ohwx woman"))
    [result], [mask], [matches] = (saved(host, entry, name) for name in ("save", "mask", "matches"))
    left, top, right, bottom = (round(edge) for edge in FACE_BOX)
    photo = astronaut()
    assert (mask[top + 1 : bottom - 1, left + 1 : right - 1] == 255).all()
    outside = numpy.ones(photo.shape[:2], bool)
    outside[top - FEATHER_PX : bottom + FEATHER_PX, left - FEATHER_PX : right + FEATHER_PX] = False
    assert numpy.array_equal(result[outside], photo[outside])
    assert mask[outside].max() == 0
    assert (result[top:bottom, left:right] != photo[top:bottom, left:right]).any(-1).mean() > 0.9
    assert (matches != photo).any()
    assert "1 of 1 face(s) in 1 image(s) drawn anew in 1 sampler call(s)." in text_of(entry, "info")
    [other] = saved(host, host.client.run(graph_of(host, family, "a man")))
    assert not numpy.array_equal(result, other)
