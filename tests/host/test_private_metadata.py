"""What saved pictures tell of their maker's machine: nothing that the workflow itself does not say.

ComfyUI writes what a node answers for the cache into the `prompt` of every picture.
"""

from __future__ import annotations

import ast
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy
import pytest
from comfyui_astria.devtools.clean_metadata import clean_file
from comfyui_astria.devtools.client import cached_nodes, images_of
from comfyui_astria.devtools.source import NODES, files, tree_of
from comfyui_astria.tests.host.fixtures import LiveHost
from comfyui_astria.tests.host.graphs import generate_graph, node, upload_picture
from comfyui_astria.tests.host.tiny_lora import write_tiny_lora
from comfyui_astria.tests.testpack.face_models import astronaut, write_face_pack
from comfyui_astria.tests.testpack.swap_models import write_swapper
from PIL import Image

MARK = "privateer"
PACK = "tiny_faces"
TEXT = "a cat\nsteps=1\nw=64\nh=64\nseed=1"
BINDINGS = f"""# {MARK}: of Maria, do not share
[tunes]
90125 = {MARK}_lora.safetensors
90126 = {MARK} Anna

[roles]
upscaler = {MARK}_upscaler.pth
"""


@pytest.fixture(scope="module")
def owned(host: LiveHost) -> LiveHost:
    """A host with the mark in whatever of its owner's the pack looks at."""
    models = host.base / "models"
    write_face_pack(models / "insightface" / "models" / PACK)
    write_swapper(models / "insightface" / "inswapper_128.onnx")
    write_tiny_lora(host.loras, "sd15", f"{MARK}_lora.safetensors")
    for name in (f"embeddings/{MARK}_embedding.safetensors", "checkpoints/plain.safetensors"):
        (models / name).parent.mkdir(exist_ok=True)
        (models / name).write_bytes(b"")
    upload_picture(host, 64, 64, f"{MARK}_holiday.png")
    buffer = io.BytesIO()
    Image.fromarray(astronaut()).save(buffer, "PNG")
    host.client.upload_image(buffer.getvalue(), "astronaut.png")
    host.state.mkdir(parents=True, exist_ok=True)
    (host.state / "bindings.ini").write_text(BINDINGS, encoding="utf-8")
    host.client.run({**faces(), "tune": tune(f"{MARK} Anna", 90127)})
    four = {"four": node("RepeatImageBatch", image=["photo", 0], amount=4)}
    learned = tune(f"{MARK} learned", 90129)
    learned["inputs"]["images"] = ["four", 0]
    host.client.run({**faces(), **four, "tune": learned})
    return host


def faces() -> dict[str, Any]:
    return {
        "photo": node("LoadImage", image="astronaut.png"),
        "analysis": node("AstriaLoadFaceAnalysis", pack=PACK),
    }


def tune(title: str, id: int) -> dict[str, Any]:
    return node(
        "AstriaCreateTune",
        images=["photo", 0],
        analysis=["analysis", 0],
        title=title,
        name="woman",
        token="ohwx",
        tune_id=id,
        model_type="faceid",
        file="none",
    )


def learned() -> dict[str, Any]:
    """The pictures of a tune as a training takes them."""
    photos = {"tune": "90129", "token": "ohwx", "name": "woman", "sizes": "64", "face_crop": False}
    return {
        "learned": node("AstriaTunePhotos", **photos),
        "learned_save": node("SaveImage", images=["learned", 0], filename_prefix="private"),
    }


def every_fingerprint() -> dict[str, Any]:
    """A picture beside each node of the pack that answers for the cache.

    Texts over links stand for the whole input folder and all tunes.
    """
    linked = {"text": ["said", 0]}
    model = {"model": ["model", 0], "clip": ["model", 1]}
    generate = generate_graph(TEXT, missing_models="skip", models=["models", 0])
    return {
        **generate,
        **faces(),
        "said": node("PrimitiveStringMultiline", value=TEXT),
        "linked": node(
            "AstriaGenerate", **linked, seed=2, vae=["model", 2], **model, missing_models="skip"
        ),
        "linked_save": node("SaveImage", images=["linked", 0], filename_prefix="private"),
        "models": node("AstriaModels", bindings=""),
        "request": node("AstriaPrompt", **linked),
        "encoded": node("AstriaEncodeRequest", request=["request", 0], **model),
        "encoded_end": node("PreviewAny", source=["encoded", 1]),
        "settings": node(
            "AstriaRequestSettings", request=["request", 0], model=["model", 0], seed=1
        ),
        "settings_end": node("PreviewAny", source=["settings", 1]),
        "explained": node("AstriaExplain", text=TEXT, family="sd15", base=""),
        "compiled": node(
            "AstriaCompile",
            **linked,
            seed=1,
            form="api",
            base="",
            image="",
            mask="",
            filename_prefix="workflows/private",
            models=["bound", 0],
        ),
        "bound": node(
            "AstriaModels", bindings="[base 1]\nfamily = sd15\ncheckpoint = plain.safetensors"
        ),
        "tune": tune("somebody", 90128),
        "tunes": node("AstriaTunes", tune=""),
        "identity": node("AstriaIdentity", analysis=["analysis", 0], tune="90127"),
        "identity_end": node("PreviewAny", source=["identity", 0]),
        "swapper": node("AstriaLoadFaceSwapper", swapper_name="inswapper_128.onnx"),
        "graded": node("AstriaColorGrading", image=["generate", 0], look="Film Portra", strength=1),
        "graded_save": node("SaveImage", images=["graded", 0], filename_prefix="private"),
        **learned(),
    }


