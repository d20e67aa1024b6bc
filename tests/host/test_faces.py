"""Faces and tunes on a live host.

A photo becomes a tune, is found again, listed and deleted; what is wrong is said before or when it
runs.
"""

from __future__ import annotations

import io
import re
from typing import Any

import numpy
import pytest
from comfyui_astria.devtools.client import RunError
from comfyui_astria.nodes.tunes.state import trained_name, training_folder
from comfyui_astria.nodes.tunes.store import TuneStore
from comfyui_astria.tests.host.fixtures import LiveHost
from comfyui_astria.tests.host.graphs import node, notes_of, saved, text_of
from comfyui_astria.tests.testpack.face_models import (
    FACE_BOX,
    FACE_POINTS,
    astronaut,
    write_face_pack,
)
from PIL import Image

PACK = "tiny_faces"


@pytest.fixture(scope="module", autouse=True)
def face_pack(host: LiveHost) -> None:
    write_face_pack(host.base / "models" / "insightface" / "models" / PACK)
    for name, pixels in (
        ("astronaut.png", astronaut()),
        ("nobody.png", numpy.zeros((512, 512, 3), numpy.uint8)),
    ):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        host.client.upload_image(buffer.getvalue(), name)


def photos_graph() -> dict:
    """The astronaut and a black picture as one batch, and the analysis."""
    return {
        "photo": node("LoadImage", image="astronaut.png"),
        "nobody": node("LoadImage", image="nobody.png"),
        "both": node("ImageBatch", image1=["photo", 0], image2=["nobody", 0]),
        "analysis": node("AstriaLoadFaceAnalysis", pack=PACK),
    }


def create(title: str, **inputs: object) -> dict:
    return node("AstriaCreateTune", **tune_inputs(title=title, **inputs))


def tune_inputs(**inputs: object) -> dict:
    return {
        "images": ["both", 0],
        "analysis": ["analysis", 0],
        "title": "x",
        "name": "woman",
        "token": "ohwx",
        "tune_id": 0,
        "model_type": "faceid",
        "file": "none",
        **inputs,
    }


