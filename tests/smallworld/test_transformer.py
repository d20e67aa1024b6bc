"""What the small transformer learns from, and how quickly; see test_learning.py."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from comfyui_astria.devtools.console import DevError
from comfyui_astria.devtools.environment import current
from comfyui_astria.devtools.paths import ROOT
from comfyui_astria.smallworld.scene import random_scene
from comfyui_astria.tests.regions.comfy_inprocess import load
from comfyui_astria.tests.smallworld.test_learning import learned, t5, work

__all__ = ["t5", "work"]  # fixtures


@pytest.mark.usefixtures("t5")
def test_a_longer_training_takes_another_teacher(work: Path) -> None:
    arguments = ("flux", "flux.state.pt", "--steps")
    learned(work, *arguments, "1")
    teacher = work / "flux.teacher.pt"
    teacher.write_bytes(b"of a shorter training")
    learned(work, *arguments, "2")
    assert not teacher.exists()


def test_the_transformer_learns_from_people_in_the_middle_of_their_part(work: Path) -> None:
    data, flux = map(
        load, [f"comfyui_astria.smallworld.learning.{one}" for one in ("data", "flux")]
    )
    scenes = [random_scene(seed, people) for seed in range(60) for people in (0, 1, 2)]
    near = [one for one in scenes if flux.is_plain(one)]
    assert 0 < len(near) < len(scenes)
    assert {len(one.figures) for one in near} == {0, 1, 2}
    for scene in near:
        room = scene.width / max(len(scene.figures), 1)
        assert all(abs(one.x % room - room / 2) <= 8 for one in scene.figures)
        assert all(one.head_px >= 12 for one in scene.figures)
    plain, every = data.Pictures(work, 16, flux.is_plain), data.Pictures(work, 16)
    seen = [plain.some(np.random.default_rng(seed), 4)[1] for seed in range(9)]
    assert all(flux.is_plain(scene) for some in seen for scene in some)
    assert torch.equal(plain.mean, every.mean)
    with pytest.raises(DevError, match="can be learned from"):
        data.Pictures(work, 16, lambda scene: False)


@pytest.mark.long
@pytest.mark.usefixtures("t5")
def test_compiled_blocks_learn_the_same(work: Path) -> None:
    found = []
    for compiled in ("0", "1"):
        # In a process of its own, as people run it: a test's warnings stop the compiler.
        arguments = ["learn", "flux", "--work", str(work), "--steps", "4", "--threads", "1"]
        command = [str(current().python), str(ROOT / "dev.py"), *arguments, "--compiled", compiled]
        subprocess.run(command, check=True, cwd=ROOT)
        found.append(torch.load(work / "flux.state.pt", weights_only=False)["model"])
        (work / "flux.state.pt").unlink()
    plain, compiled = found
    off = {
        name: float((compiled[name] - value).norm() / value.norm())
        for name, value in plain.items()
        # Gates begin with 0: their first step is as long whatever the gradient's length.
        if "_blocks." in name and name.endswith("weight") and "mod" not in name
    }
    assert 0 < max(off.values()) < 0.05, off


def test_as_much_noise_is_learned_as_the_sampler_begins_with() -> None:
    flux, models, samplers = map(
        load,
        (
            "comfyui_astria.smallworld.learning.flux",
            "comfyui_astria.smallworld.host.models",
            "comfy.samplers",
        ),
    )
    config = models.flux()
    config.set_inference_dtype(torch.float32, None)
    sampling = config.get_model({}, "").model_sampling
    [_, _, third, *_] = samplers.calculate_sigmas(sampling, "simple", 20).tolist()
    torch.manual_seed(1)
    levels = torch.cat([flux.noise_levels(16) for _ in range(100)])
    assert (levels > third).float().mean() > 0.02, third
    assert 0.3 < (levels > 0.8).float().mean() < 0.6
    assert (levels < 0.3).float().mean() > 0.05
