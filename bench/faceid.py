"""What a step costs with one to three identities against a plain step.

IP-Adapter FaceID on a UNet, PuLID on a Flux.

On the CPU with one thread: a full-width SD1.5 UNet at 32x32 latent pixels, with FaceID Portrait,
whose 16 tokens a person are the most of all kinds; a Flux of a third of the width and a fifth of
the depth at 48x48 latent pixels, with PuLID at the published places and in the published
proportions. Where ComfyUI has a GPU: SDXL with FaceID Portrait and Flux.1 dev with PuLID, all in
full size at 1024x1024. Random weights, cfg 1. Each identity stands under a mask of its own, columns
that together fill the picture. Each time is held against a plain step run just before it, so that
other load falls on both alike; on the CPU it is CPU time. Memory on a GPU is what a run allocated
at most beyond a plain run.
"""

from __future__ import annotations

import gc
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from comfyui_astria.bench import _models
from comfyui_astria.bench._figures import figure
from comfyui_astria.bench._models import Case, model_of, step, text_of

IDENTITIES = (1, 2, 3)
FEW_ROUNDS = 3
TOKENS = 16  # a person's, of FaceID Portrait
PULID_TOKENS = 32


@dataclass(frozen=True)
class Setup:
    """A model and what it is run with, of bench/regions.py, and `adapter`, which makes its adapter
    for the device.
    """

    model: Any
    adapter: Callable[[Any, torch.device], Any]
    recogniser: str


@dataclass
class Taken:
    """What a number of identities took: a step in plain steps, and bytes beyond a plain run."""

    ratios: list[float] = field(default_factory=list)
    beyond_bytes: int = 0


def run() -> list[dict]:
    """Return the figures: the median plain step of each model, and the median ratio of a step with
    identities to it. On a CPU of three rounds.
    """
    return _run(FEW_ROUNDS)


def run_long() -> list[dict]:
    """Return the same figures of as many rounds as bench/regions.py takes."""
    return _run(SD15.model.rounds)


def _run(rounds_on_cpu: int) -> list[dict]:
    import comfy.model_management

    device = comfy.model_management.get_torch_device()
    if device.type == "cuda":
        return [figure for setup in (SDXL, FLUX) for figure in _measured(setup, device)]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [
            figure
            for setup in (SD15, FLUX_SHAPED)
            for figure in _measured(
                replace(setup, model=replace(setup.model, rounds=rounds_on_cpu)), device
            )
        ]
    finally:
        torch.set_num_threads(threads)


def _measured(setup: Setup, device: torch.device) -> list[dict]:
    from comfyui_astria.nodes.faceid.host.apply import apply_faceids
    from comfyui_astria.nodes.faceid.use import FaceIDUse
    from comfyui_astria.tests.faceid.adapters import somebody

    sizes = setup.model
    model, text = model_of(sizes, device), text_of(sizes, 0)
    adapter = setup.adapter(sizes, device)
    uses = [
        FaceIDUse(adapter, somebody(person, recogniser=setup.recogniser))
        for person in range(max(IDENTITIES))
    ]
    faced = {
        count: apply_faceids(
            model, [(uses[person], column(sizes, person, count)) for person in range(count)]
        )
        for count in IDENTITIES
    }
    plain_s: list[float] = []
    taken = {count: Taken() for count in IDENTITIES}
    for _ in range(sizes.rounds):
        for count, with_faces in faced.items():
            (step_s, plain_bytes), (its_s, its_bytes) = (
                step(sizes, Case(one, text), device) for one in (model, with_faces)
            )
            plain_s.append(step_s)
            taken[count].ratios.append(its_s / step_s)
            taken[count].beyond_bytes = its_bytes - plain_bytes
    del model, faced, adapter, uses
    gc.collect()
    return _figures(sizes.name, plain_s, taken, device)


def _figures(
    name: str, plain_s: list[float], taken: dict[int, Taken], device: torch.device
) -> list[dict]:
    figures = [figure(f"{name}: plain step", statistics.median(plain_s), "s")]
    for count, one in taken.items():
        title = f"{name}: {count} {'identity' if count == 1 else 'identities'}"
        figures.append(figure(f"{title} / plain", statistics.median(one.ratios), "ratio"))
        if device.type == "cuda":
            figures.append(figure(f"{title}, memory beyond plain", one.beyond_bytes / 2**20, "MB"))
    return figures


def column(sizes: Any, person: int, count: int) -> torch.Tensor:
    """Return the mask of one of so many persons, who stand side by side."""
    across = torch.arange(sizes.side * 8) * count // (sizes.side * 8)
    return (across == person).float().expand(sizes.side * 8, -1)


def _portrait(sizes: Any, device: torch.device) -> Any:
    from comfyui_astria.tests.faceid import adapters

    return portrait_of(sizes, adapters.SD15 if sizes.family == "sd15" else adapters.SDXL)


def portrait_of(sizes: Any, widths: Sequence[int]) -> Any:
    """Return a FaceID Portrait with random weights, for a model with attentions of these widths."""
    from comfyui_astria.nodes.faceid.checkpoint import read_adapter
    from comfyui_astria.nodes.faceid.host.ip_adapter import IPAdapterFaceID
    from comfyui_astria.tests.faceid import adapters

    state = adapters.adapter_file(
        "portrait", widths, adapters.Sizes(sizes.width, TOKENS, make=adapters.random_weights(0))
    )
    return IPAdapterFaceID(read_adapter(state, "portrait", "portrait"))


def pulid(sizes: Any, device: torch.device) -> Any:
    """Return an adapter whose people are random tokens.

    Its attentions are the real ones, two thirds as wide as the model.
    """
    import comfy.model_patcher
    import comfy.ops
    from comfyui_astria.nodes.faceid.pulid import CROSS_HEAD, CrossAttention, places
    from comfyui_astria.tests.testpack.weights import fill

    config = sizes.config
    inner = config["hidden_size"] * 2 // 3 // CROSS_HEAD * CROSS_HEAD  # 2048 of 3072
    count = len(places(config["depth"], config["depth_single_blocks"]))
    blocks = torch.nn.ModuleList(
        CrossAttention(config["hidden_size"], inner, inner, comfy.ops.manual_cast)
        for _ in range(count)
    )
    fill(blocks, seed=1)

    class Adapter:
        name = "pulid"

        def __init__(self) -> None:
            patcher = comfy.model_patcher.CoreModelPatcher
            self.blocks = patcher(
                blocks.to(sizes.dtype), load_device=device, offload_device=torch.device("cpu")
            )

        def tokens(self, identity: Any) -> torch.Tensor:
            return torch.randn(
                2, PULID_TOKENS, inner, generator=torch.Generator().manual_seed(len(identity.title))
            )

    return Adapter()


_THIRD = {
    **_models.FLUX.config,
    "hidden_size": 1024,
    "num_heads": 8,
    "depth": 4,
    "depth_single_blocks": 8,
    "context_in_dim": 1024,
}
_SHAPED = replace(
    _models.FLUX,
    name="Flux-shaped, PuLID",
    config=_THIRD,
    side=48,
    tokens=77,
    width=1024,
    dtype=torch.float32,
)
SD15 = Setup(replace(_models.SD15, name="SD1.5, FaceID Portrait"), _portrait, "buffalo_l")
SDXL = Setup(replace(_models.SDXL, name="SDXL, FaceID Portrait"), _portrait, "buffalo_l")
FLUX_SHAPED = Setup(_SHAPED, pulid, "antelopev2")
FLUX = Setup(replace(_models.FLUX, name="Flux.1 dev, PuLID"), pulid, "antelopev2")
