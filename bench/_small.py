"""Flux.2, Z-Image and Krea 2 for a CPU: a block of each kind in full width and at 1024x1024, of
which one thread takes a step in half a minute to three minutes; and, for less, in proportion: what
a person costs is as large a part of a step as in full size, and the step takes two to ten seconds.

A picture of 41x41 tokens stands for one of 64x64, with edges as soft beside it. For 1 to 4 people
what is computed for a second region is 0.132, 0.221, 0.312 and 0.401 of the picture, in full size
0.125, 0.211, 0.296 and 0.381. A text is as long beside it (41^2 / 64^2 = 0.410 of the full length),
and so is what host and pack fill up texts and pictures to. An attention of L tokens in a block of
the width h takes 2 L / (c h + 2 L) of the block's products, c h^2 being the weights of its linear
layers, c = 13 (Flux.2), 12 (Z-Image) and 11.5 (Krea 2); so h is to L as in full size:

    Flux.2   6144 * (1681 + 210) / (4096 + 512) = 2521: 20 heads of 126;  10.3 %; full: 10.3 %
    Z-Image  3840 * (1690 + 52) / (4096 + 128) = 1584: 12 heads of 132;   15.2 %;       15.5 %
    Krea 2   6144 * (1681 + 52) / (4096 + 128) = 2521: 20 heads of 128;   10.5 %;       10.7 %

In both there is one block of each kind, without Z-Image's refiners of a text or picture alone, 2 of
its 34 layers. Krea 2's blocks over its encoder's layers make a token of text 1.19 times as dear as
one of the image; so they do in full width, where one block stands for 28, as they are 360 wide and
not 2560, and 1.18 times in proportion. There, what grows with L h alone, copies and additions, is
2.4 times as much of a step as in full size; and a CPU's attention works through 64 queries at a
time where a call has less than 768 of them, and through 256 from there on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any
from unittest import mock

import torch
from comfyui_astria.bench._models import FLUX2, FLUX2_CONFIG, KREA2, ZIMAGE, Setup

_FEW_BLOCKS: dict[str, Any] = {
    "rounds": 1,
    "steps": 2,
    "dtype": torch.float32,
    "least_gb": 0,
    "has_loras": False,
}
# What stands before the blocks reads texts of any width.
FLUX2_BLOCKS = replace(
    FLUX2,
    name="Flux.2 blocks",
    config={**FLUX2_CONFIG, "depth": 1, "depth_single_blocks": 1, "context_in_dim": 256},
    width=256,
    **_FEW_BLOCKS,
)
ZIMAGE_BLOCK = replace(
    ZIMAGE,
    name="Z-Image block",
    config={**ZIMAGE.config, "n_layers": 1, "n_refiner_layers": 0, "cap_feat_dim": 256},
    width=256,
    **_FEW_BLOCKS,
)
KREA2_BLOCK = replace(
    KREA2,
    name="Krea 2 block",
    config={**KREA2.config, "layers": 1, "txtdim": 360},
    width=12 * 360,
    **_FEW_BLOCKS,
)
_SMALL: dict[str, Any] = {**_FEW_BLOCKS, "softness_px": 16}
FLUX2_SMALL = replace(
    FLUX2,
    name="Flux.2 in proportion",
    config={
        **FLUX2_CONFIG,
        "hidden_size": 2520,
        "num_heads": 20,
        "axes_dim": [32, 32, 32, 30],
        "depth": 1,
        "depth_single_blocks": 1,
        "context_in_dim": 64,
    },
    side=41,
    tokens=210,
    width=64,
    filled_to=210,
    **_SMALL,
)
ZIMAGE_SMALL = replace(
    ZIMAGE,
    name="Z-Image in proportion",
    config={
        "dim": 1584,
        "n_heads": 12,
        "n_kv_heads": 12,
        "n_layers": 1,
        "n_refiner_layers": 0,
        "axes_dims": [32, 50, 50],
        "cap_feat_dim": 160,
        "pad_tokens_multiple": 13,
    },
    side=82,
    tokens=52,
    width=160,
    filled_to=13,
    **_SMALL,
)
KREA2_SMALL = replace(
    KREA2,
    name="Krea 2 in proportion",
    config={"features": 2560, "heads": 20, "kvheads": 5, "layers": 1, "txtdim": 144},
    side=82,
    tokens=52,
    width=12 * 144,
    **_SMALL,
)


@contextmanager
def filled(setup: Setup, model: Any) -> Iterator[None]:
    """Have host and pack fill up the setup's texts as it says."""
    from comfy.model_base import Flux
    from comfyui_astria.nodes.regions.host import flux2, zimage

    if not setup.filled_to:
        yield
    elif setup.family == "flux2":
        # Flux's own conditions are those of Flux.2 before their texts are filled up.
        unfilled = partial(Flux.extra_conds, model.model)
        with (
            mock.patch.object(flux2, "LEAST_TEXT", setup.filled_to),
            mock.patch.object(model.model, "extra_conds", unfilled),
        ):
            yield
    else:
        with mock.patch.object(zimage, "PADDED", setup.filled_to):
            yield
