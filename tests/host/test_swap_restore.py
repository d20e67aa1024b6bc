"""Faces found, swapped and restored on the live host, with files of the published forms in the
user's folders.
"""

from __future__ import annotations

import io

import numpy
import pytest
import safetensors.torch
from comfyui_astria.devtools.client import RunError
from comfyui_astria.tests.host.fixtures import LiveHost
from comfyui_astria.tests.host.graphs import node, saved, text_of
from comfyui_astria.tests.testpack.face_models import FACE_BOX, astronaut, write_face_pack
from comfyui_astria.tests.testpack.swap_models import restoreformer_weights, write_swapper
from PIL import Image

PHOTO = "astronaut.png"


@pytest.fixture(scope="module")
def faces_host(host: LiveHost) -> LiveHost:
    """The host with two model packs, a swapper, a restorer, and the photo of whose face the packs
    know.
    """
    models = host.base / "models"
    write_face_pack(models / "insightface" / "models" / "buffalo_l")
    write_face_pack(models / "insightface" / "models" / "antelopev2")
    write_swapper(models / "insightface" / "inswapper_test.onnx")
    (models / "upscale_models").mkdir(parents=True, exist_ok=True)
    safetensors.torch.save_file(
        restoreformer_weights(), models / "upscale_models" / "restoreformer_test.safetensors"
    )
    buffer = io.BytesIO()
    Image.fromarray(astronaut()).save(buffer, "PNG")
    host.client.upload_image(buffer.getvalue(), PHOTO)
    return host


def graph(pack: str = "buffalo_l") -> dict:
    """Return photo -> faces -> swapped to the same photo's identity -> restored."""
    return {
        "photo": node("LoadImage", image=PHOTO),
        "analysis": node("AstriaLoadFaceAnalysis", pack=pack),
        "faces": node(
            "AstriaDetectFaces",
            image=["photo", 0],
            analysis=["analysis", 0],
            min_confidence=0.5,
            min_size_px=0,
        ),
        "identity": node("AstriaIdentity", analysis=["analysis", 0], photos=["photo", 0], tune=""),
        "nobody": node("AstriaIdentities"),
        "people": node("AstriaIdentities", identity=["identity", 0], identities=["nobody", 0]),
        "swapper": node("AstriaLoadFaceSwapper", swapper_name="inswapper_test.onnx"),
        "swap": node(
            "AstriaSwapFaces",
            image=["photo", 0],
            faces=["faces", 0],
            swapper=["swapper", 0],
            identities=["people", 0],
            feather=0.1,
            unmatched="skip",
        ),
        "restorer": node("UpscaleModelLoader", model_name="restoreformer_test.safetensors"),
        "restore": node(
            "AstriaRestoreFaces",
            image=["swap", 0],
            faces=["faces", 0],
            restorer=["restorer", 0],
            strength=1.0,
            fidelity=0.5,
            size=512,
        ),
        **saved_outputs("swap"),
        **saved_outputs("restore"),
    }


def saved_outputs(name: str) -> dict:
    return {
        f"save_{name}": node("SaveImage", images=[name, 0], filename_prefix=name),
        # Saved pictures have 8 bits, and any value above 0 counts.
        f"touched_{name}": node("ThresholdMask", mask=[name, 1], value=0.0),
        f"mask_{name}": node("MaskToImage", mask=[f"touched_{name}", 0]),
        f"save_mask_{name}": node("SaveImage", images=[f"mask_{name}", 0], filename_prefix=name),
        f"info_{name}": node("PreviewAny", source=[name, 2]),
    }


def test_swap_and_restore_paint_the_face_and_nothing_else(faces_host: LiveHost) -> None:
    entry = faces_host.client.run(graph())
    before = astronaut()
    left, top, right, bottom = (round(edge) for edge in FACE_BOX)
    for name in ("swap", "restore"):
        after = saved(faces_host, entry, f"save_{name}")[0]
        mask = saved(faces_host, entry, f"save_mask_{name}")[0, :, :, 0]
        kept = mask == 0
        assert numpy.array_equal(after[kept], before[kept])
        face = (slice(top + 20, bottom - 20), slice(left + 20, right - 20))
        assert mask[face].min() == 255 and kept.mean() > 0.6
        assert numpy.abs(after[face].astype(int) - before[face]).mean() > 10
        before = after
    assert text_of(entry, "info_swap") == "Image 1: face 1 becomes photos, by likeness."
    assert text_of(entry, "info_restore") == "Image 1: 1 face(s) restored."


def test_one_identity_needs_no_chain(faces_host: LiveHost) -> None:
    wired = graph()
    wired["swap"]["inputs"]["identities"] = ["identity", 0]
    assert (
        text_of(faces_host.client.run(wired), "info_swap")
        == "Image 1: face 1 becomes photos, by likeness."
    )


def test_an_identity_of_another_pack_is_refused(faces_host: LiveHost) -> None:
    with pytest.raises(RunError, match="was read with the face model pack antelopev2"):
        faces_host.client.run(graph("antelopev2"))


def test_only_swappers_are_listed_and_a_missing_one_is_explained(faces_host: LiveHost) -> None:
    listed = faces_host.client.get_json("/object_info/AstriaLoadFaceSwapper")[
        "AstriaLoadFaceSwapper"
    ]["input"]["required"]["swapper_name"]
    assert listed[1]["options"] == ["inswapper_test.onnx"]
    wired = graph()
    wired["swapper"]["inputs"]["swapper_name"] = "inswapper_128.onnx"
    with pytest.raises(
        RunError, match=r"The face swap model 'inswapper_128.onnx' was not found in .*insightface"
    ):
        faces_host.client.run(wired)
