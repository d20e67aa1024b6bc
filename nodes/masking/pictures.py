"""Pictures as the libraries of the models take them."""

from __future__ import annotations

import numpy as np
from torch import Tensor


def bytes_of(image: Tensor) -> np.ndarray:
    """Return a picture [1,H,W,3] float 0..1 as uint8 [H,W,3]."""
    return (image[0].detach().float().clamp(0, 1) * 255).round().byte().cpu().numpy()
