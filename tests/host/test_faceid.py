"""FaceID on a live host.

A photo's face on a picture and on one person of two, from files in the user's folders.
"""

from __future__ import annotations

import io
from typing import Any

import numpy
import pytest
import torch
from comfyui_astria.devtools.client import RunError
from comfyui_astria.tests.faceid.adapters import tiny_file
from comfyui_astria.tests.host.fixtures import LiveHost
from comfyui_astria.tests.host.graphs import node, pictures
from comfyui_astria.tests.testpack.face_models import astronaut, write_face_pack
from PIL import Image

FILES = {"faceid": "tiny-faceid_sd15.bin", "portrait": "tiny-portrait_sd15.bin"}
USE = {"faceid": ["faceid", 0], "identity": ["identity", 0], "start": 0.0, "end": 1.0}


@pytest.fixture(scope="module", autouse=True)
def files(host: LiveHost) -> None:
    write_face_pack(host.base / "models" / "insightface" / "models" / "buffalo_l")
    folder = host.base / "models" / "ipadapter"
    folder.mkdir(exist_ok=True)
    for kind, name in FILES.items():
        torch.save(tiny_file(kind, "sd15"), folder / name)
    buffer = io.BytesIO()
    Image.fromarray(astronaut()).save(buffer, "PNG")
    host.client.upload_image(buffer.getvalue(), "astronaut.png")


def graph_of(
    model: list, file: str = FILES["faceid"], positive: tuple = ("text", 0), **more: Any
) -> dict:
    """Return core's sampler on `model`, with the astronaut's identity and an adapter beside it."""
    sampler = {
        "seed": 43,
        "steps": 2,
        "cfg": 3.0,
        "sampler_name": "euler",
        "scheduler": "normal",
        "denoise": 1.0,
    }
    return {
        "model": node("AstriaTestModel", family="sd15", seed=0),
        "text": node("CLIPTextEncode", clip=["model", 1], text="a portrait"),
        "empty": node("CLIPTextEncode", clip=["model", 1], text=""),
        "photo": node("LoadImage", image="astronaut.png"),
        "analysis": node("AstriaLoadFaceAnalysis", pack="buffalo_l"),
        "identity": node("AstriaIdentity", analysis=["analysis", 0], photos=["photo", 0], tune=""),
        "faceid": node("AstriaLoadFaceID", faceid_name=file, kind="auto"),
        "latent": node("EmptyLatentImage", width=96, height=64, batch_size=2),
        "sample": node(
            "KSampler",
            model=model,
            positive=list(positive),
            negative=["empty", 0],
            latent_image=["latent", 0],
            **sampler,
        ),
        "decode": node("VAEDecode", samples=["sample", 0], vae=["model", 2]),
        "save": node("SaveImage", images=["decode", 0], filename_prefix="faceid"),
        **more,
    }


def test_a_photos_face_changes_the_picture_by_its_strength(host: LiveHost) -> None:
    plain = pictures(host, graph_of(["model", 0]))
    zero, half, whole = (
        pictures(
            host,
            graph_of(
                ["faced", 0],
                faced=node("AstriaApplyFaceID", model=["model", 0], strength=strength, **USE),
            ),
        )
        for strength in (0.0, 0.5, 1.0)
    )
    assert numpy.array_equal(zero, plain)
    assert not numpy.array_equal(half, plain) and not numpy.array_equal(half, whole)
    assert numpy.array_equal(pictures(host, graph_of(["model", 0])), plain), (
        "the model itself stays as it was"
    )


def test_one_of_two_people_has_a_face(host: LiveHost) -> None:
    def two(**person: Any) -> numpy.ndarray:
        parts = {
            "regions": node("AstriaRegions", persons=2, width=96, height=64, softness_px=0),
            "face": node("AstriaPersonFaceID", strength=1.0, **USE),
            "left": node("AstriaPerson", positive=["text", 0], **person),
            "right": node("AstriaPerson", positive=["text", 0], persons=["left", 0]),
            "regional": node(
                "AstriaRegionalPrompt",
                model=["model", 0],
                regions=["regions", 0],
                persons=["right", 0],
                positive=["text", 0],
                negative=["empty", 0],
                scene_strength=0.0,
                isolation=False,
            ),
        }
        return pictures(
            host, graph_of(["regional", 0], FILES["portrait"], ("regional", 1), **parts)
        )

    assert not numpy.array_equal(two(faceids=["face", 0]), two())


def test_an_adapter_of_another_family_is_said_by_the_node(host: LiveHost) -> None:
    graph = graph_of(
        ["faced", 0],
        faced=node("AstriaApplyFaceID", model=["flux", 0], strength=1.0, **USE),
        flux=node("AstriaTestModel", family="flux", seed=0),
    )
    with pytest.raises(RunError, match=r"made for SD1\.5 or SDXL"):
        host.client.run(graph)
