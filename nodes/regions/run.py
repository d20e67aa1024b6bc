"""What one call of the diffusion model knows of its regions; written by the model's wrapper, read by attention and gated LoRAs."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from ..errors import ImageError

if TYPE_CHECKING:
    from .lora_gates import Gate


@dataclass
class Forward:
    """One forward pass: which region each latent pixel and each text token belongs to.

    `masks` [R,H,W] is on the grid of the latent, float32, non-negative, and sums to 1 over the R regions at every pixel;
    region 0 is the scene (base prompt), 1.. are the persons. `text_lengths` (Flux) holds each region's count of text tokens
    in the joint sequence, in region order, 0 for a region without a pixel; empty on UNets, whose text is per region in its own
    attention call. `text_region` (UNets) is the region whose text the keys and values of cross-attention are projected from
    right now: 0, the row's own text, unless a person's is; None on Flux. `row_gate` [R,rows], where set, says that regions are
    items of the batch and not areas of the picture: the weight of region r in row b of the running batch.
    """

    masks: torch.Tensor
    text_lengths: tuple[int, ...] = ()
    text_region: int | None = None
    row_gate: torch.Tensor | None = None
    _grids: dict[tuple[int, int], torch.Tensor] = field(default_factory=dict)
    gates: dict[Hashable, Gate] = field(default_factory=dict)  # of the gated LoRAs, which share them for this one pass

    @property
    def regions(self) -> int:
        return self.masks.shape[0]

    def on_grid(self, height: int, width: int) -> torch.Tensor:
        """Return the masks area-averaged onto a grid: [R, height*width], rows first; each pixel still sums to 1."""
        key = (height, width)
        if key not in self._grids:
            averaged = F.interpolate(self.masks[None], size=key, mode="area")[0]
            self._grids[key] = averaged.flatten(1)
        return self._grids[key]


@dataclass
class RegionRun:
    """The link between a patched model's parts: `forward` is set for the time of one call of the diffusion model."""

    forward: Forward | None = None


def normalised(masks: torch.Tensor) -> torch.Tensor:
    """Return [R,H,W] with row 0, the scene, as the rest: persons that overlap share a pixel by weight, none covers more than all of it.

    Shapes: masks [N,H,W] float 0..1 of the persons -> [N+1,H,W] summing to 1.
    """
    if masks.ndim != 3 or masks.shape[0] == 0:
        raise ImageError(f"Region masks of shape {tuple(masks.shape)}; expected [persons, height, width].", code="region-masks")
    persons = masks.float().clamp(0, 1)
    total = persons.sum(0, keepdim=True)
    persons = persons / total.clamp(min=1)
    return torch.cat([1 - persons.sum(0, keepdim=True).clamp(max=1), persons])
