"""Persons drawn by a checkpoint of their own.

It denoises the picture too at each step, with all its regions, and its result counts inside the
person's region.

What is mixed are the denoised predictions of the positive and of the negative rows, each by itself:
guidance, and what other nodes do after it, then work on the mixed pair as on any other, and models
that predict noise go together with models that predict velocity.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple
from uuid import uuid4

import comfy.sampler_helpers
import comfy.samplers
import torch
from comfy.model_patcher import ModelPatcher, create_model_options_clone
from comfy.patcher_extension import WrapperExecutor, WrappersMP
from torch import Tensor

from ...errors import PlanError
from ...host.models import family_of
from ..person import Person
from ..run import RegionRun, on_latent
from .sampling_cache import SamplingCache

PERSON_MODELS_KEY = "astria_person_models"
KINDS = ("positive", "negative")  # the order in which the host's guiders hand them over
# Keys of the scene's conditioning that count for the scene only: words for its ControlNet, and
# LoRAs that hooks put on the scene's model.
_SCENES_OWN = ("cross_attn_controlnet", "hooks")
# Keys of a person's conditioning that speak of a whole picture. One person's pooled text would tell
# their model that nobody else is in it.
_OF_A_PICTURE = ("pooled_output",)
# Options of a model that act on the sampling as a whole, where only the picture's model's count.
_OPTIONS = (
    "sampler_cfg_function",
    "sampler_pre_cfg_function",
    "sampler_post_cfg_function",
    "sampler_calc_cond_batch_function",
    "denoise_mask_function",
    "context_handler",
)
_WRAPPERS = (
    WrappersMP.OUTER_SAMPLE,
    WrappersMP.PREPARE_SAMPLING,
    WrappersMP.SAMPLER_SAMPLE,
    WrappersMP.PREDICT_NOISE,
)

# (a person's model, the numbers of the persons it draws, their run) -> a clone patched with the
# regions of the picture, and with these persons' LoRAs and FaceIDs
PatchPerson = Callable[[ModelPatcher, Sequence[int], RegionRun], ModelPatcher]


def apply_person_models(
    model: ModelPatcher, masks: Tensor, people: Sequence[Person], patch_person: PatchPerson
) -> ModelPatcher:
    """Return a clone of the model on which every person with a `model` is drawn by it, inside the
    person's region; the model itself without any.

    Each of these models sees the whole picture with the scene's text, and the pooled text,
    ControlNets, guidance and inpainting of the scene's conditionings; `patch_person` gives it
    everybody's own texts. What else a person's conditioning holds counts in that person's turn. The
    host loads and unloads these models with the patched one.
    Shapes: masks [R,H,W] of any size, non-negative, summing to 1 at every pixel, row 0 the scene.
    Raises: PlanError for a model of another family, one that shares its weights with another of the
    run, or one that changes the sampling.
    """
    numbers = [number for number, person in enumerate(people, 1) if person.model is not None]
    if not numbers:
        return model
    check_person_models(model, people)
    groups: list[_Group] = []
    for number in numbers:  # persons may share one model, which is then loaded once
        own = people[number - 1].model
        group = next((group for group in groups if group.given is own), None)
        if group is None:
            groups.append(group := _Group(own))
        group.numbers.append(number)
    patched = model.clone()
    patched.set_additional_models(
        PERSON_MODELS_KEY, [group.patcher(patch_person) for group in groups]
    )
    drawing = _CheckpointWrappers(masks.detach().float().cpu(), people, groups)
    drawing.kept.attach(patched, PERSON_MODELS_KEY)
    patched.add_wrapper_with_key(WrappersMP.SAMPLER_SAMPLE, PERSON_MODELS_KEY, drawing.sample)
    patched.add_wrapper_with_key(WrappersMP.CALC_COND_BATCH, PERSON_MODELS_KEY, drawing.denoise)
    return patched


class SamplerArguments(NamedTuple):
    """The host's arguments of KSAMPLER.sample behind guider, sigmas, extra_args and callback."""

    noise: Tensor
    latent_image: Tensor | None = None
    denoise_mask: Tensor | None = None
    disable_pbar: bool = False


@dataclass(eq=False)
class _Group:
    """A model, and the persons that it draws."""

    given: ModelPatcher
    numbers: list[int] = field(default_factory=list)

    def patcher(self, patch_person: PatchPerson) -> ModelPatcher:
        return patch_person(self.given.clone(), self.numbers, RegionRun())


