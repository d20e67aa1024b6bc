"""Pictures that come as a list, one after the other, as the one batch that a plan works on."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import ImageError


def one_batch(pictures: Sequence[Tensor]) -> Tensor:
    """Return a list's pictures, or masks, as one batch in their order.

    One alone is returned as it is.

    Shapes: [B,H,W,C] or [B,H,W], all alike but for B; [H,W] is a batch of one.
    Raises: ImageError for pictures of different sizes or channels.
    """
    pictures = [one[None] if one.ndim == 2 else one for one in pictures]
    if len(pictures) == 1:
        return pictures[0]
    shapes = list(dict.fromkeys(tuple(one.shape[1:]) for one in pictures))
    if len(shapes) > 1:
        sizes = ", ".join("x".join(map(str, (shape[1], shape[0], *shape[2:]))) for shape in shapes)
        raise ImageError(
            f"A list of {len(pictures)} pictures holds different sizes ({sizes}); expected one"
            " size, for they are worked on together.",
            code="list-of-sizes",
            hint="Bring them to one size first, or queue them one by one.",
        )
    return torch.cat([one.to(pictures[0]) for one in pictures])
