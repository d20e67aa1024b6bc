"""LoRAs that act inside one region of the picture only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from ..errors import AstriaError


@dataclass(frozen=True)
class RegionLora:
    """A LoRA file of one region: 0 is the scene, 1.. are the persons.

    `name` is what its errors call it.
    """

    region: int
    state_dict: Mapping[str, torch.Tensor]
    strength: float
    name: str


class LoraError(AstriaError):
    """A LoRA that cannot be applied to this model inside a region."""
