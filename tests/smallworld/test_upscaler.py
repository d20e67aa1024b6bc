"""The small world's upscaler draws what a larger drawing shows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from comfyui_astria.smallworld import learning, model_files
from comfyui_astria.smallworld.drawing import FINE, drawn_fine, smaller
from comfyui_astria.smallworld.learning import upscaler
from comfyui_astria.smallworld.scene import random_scene
from PIL import Image
from spandrel import ModelLoader


def test_edges_are_nearer_to_the_larger_drawing_than_lanczos_makes_them() -> None:
    """The file of the repository, by the library that ComfyUI reads upscalers with."""
    model = ModelLoader("cpu").load_from_file(model_files.upscaler()).eval()
    assert model.scale == FINE
    ours, theirs = 0.0, 0.0
    for seed in range(8_000_000, 8_000_003):
        fine = drawn_fine(random_scene(seed, people=1, size=(128, 128)))
        small = smaller(fine)
        with torch.inference_mode():
            found = model(upscaler.pixels([small]))
        lanczos = small.resize(fine.size, Image.Resampling.LANCZOS)
        wanted = upscaler.pixels([fine])
        ours += float((found - wanted).abs().mean())
        theirs += float((upscaler.pixels([lanczos]) - wanted).abs().mean())
    assert ours < 0.8 * theirs


def test_parts_and_fine_parts_show_the_same() -> None:
    some = upscaler.parts(np.random.default_rng(3))
    for small, large in (next(some) for _ in range(4)):
        assert large.shape == (FINE * small.shape[0], FINE * small.shape[1], 3)
        again = np.asarray(smaller(Image.fromarray(large)))
        assert np.abs(again.astype(float) - small).mean() < 12  # blurred, with noise


def test_what_is_learned_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upscaler, "BATCH", 1)
    monkeypatch.setattr(model_files, "FOLDER", tmp_path / "models")
    learning.run(["upscaler", "--work", str(tmp_path), "--steps", "2", "--threads", "1"])
    learning.run(["export", "--work", str(tmp_path)])
    found = ModelLoader("cpu").load_from_file(model_files.upscaler())
    state = torch.load(tmp_path / "upscaler.state.pt", weights_only=False)["average"]
    for name, value in found.model.state_dict().items():
        torch.testing.assert_close(value, state[name].half().float())
