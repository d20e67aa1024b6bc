"""Short runs of tiny models with regions, and masks and texts to run them with."""

from __future__ import annotations

import atexit
import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ...nodes.regions.run import RegionRun, normalised
from .comfy_inprocess import LATENT_CHANNELS, load, text, tiny_model

model_of = functools.cache(tiny_model)
atexit.register(model_of.cache_clear)  # a MODEL of the host cleans up after itself, which it cannot once the interpreter is being torn down


def base_of(family: str) -> str:
    return family.split("_")[0]


def halves(height: int = 8, width: int = 12) -> Tensor:
    """Return masks [3,H,W]: no scene, person 1 on the left, person 2 on the right."""
    left = (torch.arange(width) < width // 2).float().expand(1, height, width)
    return normalised(torch.cat([left, 1 - left]))


def soft_people() -> Tensor:
    """Return masks [3,48,64] of a scene and two persons who touch each other, with edges several pixels wide."""
    people = torch.zeros(2, 48, 64)
    people[0, 8:, 6:30] = 1
    people[1, 12:, 26:54] = 1
    return normalised(torch.nn.functional.avg_pool2d(people[None], 7, 1, 3)[0])


def with_regions(model: Any, masks: Tensor, positive: list, negative: list, run: RegionRun | None = None, **options: Any) -> Any:
    regional = load("comfyui_astria.nodes.host.regional")
    return regional.apply_regions(model, masks, positive, negative, run or RegionRun(), regional.RegionalOptions(**options))


def denoised(model: Any, family: str, positive: list, negative: list | None = None, *, size: tuple[int, int] = (8, 12), cfg: float = 1.0,
             noise: Tensor | None = None) -> Tensor:
    """Return what the model makes of noise in one step, [B,C,H,W]; cfg above 1 runs positive and negative rows in one batch."""
    if noise is None:
        noise = torch.randn(1, LATENT_CHANNELS[base_of(family)], *size, generator=torch.Generator().manual_seed(3))
    negative = negative or text(base_of(family), 2)
    latent = torch.zeros_like(noise)
    with one_thread():
        return load("comfy.sample").sample(model, noise, 1, cfg, "euler", "simple", positive, negative, latent, disable_pbar=True, seed=0)


@contextmanager
def one_thread() -> Iterator[None]:
    """Layers this small take many times as long when threads share them, more so on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def difference(one: Tensor, other: Tensor) -> float:
    """Return the greatest difference, relative to the greatest value."""
    return ((one - other).abs().max() / other.abs().max()).item()
