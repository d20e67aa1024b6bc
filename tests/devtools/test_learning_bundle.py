"""`dev.py learn --bundle`: a training by a Python that is not the checkout's."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from comfyui_astria.devtools import commands, gpu_bundle
from comfyui_astria.devtools.environment import current


def test_a_training_runs_by_the_python_and_the_bundle_that_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "ComfyUI").symlink_to(current().comfyui)
    unpacked = gpu_bundle.Unpacked(tmp_path / "there")
    monkeypatch.setattr(gpu_bundle, "unpack", lambda file, folder: unpacked)
    monkeypatch.delenv("COMFYUI_PATH", raising=False)
    arguments = ["upscaler", "--steps", "1", "--threads", "1", "--work", str(tmp_path)]
    beside = ["--bundle", "gpu.txz", "--python", sys.executable]
    assert commands.main(["learn", *arguments, *beside]) == 0
    assert torch.load(tmp_path / "upscaler.state.pt", weights_only=False)["step"] == 1


def test_what_cannot_be_trained_is_told_as_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    unpacked = gpu_bundle.Unpacked(tmp_path)
    monkeypatch.setattr(gpu_bundle, "unpack", lambda file, folder: unpacked)
    beside = ["--bundle", "gpu.txz", "--python", sys.executable]
    assert commands.main(["learn", "nobody", *beside]) == 1
    assert "There is no model 'nobody' to train." in capfd.readouterr().err
    assert commands.main(["learn", "flux", "--bundle", "gpu.txz"]) == 2
    assert "--bundle goes together with --python" in capfd.readouterr().err
