"""The regions in one call of the diffusion model.

Set by the model's wrapper, read by attention and by gated LoRAs.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F

from ..errors import ImageError
from ..rounding import ceil_div
from .lora import LoraError

# How far the sides of two pictures may differ in scale to count as one shape, for sizes that were
# rounded to a model's multiple; of a latent these are so many cells.
SAME_SHAPE = 0.02
PADDED_CELLS = 2
# What models' sizes go by. A picture whose sides are those of another rounded up to one of these
# was padded right and bottom, as Astria Fit Image does it, and nothing in it moved.
MULTIPLES = (8, 16, 32, 64)


@dataclass
class Gate:
    """Weights [R, L] of the regions over L rows.

    Tokens or pixels, or with `items` the items of the batch.

    `region` is set where that region's weight is 1 and every other's 0 in all rows. `inner` counts
    the sides of the values between their rows and their channels.
    """

    weights: torch.Tensor
    region: int | None = None
    items: bool = False
    inner: int = 0
    _made: dict[Hashable, torch.Tensor] = field(default_factory=dict)

    def columns(self, regions: tuple[int, ...], like: torch.Tensor) -> torch.Tensor:
        """Return [L, K]: for each of K columns its region's weights, in the dtype of `like`."""
        key = (regions, like.dtype)
        if key not in self._made:
            beyond = [region for region in regions if region >= self.weights.shape[0]]
            if beyond:
                persons = self.weights.shape[0] - 1
                raise LoraError(
                    f"A LoRA is meant for person {beyond[0]}, but the picture has regions for"
                    f" {persons}.",
                    code="lora-region",
                    hint="Give every person with a LoRA a region.",
                )
            index = torch.tensor(regions, device=self.weights.device)
            self._made[key] = self.weights.index_select(0, index).t().to(like.dtype).contiguous()
        return self._made[key]

    def weigh(
        self, values: torch.Tensor, regions: tuple[int, ...], *, pixels: bool
    ) -> torch.Tensor:
        """Return the values, each channel times the weights of its region.

        One region weighs all channels.

        Shapes: values [B,K,H,W] of `pixels`, else [B,L,..,K] or [B,K] -> the same.
        """
        columns = self.columns(regions, values)  # [L,K]; [B,K] of items
        if self.items:
            ones = (1,) * (values.ndim - 2)
            columns = columns.view(len(columns), *ones, len(regions))  # [B,..1..,K]
            columns = columns.movedim(-1, 1) if pixels else columns  # [B,K,1,1]
        elif pixels:
            columns = columns.t().unflatten(1, values.shape[-2:])  # [K,H,W]
        elif self.inner:
            columns = columns.view(len(columns), *(1,) * self.inner, len(regions))  # [L,..1..,K]
        return values * columns


@dataclass
class Forward:
    """Which region each latent pixel and each text token of a forward pass belongs to.

    `masks` [R,H,W] is on the grid of the latent, float32, non-negative, and sums to 1 over the R
    regions at every pixel; region 0 is the scene (base prompt), 1.. are the persons. `text_lengths`
    (joint sequences) holds each region's count of text tokens, in region order, 0 for a region
    without a pixel; empty on UNets, whose text is per region in its own attention call.
    `image_tokens` are those behind the texts, with padding and reference pictures, 0 where a block
    tells them, and `patch` is the side of a token in latent pixels. `text_region` is the region
    whose text alone is projected right now: on UNets 0, the row's own text, unless a person's is.
    `row_gate`
    [R,rows], where set, says that regions are items of the batch and not areas of the picture: the
    weight of region r in row b of the running batch.
    """

    masks: torch.Tensor
    text_lengths: tuple[int, ...] = ()
    text_region: int | None = None
    row_gate: torch.Tensor | None = None
    image_tokens: int = 0
    patch: int = 1
    _grids: dict[tuple[int, int], torch.Tensor] = field(default_factory=dict)
    # Of the gated LoRAs, which share them, and of all equal passes of a sampling.
    gates: dict[Hashable, Gate] = field(default_factory=dict)
    # Whatever else follows from it, by who made it.
    derived: dict[Hashable, Any] = field(default_factory=dict)

    @classmethod
    def of_items(cls, row_gate: torch.Tensor) -> Forward:
        """Return a pass in which regions are items of the batch.

        No person has an area, so the masks are each region's share of the rows.
        """
        return cls(row_gate.mean(1)[:, None, None], row_gate=row_gate)

    @property
    def regions(self) -> int:
        return self.masks.shape[0]

    def rows_of(self, region: int) -> torch.Tensor:
        """Return the items of the batch [n] in which a region has a weight."""
        assert self.row_gate is not None, "regions are items of the batch"
        key = ("rows", region)
        if key not in self.derived:
            self.derived[key] = self.row_gate[region].nonzero()[:, 0]
        return self.derived[key]

    def on_grid(self, height: int, width: int) -> torch.Tensor:
        """Return the masks averaged onto a grid.

        [R, height*width], rows first; each pixel still sums to 1.
        """
        key = (height, width)
        if key not in self._grids:
            self._grids[key] = averaged(self.masks, height, width).flatten(1)
        return self._grids[key]


