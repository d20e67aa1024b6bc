"""Lists of pictures as one batch."""

from __future__ import annotations

import pytest
import torch
from comfyui_astria.nodes.base.batch import one_batch
from comfyui_astria.nodes.errors import ImageError


@pytest.mark.parametrize("channels", [(3,), (4,), ()], ids=["pictures", "alpha", "masks"])
def test_a_list_is_its_pictures_in_their_order(channels: tuple[int, ...]) -> None:
    batch = torch.rand(5, 6, 8, *channels)
    assert torch.equal(one_batch([batch[:1], batch[1:4], batch[4:]]), batch)


def test_one_batch_alone_is_not_copied() -> None:
    alone = torch.rand(2, 6, 8, 3)
    assert one_batch([alone]) is alone


def test_the_first_pictures_precision_counts() -> None:
    assert one_batch([torch.rand(1, 4, 4, 3).half(), torch.rand(1, 4, 4, 3)]).dtype == torch.float16


@pytest.mark.parametrize(
    ("other", "sizes"), [((1, 6, 9, 3), "8x6x3, 9x6x3"), ((1, 6, 8, 4), "8x6x3, 8x6x4")]
)
def test_pictures_that_make_no_batch_are_refused(other: tuple[int, ...], sizes: str) -> None:
    with pytest.raises(ImageError, match="A list of 3 pictures holds different sizes") as raised:
        one_batch([torch.rand(1, 6, 8, 3), torch.rand(2, 6, 8, 3), torch.rand(other)])
    assert f"({sizes})" in raised.value.message
