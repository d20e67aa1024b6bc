"""What the command line offers and accepts, without ComfyUI; tests/host/test_listing.py holds it
against a running one.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from comfyui_astria.devtools import commands
from comfyui_astria.devtools.commands import main
from comfyui_astria.nodes.tunes.bindings import BINDINGS_FILE, Bindings
from comfyui_astria.nodes.tunes.choices import choices
from comfyui_astria.nodes.tunes.file_search import Missing
from comfyui_astria.nodes.tunes.local_files import LocalFiles
from comfyui_astria.nodes.tunes.resolve import Resolver


@pytest.fixture
def comfyui(tmp_path: Path) -> Path:
    """A ComfyUI folder with a file in each of some model folders, and a face pack."""
    for name in (
        "main.py",
        "models/upscale_models/c.onnx",
        "models/controlnet/a.safetensors",
        "models/checkpoints/a.safetensors",
        "models/insightface/models/pack/det.onnx",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def test_a_role_offers_what_its_node_reads_and_packs_that_are_there(tmp_path: Path) -> None:
    for name in (
        "upscale_models/4x.pth",
        "upscale_models/restorer.onnx",
        "insightface/inswapper_128.onnx",
        "insightface/readme.md",
        "insightface/below/other.onnx",
        "insightface/models/buffalo_l/det_10g.onnx",
        "insightface/models/empty/readme.txt",
        "insightface/models/nested/nested/det_10g.onnx",
        "insightface/models/buffalo_l.zip",
        "clipseg/rd64/config.json",
        "clipseg/rd64/model.safetensors",
        "clipseg/weights_alone/model.safetensors",
        "ipadapter/faceid.bin",
        "ipadapter/LICENCE.txt",
        "sams/sam_vit_b.pth",
        "sams/notes.md",
    ):
        path = tmp_path / "models" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    files = LocalFiles(tmp_path / "models")
    offered = {
        "face_restorer": ["4x.pth"],
        "face_swapper": ["inswapper_128.onnx"],
        "face_analysis": ["buffalo_l"],
        "clipseg": ["rd64"],
        "faceid": ["faceid.bin"],
        "sam": ["sam_vit_b.pth"],
    }
    for role, expected in offered.items():
        assert choices(role, files, Bindings()) == expected
    wrong = {
        "face_restorer": "restorer.onnx",
        "face_swapper": "other.onnx",
        "face_analysis": "nested",
        "face_analysis_pulid": "empty",
        "clipseg": "weights_alone",
        "faceid": "LICENCE.txt",
    }
    resolver = Resolver(Bindings(roles=wrong), None, files)
    for role in wrong:
        assert isinstance(resolver.role(role), Missing), role


def test_model_folders_that_only_a_running_comfyui_knows_are_told(
    comfyui: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COMFYUI_PATH", raising=False)
    (comfyui / "prompt.txt").write_text("a cat", encoding="utf-8")
    explain = [
        "explain",
        str(comfyui / "prompt.txt"),
        "--family",
        "sd15",
        "--comfyui",
        str(comfyui),
    ]
    main(explain)
    assert capsys.readouterr().err == ""
    (comfyui / "extra_model_paths.yaml").touch()
    main(explain)
    told = capsys.readouterr()
    assert f"{comfyui / 'extra_model_paths.yaml'} is not read here" in told.err
    assert "is not read here" not in told.out


def test_bindings_of_an_own_comfyui_are_seen(
    comfyui: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """COMFYUI_PATH says which."""
    (comfyui / "comfyui_version.py").write_text('__version__ = "0.30.0"', encoding="utf-8")
    (comfyui / "prompt.txt").write_text("a cat\nsuper_resolution=true", encoding="utf-8")
    (comfyui / "models" / "upscale_models" / "own.pth").touch()
    state = comfyui / "user" / "__astria"
    state.mkdir(parents=True)
    (state / BINDINGS_FILE).write_text("[roles]\nupscaler = own.pth\n", encoding="utf-8")
    monkeypatch.setattr(commands, "BASE", comfyui / "base")
    for path, found in (("", False), (str(comfyui), True)):
        monkeypatch.setenv("COMFYUI_PATH", path)
        main(["explain", str(comfyui / "prompt.txt"), "--family", "sd15"])
        assert ("found    upscale_models/own.pth" in capsys.readouterr().out) == found


def test_bind_says_what_is_not_there_and_the_list_shows_it(
    comfyui: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COMFYUI_PATH", raising=False)

    def run(*argv: str) -> str:
        assert main(["bind", *argv, "--comfyui", str(comfyui)]) == 0
        return capsys.readouterr().out

    told = run("face_analysis", "bufallo_l")
    assert "not there yet: the folder 'bufallo_l' that face_analysis stands for was not" in told
    assert f"bind --comfyui {comfyui} face_analysis FOLDER" in told
    assert "not there yet" not in run("face_analysis", "pack")
    assert "not there yet" in run("face_restorer", "c.onnx")
    assert "not there yet" in run("1533312", "nobody.safetensors")
    assert "not there yet" not in run("sdxl.controlnet_pose", "a.safetensors")
    assert "not there yet" in run("base.690204.checkpoint", "rv.safetensors")
    assert "not there yet" not in run("base.690204.checkpoint", "a.safetensors")
    assert "not there yet" not in run("defaults.base", "690204")
    assert "not there yet" in run("defaults.base", "1504944")
    listed = run("--list").splitlines()
    assert "  role face_analysis = pack" in listed
    assert "  role face_restorer = c.onnx  (not there)" in listed
    assert "  tune 1533312 = nobody.safetensors  (not there)" in listed
    assert (comfyui / "user" / "__astria" / BINDINGS_FILE).exists()
