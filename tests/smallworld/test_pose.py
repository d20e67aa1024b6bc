"""The small world's pose ControlNet: what it learns from, and that the host steers by it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from comfyui_astria.nodes.regions.pose import KEYPOINTS, Skeleton
from comfyui_astria.smallworld import learning, model_files
from comfyui_astria.smallworld.learning.low_rank import lowered
from comfyui_astria.smallworld.scene import FAR_PX, Figure, Scene, random_scene
from comfyui_astria.tests.regions.comfy_inprocess import load
from safetensors.torch import load_file

SIDE = 128


@pytest.fixture(scope="module")
def pose() -> ModuleType:
    load("comfy.sample")
    return load("comfyui_astria.smallworld.learning.pose")


def point(skeleton: Skeleton, name: str) -> tuple[float, float]:
    """Return a keypoint in pixels of a picture of 128x128."""
    found = skeleton[KEYPOINTS.index(name)]
    assert found is not None
    return found[0] * SIDE, found[1] * SIDE


def figures(people: int) -> list[tuple[Figure, Scene]]:
    scenes = [random_scene(seed, people, (SIDE, SIDE)) for seed in range(40)]
    return [(figure, scene) for scene in scenes for figure in scene.figures]


def test_a_skeleton_stands_where_its_person_stands(pose: ModuleType) -> None:
    rng = np.random.default_rng(1)
    for figure, scene in figures(2):
        skeleton = pose.skeleton_of(figure, scene, rng)
        assert point(skeleton, "neck")[0] == pytest.approx(figure.x)
        lowest = max(place[1] * SIDE for place in skeleton if place is not None)
        assert lowest == pytest.approx(figure.y + 4.5 * figure.head_px, abs=4.5)
        is_far = figure.head_px <= FAR_PX[1]
        assert (skeleton[KEYPOINTS.index("left_ankle")] is not None) or not is_far


def test_a_skeleton_raises_the_arms_that_its_person_raises(pose: ModuleType) -> None:
    rng = np.random.default_rng(2)
    up = {"standing": (False, False), "waving": (False, True), "cheering": (True, True)}
    for figure, scene in figures(1):
        for name, raised in up.items():
            skeleton = pose.skeleton_of(replace(figure, pose=name), scene, rng)
            for side, is_up in zip(("right", "left"), raised, strict=True):
                wrist, shoulder = (point(skeleton, f"{side}_{at}") for at in ("wrist", "shoulder"))
                assert (wrist[1] < shoulder[1]) is is_up


def test_only_what_a_control_lora_keeps_is_learned_and_the_host_steers_by_it(
    pose: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file that a training writes, by the host's own ControlLora over the same UNet."""
    models = load("comfyui_astria.smallworld.host.models")
    files = load("comfyui_astria.smallworld.host.files")
    monkeypatch.setattr(model_files, "pose", lambda: tmp_path / "pose.safetensors")
    monkeypatch.setattr(pose, "FILED", pose.RANK)
    patcher, *_ = files.load("sd15")
    model = pose.control_lora(patcher.model.diffusion_model)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    learns = {name for name, value in model.named_parameters() if value.requires_grad}
    assert learns == {
        name for name in before if name.startswith(pose.OWN) or name.endswith((".up", ".down"))
    }
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if name in learns:
                value.copy_((torch.randn(value.shape, generator=generator) * 0.05).half().float())
    torch.save({"average": model.state_dict()}, tmp_path / "pose.state.pt")
    [file] = pose.save_pose(tmp_path)

    control = load("comfy.controlnet").load_controlnet(str(file))
    assert type(control).__name__ == "ControlLora"
    x = torch.randn(1, 4, 16, 16, generator=generator)
    context = torch.randn(1, 77, 96, generator=generator)
    hint = pose.pose_of(random_scene(5, 2, (SIDE, SIDE)), np.random.default_rng(0)).movedim(-1, 1)
    times = torch.tensor([500.0])
    control.set_cond_hint(hint)
    control.pre_run(patcher.model, lambda percent: 0.0)
    with torch.inference_mode():
        theirs = control.control_model(x=x, hint=hint, timesteps=times, context=context)
        ours = model(x, hint, times, context)
    assert models.sd15().unet_config["model_channels"] == 64
    for kind in ("middle", "output"):
        for one, other in zip(ours[kind], theirs[kind], strict=True):
            torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)
            assert one.abs().max() > 1e-3