def test_faces_of_a_batch_are_found_drawn_and_masked(host: LiveHost) -> None:
    graph = {
        **photos_graph(),
        "faces": node(
            "AstriaDetectFaces",
            image=["both", 0],
            analysis=["analysis", 0],
            min_confidence=0.5,
            min_size_px=0,
        ),
        "picture": node("MaskToImage", mask=["faces", 1]),
        "masks": node("SaveImage", images=["picture", 0], filename_prefix="masks"),
        "preview": node("SaveImage", images=["faces", 3], filename_prefix="faces"),
    }
    entry = host.client.run(graph)
    masks, drawn = saved(host, entry, "masks"), saved(host, entry, "preview")
    left, top, right, bottom = (round(edge) for edge in FACE_BOX)
    assert (masks[0, (top + bottom) // 2, (left + right) // 2] == 255).all()
    assert masks[0, top:bottom, left:right].mean() == pytest.approx(255 * numpy.pi / 4, rel=0.03)
    assert masks[0].sum() == masks[0, top - 1 : bottom + 1, left - 1 : right + 1].sum()
    assert masks[1].max() == 0 == drawn[1].max()
    changed = (drawn[0] != astronaut()).any(-1)
    assert (
        changed[top, left:right].all() and changed[tuple(FACE_POINTS[2].round().astype(int)[::-1])]
    )


def test_a_tune_is_made_once_named_by_its_id_listed_and_deleted(host: LiveHost) -> None:
    graph = {**photos_graph(), "tune": create("Eileen", tune_id=788416)}
    first = host.client.run(graph)
    report = text_of(first, "tune")
    assert (
        "Tune 788416 'Eileen' is stored, with 1 of 2 photo(s). Write <faceid:788416:1>." in report
    )
    assert "Photo 2: not used: no face was found." in report
    again = host.client.run({**graph, "tune": create("Eileen", tune_id=0)})
    assert "Tune 788416 'Eileen' was there already" in text_of(again, "tune")
    with pytest.raises(
        RunError, match="Tune 788416 'Eileen' has these photos already, but name 'woman'"
    ):
        host.client.run({**graph, "tune": create("Eileen", name="man")})

    used = {
        "analysis": node("AstriaLoadFaceAnalysis", pack=PACK),
        "identity": node("AstriaIdentity", analysis=["analysis", 0], tune="788416"),
        "end": node("PreviewAny", source=["identity", 0]),
    }
    assert notes_of(host.client.run(used), "identity") == "Eileen: 1 of 1 photo(s) used."

    shown = {
        "tunes": node("AstriaTunes", tune="788416"),
        "save": node("SaveImage", images=["tunes", 1], filename_prefix="tunes"),
    }
    entry = host.client.run(shown)
    assert text_of(entry, "tunes").startswith("788416  'Eileen'  faceid  ohwx woman  1 photo(s)")
    assert numpy.array_equal(saved(host, entry), astronaut()[None])

    with pytest.raises(
        RunError, match="Tune 788416 does not have the title 'Ellen'; it was left as it is"
    ):
        host.client.run({"delete": node("AstriaDeleteTune", tune_id=788416, title="Ellen")})
    deleted = deleted_by_node(host, tune_id=788416, title="Eileen")
    assert text_of(deleted, "delete") == "Tune 788416 'Eileen' and its 1 photo(s) are deleted."
    with pytest.raises(RunError, match="FaceID photo set '788416' is not in the tunes database"):
        host.client.run(used)
    assert "is stored" in text_of(host.client.run(graph), "tune")


def deleted_by_node(host: LiveHost, **given: object) -> dict[str, Any]:
    """Run Astria Delete Tune as its owner does: once to be told the word, and again with it."""
    with pytest.raises(RunError, match="is not deleted yet") as told:
        host.client.run({"delete": node("AstriaDeleteTune", **given)})
    word = re.search(r"write (\w+) into confirm", str(told.value))
    assert word is not None
    return host.client.run({"delete": node("AstriaDeleteTune", **given, confirm=word[1])})


def test_with_a_trained_tune_goes_what_its_training_made(host: LiveHost) -> None:
    store = TuneStore(host.state)
    tune = store.create(title="trained here", model_type="lora")
    other = host.loras / "somebody.safetensors"
    file = host.loras / trained_name(tune.id)
    left = training_folder(host.state, tune.id)
    for path in (file, other, left / "resume.safetensors"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"a person")
    store.trained(tune.id, trained_name(tune.id), "lora")
    deleted = deleted_by_node(host, tune_id=tune.id, title=tune.title)
    assert "So is the file that it was trained to" in text_of(deleted, "delete")
    assert not file.exists()
    assert not left.exists()
    kept = store.create(title="a file of mine", model_type="lora", file=other.name)
    deleted = deleted_by_node(host, tune_id=kept.id, title=kept.title)
    assert "stays in the model folder" in text_of(deleted, "delete")
    assert other.exists()
    other.unlink()


def test_a_strangers_workflow_that_reads_the_title_deletes_nothing(host: LiveHost) -> None:
    host.client.run({**photos_graph(), "tune": create("prey", images=["photo", 0], tune_id=31340)})
    found = {
        "regex_pattern": "'(.*)'",
        "mode": "First Group",
        **dict.fromkeys(("case_insensitive", "multiline", "dotall"), False),
        "group_index": 1,
    }
    reading = {
        "tunes": node("AstriaTunes", tune="31340"),
        "title": node("RegexExtract", string=["tunes", 0], **found),
    }
    for word in ("", "prey", "00000000"):
        delete = node("AstriaDeleteTune", tune_id=31340, title=["title", 0], confirm=word)
        with pytest.raises(RunError, match="Tune 31340 'prey' with 1 photo"):
            host.client.run({**reading, "delete": delete})
    assert deleted_by_node(host, tune_id=31340, title="prey")


def test_a_tune_is_deleted_by_its_id_and_never_by_a_title_that_looks_like_one(
    host: LiveHost,
) -> None:
    host.client.run({**photos_graph(), "tune": create("31337", images=["photo", 0], tune_id=31338)})
    with pytest.raises(RunError, match="There is no tune '31337'"):
        host.client.run({"delete": node("AstriaDeleteTune", tune_id=31337, title="31337")})
    shown = text_of(host.client.run({"tunes": node("AstriaTunes", tune="31337")}), "tunes")
    assert shown.startswith("31338  '31337'")


def test_a_file_that_stays_of_a_deleted_tune_is_named(host: LiveHost) -> None:
    store = TuneStore(host.state)
    tune = store.create(title="trained", model_type="lora", file="astria/tune-1.safetensors")
    deleted = deleted_by_node(host, tune_id=tune.id, title="trained")
    assert "Its file 'astria/tune-1.safetensors' stays" in text_of(deleted, "delete")


def test_a_tune_whose_photo_was_spoilt_is_listed_and_can_be_deleted(host: LiveHost) -> None:
    host.client.run(
        {**photos_graph(), "tune": create("spoilt", images=["photo", 0], tune_id=31339)}
    )
    (photo,) = (path for path in host.base.rglob("31339/*.png"))
    photo.write_bytes(b"no picture")
    listed = text_of(host.client.run({"tunes": node("AstriaTunes", tune="")}), "tunes")
    assert "31339  'spoilt'" in listed
    assert f"The photo 31339/{photo.name} cannot be read: it is no picture" in listed
    assert str(host.base) not in listed
    deleted = deleted_by_node(host, tune_id=31339, title="spoilt")
    assert text_of(deleted, "delete") == "Tune 31339 'spoilt' and its 1 photo(s) are deleted."
    assert not photo.exists()


def test_the_id_of_a_tune_travels_by_link(host: LiveHost) -> None:
    graph = {
        **photos_graph(),
        "tune": create("by link", images=["photo", 0]),
        "identity": node("AstriaIdentity", analysis=["analysis", 0], tune=["tune", 0]),
        "end": node("PreviewAny", source=["identity", 0]),
    }
    assert notes_of(host.client.run(graph), "identity") == "by link: 1 of 1 photo(s) used."


def test_a_lora_s_tune_may_hold_photos(host: LiveHost) -> None:
    (host.loras / "eileen.safetensors").touch()  # its name is what the tune keeps
    tune = create(
        "with a LoRA",
        images=["photo", 0],
        model_type="lora",
        file="eileen.safetensors",
        tune_id=1533312,
    )
    report = text_of(host.client.run({**photos_graph(), "tune": tune}), "tune")
    assert (
        "Tune 1533312 'with a LoRA' is stored, with 1 of 1 photo(s). Write <lora:1533312:1>."
        in report
    )
    graph = {
        **photos_graph(),
        "identity": node("AstriaIdentity", analysis=["analysis", 0], tune="1533312"),
        "end": node("PreviewAny", source=["identity", 0]),
        "list": node("AstriaTunes", tune=""),
    }
    entry = host.client.run(graph)
    assert notes_of(entry, "identity") == "with a LoRA: 1 of 1 photo(s) used."
    assert "1533312  'with a LoRA'  lora eileen.safetensors  ohwx woman  1 photo(s)" in text_of(
        entry, "list"
    )


def test_photos_of_several_sizes_come_as_a_list(host: LiveHost) -> None:
    graph = {
        **photos_graph(),
        "wide": node("ImageCrop", image=["photo", 0], width=480, height=400, x=0, y=0),
        "list": node("CreateList", **{"inputs.input0": ["both", 0], "inputs.input1": ["wide", 0]}),
        "tune": create("of a list", images=["list", 0]),
        "identity": node("AstriaIdentity", analysis=["analysis", 0], photos=["list", 0], tune=""),
        "end": node("PreviewAny", source=["identity", 0]),
    }
    entry = host.client.run(graph)
    assert "is stored, with 2 of 3 photo(s)" in text_of(entry, "tune")
    assert (
        notes_of(entry, "identity")
        == "photos: 2 of 3 photo(s) used.\nPhoto 2: not used: no face was found."
    )
    names = node("CreateList", **{"inputs.input0": ["word", 0], "inputs.input1": ["word", 0]})
    several = {
        **graph,
        "word": node("PrimitiveString", value="a"),
        "names": names,
        "tune": create(["names", 0], images=["list", 0]),
    }
    with pytest.raises(
        RunError, match="The input 'title' comes as a list of 2; expected one value"
    ):
        host.client.run(several)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (
            {"images": ["nobody", 0]},
            r"No photo of 'x' shows a usable face\. Photo 1: not used: no face was found",
        ),
        ({"model_type": "lora"}, "A tune of model_type lora needs a file; file is 'none'"),
        ({"title": " "}, "a tune needs a title"),
        ({"analysis": ["blind", 0]}, "its pack is 'none'"),
    ],
)
def test_error_a_tune_that_cannot_be(host: LiveHost, inputs: dict, message: str) -> None:
    boxes = {
        "boxes": node("AstriaTestBoxes"),
        "blind": node("AstriaLoadFaceAnalysis", pack="none", bbox_detector=["boxes", 0]),
    }
    with pytest.raises(RunError, match=message):
        host.client.run(
            {**photos_graph(), **boxes, "tune": node("AstriaCreateTune", **tune_inputs(**inputs))}
        )


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "An identity comes from photos or from a tune; neither is given"),
        (
            {"tune": "1", "photos": ["photo", 0]},
            "An identity comes from photos or from a tune; both are given",
        ),
        ({"tune": "4711"}, "FaceID photo set '4711' is not in the tunes database"),
    ],
)
def test_error_an_identity_of_nobody(host: LiveHost, inputs: dict, message: str) -> None:
    graph = {
        **photos_graph(),
        "identity": node("AstriaIdentity", analysis=["analysis", 0], **{"tune": "", **inputs}),
    }
    with pytest.raises(RunError, match=message):
        host.client.run({**graph, "end": node("PreviewAny", source=["identity", 0])})


def test_error_a_pack_that_the_receiver_lacks_is_said_before_anything_runs(host: LiveHost) -> None:
    graph = {
        **photos_graph(),
        "analysis": node("AstriaLoadFaceAnalysis", pack="buffalo_l"),
        "tune": create("x"),
    }
    with pytest.raises(
        RunError, match=r"The face model pack 'buffalo_l' was not found\. Packs there: .*tiny_faces"
    ) as refused:
        host.client.run(graph)
    assert refused.value.node_errors


def test_error_nothing_to_find_faces_with(host: LiveHost) -> None:
    graph = {
        **photos_graph(),
        "analysis": node("AstriaLoadFaceAnalysis", pack="none"),
        "tune": create("x"),
    }
    with pytest.raises(
        RunError, match="No face model pack is chosen, and no other detector is connected"
    ):
        host.client.run(graph)
