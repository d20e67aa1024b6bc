"""The host's NOISE and SAMPLER objects around our one-generator-per-image noise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import comfy.samplers
import torch
from comfy.k_diffusion.sampling import BrownianTreeNoiseSampler
from comfy.model_patcher import ModelPatcher
from comfy_extras.nodes_flux import compute_empirical_mu
from comfy_extras.nodes_model_advanced import ModelSamplingFlux

from ...errors import PlanError
from ...host.models import family_of
from ..noise import image_seeds, seeds_of, start_noise, step_noise

StepNoise = Literal["gaussian", "brownian"]
# The host's samplers behind the service's scheduler names, and the noise that each draws in its
# steps.
STEP_NOISE: Mapping[str, StepNoise | None] = {
    "euler": None,
    "euler_ancestral": "gaussian",
    "dpmpp_2m": None,
    "dpmpp_sde": "brownian",
    "lcm": "gaussian",
    "res_multistep": None,
}


class ImageNoise:
    """A NOISE of the host.

    Image i of the latent gets the noise of seed + i, whatever batch it is in.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.seed = seed

    def generate_noise(self, input_latent: dict) -> torch.Tensor:
        samples = input_latent["samples"]
        # The host asks for the noise first and for `seed` right after, so the step noise follows
        # the same images.
        self.seed = image_seeds(self._seed, samples.shape[0], input_latent.get("batch_index"))
        return start_noise(samples, self.seed.per_image)


def make_sampler(name: str) -> comfy.samplers.KSAMPLER:
    """Return the host's sampler `name` with the noise of its steps drawn per image."""
    host_function = comfy.samplers.sampler_object(name).sampler_function
    kind = STEP_NOISE[name]

    def sample(model, x, sigmas, extra_args=None, callback=None, disable=None):
        options = (
            {}
            if kind is None
            else {"noise_sampler": _noise_sampler(kind, x, sigmas, extra_args["seed"])}
        )
        return host_function(
            model, x, sigmas, extra_args=extra_args, callback=callback, disable=disable, **options
        )

    return comfy.samplers.KSAMPLER(sample)


def _noise_sampler(kind: StepNoise, x: torch.Tensor, sigmas: torch.Tensor, seed: int):
    seeds = seeds_of(seed, x.shape[0])
    if kind == "gaussian":
        return step_noise(x, seeds)
    positive = sigmas[sigmas > 0]
    return BrownianTreeNoiseSampler(x, positive.min(), positive.max(), seed=list(seeds), cpu=True)


def shifted_by_size(model: ModelPatcher, width: int, height: int, steps: int) -> ModelPatcher:
    """Return a clone whose noise levels are those of Flux.2 for a picture of that size, in pixels,
    drawn in so many steps.

    With the schedule `simple` they are those of the host's Flux2Scheduler, and what goes by a part
    of the steps, such as the end of a ControlNet, goes by them too.
    Raises: PlanError for a model of another family.
    """
    family = family_of(model)
    if not family.is_shifted_by_size:
        raise PlanError(
            f"The connected MODEL is {family.title}, whose noise levels do not go by the picture's"
            " size; expected Flux.2.",
            code="shift-family",
            hint="Take Astria Flux.2 Shift out of this model's chain.",
        )
    tokens = round(width * height / family.latent.cell_px**2)
    shift = compute_empirical_mu(tokens, steps)
    (shifted,) = ModelSamplingFlux().patch(model, shift, shift, width, height)
    return shifted
