"""The host's NOISE and SAMPLER objects around our one-generator-per-image noise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import comfy.samplers
import torch
from comfy.k_diffusion.sampling import BrownianTreeNoiseSampler

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
