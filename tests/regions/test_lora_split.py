"""A change of one layer, taken apart into those of the layers that are its rows, is the same."""

from __future__ import annotations

import pytest
import torch
from comfyui_astria.nodes.regions.lora_split import Inseparable, Piece, split_rows

COUNTS = (10, 6, 8)


def random(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def assembled(pieces: list[Piece], inputs: int) -> torch.Tensor:
    """Return the rows of all parts in order; those that no piece changes are 0."""
    parts = [torch.full((count, inputs), torch.nan) for count in COUNTS]
    for piece in pieces:
        small, large = (piece.tensors[f".lokr_w{side}"] for side in "12")
        parts[piece.part][piece.start : piece.start + piece.rows] = torch.kron(small, large)
    return torch.cat(parts)


@pytest.mark.parametrize("height", [1, 2, 3, 4, 6, 8, 12, 24])
def test_a_kronecker_products_blocks_are_cut_where_the_layers_end(height: int) -> None:
    small, large = random(24 // height, 3), random(height, 5)
    pieces = split_rows({".lokr_w1": small, ".lokr_w2": large}, COUNTS)
    assert torch.equal(assembled(pieces, 15), torch.kron(small, large))
    # No more pieces than a part with both of its ends inside blocks needs.
    assert max(sum(piece.part == part for piece in pieces) for part in range(3)) <= 3


def test_a_low_rank_pair_keeps_its_inner_side() -> None:
    up, down = random(24, 2), random(2, 5)
    pieces = split_rows({".lora_up.weight": up, ".lora_down.weight": down}, COUNTS)
    assert [(piece.part, piece.start, piece.rows) for piece in pieces] == [
        (0, 0, 10),
        (1, 0, 6),
        (2, 0, 8),
    ]
    whole = torch.cat([one.tensors[".lora_up.weight"] @ down for one in pieces])
    assert torch.equal(whole, up @ down)
    assert all(piece.tensors[".lora_down.weight"] is down for piece in pieces)


def test_another_count_of_rows_is_refused() -> None:
    with pytest.raises(Inseparable, match=r"23 outputs; the layers have 10 \+ 6 \+ 8"):
        split_rows({".diff": random(23, 4)}, COUNTS)
