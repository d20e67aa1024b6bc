"""What Ray's processes are given: the token, no other cluster's variables, and nowhere to tell."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from comfyui_astria.devtools.console import DevError
from comfyui_astria.fleet.environment import NOWHERE, head_variables, make_token, variables


def test_nothing_starts_without_a_token(tmp_path: Path) -> None:
    with pytest.raises(DevError, match="no token"):
        variables(tmp_path / "token")
    (tmp_path / "token").write_text("a-short-one\n")
    with pytest.raises(DevError, match="11 characters; expected 32"):
        head_variables(tmp_path / "token")


def test_the_token_is_made_once_and_is_its_owners_alone(tmp_path: Path) -> None:
    token = tmp_path / "folder" / "token"
    make_token(token)
    first = token.read_text()
    make_token(token)
    assert (token.read_text(), len(first)) == (first, 64)
    assert stat.S_IMODE(token.stat().st_mode) == 0o600


def test_other_clusters_are_forgotten_and_nobody_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "another")
    monkeypatch.setenv("https_proxy", "http://proxy.example")
    make_token(tmp_path / "token")
    given, head = variables(tmp_path / "token"), head_variables(tmp_path / "token")
    assert not {"RAY_ADDRESS", "RAY_AUTH_TOKEN"} & given.keys()
    assert given["RAY_AUTH_MODE"] == head["RAY_AUTH_MODE"] == "token"
    assert given["RAY_USAGE_STATS_ENABLED"] == "0"
    assert given["RAY_USAGE_STATS_REPORT_URL"] == NOWHERE
    assert given["https_proxy"] == "http://proxy.example", "the workers' ComfyUI keeps it"
    assert head["https_proxy"] == head["HTTP_PROXY"] == NOWHERE
