"""Where regions change nothing they change no bit.

One region that is the whole picture, with the text that the sampler has anyway.

Several regions with one text are the same up to rounding: soft edges add answers whose weights,
rounded themselves, sum to 1 (measured: 2e-6 of the greatest value), and over hard edges, equal to
the bit where this was written, a processor may sum up the product of some of the pixels in another
order than that of all of them. There other tests allow 1e-5.
"""

from __future__ import annotations

import pytest
import torch
from comfyui_astria.tests.regions.comfy_inprocess import text
from comfyui_astria.tests.regions.regional_support import denoised, model_of, noise_of, with_regions
from torch import Tensor


def owned_by(region: int) -> Tensor:
    """Return masks [3,64,96] in which one region has every pixel."""
    masks = torch.zeros(3, 64, 96)
    masks[region] = 1
    return masks


# A UNet's keys and values of a person are made of one row, and of all rows for the plain model: the
# same product where there is one row.
@pytest.mark.parametrize(
    ("owner", "batch", "cfg"), [(0, 3, 5.0), (0, 1, 1.0), (1, 1, 1.0), (2, 1, 1.0)]
)
@pytest.mark.parametrize("family", ["sd15", "sdxl", "flux"])
def test_one_region_with_every_pixel_and_the_plain_text_is_the_plain_model(
    family: str, owner: int, batch: int, cfg: float
) -> None:
    positive, negative = text(family, 1), text(family, 2)
    others = [positive if region == owner else text(family, 5 + region) for region in range(3)]
    noise = noise_of(family, batch)
    plain = denoised(model_of(family), family, positive, negative, noise=noise, cfg=cfg)

    def drawn(region: int) -> Tensor:
        patched = with_regions(model_of(family), owned_by(region), others, [negative] * 3)
        return denoised(patched, family, positive, negative, noise=noise, cfg=cfg)

    assert torch.equal(drawn(owner), plain)
    assert not torch.equal(drawn(2 if owner == 1 else 1), plain), "a region with another text"