@dataclass
class RegionRun:
    """The link between a patched model's parts.

    `forward` is set for the time of one call of the diffusion model. `is_attended`: an attention of
    the sampling that runs has been one of regions; `is_placed`: the texts of the joint sequence
    that runs have places of their own.
    """

    forward: Forward | None = None
    is_attended: bool = False
    is_placed: bool = False


def averaged(masks: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Return masks [R,H,W] on a grid of height x width, each cell the mean of the pixels it stands
    for.

    Models halve a side by rounding up: their cells are blocks of 2, 4, 8 ... pixels from the top
    left, and the last of an odd side reaches over the edge. What lies there is padding that the
    model cuts off again, so only the pixels inside count. Any other grid is averaged by area.
    """
    rows, columns = masks.shape[1:]
    block = 1
    while ceil_div(rows, block) > height or ceil_div(columns, block) > width:
        block *= 2
    if (ceil_div(rows, block), ceil_div(columns, block)) == (height, width):
        return F.avg_pool2d(masks[None], block, ceil_mode=True, count_include_pad=False)[0]
    return F.interpolate(masks[None], size=(height, width), mode="area")[0]


def on_latent(masks: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Return region masks [R,H,W] on the grid of a latent, summing to 1 at every pixel."""
    on_grid = averaged(masks, height, width)
    return on_grid / on_grid.sum(0)


def check_shape(
    masks: torch.Tensor, height: int, width: int, subject: str = "The regions are laid out for"
) -> None:
    """Check that a latent of that size is of a picture of the masks' shape, at any scale, padded
    to a model's multiple or not.

    Raises: ImageError where it is not, and everybody would stand elsewhere than laid out.
    """
    shape = masks.shape[2] / masks.shape[1]
    # The widths over heights that the picture may have had before up to PADDED_CELLS were added to
    # one side, with room for rounding.
    narrowest = (width - PADDED_CELLS) / height / (1 + SAME_SHAPE)
    widest = width / max(height - PADDED_CELLS, 0.5) * (1 + SAME_SHAPE)
    if not narrowest <= shape <= widest:
        raise ImageError(
            f"{subject} {masks.shape[2]}x{masks.shape[1]} px and a latent of {width}x{height} is"
            " drawn; expected the same shape.",
            code="regions-shape",
            hint="Make it of the width and height of the picture that is drawn.",
        )


def is_padded(own: tuple[int, int], now: tuple[int, int]) -> bool:
    """Say whether a picture of the size `now` is one of `own`, padded to a model's multiple."""
    return any(
        now == tuple(math.ceil(side / multiple) * multiple for side in own)
        for multiple in MULTIPLES
    )


def normalised(masks: torch.Tensor) -> torch.Tensor:
    """Return the masks of all regions: row 0 is the scene, which gets what the persons leave.

    Where persons overlap and their sum is above 1, they share the pixel in proportion.

    Shapes: masks [N,H,W] float 0..1 of the persons -> [N+1,H,W] summing to 1.
    """
    if masks.ndim != 3 or masks.shape[0] == 0:
        raise ImageError(
            f"Region masks of shape {tuple(masks.shape)}; expected [persons, height, width].",
            code="region-masks",
        )
    persons = masks.float().clamp(0, 1)
    total = persons.sum(0, keepdim=True)
    persons = persons / total.clamp(min=1)
    return torch.cat([1 - persons.sum(0, keepdim=True).clamp(max=1), persons])
