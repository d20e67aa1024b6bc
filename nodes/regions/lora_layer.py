"""The additions of region LoRAs to the output of one layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import nn

from .lora_forms import Form, Layer, LowRank, Target, cast_to_input, frozen
from .lora_gates import BlockSizes, Spot, each_region, gate_of
from .run import Gate, RegionRun


@dataclass(frozen=True)
class Call:
    """One call of a layer: input `x`, unchanged output `y`, and the gate of its rows."""

    x: torch.Tensor
    y: torch.Tensor
    gate: Gate
    layer: Layer


class Stacked(nn.Module):
    """The low-rank changes of all regions on one part of a weight, side by side.

    Two products for all, gated in between.

    Gating the K rank columns instead of the outputs costs K numbers a row, however wide the layer
    is.
    """

    def __init__(self, members: Sequence[tuple[int, LowRank]]) -> None:
        super().__init__()
        ordered = sorted(members, key=lambda member: member[0])
        self.target: Target = ordered[0][1].target
        self.regions = tuple(region for region, form in ordered for _ in range(form.down.shape[0]))
        self.down = frozen(torch.cat([form.down for _, form in ordered]))
        self.up = frozen(torch.cat([form.up for _, form in ordered], 1))

    def add(self, out: torch.Tensor, call: Call) -> None:
        """Add to `out` in place."""
        first, last = self._span(call.gate)
        if first == last:
            return
        up, down = (
            cast_to_input(self.up[:, first:last], call.x),
            cast_to_input(self.down[first:last], call.x),
        )
        pixels = self.target.pixels
        gated = call.gate.weigh(
            self.target.run(call.x, down), self.regions[first:last], pixels=pixels
        )
        if pixels:
            self.target.part(out).add_(F.conv2d(gated, up[:, :, None, None]))
            return
        self.target.part(out.view(-1, out.shape[-1])).addmm_(gated.flatten(0, -2), up.t())

    def _span(self, gate: Gate) -> tuple[int, int]:
        """Return the first and last rank column to compute: with one region, its own only."""
        if gate.region is None:
            return 0, len(self.regions)
        first = sum(region < gate.region for region in self.regions)
        return first, first + self.regions.count(gate.region)


class Single(nn.Module):
    """One region's change in a form that does not stack; its gate is on the outputs."""

    def __init__(self, region: int, form: Form) -> None:
        super().__init__()
        self.region = region
        self.form = form

    def add(self, out: torch.Tensor, call: Call) -> None:
        """Add to `out` in place."""
        if call.gate.region not in (None, self.region):
            return
        target = self.form.target
        change = self.form.change_beside(call.x, call.y, call.layer)
        target.part(out).add_(call.gate.weigh(change, (self.region,), pixels=target.pixels))


class LayerChange(nn.Module):
    """All changes of one layer at `spot`, the module at `path` of the model."""

    def __init__(self, path: str, spot: Spot, members: Sequence[tuple[int, Form]]) -> None:
        super().__init__()
        self.path = path
        self.spot = spot
        parts: dict[tuple[int, int], list[tuple[int, LowRank]]] = {}
        pieces: list[Stacked | Single] = []
        for region, form in members:
            if isinstance(form, LowRank):
                parts.setdefault((form.target.start, form.target.rows), []).append((region, form))
            else:
                pieces.append(Single(region, form))
        self.pieces = nn.ModuleList([*pieces, *(Stacked(stack) for stack in parts.values())])
        self.reads_output = any(
            isinstance(piece, Single) and piece.form.reads_output for piece in self.pieces
        )


@dataclass(frozen=True)
class GatedChange:
    """A layer's change while its model runs.

    `run` says whether and where regions are active, `sizes` how large the block around is.
    """

    change: LayerChange
    run: RegionRun
    sizes: BlockSizes

    @property
    def reads_output(self) -> bool:
        return self.change.reads_output

    def __call__(
        self, out: torch.Tensor, x: torch.Tensor, y: torch.Tensor, layer: Layer
    ) -> torch.Tensor:
        """Return `out`, the layer's output so far, with the change added; `out` is used up.

        `x` and `y`: the layer's input and unchanged output.
        """
        forward = self.run.forward
        if forward is None:
            return out
        spot = self.change.spot
        gate = gate_of(forward, spot, self.sizes, x, y)
        if not spot.vector or gate.items:
            return self._added(out.contiguous(), Call(x, y, gate, layer))
        # One vector for all rows: each region's change of it is computed once, and mixed by row.
        each = Call(x, y, each_region(forward), layer)
        if x.ndim == 2:
            each = replace(each, x=x[:, None], y=y[:, None])
        changes = self._added(y.new_zeros(y.shape[0], forward.regions, y.shape[-1]), each)
        weights = gate.columns(tuple(range(forward.regions)), changes)
        is_one_vector = out.shape == y.shape
        if is_one_vector:  # as one change more, of all rows, it costs no further pass over them
            changes = torch.cat([out.view(len(out), 1, -1), changes], 1)
            weights = F.pad(weights, (1, 0), value=1)
        weights = weights.expand(len(changes), -1, -1)
        if x.ndim == 3:  # Flux modulation: [B,1,C] -> [B,L,C]
            mixed = torch.bmm(weights, changes)
        else:  # UNet time embedding of a block: [B,C] -> [B,C,H,W]
            mixed = torch.bmm(changes.mT, weights.mT).unflatten(2, self.sizes.grid)
        return mixed if is_one_vector else out + mixed

    def _added(self, out: torch.Tensor, call: Call) -> torch.Tensor:
        for piece in self.change.pieces:
            piece.add(out, call)
        return out