@dataclass(frozen=True, eq=False)
class _Turn:
    """A person's part in the run that goes on.

    Their model, its options, and the conditionings made for it.
    """

    number: int
    patcher: ModelPatcher
    options: dict
    conds: Mapping[str, list[dict]]

    def denoised(self, wanted: Sequence[bool], x: Tensor, timestep: Tensor) -> list[Tensor]:
        conds = [
            self.conds.get(kind) if want else None
            for kind, want in zip(KINDS, wanted, strict=False)
        ]
        return comfy.samplers.calc_cond_batch(self.patcher.model, conds, x, timestep, self.options)


@dataclass(eq=False)
class _CheckpointWrappers:
    """The wrappers of the patched model.

    One stands around the sampling, one around each prediction.
    """

    masks: Tensor
    people: Sequence[Person]
    groups: Sequence[_Group]
    kept: SamplingCache = field(default_factory=SamplingCache)
    _turns: list[_Turn] = field(default_factory=list)

    def sample(
        self,
        executor: Callable,
        guider: Any,
        sigmas: Tensor,
        extra_args: dict,
        callback: Callable | None,
        *rest: Any,
    ) -> Tensor:
        """Prepare the persons' models, which the host has loaded by now, for one sampling; clean
        them up after it.
        """
        given = SamplerArguments(*rest)
        patchers = guider.inner_model.current_patcher.get_additional_models_with_key(
            PERSON_MODELS_KEY
        )
        seen = {
            "latent_image": given.latent_image,
            "denoise_mask": given.denoise_mask,
            "seed": extra_args.get("seed"),
        }
        outer = self._turns
        with ExitStack() as running:
            try:
                self._turns = []
                for group, patcher in zip(self.groups, patchers, strict=True):
                    encode = partial(
                        _encoded, patcher=patcher, scene=guider.conds, noise=given.noise, seen=seen
                    )
                    conds = [encode(self.people[number - 1]) for number in group.numbers]
                    options = running.enter_context(_running(patcher, conds[0], sigmas))
                    self._turns += [
                        _Turn(number, patcher, options, own)
                        for number, own in zip(group.numbers, conds, strict=True)
                    ]
                return _in_one_sampling(
                    lambda: executor(guider, sigmas, extra_args, callback, *given),
                    guider,
                    patchers,
                    given.noise,
                )
            finally:
                self._turns = outer

    def denoise(
        self,
        executor: Callable,
        model: Any,
        conds: Sequence,
        x_in: Tensor,
        timestep: Tensor,
        model_options: dict,
    ) -> list[Tensor]:
        """Mix the persons' predictions into the scene's.

        Where none of these persons stands, the scene's stay as they are, to the bit.
        """
        results = executor(model, conds, x_in, timestep, model_options)
        if not self._turns:
            hint = "Use the host's samplers for a picture with a person's own model."
            text = (
                "A node runs this model by a loop of its own, in which the models of persons are"
                " not ready."
            )
            raise PlanError(text, code="person-model-loop", hint=hint)
        wanted = [cond is not None for cond in conds]
        regions = self.kept.get(
            (*x_in.shape[-2:], x_in.device),
            lambda: on_latent(self.masks, *x_in.shape[-2:]).to(x_in.device),
        )
        theirs = torch.stack([regions[turn.number] for turn in self._turns]).sum(0)
        mixed = [result * (1 - theirs) for result in results]
        for turn in self._turns:
            for result, own in zip(mixed, turn.denoised(wanted, x_in, timestep), strict=True):
                result += own * regions[turn.number]
        return [
            torch.where(theirs > 0, new, old) if want else old
            for new, old, want in zip(mixed, results, wanted, strict=True)
        ]


def _in_one_sampling(
    sample: Callable[[], Tensor], guider: Any, patchers: Sequence[ModelPatcher], noise: Tensor
) -> Tensor:
    """Return what `sample` returns, with all that stands around a whole sampling of the persons'
    models around it too.

    The host runs the picture's model's alone. Regions and FaceIDs take from there by which
    sampling a part of the steps becomes a noise level: the picture's, whose steps are run.
    """
    around = [
        wrapper
        for patcher in patchers
        for wrapper in patcher.get_all_wrappers(WrappersMP.OUTER_SAMPLE)
    ]
    return WrapperExecutor.new_class_executor(lambda _: sample(), guider, around).execute(noise)


@contextmanager
def _running(
    patcher: ModelPatcher, conds: Mapping[str, list[dict]], sigmas: Tensor
) -> Iterator[dict]:
    """Yield the model options of a run of a model beside the guider's own, prepared and cleaned up
    as the guider does with its own.
    """
    options = create_model_options_clone(patcher.model_options)
    comfy.sampler_helpers.prepare_model_patcher(patcher, conds, options)
    comfy.samplers.cast_to_load_options(
        options, device=patcher.load_device, dtype=patcher.model_dtype()
    )
    options["transformer_options"]["sample_sigmas"] = sigmas
    patcher.pre_run()
    try:
        yield options
    finally:
        patcher.cleanup()
        comfy.samplers.cast_to_load_options(options, device=patcher.offload_device)
        patcher.restore_hook_patches()


