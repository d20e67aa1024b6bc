"""What the example workflows ask their reader to bring for faces, tiny.

Files under the published names, tunes with photos, a photo with a face.
"""

from __future__ import annotations

import io
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import save_file

from ...devtools import examples
from ..faceid.adapters import HOST_SDXL, Sizes, adapter_file, tiny_file
from ..faceid.adapters import random_weights as random_adapter
from ..faceid.pulid_support import (
    TINY,
    TINY_EVA,
    bisenet_shapes,
    eva_shapes,
    pulid_shapes,
    random_weights,
)
from ..host.graphs import node
from ..host.running import LiveHost
from ..testpack.face_models import astronaut, write_face_pack
from ..testpack.swap_models import restoreformer_weights, write_swapper

PULID = TINY._replace(attentions=2)


def furnish_faces(host: LiveHost) -> None:
    """Put what faces need into the host's folders, and make the examples' tunes."""
    models = host.base / "models"
    for pack in ("buffalo_l", "antelopev2"):
        write_face_pack(models / "insightface" / "models" / pack)
    write_swapper(models / "insightface" / "inswapper_128.onnx")
    _save(models / "upscale_models" / "GFPGANv1.4.pth", restoreformer_weights())
    _furnish_faceid(models / "ipadapter")
    _furnish_pulid(models)
    buffer = io.BytesIO()
    Image.fromarray(astronaut()).save(buffer, "PNG")
    host.client.upload_image(buffer.getvalue(), examples.IMAGE)
    _make_tunes(host)


def _furnish_faceid(folder: Path) -> None:
    _save(folder / "ip-adapter-faceid-plusv2_sd15.bin", tiny_file("plusv2", "sd15"))
    _save(folder / "ip-adapter-faceid-portrait_sd15.bin", tiny_file("portrait", "sd15"))
    _save(
        folder / "ip-adapter-faceid_sdxl.bin",
        adapter_file("faceid", HOST_SDXL, Sizes(64 + 96, rank=4, make=random_adapter(0))),
    )


def _furnish_pulid(models: Path) -> None:
    folder = models / "pulid"
    folder.mkdir(parents=True, exist_ok=True)
    save_file(random_weights(pulid_shapes(PULID)), folder / "pulid_flux_v0.9.1.safetensors")
    _save(
        models / "clip_vision" / "EVA02_CLIP_L_336_psz14_s6B.pt",
        random_weights(eva_shapes(TINY_EVA)),
    )
    parser = random_weights(bisenet_shapes())
    # The last layer sees nothing negative: every pixel is skin, and faces are painted as a whole.
    parser["conv_out.conv_out.weight"][1] = 1.0
    _save(models / "facedetection" / "parsing_bisenet.pth", parser)


def _make_tunes(host: LiveHost) -> None:
    files = {749152: "my_person.safetensors", 749183: "second_person.safetensors"}
    graph = {
        "photo": node("LoadImage", image=examples.IMAGE),
        "analysis": node("AstriaLoadFaceAnalysis", pack="buffalo_l"),
    }
    for id in examples.PHOTO_SETS:
        kind = (
            {"model_type": "lora", "file": files[id]}
            if id in files
            else {"model_type": "faceid", "file": "none"}
        )
        graph[f"tune_{id}"] = node(
            "AstriaCreateTune",
            images=["photo", 0],
            analysis=["analysis", 0],
            title=f"person {id}",
            name="person",
            token="ohwx",
            tune_id=id,
            **kind,
        )
    host.client.run(graph)


def _save(path: Path, weights: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(weights, path)
