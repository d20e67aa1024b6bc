"""The small world's inpainting model: what it learns from, and that the host loads what it is."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from comfyui_astria.smallworld import model_files, packing
from comfyui_astria.smallworld.drawing import drawn
from comfyui_astria.smallworld.scene import random_scene
from comfyui_astria.tests.regions.comfy_inprocess import load

LARGEST_MB = 0.55


@pytest.fixture(scope="module")
def inpaint() -> ModuleType:
    load("comfy.sample")
    return load("comfyui_astria.smallworld.learning.inpaint")


@pytest.fixture(scope="module")
def models() -> tuple[Any, Any, Any]:
    """The world's MODEL, CLIP and VAE."""
    load("comfy.sample")
    return load("comfyui_astria.smallworld.host.files").load.__wrapped__("sd15")


def unet_of(models: tuple[Any, Any, Any]) -> dict[str, torch.Tensor]:
    return models[0].model.diffusion_model.state_dict()


def test_masks_leave_sides_heads_and_what_is_around_people(inpaint: ModuleType) -> None:
    masks = []
    for seed in range(200):
        scene = random_scene(seed)
        mask = inpaint.mask_of(scene, np.random.default_rng(seed))
        assert mask.shape == (scene.height, scene.width)
        masks.append(mask)
    shares = np.array([one.mean() for one in masks])
    assert 0.03 < (shares == 1).mean() < 0.3, "a text alone, sometimes"
    assert ((shares > 0.1) & (shares < 0.9)).mean() > 0.4
    edges = [
        np.array([one[0].all(), one[-1].all(), one[:, 0].all(), one[:, -1].all()]) for one in masks
    ]
    around = np.array([one for one, share in zip(edges, shares, strict=True) if share < 1])
    assert (around.mean(0) > 0.1).all(), "each side is painted"
    assert (around.mean(0) < 0.9).all(), "each side stays"


def test_what_stays_is_encoded_as_the_host_s_own_node_does(
    inpaint: ModuleType, models: tuple[Any, Any, Any]
) -> None:
    patcher, _, vae = models
    seeds = [
        seed for seed in range(40) if random_scene(seed).width == 128 == random_scene(seed).height
    ]
    latents, beside = inpaint.encoded(seeds[:3], patcher.model, vae)
    node = load("nodes").InpaintModelConditioning()
    for number, seed in enumerate(seeds[:3]):
        scene = random_scene(seed)
        pixels = torch.from_numpy(np.asarray(drawn(scene)).copy())[None] / 255
        mask = torch.from_numpy(inpaint.mask_of(scene, np.random.default_rng(seed)))[None].float()
        text = [[torch.zeros(1, 77, 96), {}]]
        [[_, given]], _, latent = node.encode(text, text, pixels, vae, mask)
        wanted = patcher.model.concat_cond.__func__(
            inpainting(patcher),
            concat_mask=given["concat_mask"],
            concat_latent_image=given["concat_latent_image"],
            noise=latent["samples"],
            device="cpu",
        )
        torch.testing.assert_close(beside[number : number + 1].float(), wanted, atol=0.02, rtol=0)
        whole = patcher.model.process_latent_in(latent["samples"])
        torch.testing.assert_close(latents[number : number + 1].float(), whole, atol=0.02, rtol=0)


def inpainting(patcher: Any) -> Any:
    """The model of a MODEL as an inpainting one, for what it makes of masks."""
    return SimpleNamespace(
        concat_keys=("mask", "masked_image"), process_latent_in=patcher.model.process_latent_in
    )


def test_before_it_learns_it_is_the_unet_that_it_is_made_of(
    inpaint: ModuleType, models: tuple[Any, Any, Any]
) -> None:
    unet = inpaint.inpainting_unet(unet_of(models))
    inpaint.Delta(unet)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(2, 4, 16, 24, generator=generator)
    beside = torch.randn(2, 5, 16, 24, generator=generator)
    text = torch.randn(2, 77, 96, generator=generator)
    times = torch.tensor([10.0, 700.0])
    with torch.no_grad():
        ours = inpaint.Beside(unet)(x, times, text, beside=beside)
        plain = models[0].model.diffusion_model(x, times, text)
    torch.testing.assert_close(ours, plain, atol=1e-5, rtol=1e-5)


