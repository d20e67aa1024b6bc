"""Stand-ins and gates without a host: who comes out in which order, whose rows are whose."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from comfyui_astria.nodes.regions.lora import LoraError
from comfyui_astria.nodes.regions.lora_forms import Layer
from comfyui_astria.nodes.regions.lora_gates import BlockSizes, Rows, Spot, gate_of
from comfyui_astria.nodes.regions.lora_hooks import Hooks
from comfyui_astria.nodes.regions.run import Forward
from torch import nn


@dataclass(eq=False)
class Adds:
    amount: float
    reads_output: bool = False

    def __call__(
        self, out: torch.Tensor, x: torch.Tensor, y: torch.Tensor, layer: Layer
    ) -> torch.Tensor:
        return out.add_(self.amount)


@dataclass(eq=False)
class Doubles:
    """Adds the layer's own output once more."""

    reads_output: bool = True

    def __call__(
        self, out: torch.Tensor, x: torch.Tensor, y: torch.Tensor, layer: Layer
    ) -> torch.Tensor:
        return out.add_(y)


class OthersHook:
    """A stand-in as other packs write them.

    It remembers the forward it found, and puts that back.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module, self.found = module, module.forward
        module.forward = lambda x: self.found(x) * 10

    def eject(self) -> None:
        self.module.forward = self.found


def test_two_owners_add_to_the_layers_own_output_and_leave_in_any_order() -> None:
    module, x = nn.Identity(), torch.ones(1)
    first, second = Hooks(), Hooks()
    first.add(module, Adds(5))
    second.add(module, Doubles())
    assert module(x.clone()).item() == 7
    first.remove()
    assert module(x.clone()).item() == 2
    second.remove()
    assert "forward" not in module.__dict__


def test_what_lies_under_anothers_stand_in_does_nothing_and_leaves_later() -> None:
    module, x = nn.Identity(), torch.ones(1)
    hooks = Hooks()
    hooks.add(module, Adds(1))
    hooks.watch(module, lambda x: None)
    other = OthersHook(module)
    assert module(x.clone()).item() == 20
    hooks.remove()
    assert module(x.clone()).item() == 10
    other.eject()
    hooks.remove()
    hooks.remove()
    assert "forward" not in module.__dict__


def test_a_stand_in_is_put_in_again_where_it_could_be_taken_out() -> None:
    """A model that was compiled through it then is not compiled anew."""
    module, x = nn.Identity(), torch.ones(1)
    hooks = Hooks()
    hooks.add(module, Adds(1))
    first = module.forward
    hooks.remove()
    hooks.add(module, Adds(2))
    assert module.forward is first and module(x.clone()).item() == 3
    OthersHook(module)
    hooks.remove()
    hooks.add(module, Adds(4))
    assert module.forward is not first and module(x.clone()).item() == 14


def test_anothers_stand_in_below_is_kept() -> None:
    module, x = nn.Identity(), torch.ones(1)
    OthersHook(module)
    hooks = Hooks()
    hooks.add(module, Adds(1))
    assert module(x.clone()).item() == 11
    hooks.remove()
    assert module(x.clone()).item() == 10


def test_tokens_of_reference_pictures_are_the_scenes() -> None:
    masks = torch.zeros(2, 4, 4)
    masks[1] = 1
    x = torch.zeros(1, 3 + 4 + 2, 8)
    gate = gate_of(
        Forward(masks, (1, 2), patch=2),
        Spot("single_blocks.0.linear1", Rows.JOINT),
        BlockSizes(),
        x,
        x,
    )
    assert gate.weights.tolist() == [[1, 0, 0, 0, 0, 0, 0, 1, 1], [0, 1, 1, 1, 1, 1, 1, 0, 0]]


def test_gates_of_one_pass_are_made_once() -> None:
    forward, x = Forward(torch.full((2, 4, 4), 0.5)), torch.zeros(1, 16, 8)
    spots = [Spot(name, Rows.TOKENS) for name in ("a", "b")]
    gates = [gate_of(forward, spot, BlockSizes(grid=(4, 4)), x, x) for spot in spots]
    assert gates[0] is gates[1]
    assert gates[0].columns((1, 1, 0), x) is gates[1].columns((1, 1, 0), x)


@pytest.mark.parametrize(
    ("rows", "lengths", "tokens"),
    [(Rows.TEXT, (2, 2), 5), (Rows.IMAGE, (2, 2), 3), (Rows.JOINT, (2, 2), 7)],
)
def test_other_tokens_than_those_of_the_masks_are_an_error(
    rows: Rows, lengths: tuple[int, ...], tokens: int
) -> None:
    x = torch.zeros(1, tokens, 8)
    with pytest.raises(LoraError, match="The layer it works on"):
        gate_of(
            Forward(torch.full((2, 4, 4), 0.5), lengths, patch=2),
            Spot("it", rows),
            BlockSizes(),
            x,
            x,
        )
