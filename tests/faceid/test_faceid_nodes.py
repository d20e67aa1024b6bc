"""The FaceID nodes: files in the user's folders, what is said when one cannot be used, and uses
that reach the model.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from comfyui_astria.nodes.errors import AstriaError, MissingModelError
from comfyui_astria.nodes.faceid.errors import FaceIDError
from comfyui_astria.tests.faceid.adapters import (
    PUBLISHED,
    Layout,
    Sizes,
    State,
    adapter_file,
    somebody,
    tiny_file,
)
from comfyui_astria.tests.faceid.faceid_support import (
    applied,
    calls_of,
    clip_vision,
    difference,
    loaded,
    model_of,
    use,
)
from comfyui_astria.tests.regions.comfy_inprocess import load
from safetensors.torch import save_file


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An ipadapter folder, which is all of the host's model folders that these nodes know."""
    folders = load("folder_paths").folder_names_and_paths
    for key in ("ipadapter", "pulid", "clip_vision", "facedetection"):
        (tmp_path / key).mkdir()
        monkeypatch.setitem(folders, key, ([str(tmp_path / key)], set()))
    return tmp_path / "ipadapter"


def nodes() -> Any:
    return load("comfyui_astria.nodes.faceid.nodes")


def load_node(name: str, kind: str = "auto", **sockets: Any) -> Any:
    (found,) = nodes().AstriaLoadFaceID.execute(name, kind, **sockets).result
    return found


def flat(state: State) -> dict[str, torch.Tensor]:
    return {
        f"{part}.{name}": value
        for part, section in state.items()
        for name, value in section.items()
    }


def failed(name: str, kind: str = "auto", **sockets: Any) -> AstriaError:
    with pytest.raises(AstriaError) as raised:
        load_node(name, kind, **sockets)
    return raised.value


@pytest.mark.parametrize("kind", ["faceid", "plus", "plusv2", "portrait", "portrait_unnorm"])
def test_both_file_formats_give_the_same_adapter(folder: Path, kind: str) -> None:
    state = tiny_file(kind, "sd15")
    torch.save(state, folder / f"{kind}.bin")
    save_file(flat(state), folder / f"{kind}.safetensors")
    sockets = {"clip_vision": clip_vision()} if kind.startswith("plus") else {}
    identity = somebody(1)
    expected = loaded(kind).keys_values(identity)
    for ending in ("bin", "safetensors"):
        found = load_node(f"{kind}.{ending}", **sockets)
        assert found.adapter.kind is loaded(kind).adapter.kind
        assert all(
            torch.allclose(one, other, atol=1e-5)
            for pair, same in zip(found.keys_values(identity), expected, strict=True)
            for one, other in zip(pair, same, strict=True)
        )


def test_an_adapter_reads_faces_of_the_pack_that_its_file_names(folder: Path) -> None:
    """A published adapter names none, so no other pack serves it, and it serves no other pack."""
    state = flat(tiny_file("portrait", "sd15"))
    save_file(state, folder / "own.safetensors", {"recogniser": "smallworld"})
    save_file(state, folder / "published.safetensors", {"format": "pt"})
    own, published = load_node("own.safetensors"), load_node("published.safetensors")
    toy, real = somebody(1, recogniser="smallworld"), somebody(1)
    for (one, its), (other, others) in zip(
        own.keys_values(toy), published.keys_values(real), strict=True
    ):
        # Not to the bit: where a file's weights begin in memory decides how they are multiplied.
        torch.testing.assert_close((one, its), (other, others))
    for adapter, identity, wanted in ((own, real, "smallworld"), (published, toy, "buffalo_l")):
        with pytest.raises(FaceIDError, match=f"knows those of {wanted}") as raised:
            adapter.keys_values(identity)
        assert raised.value.hint.startswith(f"Load {wanted} in")


@pytest.mark.parametrize("layout", PUBLISHED, ids=lambda layout: layout.file)
def test_files_of_full_size_load(folder: Path, layout: Layout) -> None:
    """Every number of these files stands in one place, so they are small."""
    zeros = Sizes(
        layout.context,
        layout.tokens,
        make=lambda name, shape: torch.zeros(1, dtype=torch.float16).expand(shape),
    )
    torch.save(adapter_file(layout.kind, layout.widths, zeros), folder / layout.file)
    found = load_node(layout.file, clip_vision=clip_vision())
    assert found.adapter.name == layout.file
    assert len(found.adapter.keys_values) == len(layout.widths)


