"""A ControlNet beside regions on UNets.

What it adds to the blocks reaches the model as it would without regions, each row its own.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from comfyui_astria.tests.regions.comfy_inprocess import load, text
from comfyui_astria.tests.regions.regional_support import (
    denoised,
    difference,
    halves,
    model_of,
    soft_people,
    with_regions,
)
from comfyui_astria.tests.regions.test_regional_unet import reference
from torch import Tensor

FAMILIES = ("sd15", "sdxl")
GUIDANCE = 5.0


def residuals(family: str) -> dict[str, list[Tensor]]:
    """Return noise in place of what a ControlNet finds, [2,C,H,W] each for positive and negative
    rows: at the middle and on the way across.
    """
    shapes: list[torch.Size] = []
    seen = model_of(family).clone()
    seen.set_model_input_block_patch(lambda h, options: shapes.append(h.shape[1:]) or h)
    denoised(seen, family, text(family, 1))
    generator = torch.Generator().manual_seed(6)
    return {
        "middle": [noise_like(shapes[-1], generator)],
        "output": [noise_like(shape, generator) for shape in shapes],
    }


def noise_like(shape: torch.Size, generator: torch.Generator) -> Tensor:
    return torch.randn(2, *shape, generator=generator)


def steered(
    family: str,
    conditioning: list,
    *,
    as_kind: int | None = None,
    calls: list[list[int]] | None = None,
) -> list:
    """Return the conditioning with a ControlNet of the host's kind.

    All rows get the residuals of `as_kind` where that is given.
    """
    noise = residuals(family)

    class Noise(load("comfy.controlnet").ControlBase):
        def get_control(
            self, x: Tensor, t: Tensor, cond: dict, batched_number: int, transformer_options: dict
        ) -> dict[str, list[Tensor]]:
            kinds = transformer_options["cond_or_uncond"]
            if calls is not None:
                calls.append(sorted(kinds))
            rows = kinds if as_kind is None else [as_kind] * len(kinds)
            return {name: [one[rows] for one in group] for name, group in noise.items()}

    return with_control(conditioning, Noise())


def with_control(conditioning: list, control: Any) -> list:
    return [[tensor, {**extra, "control": control}] for tensor, extra in conditioning]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("masks", [halves(64, 96), soft_people()], ids=["hard", "soft"])
def test_a_control_net_steers_regions_as_it_steers_any_picture(family: str, masks: Tensor) -> None:
    model, people = model_of(family), [text(family, seed) for seed in (1, 5, 6)]
    patched = with_regions(model, masks, people, [text(family, 2)])
    scene = steered(family, people[0])
    actual = denoised(patched, family, scene)
    assert difference(actual, denoised(reference(model, masks, people), family, scene)) < 1e-5
    assert difference(actual, denoised(patched, family, people[0])) > 1e-2


@pytest.mark.parametrize("family", FAMILIES)
def test_each_kind_of_row_is_steered_by_its_own(family: str) -> None:
    """With one ControlNet on both conditionings the host runs positive and negative rows in one
    batch: they are the two run alone.
    """
    model = model_of(family)
    positive = [text(family, seed) for seed in (1, 5, 6)]
    negative = [text(family, seed) for seed in (2, 7, 8)]
    calls: list[list[int]] = []
    scene = steered(family, positive[0], calls=calls)
    both = scene, with_control(negative[0], scene[0][1]["control"])
    patched = with_regions(model, soft_people(), positive, negative)
    together = denoised(patched, family, *both, cfg=GUIDANCE)
    assert calls == [[0, 1]]
    assert (
        difference(together, denoised(patched, family, positive[0], negative[0], cfg=GUIDANCE))
        > 1e-2
    )
    with_positive = denoised(
        with_regions(model, soft_people(), positive, [negative[0]]),
        family,
        steered(family, positive[0]),
    )
    with_negative = denoised(
        with_regions(model, soft_people(), negative, [negative[0]]),
        family,
        steered(family, negative[0], as_kind=1),
    )
    assert difference(together, with_negative + GUIDANCE * (with_positive - with_negative)) < 1e-5
