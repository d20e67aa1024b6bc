"""Pinned packages: only the wanted folder is unpacked, and nothing that is not what was tested."""

from __future__ import annotations

import io
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from comfyui_astria.devtools.comfyui import HOST
from comfyui_astria.devtools.console import DevError
from comfyui_astria.devtools.frontend import EDITOR
from comfyui_astria.devtools.packages import check_sha256, unpack


def archive_of(
    folder: Path, members: dict[str, bytes], *, link: tuple[str, str] | None = None
) -> Path:
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
    archive = archive_of(
        tmp_path,
        {
            "x-1/setup.py": b"no",
            "x-1/vendor/ComfyUI/main.py": b"yes",
            "x-1/vendor/ComfyUI/comfy/ops.py": b"ops",
        },
    )
    unpack(HOST, archive, tmp_path / "out")
    files = {
        path.relative_to(tmp_path / "out").as_posix(): path.read_bytes()
        for path in (tmp_path / "out").rglob("*")
        if path.is_file()
    }
    assert files == {"main.py": b"yes", "comfy/ops.py": b"ops"}


def test_unpacking_refuses_a_name_that_leaves_the_folder(tmp_path: Path) -> None:
    archive = archive_of(tmp_path, {"x-1/vendor/ComfyUI/../../../evil.py": b"evil"})
    with pytest.raises(DevError, match=r"evil\.py"):
        unpack(HOST, archive, tmp_path / "out")
    assert not list(tmp_path.rglob("evil.py"))


def test_unpacking_refuses_links(tmp_path: Path) -> None:
    archive = archive_of(
        tmp_path, {"x-1/vendor/ComfyUI/main.py": b""}, link=("x-1/vendor/ComfyUI/models", "/")
    )
    with pytest.raises(DevError, match="vendor/ComfyUI/models"):
        unpack(HOST, archive, tmp_path / "out")


def test_unpacking_says_when_comfyui_is_not_in_the_archive(tmp_path: Path) -> None:
    with pytest.raises(DevError, match=r"vendor/ComfyUI/main\.py.*\n.*COMFYUI_PATH"):
        unpack(HOST, archive_of(tmp_path, {"x-1/setup.py": b""}), tmp_path / "out")


def test_another_checksum_is_an_error_with_both(tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").write_bytes(b"abc")
    found = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    check_sha256(replace(HOST, sha256=found), tmp_path / "a.tar.gz")
    for package in (HOST, EDITOR):
        with pytest.raises(
            DevError,
            match=rf"(?s)checksum {found}, expected {package.sha256}\..*or {package.instead}",
        ):
            check_sha256(package, tmp_path / "a.tar.gz")


def wheel_of(folder: Path, members: dict[str, bytes]) -> Path:
    path = folder / "frontend.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def test_unpacking_takes_the_editor_s_own_files(tmp_path: Path) -> None:
    root = "comfyui_frontend_package/static/"
    wheel = wheel_of(
        tmp_path,
        {
            "comfyui_frontend_package/__init__.py": b"no",
            f"{root}index.html": b"page",
            f"{root}assets/a.js": b"code",
        },
    )
    unpack(EDITOR, wheel, tmp_path / "out")
    files = {
        path.relative_to(tmp_path / "out").as_posix(): path.read_bytes()
        for path in (tmp_path / "out").rglob("*")
        if path.is_file()
    }
    assert files == {"index.html": b"page", "assets/a.js": b"code"}


def test_unpacking_a_wheel_refuses_a_name_that_leaves_the_folder(tmp_path: Path) -> None:
    with pytest.raises(DevError, match=r"evil\.js"):
        unpack(
            EDITOR,
            wheel_of(tmp_path, {"comfyui_frontend_package/static/../../../evil.js": b"x"}),
            tmp_path / "out",
        )
    assert not list(tmp_path.rglob("evil.js"))


def test_a_wheel_without_a_page_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DevError, match=r"index\.html"):
        unpack(
            EDITOR,
            wheel_of(tmp_path, {"comfyui_frontend_package/static/a.js": b"x"}),
            tmp_path / "out",
        )
