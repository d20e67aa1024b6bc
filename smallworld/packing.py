"""How the small world's files hold weights: large ones as bytes with a scale for each row, others
in half precision. Older files hold everything in half precision.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

SCALES = ".scales"  # beside bytes: what each row is multiplied by
_LEAST = 256  # numbers of a weight that is worth its scales


def packed(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights in about a quarter of their room: large ones [n,...] as bytes, -127 to 127,
    with scales [n] beside them, others in half precision.
    """
    found = {}
    for name, value in weights.items():
        if not value.is_floating_point():
            found[name] = value.contiguous()
        elif value.ndim < 2 or value.numel() < _LEAST:
            found[name] = value.half().contiguous()
        else:
            rows = value.float().flatten(1)
            scales = rows.abs().amax(1).clamp(min=1e-12) / 127
            found[name] = (rows / scales[:, None]).round().to(torch.int8).view_as(value)
            found[name + SCALES] = scales
    return found


def unpacked(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights as `packed` had them, what were bytes within half a scale of it."""
    found = {}
    for name, value in weights.items():
        if (scales := weights.get(name + SCALES)) is not None:
            found[name] = value * scales.view(-1, *[1] * (value.ndim - 1))
        elif not name.endswith(SCALES):
            found[name] = value
    return found
