"""The loss and its gradients, against plain autograd on the model's own formula."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from comfyui_astria.tests.regions.test_gated_lora_stored import copied, quantised
from torch.func import functional_call

from .models import FAMILIES, factors_of, latents, load, text, tiny_model

SEED = 5


def ours(
    model: Any,
    family: str,
    factors: Mapping[str, Any],
    checkpointing: bool,
    offloaded: bool = False,
) -> torch.Tensor:
    """The loss of one picture by the training's own code, with gradients in the factors."""
    hosts = load("comfyui_astria.nodes.training.host.model")
    losses = load("comfyui_astria.nodes.training.host.loss")
    noise = load("comfyui_astria.nodes.training.noise")
    management = load("comfy.model_management")
    learning = hosts.learning_model(model, factors, hosts.LearningOptions(checkpointing))
    if offloaded:  # every weight is brought to the device when it is used
        learning.patch_model(torch.device("cpu"), lowvram_model_memory=1)
    else:
        management.load_models_gpu([learning])
    learning.pre_run()
    try:
        denoising = losses.Denoising(learning)
        (latent,) = latents(family, (12, 8))
        example = denoising.example(latent, text(family, 1))
        loss = denoising.loss(example, example.caption, noise.generator_of(SEED))
        loss.backward()
        return loss.detach()
    finally:
        learning.cleanup()
        learning.unpatch_model(torch.device("cpu"))


def plain(model: Any, family: str, factors: Mapping[str, Any]) -> torch.Tensor:
    """The same by the papers' formulas and plain autograd, on weights with the factors merged."""
    noise_of = load("comfyui_astria.nodes.training.noise")
    base = model.model
    (latent,) = latents(family, (12, 8))
    clean = base.process_latent_in(latent)
    generator = noise_of.generator_of(SEED)
    ((embedding, extra),) = text(family, 1)
    merged = dict(base.diffusion_model.named_parameters())
    for path, pair in factors.items():
        merged[f"{path}.weight"] = merged[f"{path}.weight"] + pair.up @ pair.down
    more: dict[str, Any] = {}
    if family == "flux":
        level = noise_of.flow_sigma(6 * 4, generator)
        noise = torch.randn(clean.shape, generator=generator)
        noisy, target = (1 - level) * clean + level * noise, noise - clean
        time = torch.tensor([level])
        more = {"y": extra["pooled_output"], "guidance": torch.tensor([3.5])}
    else:
        # DDPM: betas of Stable Diffusion, https://arxiv.org/abs/2006.11239
        betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
        kept = torch.cumprod(1 - betas, 0)
        step = noise_of.uniform_timestep(1000, generator)
        noise = torch.randn(clean.shape, generator=generator)
        noisy = kept[step].sqrt().float() * clean + (1 - kept[step]).sqrt().float() * noise
        target, time = noise, torch.tensor([float(step)])
        if family == "sdxl":
            more = {"y": base.encode_adm(**extra, width=64, height=96, device="cpu")}
    predicted = functional_call(
        base.diffusion_model, merged, (noisy, time), {"context": embedding, **more}
    )
    loss = (predicted - target).square().mean()
    loss.backward()
    return loss.detach()


def gradients(factors: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """Take the gradients out of the factors."""
    found = {}
    for path, pair in factors.items():
        for name in ("down", "up"):
            parameter = getattr(pair, name)
            found[f"{path}.{name}"] = parameter.grad
            parameter.grad = None
    return found


def difference(found: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]) -> float:
    """The largest relative error of a tensor's gradient."""
    return max(
        ((found[name] - expected[name]).norm() / expected[name].norm()).item() for name in expected
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_are_those_of_plain_autograd(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With and without blocks computed twice, and with weights that were loaded in inference mode,
    as the host's nodes load them.
    """
    with torch.inference_mode():
        model = tiny_model(family)
    reference = tiny_model(family)
    factors = factors_of(reference)
    # Flux adds in place to what was saved for the gradient; torch can keep that for plain autograd.
    saving = (
        torch.autograd.graph.allow_mutation_on_saved_tensors()
        if family == "flux"
        else contextlib.nullcontext()
    )
    with saving, monkeypatch.context() as host:
        # The host's switch for a way of turning queries that has a gradient.
        host.setattr(load("comfy.model_management"), "in_training", True)
        expected_loss = plain(reference, family, factors)
    expected = gradients(factors)
    assert all(gradient.norm() > 0 for gradient in expected.values())
    for checkpointing, offloaded in ((False, False), (True, False), (True, True)):
        loss = ours(model, family, factors, checkpointing, offloaded)
        found = gradients(factors)
        assert loss.item() == pytest.approx(expected_loss.item(), rel=1e-4)
        assert difference(found, expected) < 1e-4, (checkpointing, offloaded)


def kept_for_the_gradient(model: Any, family: str, **how: bool) -> int:
    """Bytes that autograd keeps of the forward pass, each tensor once."""
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        ours(model, family, factors_of(model), **how)
    return sum(kept.values())


@pytest.mark.parametrize("family", FAMILIES)
def test_offloading_holds_no_weights_until_the_gradient(family: str) -> None:
    model = tiny_model(family)
    plain = kept_for_the_gradient(model, family, checkpointing=False)
    offloaded = kept_for_the_gradient(model, family, checkpointing=False, offloaded=True)
    assert offloaded < plain + 0.05 * model.model_size()


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_of_8_bits_give_gradients_as_their_numbers_do(family: str) -> None:
    """Bases are stored in fp8 and computed in what the device computes in."""
    small = tiny_model(family, dtype=torch.float8_e4m3fn, compute=torch.float32)
    same = tiny_model(family)
    with torch.no_grad():
        for one, other in zip(
            same.model.diffusion_model.parameters(),
            small.model.diffusion_model.parameters(),
            strict=True,
        ):
            one.copy_(other.float())
    factors = factors_of(same)
    expected_loss = ours(same, family, factors, checkpointing=False)
    expected = gradients(factors)
    loss = ours(small, family, factors, checkpointing=True)
    assert loss.item() == pytest.approx(expected_loss.item(), rel=1e-4)
    assert difference(gradients(factors), expected) < 1e-4
    assert {one.dtype for one in small.model.diffusion_model.parameters()} == {torch.float8_e4m3fn}


@pytest.mark.parametrize("kind", ["float8_e4m3fn", "mxfp8", "nvfp4"])
def test_quantised_bases_give_gradients_as_their_numbers_do(kind: str) -> None:
    """Scaled fp8 and its kin: the gradient is that of the numbers that they stand for."""
    model = quantised(kind)
    same = copied(model, "flux")
    factors = factors_of(same)
    expected_loss = ours(same, "flux", factors, checkpointing=False)
    expected = gradients(factors)
    for checkpointing in (False, True):
        loss = ours(model, "flux", factors, checkpointing)
        assert loss.item() == pytest.approx(expected_loss.item(), rel=1e-4)
        assert difference(gradients(factors), expected) < 1e-4


@pytest.mark.parametrize("checkpointing", [False, True])
def test_flux_blocks_that_add_in_place_cannot_do_so_unseen(
    monkeypatch: pytest.MonkeyPatch, checkpointing: bool
) -> None:
    """What keeps them from it is needed: without it there is no gradient at all."""
    model = tiny_model("flux")
    monkeypatch.setattr(load("comfyui_astria.nodes.training.blocks"), "_IN_PLACE", {})
    with pytest.raises(RuntimeError, match="inplace"):
        ours(model, "flux", factors_of(model), checkpointing=checkpointing)
