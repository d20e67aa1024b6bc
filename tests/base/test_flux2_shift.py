"""Noise levels of Flux.2 by the picture's size and the steps, against the host's own schedule."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from comfyui_astria.nodes.errors import PlanError
from comfyui_astria.tests.regions.comfy_inprocess import load
from comfyui_astria.tests.regions.regional_support import model_of


def simple(model: Any, steps: int) -> torch.Tensor:
    sampling = model.get_model_object("model_sampling")
    return load("comfy.samplers").calculate_sigmas(sampling, "simple", steps)


@pytest.mark.parametrize("size", [(1024, 1024), (832, 1216), (256, 256), (2048, 1536)])
@pytest.mark.parametrize("steps", [4, 20])
def test_any_scheduler_gives_flux2_schedulers_sigmas(size: tuple[int, int], steps: int) -> None:
    """Below and above 4300 tokens, where the host's own rule jumps."""
    model = model_of("flux2")
    shifted = load("comfyui_astria.nodes.base.host.sampling").shifted_by_size(model, *size, steps)
    hosts = load("comfy_extras.nodes_flux").Flux2Scheduler.execute(steps, *size).result[0]
    assert (simple(shifted, steps) - hosts).abs().max() < 1e-4
    assert (simple(model, steps) - hosts).abs().max() > 0.01, "the host's shift for all sizes"


def test_other_families_are_refused() -> None:
    shifted_by_size = load("comfyui_astria.nodes.base.host.sampling").shifted_by_size
    with pytest.raises(PlanError, match=r"MODEL is Flux\.1 dev, whose noise levels do not go by"):
        shifted_by_size(model_of("flux"), 1024, 1024, 20)
