"""The trained part: a pair of matrices beside each linear layer of attention and MLP."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from .noise import generator_of


@dataclass(frozen=True)
class LayerSize:
    """A linear layer by its path in the diffusion model, with the features that go in and out."""

    path: str
    features_in: int
    features_out: int


class LearnedPair:
    """W x + up(down x): LoRA (https://arxiv.org/abs/2106.09685) with alpha equal to the rank.

    `down` [rank,in] and `up` [out,rank] are float32 whatever the layer computes in: in bfloat16
    small steps would vanish in rounding.
    """

    def __init__(self, down: Tensor, up: Tensor) -> None:
        self.down = nn.Parameter(down)
        self.up = nn.Parameter(up)

    def __call__(self, x: Tensor) -> Tensor:
        """Return what is added to the layer's output for its input [...,in], in x's dtype."""
        inner = functional.linear(x, self.down.to(x.dtype))
        return functional.linear(inner, self.up.to(x.dtype))


def fresh_factors(
    layers: Iterable[LayerSize], rank: int, seed: int, device: torch.device
) -> dict[str, LearnedPair]:
    """Return factors that change nothing yet: `down` random by the seed, `up` zero.

    `down` is drawn as kohya-ss/sd-scripts and peft do, Kaiming uniform with a = sqrt(5).
    """
    made = {}
    for layer in layers:
        bound = 1 / math.sqrt(layer.features_in)
        down = torch.rand(rank, layer.features_in, generator=generator_of(seed, "down", layer.path))
        made[layer.path] = LearnedPair(
            ((2 * down - 1) * bound).to(device), torch.zeros(layer.features_out, rank).to(device)
        )
    return made


def parameters_of(factors: Mapping[str, LearnedPair]) -> dict[str, nn.Parameter]:
    """Return the trained tensors by name: PATH.down, PATH.up."""
    return {
        f"{path}.{name}": parameter
        for path, pair in factors.items()
        for name, parameter in (("down", pair.down), ("up", pair.up))
    }
