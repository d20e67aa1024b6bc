"""What a step of training costs against a plain forward and backward pass of the same model, and
what it holds.

On the CPU with one thread and random weights: a full-width SD1.5 UNet and an SDXL UNet of full
width and a fifth of the depth at 16x16 latent pixels, a double and a single block of Flux of half
the width at 32x32. Where ComfyUI has a GPU: SDXL and Flux.1 dev in full size at 128x128. The plain
pass has no LoRA, and its picture takes the gradient, so that it goes through the whole model. The
two run in turn, so that other load falls on both; on the CPU it is CPU time. What a step holds is
counted on narrow models of the full depth: see _train_memory.py.
"""

from __future__ import annotations

import contextlib
import gc
import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import torch
from comfyui_astria.bench import _models
from comfyui_astria.bench._figures import figure
from comfyui_astria.bench._models import Setup, latent_of, load, model_of, text_of
from comfyui_astria.bench._train_memory import memory_figures

MOST = 1.1  # of a step against a plain pass
RANK = 16
_SHALLOW = {"model_channels": 320, "context_dim": 2048, "adm_in_channels": 2816}
SHALLOW_SDXL = replace(
    _models.SDXL,
    name="SDXL, a fifth of the depth",
    config={**_SHALLOW, "num_head_channels": 64},
    side=16,
    dtype=torch.float32,
    rounds=3,
)
FLUX_BLOCKS = replace(
    _models.FLUX_BLOCKS,
    name="Flux blocks of half the width",
    config={**_models.FLUX_BLOCKS.config, "hidden_size": 1536, "num_heads": 12},
    side=32,
    rounds=3,
)
ON_CPU = {
    "sd15": replace(_models.SD15, side=16, rounds=3),
    "sdxl": SHALLOW_SDXL,
    "flux": FLUX_BLOCKS,
}
ON_GPU = {"sdxl": replace(_models.SDXL, rounds=3), "flux": replace(_models.FLUX, rounds=3)}


def run() -> list[dict]:
    """Return the figures of each family."""
    import comfy.model_management

    is_gpu = comfy.model_management.get_torch_device().type == "cuda"
    setups = ON_GPU if is_gpu else ON_CPU
    torch.set_num_threads(1)
    return [one for family in setups for one in _measured(family, setups[family], is_gpu)]


def _measured(family: str, setup: Setup, is_gpu: bool) -> list[dict]:
    plain_s, ratios, deeper = [], [], []
    model = model_of(setup, _device())
    plain = plain_pass(model, setup)
    ours, twice = (training_step(model, setup, checkpointing=on) for on in (False, True))
    for _ in range(setup.rounds):
        taken = [_seconds(work, is_gpu) for work in (plain, ours, twice)]
        plain_s.append(taken[0])
        ratios.append(taken[1] / taken[0])
        deeper.append(taken[2] / taken[0])
    del model, plain, ours, twice
    gc.collect()
    ratio = statistics.median(ratios)
    return [
        figure(f"{setup.name}: plain pass", statistics.median(plain_s), "s"),
        figure(f"{setup.name}: step / plain pass", ratio, "ratio", ratio <= MOST),
        figure(
            f"{setup.name}: step with checkpointing / plain pass",
            statistics.median(deeper),
            "ratio",
        ),
        *memory_figures(family, _device()),
    ]


def training_step(model: Any, setup: Setup, *, checkpointing: bool) -> Callable[[], None]:
    """Return the training's own loss and gradient of one picture."""
    from comfyui_astria.nodes.training.host.loss import Denoising
    from comfyui_astria.nodes.training.host.model import (
        LearningOptions,
        learning_model,
        trained_layers,
    )
    from comfyui_astria.nodes.training.low_rank import fresh_factors
    from comfyui_astria.nodes.training.noise import generator_of

    factors = fresh_factors(trained_layers(model), RANK, 0, model.load_device)
    learning = learning_model(model, factors, LearningOptions(checkpointing))

    def step() -> None:
        load(learning)
        denoising = Denoising(learning)
        example = denoising.example(latent_of(setup), text_of(setup, 0))
        denoising.loss(example, example.caption, generator_of(0)).backward()

    return step


def plain_pass(model: Any, setup: Setup) -> Callable[[], None]:
    """Return a forward and backward pass of the model as it is."""
    from comfyui_astria.nodes.training.host.model import _rotated

    plain = model.clone()
    keeps: Callable[[], AbstractContextManager[Any]] = contextlib.nullcontext
    if setup.family == "flux":
        plain.set_model_attn1_patch(_rotated)
        keeps = torch.autograd.graph.allow_mutation_on_saved_tensors

    def run_plain() -> None:
        import comfy.samplers
        from comfy.sampler_helpers import convert_cond

        load(plain)
        latent = latent_of(setup).to(plain.load_device)
        conds = comfy.samplers.process_conds(
            plain.model, latent, {"positive": convert_cond(text_of(setup, 0))}, latent.device
        )
        noisy = latent.clone().requires_grad_()
        sigma = torch.full((1,), 0.7, device=latent.device)
        with keeps():
            (drawn,) = comfy.samplers.calc_cond_batch(
                plain.model, [conds["positive"]], noisy, sigma, plain.model_options
            )
            drawn.square().mean().backward()
        comfy.model_management.soft_empty_cache()

    return run_plain


def _device() -> torch.device:
    import comfy.model_management

    return comfy.model_management.get_torch_device()


def _seconds(work: Callable[[], None], is_gpu: bool) -> float:
    clock = time.perf_counter if is_gpu else time.process_time
    started = clock()
    work()
    if is_gpu:
        torch.cuda.synchronize()
    return clock() - started
