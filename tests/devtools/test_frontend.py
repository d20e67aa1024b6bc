from __future__ import annotations

from pathlib import Path

import pytest
from comfyui_astria.devtools import frontend
from comfyui_astria.devtools.console import DevError


def test_a_fetched_editor_is_not_fetched_again_and_an_absent_one_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frontend, "FOLDER", tmp_path / "frontend-9")
    with pytest.raises(DevError, match=r"dev\.py setup"):
        frontend.newest()
    (tmp_path / "frontend-9").mkdir()
    assert (
        frontend.fetch_newest(tmp_path / "no python")
        == frontend.newest()
        == tmp_path / "frontend-9"
    )
