"""Every picture of a batch is a picture by itself, also with a VAE that takes them for a video."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from comfyui_astria.tests.regions.comfy_inprocess import load


@pytest.fixture(scope="module")
def video_vae() -> Any:
    formats = load("comfy.latent_formats")
    return load("comfyui_astria.tests.testpack.vae").faithful_vae(formats.Wan21())


def pictures(count: int) -> torch.Tensor:
    return torch.rand(count, 32, 48, 3, generator=torch.Generator().manual_seed(0))


def test_pictures_are_no_frames(video_vae: Any) -> None:
    latents = load("comfyui_astria.nodes.base.host.latents")
    batch = pictures(3)
    samples = latents.encoded(video_vae, batch)["samples"]
    assert samples.shape == (3, 16, 1, 4, 6)
    alone = [latents.encoded(video_vae, one[None])["samples"] for one in batch]
    assert torch.equal(samples, torch.cat(alone))
    assert video_vae.encode(batch).shape == (1, 16, 1, 4, 6)  # what the host makes of them
    shown = latents.decoded(video_vae, samples)
    assert shown.shape == batch.shape
    assert torch.equal(shown[1], latents.decoded(video_vae, alone[1])[0])


@pytest.mark.parametrize("count", [1, 3])
def test_each_picture_keeps_its_own_mask(video_vae: Any, count: int) -> None:
    latents = load("comfyui_astria.nodes.base.host.latents")
    masks = torch.zeros(count, 32, 48)
    for number in range(count):
        masks[number, :, 16 * number : 16 * number + 16] = 1
    latent = latents.encoded(video_vae, pictures(3), masks)
    prepared = load("comfy.sampler_helpers").prepare_mask(
        latent["noise_mask"], latent["samples"].shape, torch.device("cpu")
    )
    assert prepared.shape == (3, 16, 1, 4, 6)
    for number in range(3):
        column = 2 * (number if count == 3 else 0)
        own = prepared[number, 0, 0]
        assert own[:, column : column + 2].min() > 0.9
        assert own.sum() == pytest.approx(8, abs=0.5)


def test_a_vae_for_pictures_takes_them_together() -> None:
    formats = load("comfy.latent_formats")
    vae = load("comfyui_astria.tests.testpack.vae").faithful_vae(formats.Flux())
    latents = load("comfyui_astria.nodes.base.host.latents")
    latent = latents.encoded(vae, pictures(2), torch.ones(1, 32, 48))
    assert torch.equal(latent["samples"], vae.encode(pictures(2)))
    assert latent["noise_mask"].shape == (1, 1, 32, 48)
    assert latents.decoded(vae, latent["samples"]).shape == (2, 32, 48, 3)
