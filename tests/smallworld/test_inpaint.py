"""The small world's inpainting models: what they learn from, and that the host loads what they
are.
"""

from __future__ import annotations

from dataclasses import dataclass
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

LARGEST_MB = {"sd15": 0.42, "flux": 0.14}


@pytest.fixture(scope="module")
def inpaint() -> ModuleType:
    load("comfy.sample")
    return load("comfyui_astria.smallworld.learning.inpaint")


@pytest.fixture(scope="module")
def masked() -> ModuleType:
    load("comfy.sample")
    return load("comfyui_astria.smallworld.learning.masked")


@dataclass(frozen=True)
class World:
    """The world's MODEL, CLIP and VAE of a family."""

    family: str
    models: tuple[Any, Any, Any]

    @property
    def weights(self) -> dict[str, torch.Tensor]:
        return self.models[0].model.diffusion_model.state_dict()

    @property
    def given(self) -> tuple[torch.Tensor, ...]:
        """Noisy latents and what the family's network is given with them."""
        generator = torch.Generator().manual_seed(1)

        def drawn_of(*shape: int) -> torch.Tensor:
            return torch.randn(*shape, generator=generator)

        if self.family == "sd15":
            return drawn_of(2, 4, 16, 24), torch.tensor([10.0, 700.0]), drawn_of(2, 77, 96)
        times, guidance = torch.tensor([0.1, 0.9]), torch.tensor([3.5, 3.5])
        return drawn_of(2, 16, 16, 24), times, drawn_of(2, 30, 96), drawn_of(2, 96), guidance


@pytest.fixture(scope="module", params=["sd15", "flux"])
def world(request: pytest.FixtureRequest) -> World:
    load("comfy.sample")
    files = load("comfyui_astria.smallworld.host.files")
    return World(request.param, files.load.__wrapped__(request.param))


def test_masks_leave_sides_heads_and_what_is_around_people(masked: ModuleType) -> None:
    masks = []
    for seed in range(200):
        scene = random_scene(seed)
        mask = masked.mask_of(scene, np.random.default_rng(seed))
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


def test_what_stays_is_encoded_as_the_host_s_own_nodes_do(
    inpaint: ModuleType, masked: ModuleType, world: World
) -> None:
    patcher, _, vae = world.models
    seeds = [
        seed for seed in range(40) if random_scene(seed).width == 128 == random_scene(seed).height
    ]
    latents, beside = masked.encoded(world.family, seeds[:3], patcher.model, vae)
    node = load("nodes").InpaintModelConditioning()
    wide = SimpleNamespace(
        concat_keys=("mask", "masked_image"),
        process_latent_in=patcher.model.process_latent_in,
        diffusion_model=inpaint.inpainting(world.family, world.weights),
        model_config=patcher.model.model_config,
    )
    for number, seed in enumerate(seeds[:3]):
        scene = random_scene(seed)
        pixels = torch.from_numpy(np.asarray(drawn(scene)).copy())[None] / 255
        mask = torch.from_numpy(masked.mask_of(scene, np.random.default_rng(seed)))[None].float()
        text = [[torch.zeros(1, 77, 96), {}]]
        [[_, given]], _, latent = node.encode(text, text, pixels, vae, mask)
        wanted = type(patcher.model).concat_cond(
            wide,
            concat_mask=given["concat_mask"],
            concat_latent_image=given["concat_latent_image"],
            noise=latent["samples"],
            device="cpu",
        )
        torch.testing.assert_close(beside[number : number + 1].float(), wanted, atol=0.02, rtol=0)
        whole = patcher.model.process_latent_in(latent["samples"])
        torch.testing.assert_close(latents[number : number + 1].float(), whole, atol=0.02, rtol=0)


def test_before_it_learns_it_is_the_network_that_it_is_made_of(
    inpaint: ModuleType, world: World
) -> None:
    wide = inpaint.inpainting(world.family, world.weights)
    inpaint.Delta(world.family, wide)
    x, *more = world.given
    beside = torch.randn(2, inpaint.CHANNELS[world.family] - x.shape[1], *x.shape[2:])
    with torch.no_grad():
        ours = inpaint.Beside(wide)(x, *more, beside=beside)
        plain = world.models[0].model.diffusion_model(x, *more)
    torch.testing.assert_close(ours, plain, atol=1e-5, rtol=1e-5)


