"""The most that a step of training holds beyond the base and the LoRA with its optimiser, against
plain autograd, by which modules are computed twice.

On narrow models of the full depth, with a LoRA of rank 1, whose gradients are then nothing beside
the activations. Every allocation of torch is counted, those within an operation too: by its
profiler on the CPU, by its allocator on a GPU.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from comfyui_astria.bench import _models
from comfyui_astria.bench._figures import figure
from comfyui_astria.bench._models import Setup, latent_of, load, model_of, text_of

RANK = 1
EQUAL = 1.01  # times what plain autograd holds: small tensors come and go at other moments
# Width, and the published depth at that width; the widths of the texts are those of tiny models.
NARROW = {
    "sd15": replace(_models.SD15, config={"model_channels": 64}, side=32, width=64, pooled=64),
    "sdxl": replace(
        _models.SDXL,
        config={"model_channels": 64, "num_head_channels": 64, **_models.DEPTHS},
        side=32,
        width=160,
        pooled=96,
        dtype=torch.float32,
    ),
    "flux": replace(
        _models.FLUX,
        config={"hidden_size": 128, "num_heads": 1, "depth": 19, "depth_single_blocks": 38},
        side=32,
        width=48,
        pooled=64,
        dtype=torch.float32,
    ),
}


@dataclass(frozen=True)
class Way:
    """A way of learning: what makes the model that learns, and what its step needs around it.

    `is_ours`: it is that of the pack, and may hold no more than plain autograd.
    """

    name: str
    learning: Callable[[Any, Mapping[str, Any]], Any]
    is_ours: bool = False
    around: Callable[[], AbstractContextManager[Any]] = nullcontext


def memory_figures(family: str, device: torch.device) -> list[dict]:
    """Return the numbers held at the peak of a step by each way, for each place (latent cell;
    Flux: token) and channel of the width.
    """
    setup = NARROW[family]
    model = model_of(setup, device)
    for weight in model.model.parameters():
        weight.requires_grad_(False)  # plain autograd asks
    rows: list[dict] = []
    for way in ways(setup):
        held = held_at_peak(setup, model, way) / (places(setup) * _width(setup) * 4)
        within = held <= EQUAL * rows[0]["value"] if way.is_ours else None
        title = f"{setup.name}, full depth, {way.name}: held at the peak"
        rows.append(figure(title, held, "a place and channel", within))
    del model
    gc.collect()
    return rows


def places(setup: Setup) -> float:
    """Return the latent cells of a UNet, the tokens of Flux."""
    cells = setup.side**2
    return cells / 4 + setup.tokens if setup.family == "flux" else cells


def _width(setup: Setup) -> int:
    return setup.config.get("hidden_size") or setup.config["model_channels"]


def ways(setup: Setup) -> Iterator[Way]:
    """Return plain autograd, then the training without and with checkpointing, then other depths of
    checkpointing.
    """
    from comfy.ldm.modules.attention import SpatialTransformer
    from comfy.ldm.modules.diffusionmodules.openaimodel import ResBlock, UNetModel
    from comfyui_astria.nodes.training.host.model import LearningOptions, learning_model

    is_flux = setup.family == "flux"
    # Flux adds in place to what plain autograd has saved.
    around = torch.autograd.graph.allow_mutation_on_saved_tensors if is_flux else nullcontext
    yield Way("plain autograd", _plainly_learning, around=around)
    for name, is_on in (("training", False), ("training with checkpointing", True)):
        options = LearningOptions(is_on)
        yield Way(name, lambda *given, of=options: learning_model(*given, of), is_ours=True)
    if not is_flux:  # whose blocks are the only depth between the whole and single layers
        yield Way("whole model twice", _twice(UNetModel))
        yield Way("whole transformers twice", _twice(ResBlock, SpatialTransformer))


def _plainly_learning(model: Any, factors: Mapping[str, Any]) -> Any:
    """Return a clone that learns by plain autograd, with the factors beside its layers."""
    from comfyui_astria.nodes.regions.lora_hooks import Hook
    from comfyui_astria.nodes.training.host.model import _ATTENTION, _attention, _rotated

    class Beside(Hook):
        def __init__(self, module: torch.nn.Module, pair: Any) -> None:
            super().__init__(module)
            self._pair = pair

        def __call__(self, x: torch.Tensor) -> torch.Tensor:
            return self.original(x) + self._pair(x)

    plain = model.clone()
    plain.model_options["transformer_options"][_ATTENTION] = _attention
    if hasattr(model.model.diffusion_model, "double_blocks"):
        plain.set_model_attn1_patch(_rotated)
    _inject(
        plain,
        lambda diffusion: (
            Beside(module, factors[name])
            for name, module in diffusion.named_modules()
            if name in factors
        ),
    )
    return plain


def _twice(*kinds: type) -> Callable[[Any, Mapping[str, Any]], Any]:
    """Return what makes a model learn that computes modules of these kinds twice."""

    def learning(model: Any, factors: Mapping[str, Any]) -> Any:
        from comfyui_astria.nodes.training.blocks import LearningBlock
        from comfyui_astria.nodes.training.host.model import LearningOptions, learning_model

        made = learning_model(model, factors, LearningOptions(checkpointing=False))
        _inject(
            made,
            lambda diffusion: (
                LearningBlock(module, checkpointing=True, adds_in_place=False)
                for module in diffusion.modules()
                if isinstance(module, kinds)
            ),
        )
        return made

    return learning


def _inject(model: Any, hooks_of: Callable[[torch.nn.Module], Iterator[Any]]) -> None:
    """Have the hooks stand in while the host has the model loaded."""
    from comfy.patcher_extension import PatcherInjection

    hooks: list[Any] = []

    def put_in(patcher: Any) -> None:
        for hook in hooks_of(patcher.model.diffusion_model):
            hook.put()
            hooks.append(hook)

    def take_out(_: Any) -> None:
        while hooks:
            hooks.pop().remove()

    model.set_injections("bench", [PatcherInjection(inject=put_in, eject=take_out)])


def held_at_peak(setup: Setup, model: Any, way: Way) -> int:
    """Return the most bytes that the second step of a training holds beyond what stood before it:
    the base, the LoRA, and the optimiser's moments.
    """
    from comfyui_astria.nodes.training.host.loss import Denoising
    from comfyui_astria.nodes.training.host.model import trained_layers
    from comfyui_astria.nodes.training.loop import Loop, LoopNumbers
    from comfyui_astria.nodes.training.low_rank import fresh_factors, parameters_of
    from comfyui_astria.nodes.training.noise import generator_of

    factors = fresh_factors(trained_layers(model), RANK, 0, model.load_device)
    learning = way.learning(model, factors)
    load(learning)
    denoising = Denoising(learning)

    def losses(_: int) -> Iterator[torch.Tensor]:
        example = denoising.example(latent_of(setup), text_of(setup, 0))
        yield denoising.loss(example, example.caption, generator_of(0))

    steps = Loop(parameters_of(factors), LoopNumbers(2, 1e-4), losses).steps()
    try:
        with way.around():
            next(steps)
            gc.collect()
            return peak_bytes(lambda: next(steps), model.load_device)
    finally:
        learning.cleanup()
        learning.unpatch_model(model.load_device)


def peak_bytes(work: Callable[[], object], device: torch.device) -> int:
    """Return the most bytes that torch allocates in `work` beyond what it held before."""
    if device.type == "cuda":
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        work()
        return torch.cuda.max_memory_allocated() - before
    kinds = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=kinds, profile_memory=True, acc_events=True) as profiler:
        work()
    events = profiler.profiler.kineto_results.events()
    changes = sorted((one.start_ns(), one.nbytes()) for one in events if one.name() == "[memory]")
    held = most = 0
    for _, change in changes:
        held += change
        most = max(most, held)
    return most
