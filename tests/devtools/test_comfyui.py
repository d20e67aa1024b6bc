from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from comfyui_astria.devtools import comfyui
from comfyui_astria.devtools.console import DevError


def archive_of(folder: Path, members: dict[str, bytes], *, link: tuple[str, str] | None = None) -> Path:
    path = folder / "source.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
        if link is not None:
            member = tarfile.TarInfo(link[0])
            member.type, member.linkname = tarfile.SYMTYPE, link[1]
            tar.addfile(member)
    return path


def test_unpacking_takes_the_inner_folder_only(tmp_path: Path) -> None:
    archive = archive_of(tmp_path, {"x-1/setup.py": b"no", "x-1/vendor/ComfyUI/main.py": b"yes", "x-1/vendor/ComfyUI/comfy/ops.py": b"ops"})
    comfyui.unpack(archive, "vendor/ComfyUI/", tmp_path / "out")
    files = {path.relative_to(tmp_path / "out").as_posix(): path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert files == {"main.py": b"yes", "comfy/ops.py": b"ops"}


def test_unpacking_refuses_a_name_that_leaves_the_folder(tmp_path: Path) -> None:
    archive = archive_of(tmp_path, {"x-1/vendor/ComfyUI/../../../evil.py": b"evil"})
    with pytest.raises(DevError, match=r"evil\.py"):
        comfyui.unpack(archive, "vendor/ComfyUI/", tmp_path / "out")
    assert not list(tmp_path.rglob("evil.py"))


def test_unpacking_refuses_links(tmp_path: Path) -> None:
    archive = archive_of(tmp_path, {"x-1/vendor/ComfyUI/main.py": b""}, link=("x-1/vendor/ComfyUI/models", "/"))
    with pytest.raises(DevError, match="vendor/ComfyUI/models"):
        comfyui.unpack(archive, "vendor/ComfyUI/", tmp_path / "out")


def test_unpacking_says_when_comfyui_is_not_in_the_archive(tmp_path: Path) -> None:
    with pytest.raises(DevError, match=r"vendor/ComfyUI/main\.py.*\n.*COMFYUI_PATH"):
        comfyui.unpack(archive_of(tmp_path, {"x-1/setup.py": b""}), "vendor/ComfyUI/", tmp_path / "out")


def test_another_checksum_is_an_error_with_both(tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").write_bytes(b"abc")
    found = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    comfyui.check_sha256(tmp_path / "a.tar.gz", found)
    with pytest.raises(DevError, match=f"checksum {found}, expected 00ff"):
        comfyui.check_sha256(tmp_path / "a.tar.gz", "00ff")


def own(folder: Path, version: str) -> Path:
    (folder / "main.py").write_text("")
    (folder / "comfyui_version.py").write_text(f'__version__ = "{version}"\n')
    return folder


def test_an_own_comfyui_is_taken_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COMFYUI_PATH", raising=False)
    assert comfyui.own_path() is None
    monkeypatch.setenv("COMFYUI_PATH", str(own(tmp_path, "0.31.2")))
    assert comfyui.own_path() == tmp_path.resolve()


def test_an_old_comfyui_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMFYUI_PATH", str(own(tmp_path, "0.9.40")))
    with pytest.raises(DevError, match=r"is ComfyUI 0\.9\.40; this pack needs 0\.30\.0 or newer"):
        comfyui.own_path()


def test_a_folder_without_comfyui_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path))
    with pytest.raises(DevError, match=r"is not a folder of ComfyUI: it has no main\.py"):
        comfyui.own_path()
