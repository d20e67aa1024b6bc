"""Everything random in a training, as a function of the seed and of what is drawn.

A step draws the same whether the run was interrupted before it or not, and the process' own random
numbers are left alone.
"""

from __future__ import annotations

import hashlib
import math

import torch
from torch import Tensor

BASE_TOKENS, MAX_TOKENS = 256, 4096
BASE_SHIFT, MAX_SHIFT = 0.5, 1.15


def generator_of(seed: int, *what: object) -> torch.Generator:
    """Return a generator of its own for one thing that is drawn, on the CPU."""
    digest = hashlib.sha256(repr((seed, *what)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little", signed=True))


def picture_order(pictures: int, step: int, seed: int) -> int:
    """Return which picture is learned at a step: all of them in random order, again and again."""
    round_, place = divmod(step, pictures)
    order = torch.randperm(pictures, generator=generator_of(seed, "order", round_))
    return int(order[place])


def uniform_timestep(timesteps: int, generator: torch.Generator) -> int:
    """Return a timestep of SD1.5 or SDXL, each as likely as the other (DDPM)."""
    return int(torch.randint(timesteps, (), generator=generator))


def flow_sigma(tokens: int, generator: torch.Generator) -> float:
    """Return a noise level of Flux for so many image tokens.

    Logit-normal, as in https://arxiv.org/abs/2403.03206, shifted to more noise for larger pictures
    as black-forest-labs/flux samples them.
    """
    plain = torch.sigmoid(torch.randn((), generator=generator, dtype=torch.float64)).item()
    return shifted(plain, tokens)


def shifted(level: float, tokens: int) -> float:
    """Return a noise level 0..1 as it is shifted for so many image tokens."""
    slope = (MAX_SHIFT - BASE_SHIFT) / (MAX_TOKENS - BASE_TOKENS)
    scale = math.exp(BASE_SHIFT + slope * (tokens - BASE_TOKENS))
    return scale * level / (1 + (scale - 1) * level)


def noise_like(latent: Tensor, generator: torch.Generator) -> Tensor:
    """Return Gaussian noise of the latent's shape and device, the same on every device."""
    return torch.randn(latent.shape, generator=generator, dtype=torch.float32).to(latent.device)


def is_dropped(share: float, generator: torch.Generator) -> bool:
    """Say whether this step's caption is left out."""
    return torch.rand((), generator=generator).item() < share
