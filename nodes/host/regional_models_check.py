"""Which models can draw a person in a picture that another model samples."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrappersMP

from ..errors import PlanError
from ..regions.person import Person
from .models import family_of

# What a model may carry that acts on the sampling as a whole, which is the picture's model's.
_OPTIONS = ("sampler_cfg_function", "sampler_pre_cfg_function", "sampler_post_cfg_function", "sampler_calc_cond_batch_function",
            "denoise_mask_function", "context_handler")
_WRAPPERS = (WrappersMP.OUTER_SAMPLE, WrappersMP.PREPARE_SAMPLING, WrappersMP.SAMPLER_SAMPLE, WrappersMP.PREDICT_NOISE)


def check_person_models(model: ModelPatcher, people: Sequence[Person]) -> None:
    """Return when every person's own model can be sampled beside `model`. Raises PlanError naming the person and what stands against it."""
    before: list[tuple[ModelPatcher, int]] = []
    for number, person in enumerate(people, 1):
        if person.model is None:
            continue
        _check_kind(model, person.model, number)
        _check_sampling(person.model, number)
        if person.model.is_clone(model):
            hint = "Leave `model` of this person unconnected, and give LoRAs through Astria Person LoRA; or load another checkpoint for this person."
            text = f"The model of person {number} shares its weights with the picture's model; a set of weights cannot be patched in two ways."
            raise PlanError(text, code="person-model-shared", hint=hint)
        for other, its_number in before:
            if person.model is not other and person.model.is_clone(other):
                hint = "Connect one and the same MODEL to both, and give each person's LoRAs through Astria Person LoRA."
                text = f"The models of persons {its_number} and {number} are one set of weights with different patches; it holds one kind at a time."
                raise PlanError(text, code="person-model-shared", hint=hint)
        before.append((person.model, number))


def _check_kind(model: ModelPatcher, own: ModelPatcher, number: int) -> None:
    wanted, given = family_of(model), family_of(own)
    if wanted.branch != given.branch:
        text = f"The model of person {number} is {given.title}, and the picture's is {wanted.title}; one picture needs models of one family."
        raise PlanError(text, code="person-model-family", hint="Connect a checkpoint of the picture's family, with texts from its own CLIP.")
    formats = type(model.model.latent_format).__name__, type(own.model.latent_format).__name__
    if formats[0] != formats[1]:
        text = f"The model of person {number} works on latents of the kind {formats[1]}, the picture's on {formats[0]}; they cannot be mixed."
        raise PlanError(text, code="person-model-latent", hint="Connect a checkpoint made for the picture's VAE.")
    if _noised(model) != _noised(own):
        text = f"The model of person {number} adds noise to the picture in another way than the picture's model (flow beside diffusion)."
        raise PlanError(text, code="person-model-noise", hint="Take the ModelSampling node out of one of the two chains, or add it to both.")


def _noised(model: ModelPatcher) -> float:
    """Return what a latent of 1 and noise of 4 come to at noise level 0.5: 3 where noise is added, 2.5 where it replaces."""
    sampling = model.get_model_object("model_sampling")
    return round(float(sampling.noise_scaling(torch.tensor(0.5), torch.full((1,), 4.0), torch.ones(1))), 4)


def _check_sampling(own: ModelPatcher, number: int) -> None:
    found = [name for name in _OPTIONS if own.model_options.get(name)]
    found += [name for name in _WRAPPERS if own.get_all_wrappers(name)]
    if found:
        text = f"The model of person {number} carries {', '.join(found)}, a change of guidance or sampling, which the whole picture shares."
        raise PlanError(text, code="person-model-sampling", hint="Put that node into the chain of the picture's model instead.")
