"""The folder of a face model pack: what else lies there is named and left out, and what is missing
is said.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from comfyui_astria.nodes.errors import MissingModelError
from comfyui_astria.nodes.faces.insight import load_pack
from comfyui_astria.tests.regions.comfy_inprocess import load
from comfyui_astria.tests.testpack.swap_models import write_swapper
from onnx import TensorProto, helper

SPOILT = {
    "empty": b"",
    "pointer": b"version https://git-lfs.github.com/spec/v1\n",
    "page": b"<!doctype html><html></html>",
    "garbage": b"\x08\x08cut off",
}


@pytest.fixture
def pack(face_pack: Path, tmp_path: Path) -> Path:
    return shutil.copytree(face_pack, tmp_path / "insightface" / "models" / "buffalo_l")


def write_other(path: Path, side: int, outputs: Sequence[Sequence[int]]) -> None:
    """Write a network that takes one picture of `side` and gives outputs of these shapes."""
    names = [f"out_{number}" for number in range(len(outputs))]
    graph = helper.make_graph(
        [
            helper.make_node("ConstantOfShape", [f"shape_{number}"], [name], name=f"node_{number}")
            for number, name in enumerate(names)
        ],
        "other",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, [1, 3, side, side])],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))
            for name, shape in zip(names, outputs, strict=True)
        ],
        [
            onnx.numpy_helper.from_array(np.array(shape, np.int64), f"shape_{number}")
            for number, shape in enumerate(outputs)
        ],
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)


def finds_the_face(pack: Path, photo: np.ndarray) -> tuple[str, ...]:
    """Return what was noted of a pack that does its work."""
    loaded = load_pack(pack)
    (face,) = loaded.analysis.faces(photo)
    assert face.score > 0.95 and face.embedding.shape == (512,)
    return loaded.notes


def test_a_whole_pack_has_nothing_to_note(pack: Path, photo: np.ndarray) -> None:
    write_other(pack / "1k3d68.onnx", 192, [[1, 3309]])
    write_other(pack / "genderage.onnx", 96, [[1, 3]])
    (pack / "readme.txt").write_text("not a model")
    (pack / "w600k_r50.safetensors").write_bytes(b"")
    assert finds_the_face(pack, photo) == ()


def test_a_swapper_in_the_pack_is_named_with_its_own_place(pack: Path, photo: np.ndarray) -> None:
    write_swapper(pack / "inswapper_128.onnx")
    (note,) = finds_the_face(pack, photo)
    assert note == (
        f"{pack / 'inswapper_128.onnx'} was left out: it is a face swapper and no part of a face"
        f" model pack. Move it to {pack.parents[1]}, where Astria Load Face Swapper lists it."
    )


@pytest.mark.parametrize(
    ("name", "side", "outputs"),
    [
        ("GFPGANv1.4.onnx", 512, [[1, 3, 512, 512]]),  # before rec_test, and of its input's shape
        ("dfl_xseg.onnx", 256, [[1, 256, 256, 1]]),
        ("a_yunet.onnx", 640, [[1, 100, 1]] * 12),  # before det_test, with many outputs
        ("old_recogniser.onnx", 112, [[1, 128]]),
    ],
)
def test_a_model_of_another_kind_is_not_taken_for_the_pack_s_own(
    pack: Path, photo: np.ndarray, name: str, side: int, outputs: list[list[int]]
) -> None:
    write_other(pack / name, side, outputs)
    (note,) = finds_the_face(pack, photo)
    assert str(pack / name) in note and "neither detector nor recogniser" in note


def test_a_second_recogniser_is_said_and_the_first_by_name_counts(
    pack: Path, photo: np.ndarray
) -> None:
    shutil.copy(pack / "rec_test.onnx", pack / "w600k.onnx")
    (note,) = finds_the_face(pack, photo)
    assert "w600k.onnx was left out: it is a second recogniser, and rec_test.onnx is used" in note


@pytest.mark.parametrize("content", SPOILT.values(), ids=SPOILT)
def test_a_damaged_file_that_is_not_needed_is_left_out(
    pack: Path, photo: np.ndarray, content: bytes
) -> None:
    (pack / "genderage.onnx").write_bytes(content)
    (note,) = finds_the_face(pack, photo)
    assert note.startswith("Left out: genderage.onnx ") and f"{len(content)} bytes" in note


def test_a_link_to_nothing_is_left_out_and_named(pack: Path, photo: np.ndarray) -> None:
    (pack / "a_gone.onnx").symlink_to(pack / "nowhere.onnx")
    loaded = load_pack(pack)
    assert loaded.notes[-1] == "Left out: a_gone.onnx is a link to a file that is not there."
    assert len(loaded.analysis.faces(photo)) == 1


@pytest.mark.parametrize("content", SPOILT.values(), ids=SPOILT)
def test_error_a_damaged_detector_is_named(pack: Path, content: bytes) -> None:
    (pack / "det_test.onnx").write_bytes(content)
    with pytest.raises(MissingModelError, match=r"buffalo_l has no detector\.\ndet_test") as caught:
        load_pack(pack)
    assert f"{len(content)} bytes" in caught.value.message
    assert "Unpack a whole pack" in caught.value.hint
    assert caught.value.code == "damaged-face-pack"


def test_error_a_cut_recogniser_is_named(pack: Path) -> None:
    whole = (pack / "rec_test.onnx").read_bytes()
    (pack / "rec_test.onnx").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(MissingModelError, match=r"has no recogniser\.\nrec_test\.onnx \(\d+ bytes"):
        load_pack(pack)


@pytest.mark.parametrize(
    ("absent", "missing"), [("rec_test.onnx", "recogniser"), ("det_test.onnx", "detector")]
)
def test_error_half_a_pack(pack: Path, absent: str, missing: str) -> None:
    (pack / absent).unlink()
    with pytest.raises(MissingModelError, match=f"has no {missing}") as caught:
        load_pack(pack)
    assert caught.value.code == f"face-pack-{missing}"


def test_error_a_pack_in_a_folder_of_its_own_beside_a_swapper(pack: Path) -> None:
    inner = pack / "buffalo_l"
    inner.mkdir()
    for name in ("det_test.onnx", "rec_test.onnx"):
        (pack / name).rename(inner / name)
    write_swapper(pack / "inswapper_128.onnx")
    with pytest.raises(MissingModelError, match="has no detector and no recogniser") as caught:
        load_pack(pack)
    assert f"Move it to {pack.parents[1]}" in caught.value.message
    assert caught.value.hint == f"Move the files of {inner} to {pack}."


@pytest.mark.parametrize("beside", [True, False])
def test_error_an_archive_that_nobody_unpacked(tmp_path: Path, beside: bool) -> None:
    folder = tmp_path / "buffalo_l"
    folder.mkdir()
    archive = tmp_path / "buffalo_l.zip" if beside else folder / "buffalo_l.zip"
    archive.touch()
    with pytest.raises(MissingModelError, match=r"holds no \.onnx file") as caught:
        load_pack(folder)
    assert f"Unpack {archive} so that its .onnx files stand in {folder}" in caught.value.hint


def test_the_node_tells_what_was_left_out(pack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_swapper(pack / "inswapper_128.onnx")
    nodes = load("comfyui_astria.nodes.faces.nodes")
    monkeypatch.setattr(nodes, "_packs", lambda: {"buffalo_l": pack})
    output = nodes.AstriaLoadFaceAnalysis.execute("buffalo_l")
    assert "inswapper_128.onnx was left out" in output.ui["astria_notes"][0]


def test_a_pack_with_a_manifest_is_read_as_the_manifest_says(pack: Path, photo: np.ndarray) -> None:
    """As the packs of insightface 2 are; what else lies there does not count."""
    (pack / "MODEL.LICENSE").write_text("for tests")
    tasks = {
        "detection": {"file": "det_test.onnx", "preprocessing": {"mean": 127.5, "std": 128.0}},
        "recognition": {"file": "rec_test.onnx", "preprocessing": {"mean": 127.5, "std": 127.5}},
    }
    manifest = {"manifest_version": 2, "model_id": "tiny", "license": "MODEL.LICENSE"}
    (pack / "manifest.json").write_text(json.dumps({**manifest, "tasks": tasks}))
    write_swapper(pack / "inswapper_128.onnx")
    (pack / "a_damaged.onnx").write_bytes(b"")
    assert finds_the_face(pack, photo) == ()
    tasks["recognition"]["file"] = "gone.onnx"
    (pack / "manifest.json").write_text(json.dumps({**manifest, "tasks": tasks}))
    (pack / "rec_test.onnx").rename(pack / "recogniser.onnx")
    with pytest.raises(MissingModelError, match=r"cannot be loaded by its manifest\.json"):
        load_pack(pack)
