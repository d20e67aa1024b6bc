"""A face as PuLID looks at it: grey, on white, without neck, clothes and background.

Source: get_id_embedding of pulid/pipeline_flux.py in github.com/ToTheBeginning/PuLID (Apache-2.0).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from . import eva_clip
from .bisenet import PARTS, FaceParser, parts_of
from .eva_clip import VisionTower

CROP = 512  # px, side of the aligned crop
# What becomes white, of CelebAMask-HQ's parts: background, ears and what hangs on them, neck and
# necklace, clothes, hat. Hair stays.
WHITE = (0, 7, 8, 9, 14, 15, 16, 18)
GREY = (0.299, 0.587, 0.114)


def features_only(crops: Tensor, parser: FaceParser) -> Tensor:
    """Return the crops in grey, white where `parser` sees no face.

    Shapes: crops [n,H,W,3] float 0..1 -> [n,3,H,W].
    """
    pictures = crops.movedim(-1, 1)  # BHWC -> BCHW
    parts = parts_of(crops, parser)[:, None]
    grey = sum(weight * pictures[:, channel : channel + 1] for channel, weight in enumerate(GREY))
    # By a table: torch.isin is not there for Apple's GPUs in every PyTorch.
    is_white = torch.tensor([part in WHITE for part in range(PARTS)], device=parts.device)
    white = is_white[parts]
    return torch.where(white, 1.0, grey).expand(-1, 3, -1, -1)


def for_vision(features: Tensor, tower: VisionTower) -> Tensor:
    """Return pictures [n,3,H,W] in the size and range that the tower sees.

    Not smoothed before they shrink, as the reference does it.
    """
    side = tower.image_size
    small = F.interpolate(features, (side, side), mode="bicubic", align_corners=False)
    return _normalised(small, eva_clip.MEAN, eva_clip.STD)


def _normalised(pictures: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    shift, scale = (
        torch.tensor(values, device=pictures.device)[:, None, None] for values in (mean, std)
    )
    return (pictures - shift) / scale
