"""What a step costs with one to three identities against a plain step: IP-Adapter FaceID on a UNet, PuLID on a Flux.

A full-width SD1.5 UNet at 32x32 latent pixels, with FaceID Portrait, whose 16 tokens a person are the most of all kinds; a Flux of a third of the
width and a fifth of the depth at 48x48 latent pixels, with PuLID at the published places and in the published proportions. Random weights, cfg 1, on
the CPU with one thread. Each identity stands under a mask of its own, columns that together fill the picture. Times are CPU time, and each is
held against a plain step run just before it, so that other load falls on both alike.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import torch

ROUNDS = 5
IDENTITIES = (1, 2, 3)
TOKENS = 77


class Case(NamedTuple):
    """A plain model, how to use its adapter for the person of a number, and the channels of its latent and of its text."""

    model: Any
    use: Callable[[int], Any]
    latent: int
    channels: int
    width: int


def run() -> list[dict]:
    """Return the figures: the median plain step of each model, and the median ratio of a step with identities to it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    figures = []
    try:
        for name, make in (("SD1.5, FaceID Portrait", _sd15), ("Flux-shaped, PuLID", _flux)):
            figures += _measured(name, make())
            gc.collect()
    finally:
        torch.set_num_threads(threads)
    return figures


def _measured(name: str, case: Case) -> list[dict]:
    from comfyui_astria.nodes.host.faceid import apply_faceids

    faced = {count: apply_faceids(case.model, [(case.use(person), _column(case, person, count)) for person in range(count)]) for count in IDENTITIES}
    plain_s: list[float] = []
    ratios: dict[int, list[float]] = {count: [] for count in IDENTITIES}
    for _ in range(ROUNDS):
        for count, model in faced.items():
            plain_s.append(_step_s(case, case.model))
            ratios[count].append(_step_s(case, model) / plain_s[-1])
    figures = [{"name": f"{name}: plain step", "value": statistics.median(plain_s), "unit": "s", "ok": None}]
    return figures + [{"name": f"{name}: {count} {'identity' if count == 1 else 'identities'} / plain", "value": statistics.median(values),
                       "unit": "ratio", "ok": None} for count, values in ratios.items()]


def _column(case: Case, person: int, count: int) -> torch.Tensor:
    across = torch.arange(case.latent * 8) * count // (case.latent * 8)
    return (across == person).float().expand(case.latent * 8, -1)


def _step_s(case: Case, model: Any) -> float:
    """Return the CPU time of the quicker of a run's second and third step; the first also pays for what a run prepares."""
    import comfy.sample

    ends_s: list[float] = []
    noise = torch.randn(1, case.channels, case.latent, case.latent, generator=torch.Generator().manual_seed(0))
    texts = [[[torch.randn(1, TOKENS, case.width, generator=torch.Generator().manual_seed(seed)), {"pooled_output": torch.zeros(1, 64)}]]
             for seed in (1, 2)]
    comfy.sample.sample(model, noise, 3, 1.0, "euler", "simple", *texts, torch.zeros_like(noise), disable_pbar=True,
                        callback=lambda *_: ends_s.append(time.process_time()), seed=0)
    return min(later - earlier for earlier, later in pairwise(ends_s))


def _model(family: str, **config: Any) -> Any:
    """Return a MODEL like the test pack's of that family, larger."""
    import comfy.model_patcher
    from comfyui_astria.tests.testpack.families import FAMILIES
    from comfyui_astria.tests.testpack.weights import fill

    cpu = torch.device("cpu")
    made = FAMILIES[family]()
    made.unet_config |= config
    made.set_inference_dtype(torch.float32, None)
    model = made.get_model({}, "", device=cpu)
    fill(model.diffusion_model, seed=0)
    return comfy.model_patcher.CoreModelPatcher(model, load_device=cpu, offload_device=cpu)


def _sd15() -> Case:
    from comfyui_astria.nodes.faceid.checkpoint import read_adapter
    from comfyui_astria.nodes.host.faceid import FaceIDUse, IPAdapterFaceID
    from comfyui_astria.tests.faceid.adapters import SD15, Sizes, adapter_file, random_weights, somebody

    state = adapter_file("portrait", SD15, Sizes(768, 16, make=random_weights(0)))
    faceid = IPAdapterFaceID(read_adapter(state, "portrait", "portrait"))
    model = _model("sd15", model_channels=320, context_dim=768)
    return Case(model, lambda person: FaceIDUse(faceid, somebody(person)), 32, 4, 768)


def _flux() -> Case:
    from comfyui_astria.nodes.host.faceid import FaceIDUse
    from comfyui_astria.tests.faceid.adapters import somebody

    model = _model("flux", hidden_size=1024, num_heads=8, depth=4, depth_single_blocks=8, context_in_dim=1024)
    adapter = _pulid(places=4, width=1024, inner=640, face=640)
    return Case(model, lambda person: FaceIDUse(adapter, somebody(person, recogniser="antelopev2")), 48, 16, 1024)


def _pulid(places: int, width: int, inner: int, face: int) -> Any:
    """Return an adapter whose people are random tokens; its attentions are the real ones."""
    import comfy.model_patcher
    import comfy.ops
    from comfyui_astria.nodes.faceid.pulid import CrossAttention
    from comfyui_astria.tests.testpack.weights import fill

    cpu = torch.device("cpu")
    blocks = torch.nn.ModuleList(CrossAttention(width, face, inner, comfy.ops.manual_cast) for _ in range(places))
    fill(blocks, seed=1)

    class Adapter:
        name = "pulid"

        def __init__(self) -> None:
            self.blocks = comfy.model_patcher.CoreModelPatcher(blocks, load_device=cpu, offload_device=cpu)

        def tokens(self, identity: Any) -> torch.Tensor:
            return torch.randn(2, 32, face, generator=torch.Generator().manual_seed(len(identity.title)))

    return Adapter()
