"""The loss of one picture at one noise level, by the host's own way of calling a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import comfy.samplers
import torch
from comfy.model_patcher import ModelPatcher, create_model_options_clone
from comfy.model_sampling import CONST, EPS, V_PREDICTION
from comfy.sampler_helpers import convert_cond, prepare_model_patcher
from torch import Tensor

from ...host.models import family_of
from ...rounding import ceil_div
from ..errors import TrainingError
from ..noise import flow_sigma, noise_like, uniform_timestep

Conditioning = list[list[Any]]


@dataclass(frozen=True, eq=False)
class Example:
    """A picture to learn: `latent` [1,C,h,w] as the model sees it, its caption for this size.

    `weights` [1,1,h,w] says how much each place counts, None for all alike.
    """

    latent: Tensor
    caption: list[dict[str, Any]]
    weights: Tensor | None = None


class Denoising:
    """What a loaded model's noise and target are, and how it is asked."""

    def __init__(self, model: ModelPatcher, min_snr_gamma: float = 0.0) -> None:
        """`min_snr_gamma` weakens clean timesteps, https://arxiv.org/abs/2303.09556; 0: off.

        Raises: TrainingError for a model of another kind than eps, v or flow.
        """
        self._model = model
        self._sampling = model.get_model_object("model_sampling")
        self._gamma = min_snr_gamma
        self._options = create_model_options_clone(model.model_options)
        answers = type(self._sampling).calculate_denoised
        self._is_flow = answers is CONST.calculate_denoised
        self._is_v = answers is V_PREDICTION.calculate_denoised
        if not (self._is_flow or self._is_v or answers is EPS.calculate_denoised):
            raise TrainingError(
                f"The MODEL's sampling is set to {answers.__qualname__.split('.')[0]}; expected one"
                " that predicts noise, v or flow.",
                code="training-model",
                hint="Connect the MODEL of a loader directly.",
            )
        if self._is_flow and min_snr_gamma:
            raise TrainingError(
                f"min_snr_gamma {min_snr_gamma}: the MODEL is a flow model; expected 0.",
                code="training-number",
            )
        prepare_model_patcher(model, {}, self._options)

    def example(
        self, latent: Tensor, caption: Conditioning, weights: Tensor | None = None
    ) -> Example:
        """Return a picture to learn; `latent` as the VAE gives it, on any device."""
        scaled = self._model.model.process_latent_in(latent.float())
        return Example(scaled.clone(), self.caption(caption, scaled), weights)

    def caption(self, conditioning: Conditioning, latent: Tensor) -> list[dict[str, Any]]:
        """Return a conditioning as the model takes it for a picture of the latent's size."""
        conds = {"positive": convert_cond(conditioning)}
        found = comfy.samplers.process_conds(
            self._model.model, latent, conds, latent.device, latent_image=latent
        )
        return _own(found["positive"])

    def sigma(self, latent: Tensor, generator: torch.Generator) -> float:
        """Return a noise level for the picture, drawn as the family is trained."""
        if self._is_flow:
            height, width = latent.shape[-2:]
            patch = family_of(self._model).latent.patch
            tokens = ceil_div(height, patch) * ceil_div(width, patch)
            return flow_sigma(tokens, generator)
        sigmas = self._sampling.sigmas
        return sigmas[uniform_timestep(len(sigmas), generator)].item()

    def loss(
        self, example: Example, caption: Sequence[dict[str, Any]], generator: torch.Generator
    ) -> Tensor:
        """Return the mean squared error of what the family's model predicts: noise, v or flow."""
        device = self._model.load_device
        latent = example.latent.to(device)
        level = self.sigma(latent, generator)
        noise = noise_like(latent, generator)
        sigma = torch.tensor([level], device=device)
        noisy = self._sampling.noise_scaling(sigma, noise, latent)
        (clean,) = comfy.samplers.calc_cond_batch(
            self._model.model, [list(caption)], noisy, sigma, self._options
        )
        # The host answers with the clean picture. Its error over sigma is the error of the noise
        # or flow that the model predicted; that of v is larger by sqrt(1 + sigma^2).
        error = (clean.float() - latent) / level
        if self._is_v:
            error = error * (1 + level**2) ** 0.5
        squares = error.square()
        if example.weights is None:
            mean = squares.mean()
        else:
            weights = example.weights.to(squares).expand_as(squares)
            mean = (squares * weights).sum() / weights.sum()
        return mean * self._snr_weight(level)

    def _snr_weight(self, level: float) -> float:
        if not self._gamma:
            return 1.0
        snr = level**-2
        return min(snr, self._gamma) / (snr + 1 if self._is_v else snr)


def _own(value: Any) -> Any:
    """Return the same with tensors of its own: gradients cannot go through those that were made in
    inference mode.
    """
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, dict):
        return {key: _own(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_own, value))
    if hasattr(value, "_copy_with") and hasattr(value, "cond"):
        return value._copy_with(_own(value.cond))
    return value
