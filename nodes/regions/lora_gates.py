"""Which region each row of a layer's activations belongs to, as weights that a LoRA's change is
multiplied with.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from enum import Enum, auto

import torch

from ..rounding import ceil_div
from .lora import LoraError
from .run import Forward, Gate


class Rows(Enum):
    """The meaning of the rows of a layer's activations."""

    CONVOLUTION = auto()  # [B,C,H,W]: the pixels of its output
    TOKENS = auto()  # the pixels of the UNet block around the layer
    ONE_TEXT = auto()  # the text of one region, which is projected right now
    IMAGE = auto()  # image tokens, then padding and those of reference pictures
    TEXT = auto()  # the text tokens of all regions, in region order
    TEXT_STACKS = auto()  # the same, each a stack [..,T,D,layers] of an encoder's layers
    TEXT_ITEMS = auto()  # the same, each an item of the batch [B*T,layers,D]
    JOINT = auto()  # text tokens, then image tokens
    WHOLE = auto()  # one vector for the whole picture: a region counts by its share of it


@dataclass(frozen=True)
class Spot:
    """A layer by name, and what the rows of its activations stand for.

    `vector`: its input is one vector that the block adds to every row, so the gated output gets
    rows.
    """

    name: str
    rows: Rows
    vector: bool = False


@dataclass
class BlockSizes:
    """The sizes of the block that is running, written by its hook and read by the layers inside."""

    grid: tuple[int, int] = (0, 0)  # UNet: height, width
    image_tokens: int = 0  # of a joint sequence
    text_tokens: int = 0


def gate_of(
    forward: Forward, spot: Spot, sizes: BlockSizes, x: torch.Tensor, y: torch.Tensor
) -> Gate:
    """Return the gate of a layer with input `x` and output `y`.

    Raises LoraError where the rows are not the ones the masks know.
    """
    if forward.row_gate is not None:
        return _items(forward.row_gate, forward, spot, x)
    if spot.rows is Rows.CONVOLUTION:
        return _pixels(forward, (y.shape[-2], y.shape[-1]))
    if spot.rows is Rows.TOKENS:
        height, width = sizes.grid
        if not spot.vector:
            _expect(spot, x.shape[-2], height * width, f"a grid of {height} x {width}")
        return _pixels(forward, sizes.grid)
    if spot.rows is Rows.WHOLE:
        return _share(forward)
    if spot.rows in (Rows.TEXT_STACKS, Rows.TEXT_ITEMS):
        return _of_layers(forward, spot, x)
    if spot.rows is Rows.ONE_TEXT:
        return (
            _share(forward) if forward.text_region is None else _only(forward, forward.text_region)
        )
    return _in_sequence(
        forward, spot, sizes, x.shape[-2]
    )  # rows also where heads stand before them


def _in_sequence(forward: Forward, spot: Spot, sizes: BlockSizes, rows: int) -> Gate:
    if spot.vector:
        image = forward.image_tokens or sizes.image_tokens
        text = sum(forward.text_lengths) if forward.image_tokens else sizes.text_tokens
    elif spot.rows is Rows.TEXT:
        image, text = 0, rows
    else:
        text = sum(forward.text_lengths) if spot.rows is Rows.JOINT else 0
        image = rows - text
    if spot.rows is Rows.IMAGE:
        return _kept(forward, ("image", image), lambda: _image_tokens(forward, spot, image))
    _expect(spot, text, sum(forward.text_lengths), "the text of all regions")
    if spot.rows is Rows.TEXT:
        return _kept(forward, "text", lambda: _text_tokens(forward))
    return _kept(
        forward,
        ("joint", image),
        lambda: torch.cat([_text_tokens(forward), _image_tokens(forward, spot, image)], 1),
    )


def _of_layers(forward: Forward, spot: Spot, x: torch.Tensor) -> Gate:
    """Return the gate of tokens before the layers of an encoder are mixed into one."""
    tokens = sum(forward.text_lengths)
    if spot.rows is Rows.TEXT_STACKS:
        _expect(spot, x.shape[1], tokens, "the text of all regions")
        return _kept(forward, "stacks", lambda: _text_tokens(forward), inner=1)
    times = max(1, x.shape[0] // tokens)
    _expect(spot, x.shape[0], times * tokens, "the text of all regions, once a row of the batch")
    return _kept(forward, ("items", times), lambda: _text_tokens(forward).repeat(1, times), inner=1)


def _text_tokens(forward: Forward) -> torch.Tensor:
    lengths = torch.tensor(forward.text_lengths, device=forward.masks.device)
    return torch.eye(forward.regions, device=forward.masks.device).repeat_interleave(lengths, 1)


def _image_tokens(forward: Forward, spot: Spot, count: int) -> torch.Tensor:
    """Return the weights of the picture's tokens and, behind them, of padding and reference
    pictures'.

    Those belong to no person, and so to the scene.
    """
    height, width = (ceil_div(side, forward.patch) for side in forward.masks.shape[1:])
    picture = forward.on_grid(height, width)
    if count < picture.shape[1]:
        _expect(spot, count, picture.shape[1], f"a grid of {height} x {width}")
    reference = picture.new_zeros(forward.regions, count - picture.shape[1])
    reference[0] = 1
    return torch.cat([picture, reference], 1)


def _pixels(forward: Forward, grid: tuple[int, int]) -> Gate:
    return _kept(forward, ("pixels", grid), lambda: forward.on_grid(*grid))


def _share(forward: Forward) -> Gate:
    return _kept(forward, "share", lambda: forward.masks.mean((1, 2))[:, None])


def _items(row_gate: torch.Tensor, forward: Forward, spot: Spot, x: torch.Tensor) -> Gate:
    if spot.rows is Rows.TEXT_ITEMS and x.shape[0] % row_gate.shape[1] == 0:
        tokens = x.shape[0] // row_gate.shape[1]
        key = ("items", tokens)
        if key not in forward.gates:
            forward.gates[key] = Gate(row_gate.repeat_interleave(tokens, 1), items=True)
        return forward.gates[key]
    if x.shape[0] != row_gate.shape[1]:
        text = (
            f"The layer {spot.name} works on {x.shape[0]} items of the batch; its LoRA expected"
            f" {row_gate.shape[1]}."
        )
        raise LoraError(
            text,
            code="lora-items",
            hint="Remove the patch of this MODEL that splits or joins batches.",
        )
    if "items" not in forward.gates:
        forward.gates["items"] = Gate(row_gate, items=True)
    return forward.gates["items"]


def _only(forward: Forward, region: int) -> Gate:
    key = ("only", region)
    if key not in forward.gates:
        forward.gates[key] = Gate(
            torch.eye(forward.regions, device=forward.masks.device)[:, region : region + 1], region
        )
    return forward.gates[key]


def each_region(forward: Forward) -> Gate:
    """Return the gate of as many rows as there are regions, each a region's own."""
    device = forward.masks.device
    return _kept(forward, "each region", lambda: torch.eye(forward.regions, device=device))


def _kept(
    forward: Forward, key: Hashable, make: Callable[[], torch.Tensor], inner: int = 0
) -> Gate:
    if key not in forward.gates:
        forward.gates[key] = Gate(make(), inner=inner)
    return forward.gates[key]


def _expect(spot: Spot, rows: int, expected: int, what: str) -> None:
    if rows != expected:
        text = (
            f"The layer {spot.name} works on {rows} tokens; its LoRA expected {expected}, {what}."
        )
        hint = (
            "Remove the patch of this MODEL that merges, tiles or drops tokens, such as token"
            " merging or HyperTile."
        )
        raise LoraError(text, code="lora-tokens", hint=hint)