def test_the_file_keeps_the_largest_ranks_of_what_was_learned(
    pose: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_files, "pose", lambda: tmp_path / "pose.safetensors")
    generator = torch.Generator().manual_seed(4)
    up, down = (torch.randn(size, generator=generator) for size in ((64, 16), (16, 36)))
    learned = {"a.up": up, "a.down": down}
    torch.save({"average": learned}, tmp_path / "pose.state.pt")
    [file] = pose.save_pose(tmp_path)
    kept = load_file(file)
    assert kept["a.up"].shape == (64, pose.FILED) and kept["a.down"].shape == (pose.FILED, 36)
    left = up @ down - kept["a.up"].float() @ kept["a.down"].float()
    smaller = np.linalg.svd((up @ down).numpy(), compute_uv=False)[pose.FILED :]
    # Eckart and Young 1936: no other matrix of that rank is nearer.
    assert float(left.norm()) == pytest.approx(float(np.linalg.norm(smaller)), rel=1e-3)
    assert torch.equal(lowered(learned, 16)["a.up"], up)


def test_a_layer_keeps_the_ranks_that_its_change_needs() -> None:
    sizes = torch.tensor([0.98, 0.015, 0.005]).sqrt()
    learned = {"a.up": torch.eye(5, 3) * sizes, "a.down": torch.eye(3, 4), "b": torch.ones(2)}
    for most, held, rank in ((3, 0.97, 1), (3, 0.99, 2), (1, 0.99, 1), (3, 1.0, 3)):
        found = lowered(learned, most, held)
        assert found["a.up"].shape == (5, rank)
        change = torch.zeros(5, 4)
        change[range(rank), range(rank)] = sizes[:rank]
        torch.testing.assert_close(found["a.up"] @ found["a.down"], change)
        assert torch.equal(found["b"], learned["b"])
    nothing = {"a.up": torch.zeros(5, 3), "a.down": torch.eye(3, 4)}
    found = lowered(nothing, 3, 0.99)
    assert not (found["a.up"] @ found["a.down"]).any()


def test_a_step_teaches_the_control_lora_and_leaves_the_unet(
    pose: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load("comfy.model_management"), "in_training", True)
    for name in ("encoders", "unet", "pose"):
        module = load(f"comfyui_astria.smallworld.learning.{name}")
        monkeypatch.setattr(module, "open_host", lambda: None)
        monkeypatch.setattr(module, "BATCH", 2)
    data = load("comfyui_astria.smallworld.learning.data")
    first = data.FIRST_SEED
    scenes = {seed: random_scene(seed) for seed in range(first, first + 60)}
    square = [seed for seed, one in scenes.items() if (one.width, one.height) == (SIDE, SIDE)]
    torch.save(
        {(SIDE, SIDE): (square, torch.randn(len(square), 4, 16, 16))},
        tmp_path / "latents4_000000.pt",
    )
    work = ["--work", str(tmp_path), "--threads", "1", "--steps"]
    learning.run(["encoders", *work, "1"])
    learning.run(["unet", *work, "1"])
    learning.run(["pose", *work, "2"])
    unet = torch.load(tmp_path / "unet.state.pt", weights_only=False)["average"]
    found = torch.load(tmp_path / "pose.state.pt", weights_only=False)["model"]
    shared = {name: value for name, value in found.items() if f"unet.{name}" in unet}
    assert len(shared) > 50
    for name, value in shared.items():
        assert torch.equal(value, unet[f"unet.{name}"]), name
    assert any(value.abs().max() > 0 for name, value in found.items() if "zero_convs" in name)
