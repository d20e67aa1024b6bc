from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from comfyui_astria.devtools import frontend
from comfyui_astria.devtools.console import DevError


def wheel_of(folder: Path, members: dict[str, bytes]) -> Path:
    path = folder / "frontend.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def test_unpacking_takes_the_editor_s_own_files(tmp_path: Path) -> None:
    root = "comfyui_frontend_package/static/"
    wheel = wheel_of(tmp_path, {"comfyui_frontend_package/__init__.py": b"no", f"{root}index.html": b"page", f"{root}assets/a.js": b"code"})
    frontend.unpack(wheel, tmp_path / "out")
    files = {path.relative_to(tmp_path / "out").as_posix(): path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert files == {"index.html": b"page", "assets/a.js": b"code"}


def test_unpacking_refuses_a_name_that_leaves_the_folder(tmp_path: Path) -> None:
    with pytest.raises(DevError, match=r"evil\.js"):
        frontend.unpack(wheel_of(tmp_path, {"comfyui_frontend_package/static/../../../evil.js": b"x"}), tmp_path / "out")
    assert not list(tmp_path.rglob("evil.js"))


def test_a_wheel_without_a_page_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DevError, match=r"index\.html"):
        frontend.unpack(wheel_of(tmp_path, {"comfyui_frontend_package/static/a.js": b"x"}), tmp_path / "out")


def test_a_fetched_editor_is_not_fetched_again_and_an_absent_one_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frontend, "FOLDER", tmp_path / "frontend-9")
    with pytest.raises(DevError, match=r"dev\.py setup"):
        frontend.newest()
    (tmp_path / "frontend-9").mkdir()
    assert frontend.fetch_newest(tmp_path / "no python") == frontend.newest() == tmp_path / "frontend-9"