def fingerprinting() -> set[str]:
    """Return the nodes of the pack that answer for the cache, read off the sources."""
    return {
        one.name
        for path in files("*nodes.py", NODES)
        for one in ast.walk(tree_of(path))
        if isinstance(one, ast.ClassDef)
        and any(getattr(part, "name", "") == "fingerprint_inputs" for part in one.body)
    }


def test_no_picture_holds_what_its_maker_bound_named_or_wrote_down(owned: LiveHost) -> None:
    entry = owned.client.run(every_fingerprint())
    answered = {}
    for image in images_of(entry):
        content = owned.client.view(image)
        assert MARK.encode() not in content
        assert str(owned.base).encode() not in content
        prompt = json.loads(Image.open(io.BytesIO(content)).text["prompt"])
        answered |= {one["class_type"]: one.get("is_changed") for one in prompt.values()}
    ours = {name: said for name, said in answered.items() if name in fingerprinting()}
    assert set(ours) == fingerprinting()
    for name, said in ours.items():
        assert re.fullmatch("[0-9a-f]{64}", said[0]), name


def test_pictures_of_the_host_are_cleaned_and_their_prompt_still_runs(
    owned: LiveHost, tmp_path: Path
) -> None:
    graph = generate_graph(TEXT)
    of = {"images": ["generate", 0], "filename_prefix": "private"}
    timing = {"fps": 6.0}
    graph["webp"] = node(
        "SaveAnimatedWEBP", **of, **timing, lossless=True, quality=80, method="default"
    )
    graph["apng"] = node("SaveAnimatedPNG", **of, **timing, compress_level=4)
    entry = owned.client.run(graph)
    images = images_of(entry)
    assert len(images) == 3
    for image in images:
        path = tmp_path / image["filename"]
        path.write_bytes(owned.client.view(image))
        pixels = numpy.asarray(Image.open(path).convert("RGB"))
        assert clean_file(path) == 1
        assert b"is_changed" not in path.read_bytes()
        assert (numpy.asarray(Image.open(path).convert("RGB")) == pixels).all()
        assert clean_file(path) == 0
    saved_picture = tmp_path / images_of(entry, "save")[0]["filename"]
    owned.client.run(json.loads(Image.open(saved_picture).text["prompt"]))


def test_the_cache_still_answers_the_same_run_and_sees_a_changed_bindings_file(
    owned: LiveHost,
) -> None:
    graph = generate_graph(f"{TEXT}0")
    owned.client.run(graph)
    assert "generate" in cached_nodes(owned.client.run(graph))
    with open(owned.state / "bindings.ini", "a", encoding="utf-8") as bindings:
        bindings.write("# one line more\n")
    assert "generate" not in cached_nodes(owned.client.run(graph))
    assert "generate" in cached_nodes(owned.client.run(graph))


def test_every_fingerprint_of_the_pack_is_a_keyed_hash() -> None:
    """Also where this machine has nothing to tell, such as a swapper that is not there."""
    others = []
    for path in files("*nodes.py", NODES):
        for one in ast.walk(tree_of(path)):
            if isinstance(one, ast.FunctionDef) and one.name == "fingerprint_inputs":
                returned = [part.value for part in ast.walk(one) if isinstance(part, ast.Return)]
                others += [
                    f"{path.name}:{value.lineno}"
                    for value in returned
                    if not (
                        isinstance(value, ast.Call)
                        and isinstance(value.func, ast.Name)
                        and value.func.id == "fingerprint"
                    )
                ]
    assert not others
