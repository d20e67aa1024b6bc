"""Fixed random weights: each parameter from its own seed, so that adding a layer changes no
other.
"""

from __future__ import annotations

import math
import zlib

import torch


def fill(module: torch.nn.Module, *, seed: int, gain: float = 1.0) -> None:
    """Fill all parameters in place.

    Matrices and kernels with scaled normal noise, other weights with 1, biases with 0.

    The host's layers are made without initial values, so nothing may be left out.
    """
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if parameter.ndim >= 2:
                generator = torch.Generator().manual_seed(zlib.crc32(f"{seed}:{name}".encode()))
                fan_in = parameter[0].numel()
                parameter.copy_(
                    torch.randn(parameter.shape, generator=generator) * (gain / math.sqrt(fan_in))
                )
            else:
                parameter.fill_(0.0 if name.endswith("bias") else 1.0)
