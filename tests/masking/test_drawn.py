"""What is drawn over a mask: added, taken away, in order, inside the picture."""

from __future__ import annotations

import pytest
import torch
from comfyui_astria.nodes.errors import ImageError
from comfyui_astria.nodes.masking.drawn import adds, with_drawn
from comfyui_astria.nodes.masking.morphology import feather

SIZE = (40, 20)


def test_what_is_added_and_taken_away_counts_in_its_order() -> None:
    mask = torch.zeros(2, 20, 40)
    mask[1] = 0.5
    drawn = with_drawn(mask, "+ 0.25 0 0.5 1 | - 0.5 0.5 0.5 0.5", 0, SIZE)
    assert (drawn[:, :10, 10:30] == 1).all()
    assert (drawn[:, 10:, 20:] == 0).all()
    assert (drawn[1, :10, 30:] == 0.5).all() and (drawn[0, :, :10] == 0).all()
    again = with_drawn(mask, "- 0.5 0.5 0.5 0.5 | + 0.25 0 0.5 1", 0, SIZE)
    assert (again[:, :, 10:30] == 1).all()


def test_what_is_added_is_feathered_as_the_mask_is() -> None:
    mask = torch.zeros(1, 20, 40)
    hard = with_drawn(mask, "+ 0.25 0 0.25 1 2x1 0 2", 0, SIZE)
    assert torch.equal(with_drawn(mask, "+ 0.25 0 0.25 1 2x1 0 2", 6, SIZE), feather(hard, 6))
    assert hard.sum() == 200


def test_padding_stays_without() -> None:
    drawn = with_drawn(torch.zeros(1, 24, 48), "+ 0 0 1 1", 4, SIZE)
    assert drawn[:, :20, :40].all() and drawn.sum() == 800


def test_without_anything_drawn_the_mask_is_the_same() -> None:
    mask = torch.rand(1, 20, 40)
    assert torch.equal(with_drawn(mask, " ", 3, SIZE), mask)
    assert (adds(""), adds("- 0 0 1 1"), adds("- 0 0 1 1 | + 0 0 1 1")) == (False, False, True)


@pytest.mark.parametrize("text", ["0 0 1 1", "+ 0 0 1", "+ 0 0 1 1 | x", "* 0 0 1 1"])
def test_another_text_is_refused_with_its_value(text: str) -> None:
    with pytest.raises(ImageError, match=r"Part \d of drawn_mask is '.+'; expected \+ or -"):
        with_drawn(torch.zeros(1, 20, 40), text, 0, SIZE)