def test_fill_s_guidance_begins_as_the_one_that_flux_has_learned(inpaint: ModuleType) -> None:
    load("comfy.sample")
    flux = World("flux", load("comfyui_astria.smallworld.host.files").load.__wrapped__("flux"))
    wide = inpaint.inpainting("flux", flux.weights)
    inpaint.Delta("flux", wide)
    x, *more, guidance = flux.given
    beside = torch.randn(2, inpaint.CHANNELS["flux"] - x.shape[1], *x.shape[2:])
    far = torch.full_like(guidance, inpaint.FILL_GUIDANCE)

    def by(asked: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return inpaint.Beside(wide)(x, *more, asked, beside=beside)

    known = by(guidance)
    assert (by(far) - known).abs().max() > 0.1, "it has not learned that one"
    inpaint.begin_guidance(wide)
    torch.testing.assert_close(by(far), known, atol=1e-3, rtol=1e-3)


def test_the_host_loads_of_the_file_what_was_learned(
    inpaint: ModuleType, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    family = world.family
    network = inpaint.inpainting(family, world.weights)
    model = inpaint.Delta(family, network)
    state = tmp_path / f"inpaint_{family}.state.pt"
    torch.save({"average": model.state_dict()}, state)
    file = tmp_path / f"{family}_inpaint.safetensors"
    monkeypatch.setattr(model_files, "inpaint", lambda family: file)
    inpaint.save_inpaint(tmp_path)
    assert file.stat().st_size < LARGEST_MB[family] * 1e6
    monkeypatch.setitem(inpaint.FILED, family, inpaint.RANK)
    monkeypatch.setattr(inpaint, "HELD", 1.0)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for value in model.parameters():
            value.add_(torch.randn(value.shape, generator=generator) * 0.05)
        for name, value in model.named_parameters():
            # As bytes with a scale a rank, which is what the file holds.
            as_filed = value.T if name.endswith(".up") else value
            found = packing.unpacked(packing.packed({name: as_filed.contiguous()}))[name]
            value.copy_(found.T if name.endswith(".up") else found)
    torch.save({"average": model.state_dict()}, state)
    assert inpaint.save_inpaint(tmp_path) == [file]
    paths = load("folder_paths")
    monkeypatch.setattr(paths, "get_full_path_or_raise", lambda kind, name: str(file))
    files = load("comfyui_astria.smallworld.host.files")
    patcher, clip, _ = files.load.__wrapped__(family, f"smallworld/{file.name}")
    loaded = patcher.model.diffusion_model
    x = world.given[0]
    assert inpaint.CHANNELS[family] == x.shape[1] + beside_of(patcher, x).shape[1]
    for name, layer in network.named_modules():
        if isinstance(layer, torch.nn.Linear | torch.nn.Conv2d):
            own = loaded.get_submodule(name).weight
            torch.testing.assert_close(own, layer.weight, atol=1e-5, rtol=1e-5)
    own, of_base = (one.cond_stage_model.state_dict() for one in (clip, world.models[1]))
    assert all(torch.equal(value, of_base[name]) for name, value in own.items())


def beside_of(patcher: Any, x: torch.Tensor) -> torch.Tensor:
    """What the host lets a MODEL see beside noisy latents, of a picture without any."""
    return patcher.model.concat_cond(noise=x, concat_latent_image=x, device="cpu")


def test_a_step_teaches_the_delta_and_leaves_the_network(
    inpaint: ModuleType, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = load("comfyui_astria.smallworld.host.files")
    monkeypatch.setattr(files, "load", lambda family: world.models)
    monkeypatch.setattr(inpaint, "open_host", lambda: None)
    monkeypatch.setattr(load("comfy.model_management"), "in_training", True)
    monkeypatch.setattr(inpaint, "PICTURES", 12)
    monkeypatch.setattr(inpaint, "BATCH", 2)
    before = {key: one.clone() for key, one in world.weights.items()}
    family = world.family
    inpaint.main(["--family", family, "--work", str(tmp_path), "--threads", "1", "--steps", "2"])
    assert all(torch.equal(value, before[key]) for key, value in world.weights.items())
    state = torch.load(tmp_path / f"inpaint_{family}.state.pt", weights_only=False)
    found = state["model"]
    ups = [value for key, value in found.items() if key.endswith(".up")]
    assert ups
    assert all(one.abs().max() > 0 for one in ups), "they begin with nothing"
    own = before[f"{model_files.WAYS_IN[family]}.weight"].shape[1]
    assert found["way_in"][:, own:].abs().max() > 0


def test_flux_learns_to_paint_people_where_it_expects_them(
    inpaint: ModuleType, masked: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inpaint, "PICTURES", 200)
    flux = load("comfyui_astria.smallworld.learning.flux")
    seeds = inpaint._plain_seeds()
    others = 0
    for seed in seeds:
        scene = random_scene(seed)
        mask = masked.mask_of(scene, np.random.default_rng(seed))
        if not flux.is_plain(scene):
            assert not any(mask[round(one.y), round(one.x)] for one in scene.figures)
            others += 1
    assert others > 20, "whom the picture keeps may stand anywhere"
    assert len(seeds) == 200 < seeds[-1] - seeds[0], "some pictures are left out"


@pytest.mark.parametrize("family", ["sd15", "flux"])
def test_an_error_counts_less_where_the_picture_stays(
    inpaint: ModuleType, masked: ModuleType, family: str
) -> None:
    scene = random_scene(7)
    masks = torch.zeros(1, 1, scene.height, scene.width)
    masks[..., scene.width // 2 :] = 1
    latents = torch.zeros(1, 4, scene.height // 8, scene.width // 8)
    beside = masked.EXTRA_CHANNELS[family].of(masks, latents)
    size = (scene.width, scene.height)
    pictures = masked.MaskedPictures(family, {size: ([scene], latents, beside)})
    unet = load("comfyui_astria.smallworld.learning.unet")
    counts = pictures.weights(scene) / unet.weights_of(scene)
    assert counts.unique().tolist() == pytest.approx([masked.KEPT, 1.0])
