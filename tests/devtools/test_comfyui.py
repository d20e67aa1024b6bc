from __future__ import annotations

from pathlib import Path

import pytest
from comfyui_astria.devtools import comfyui
from comfyui_astria.devtools.console import DevError


def own(folder: Path, version: str) -> Path:
    (folder / "main.py").write_text("")
    (folder / "comfyui_version.py").write_text(f'__version__ = "{version}"\n')
    return folder


def test_an_own_comfyui_is_taken_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COMFYUI_PATH", raising=False)
    assert comfyui.own_path() is None
    monkeypatch.setenv("COMFYUI_PATH", str(own(tmp_path, "0.31.2")))
    assert comfyui.own_path() == tmp_path.resolve()


def test_an_old_comfyui_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMFYUI_PATH", str(own(tmp_path, "0.9.40")))
    with pytest.raises(DevError, match=r"is ComfyUI 0\.9\.40; this pack needs 0\.30\.0 or newer"):
        comfyui.own_path()


def test_a_folder_without_comfyui_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path))
    with pytest.raises(DevError, match=r"is not a folder of ComfyUI: it has no main\.py"):
        comfyui.own_path()