def test_only_model_files_are_offered_each_once(folder: Path) -> None:
    for name in ("faceid.bin", "readme.md", "sub/portrait.safetensors"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    (folder.parent / "pulid" / "pulid_flux_v0.9.1.safetensors").touch()
    (folder.parent / "pulid" / "faceid.bin").touch()
    (folder.parent / "facedetection" / "parsing_bisenet.pth").touch()
    schema = nodes().AstriaLoadFaceID.define_schema()
    offered = {one.id: one.options for one in schema.inputs if hasattr(one, "options")}
    assert sorted(offered["faceid_name"]) == [
        "faceid.bin",
        "pulid_flux_v0.9.1.safetensors",
        str(Path("sub/portrait.safetensors")),
    ]
    assert offered["kind"] == [
        "auto",
        "faceid",
        "plus",
        "plusv2",
        "portrait",
        "portrait_unnorm",
        "pulid",
    ]
    assert offered["face_parsing"] == ["none", "parsing_bisenet.pth"] and offered["eva_clip"] == [
        "none"
    ]


def test_a_file_that_is_not_there_is_named_with_its_folders(folder: Path) -> None:
    error = failed("../../secret.bin")
    assert isinstance(error, MissingModelError) and error.code == "missing-faceid"
    assert str(folder) in str(error) and "IP-Adapter-FaceID" in error.hint
    assert "'gone.bin' is not among the files" in nodes().AstriaLoadFaceID.validate_inputs(
        "gone.bin"
    )
    torch.save(tiny_file("portrait", "sd15"), folder / "here.bin")
    assert nodes().AstriaLoadFaceID.validate_inputs("here.bin") is True
    assert nodes().AstriaLoadFaceID.validate_inputs(None) is True


class Harmful:
    """A pickle that writes a file when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


def test_a_pickle_with_more_than_weights_is_not_run(folder: Path) -> None:
    trace = folder / "trace"
    torch.save({"image_proj": Harmful(trace), "ip_adapter": {}}, folder / "harmful.bin")
    error = failed("harmful.bin")
    assert error.code == "faceid-unreadable" and "'harmful.bin'" in str(error)
    assert not trace.exists()


@pytest.mark.parametrize(
    ("name", "contents"),
    [
        ("cut.safetensors", b"\x99" * 40),
        ("empty.safetensors", b""),
        ("page.bin", b"<!doctype html>"),
        ("empty.bin", b""),
    ],
)
def test_what_is_no_model_file_is_named(folder: Path, name: str, contents: bytes) -> None:
    (folder / name).write_bytes(contents)
    error = failed(name)
    assert isinstance(error, FaceIDError) and error.code == "faceid-unreadable"
    assert str(folder / name) in str(error) and "compare its size" in error.hint


def test_a_file_that_holds_something_else_is_named(folder: Path) -> None:
    torch.save([1, 2, 3], folder / "list.bin")
    assert "holds a list; expected model weights" in str(failed("list.bin"))
    torch.save({"image_proj": 5, "ip_adapter": 6}, folder / "numbers.bin")
    assert failed("numbers.bin").code == "faceid-file"


def test_plus_without_clip_is_named(folder: Path) -> None:
    torch.save(tiny_file("plusv2", "sd15"), folder / "faceid-plusv2.bin")
    error = failed("faceid-plusv2.bin")
    assert (
        isinstance(error, MissingModelError)
        and "clip_vision is not connected" in str(error)
        and "CLIP-ViT-H-14" in error.hint
    )


def test_pulid_is_handed_on_with_its_two_files(folder: Path) -> None:
    save_file(
        {"pulid_ca.0.norm1.weight": torch.ones(1)}, folder.parent / "pulid" / "pulid.safetensors"
    )
    error = failed("pulid.safetensors")
    assert isinstance(error, MissingModelError) and error.code == "pulid-needs"
    assert failed("pulid.safetensors", "faceid").code == "faceid-kind"


def test_applying_and_chaining_by_the_nodes() -> None:
    adapter, first, second = loaded("portrait"), somebody(1), somebody(2)
    mask = torch.zeros(1, 64, 96)
    mask[..., :48] = 1
    (once, _) = (
        nodes()
        .AstriaApplyFaceID.execute(model_of("sd15"), adapter, first, 0.8, 0.0, 1.0, mask)
        .result
    )
    (twice, _) = nodes().AstriaApplyFaceID.execute(once, adapter, second, 0.6, 0.0, 1.0).result
    expected = applied(
        model_of("sd15"), (use(adapter, first, 0.8), mask), (use(adapter, second, 0.6), None)
    )
    assert difference(calls_of(twice, "sd15")[0].out, calls_of(expected, "sd15")[0].out) < 1e-5
    (chain,) = nodes().AstriaPersonFaceID.execute(adapter, first, 0.8, 0.1, 0.9).result
    (chain,) = (
        nodes().AstriaPersonFaceID.execute(adapter, second, 0.6, 0.0, 1.0, faceids=chain).result
    )
    assert [(one.identity, one.strength, one.start, one.end) for one in chain] == [
        (first, 0.8, 0.1, 0.9),
        (second, 0.6, 0.0, 1.0),
    ]