def _encoded(
    person: Person,
    patcher: ModelPatcher,
    scene: Mapping[str, list[dict]],
    noise: Tensor,
    seen: Mapping[str, Any],
) -> dict[str, list[dict]]:
    """Return the scene's processed conditionings with what the person's hold beside their words,
    made for the person's model.
    """
    own = {"positive": person.positive, "negative": person.negative}
    entries = {
        kind: [_entry(entry, own[kind]) for entry in scene[kind]] for kind in KINDS if kind in scene
    }
    encode = partial(comfy.samplers.encode_model_conds, patcher.model.extra_conds)
    return {kind: encode(each, noise, noise.device, kind, **seen) for kind, each in entries.items()}


def _entry(scene: dict, own: list | None) -> dict:
    shared = {key: value for key, value in scene.items() if key not in _SCENES_OWN}
    extra = {}
    if own is not None:
        [(_, given)] = own
        extra = {
            key: value
            for key, value in given.items()
            if value is not None and key not in _OF_A_PICTURE
        }
    return {**shared, "model_conds": {}, **extra, "uuid": uuid4()}


def check_person_models(model: ModelPatcher, people: Sequence[Person]) -> None:
    """Check that every person's own model can be sampled beside `model`.

    Raises: PlanError naming the person and the reason.
    """
    before: list[tuple[ModelPatcher, int]] = []
    for number, person in enumerate(people, 1):
        if person.model is None:
            continue
        _check_kind(model, person.model, number)
        _check_sampling(person.model, number)
        if person.model.is_clone(model):
            hint = (
                "Leave `model` of this person unconnected, and give LoRAs through Astria Person"
                " LoRA; or load another checkpoint for this person."
            )
            text = (
                f"The model of person {number} shares its weights with the picture's model; a set"
                " of weights cannot be patched in two ways."
            )
            raise PlanError(text, code="person-model-shared", hint=hint)
        for other, its_number in before:
            if person.model is not other and person.model.is_clone(other):
                hint = (
                    "Connect one and the same MODEL to both, and give each person's LoRAs through"
                    " Astria Person LoRA."
                )
                text = (
                    f"The models of persons {its_number} and {number} are one set of weights with"
                    " different patches; it holds one kind at a time."
                )
                raise PlanError(text, code="person-model-shared", hint=hint)
        before.append((person.model, number))


def _check_kind(model: ModelPatcher, own: ModelPatcher, number: int) -> None:
    wanted, given = family_of(model), family_of(own)
    if wanted.branch != given.branch:
        text = (
            f"The model of person {number} is {given.title}, and the picture's is {wanted.title};"
            " one picture needs models of one family."
        )
        raise PlanError(
            text,
            code="person-model-family",
            hint="Connect a checkpoint of the picture's family, with texts from its own CLIP.",
        )
    formats = type(model.model.latent_format).__name__, type(own.model.latent_format).__name__
    if formats[0] != formats[1]:
        text = (
            f"The model of person {number} works on latents of the kind {formats[1]}, the picture's"
            f" on {formats[0]}; they cannot be mixed."
        )
        raise PlanError(
            text,
            code="person-model-latent",
            hint="Connect a checkpoint made for the picture's VAE.",
        )
    if _noised(model) != _noised(own):
        text = (
            f"The model of person {number} adds noise to the picture in another way than the"
            " picture's model (flow beside diffusion)."
        )
        raise PlanError(
            text,
            code="person-model-noise",
            hint="Take the ModelSampling node out of one of the two chains, or add it to both.",
        )


def _noised(model: ModelPatcher) -> float:
    """Return the host's mix of a latent of 1 and noise of 4 at noise level 0.5.

    Diffusion adds the noise: 1 + 0.5 * 4 = 3. Flow blends: 0.5 * 1 + 0.5 * 4 = 2.5.
    """
    sampling = model.get_model_object("model_sampling")
    return round(
        float(sampling.noise_scaling(torch.tensor(0.5), torch.full((1,), 4.0), torch.ones(1))), 4
    )


def _check_sampling(own: ModelPatcher, number: int) -> None:
    found = [name for name in _OPTIONS if own.model_options.get(name)]
    found += [name for name in _WRAPPERS if own.get_all_wrappers(name)]
    if found:
        text = (
            f"The model of person {number} carries {', '.join(found)}, a change of guidance or"
            " sampling, which the whole picture shares."
        )
        raise PlanError(
            text,
            code="person-model-sampling",
            hint="Put that node into the chain of the picture's model instead.",
        )