def test_the_host_loads_of_the_file_what_was_learned(
    inpaint: ModuleType,
    models: tuple[Any, Any, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unet = inpaint.inpainting_unet(unet_of(models))
    model = inpaint.Delta(unet)
    torch.save({"average": model.state_dict()}, tmp_path / "inpaint.state.pt")
    file = tmp_path / "sd15_inpaint.safetensors"
    monkeypatch.setattr(model_files, "inpaint", lambda: file)
    inpaint.save_inpaint(tmp_path)
    assert file.stat().st_size < LARGEST_MB * 1e6
    monkeypatch.setattr(inpaint, "FILED", inpaint.RANK)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for value in model.parameters():
            value.add_(torch.randn(value.shape, generator=generator) * 0.05)
        for name, value in packing.unpacked(packing.packed(dict(model.named_parameters()))).items():
            model.get_parameter(name).copy_(value)
    torch.save({"average": model.state_dict()}, tmp_path / "inpaint.state.pt")
    assert inpaint.save_inpaint(tmp_path) == [file]
    paths = load("folder_paths")
    monkeypatch.setattr(paths, "get_full_path_or_raise", lambda kind, name: str(file))
    files = load("comfyui_astria.smallworld.host.files")
    patcher, clip, _ = files.load.__wrapped__("sd15", "smallworld/sd15_inpaint.safetensors")
    assert patcher.model.concat_keys == ("mask", "masked_image")
    loaded = patcher.model.diffusion_model
    for name, layer in unet.named_modules():
        if isinstance(layer, torch.nn.Linear | torch.nn.Conv2d):
            own = loaded.get_submodule(name).weight
            torch.testing.assert_close(own, layer.weight, atol=1e-5, rtol=1e-5)
    own, of_base = (one.cond_stage_model.state_dict() for one in (clip, models[1]))
    assert all(torch.equal(value, of_base[name]) for name, value in own.items())


def test_a_step_teaches_the_delta_and_leaves_the_unet(
    inpaint: ModuleType,
    models: tuple[Any, Any, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files = load("comfyui_astria.smallworld.host.files")
    monkeypatch.setattr(files, "load", lambda family: models)
    monkeypatch.setattr(inpaint, "open_host", lambda: None)
    monkeypatch.setattr(inpaint, "PICTURES", 12)
    monkeypatch.setattr(inpaint, "BATCH", 2)
    before = {key: one.clone() for key, one in unet_of(models).items()}
    inpaint.main(["--work", str(tmp_path), "--threads", "1", "--steps", "2"])
    assert all(torch.equal(value, before[key]) for key, value in unet_of(models).items())
    found = torch.load(tmp_path / "inpaint.state.pt", weights_only=False)["model"]
    ups = [value for key, value in found.items() if key.endswith(".up")]
    assert ups
    assert all(one.abs().max() > 0 for one in ups), "they begin with nothing"
    own = before["input_blocks.0.0.weight"].shape[1]
    assert found["way_in"][:, own:].abs().max() > 0


def test_an_error_counts_less_where_the_picture_stays(inpaint: ModuleType) -> None:
    scene = random_scene(7)
    cells = (scene.height // 8, scene.width // 8)
    beside = torch.zeros(1, 5, *cells)
    beside[:, 0, :, cells[1] // 2 :] = 1
    pictures = inpaint.MaskedPictures(
        {(scene.width, scene.height): ([scene], torch.zeros(1, 4, *cells), beside)}
    )
    counts = pictures.weights(scene) / load("comfyui_astria.smallworld.learning.unet").weights_of(
        scene
    )
    assert counts.unique().tolist() == pytest.approx([inpaint.KEPT, 1.0])
