"""Faces drawn anew by the host's sampler, each with its own text, LoRAs, FaceIDs and noise."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import comfy.model_management as management
import torch
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrappersMP
from comfy.samplers import CFGGuider
from comfy_extras.nodes_custom_sampler import Guider_Basic, SamplerCustomAdvanced
from comfy_extras.nodes_differential_diffusion import DifferentialDiffusion
from torch import Tensor

from nodes import InpaintModelConditioning  # the host's

from ...base.host.latents import decoded, encoded
from ...base.host.sampling import ImageNoise
from ...base.noise import SEED_SPACE, ImageSeeds, start_noise
from ...errors import PlanError
from ...faceid.host.apply import MASKED, apply_person_faceids
from ...faceid.host.ip_adapter import IPAdapterFaceID
from ...host.models import family_of, may_take_negative
from ...regions.host.hooks import REGIONS_KEY
from ...regions.host.loras import Loras, apply_gated_loras, load_region_loras
from ...regions.host.sampling_cache import SamplingCache
from ...regions.host.table import hooks_of
from ...regions.lora_fit import OnFit, log_partial_fit
from ...regions.person import Person
from ...regions.run import Forward, RegionRun
from ..blend import levelled
from ..chunks import cut_up, grouped, largest_batch
from ..crop import FaceCrop, cut, window_mask
from ..plan import PlannedFace
from ..texts import face_text, kind_of, stacked, with_control
from .control import FaceControlNets, check_steering

FACES_KEY = "astria_faces"
# The noise of a face must be neither that of its picture nor that of another picture's face, whose
# seeds are only a few counts away.
FACE_SEED_OFFSET = 0xBF58476D1CE4E5B9
# The host leaves as much room when it decides whether positive and negative rows run together.
MEMORY_MARGIN = 1.5


@dataclass(frozen=True)
class FaceDrawing:
    """The model, texts and sampling that faces are drawn with.

    `positive`, `negative` and `scene_loras` are the scene's, for faces that are no person's;
    `max_batch` 0: as many at once as the memory holds. `on_fit` gets how much of each LoRA fits.
    """

    model: ModelPatcher
    vae: Any
    positive: list
    negative: list
    noise: ImageNoise
    sampler: Any
    sigmas: Tensor
    cfg: float
    persons: Sequence[Person] = ()
    max_batch: int = 0
    scene_loras: Loras = ()
    on_fit: OnFit = log_partial_fit

    @property
    def guided(self) -> bool:
        """Whether a negative text counts.

        On Flux true CFG stays 1: its guidance is distilled into the model.
        """
        return self.cfg != 1 and may_take_negative(self.model)


class FaceNoise:
    """A NOISE of the host in which row i is drawn with the seed of face i."""

    def __init__(self, seeds: Sequence[int]) -> None:
        self.seed = ImageSeeds(seeds[0], seeds)

    def generate_noise(self, input_latent: dict) -> Tensor:
        return start_noise(input_latent["samples"], self.seed.per_image)


def face_seed(seed: int, image: int, number: int) -> int:
    """Return the seed of a face.

    That of face `number` of the picture made alone with seed + image.
    """
    return (seed + image + (number + 1) * FACE_SEED_OFFSET) % SEED_SPACE


@dataclass(frozen=True, eq=False)
class _Job:
    """One face's share of a sampler call."""

    face: PlannedFace
    model: ModelPatcher
    adapters: frozenset[str]  # whose LoRA changes the whole model
    positive: list
    negative: list

    @property
    def face_model(self) -> Hashable:
        """A key that is equal for faces that one model can draw."""
        return id(self.model), self.adapters

    def kind(self, equal: bool) -> Hashable:
        """A key that is equal for faces that can be drawn in one call, `equal` lengths or not."""
        crop = self.face.crop
        texts = (kind_of(text, equal_lengths=equal) for text in (self.positive, self.negative))
        return (self.face_model, crop.target_width, crop.target_height, *texts)


@dataclass(frozen=True, eq=False)
class _FaceModel:
    """A model with the LoRAs and FaceIDs of the persons that it draws.

    `run` holds which person is in which row.
    """

    model: ModelPatcher
    run: RegionRun
    inpaint: bool


def draw_faces(
    image: Tensor, planned: Sequence[PlannedFace], drawing: FaceDrawing
) -> tuple[list[Tensor], int]:
    """Return the drawing [target_height,target_width,3] of each face that is to be drawn, in order,
    and the number of sampler calls.

    Faces of one model, size and kind of conditioning run together. Each has noise of its own and so
    does not depend on who else is there.
    Shapes: image [B,H,W,C] float 0..1.
    Raises: PlanError for a model with regions, another noise than Astria Noise, sigmas without a
    step, or what does not fit the model.
    """
    faces = [face for face in planned if face.drawn]
    if not faces:
        return [], 0
    _check(drawing)
    jobs = [_job(face, drawing) for face in faces]
    models: dict[Hashable, _FaceModel] = {}
    for job in jobs:
        if job.face_model not in models:
            same = [one for one in jobs if one.face_model == job.face_model]
            models[job.face_model] = _face_model(same, drawing)
    family = family_of(drawing.model)
    drawn: dict[int, Tensor] = {}
    calls = 0
    for group in grouped(jobs, lambda job: job.kind(family.text.in_sequence)):
        first = jobs[group[0]]
        face_model = models[first.face_model]
        most = drawing.max_batch
        if not most:
            most = _most(face_model.model, first.face.crop, len(group), drawing)
        for chunk in cut_up(group, most):
            management.throw_exception_if_processing_interrupted()
            faces_drawn = _draw(image, [jobs[place] for place in chunk], face_model, drawing)
            drawn.update(zip(chunk, faces_drawn, strict=True))
            calls += 1
    return [drawn[place] for place in range(len(jobs))], calls


def _check(drawing: FaceDrawing) -> None:
    if not isinstance(drawing.noise, ImageNoise):
        raise PlanError(
            f"The noise is a {type(drawing.noise).__name__}; expected Astria Noise, whose seed"
            " gives every face noise of its own.",
            code="face-noise",
            hint="Connect Astria Noise.",
        )
    if len(drawing.sigmas) < 2:
        raise PlanError(
            f"The sigmas hold {len(drawing.sigmas)} value(s), no step; faces cannot be drawn anew"
            " in none.",
            code="face-sigmas",
            hint="Give the scheduler a denoise above 0, or leave this node out.",
        )


def _job(face: PlannedFace, drawing: FaceDrawing) -> _Job:
    person = None if face.person is None else drawing.persons[face.person]
    who = "the scene" if person is None else f"person {face.region}"
    model = drawing.model if person is None or person.model is None else person.model
    base, own = family_of(drawing.model).branch, family_of(model).branch
    if own != base:
        raise PlanError(
            f"The checkpoint of {who} is {own} and the picture's {base}; expected the same.",
            code="person-family",
            hint="Choose a checkpoint of the picture's own family for this person.",
        )
    own_positive, own_negative = (
        (None, None) if person is None else (person.positive, person.negative)
    )
    hooks = hooks_of(model)

    def said(own: list | None, scene: list, kind: str) -> list[list[Any]]:
        name = f"The {kind} conditioning of {who}"
        entries = face_text(own, scene, face.crop.image, name, hooks.ignored)
        # As long as the host makes them, so that more of them are of one length.
        return [[hooks.person_text(text, about), about] for text, about in entries]

    positive = said(own_positive, drawing.positive, "positive")
    negative = said(own_negative, drawing.negative, "negative") if drawing.guided else []
    return _Job(face, model, _adapters(person), positive, negative)


def _adapters(person: Person | None) -> frozenset[str]:
    """Return the person's FaceID adapters whose files hold a LoRA for the whole model.

    Persons without that adapter must not be drawn by the same model.
    """
    acting = [use.faceid for use in person.faceids if use.strength != 0] if person else []
    return frozenset(
        one.adapter.name for one in acting if isinstance(one, IPAdapterFaceID) and one.adapter.lora
    )


def _face_model(jobs: Sequence[_Job], drawing: FaceDrawing) -> _FaceModel:
    """Return a clone of these faces' model with their persons' LoRAs and FaceIDs."""
    model = jobs[0].model
    if model.get_wrappers(WrappersMP.DIFFUSION_MODEL, REGIONS_KEY):
        raise PlanError(
            "This model draws people in regions of the whole picture; a face is drawn by itself.",
            code="faces-regions",
            hint=(
                "Connect the model from before Astria Regional Prompt; the persons go into this"
                " node."
            ),
        )
    if model.get_attachment(MASKED):
        raise PlanError(
            "This model has a FaceID under a mask, which lies on the whole picture; a face is drawn"
            " by itself.",
            code="faces-masked-faceid",
            hint=(
                "Connect the model from before that Astria Apply FaceID, and give the FaceID to an"
                " Astria Person."
            ),
        )
    check_steering(model)
    drawn = {job.face.person for job in jobs}
    here = [person if number in drawn else None for number, person in enumerate(drawing.persons)]
    run, patched = RegionRun(), model
    scene_loras = drawing.scene_loras if None in drawn else ()
    of_persons = [person.loras if person else () for person in here]
    loras = load_region_loras([scene_loras, *of_persons])
    if loras:
        patched = apply_gated_loras(patched, loras, run, items=True, on_fit=drawing.on_fit)
    faceids = [person.faceids if person else () for person in here]
    if any(faceids):
        patched = apply_person_faceids(patched, faceids, run)
    if "denoise_mask_function" not in patched.model_options:  # another's way with soft masks stays
        patched = DifferentialDiffusion.execute(patched, 1.0).result[0]
    return _FaceModel(patched, run, family_of(model).inpaint)


def _most(model: ModelPatcher, crop: FaceCrop, count: int, drawing: FaceDrawing) -> int:
    """Return how many of `count` faces fit the memory at once, by the host's own estimate."""
    rows = 2 if drawing.guided else 1
    cell_px = model.model.latent_format.spacial_downscale_ratio
    latent = crop.target_height // cell_px, crop.target_width // cell_px
    return largest_batch(
        lambda faces: model.model.memory_required([faces * rows, 1, *latent]) * MEMORY_MARGIN,
        _room(model),
        count,
    )


def _room(model: ModelPatcher) -> float:
    """Return the bytes left beside the model's weights once the host has made room for it."""
    device = model.load_device
    free = model.get_free_memory(device)
    if device == model.offload_device:
        return free
    others = sum(
        one.loaded_size()
        for one in management.loaded_models()
        if one.load_device == device and not one.is_clone(model)
    )
    return free + others - max(0, model.model_size() - model.loaded_size())


def _draw(
    image: Tensor, jobs: Sequence[_Job], face_model: _FaceModel, drawing: FaceDrawing
) -> list[Tensor]:
    """Return the drawings of one sampler call."""
    crops = [job.face.crop for job in jobs]
    pixels = torch.stack([cut(image[crop.image], crop) for crop in crops])
    masks = torch.stack(
        [window_mask(crop, crop.target_width, crop.target_height, image.device) for crop in crops]
    )
    cropped = FaceControlNets(crops, (image.shape[2], image.shape[1]))
    positive = with_control(stacked([job.positive for job in jobs]), cropped)
    negative = with_control(stacked([job.negative for job in jobs]), cropped)
    if face_model.inpaint:
        positive, negative, latent = InpaintModelConditioning().encode(
            positive, negative, pixels, drawing.vae, masks, True
        )
    else:
        latent = encoded(drawing.vae, pixels, masks)
    _check_latent(latent["samples"], face_model.model)
    guider = _guider(
        _with_rows(face_model, jobs, len(drawing.persons)), positive, negative, drawing
    )
    noise = FaceNoise(
        [face_seed(int(drawing.noise.seed), crop.image, crop.number) for crop in crops]
    )
    sampled = SamplerCustomAdvanced.execute(
        noise, guider, drawing.sampler, drawing.sigmas, latent
    ).result[0]
    painted = decoded(drawing.vae, sampled["samples"]).to(pixels.device, torch.float32)
    return [
        levelled(drawn, cut_out, mask)
        for drawn, cut_out, mask in zip(painted, pixels, masks, strict=True)
    ]


def _check_latent(samples: Tensor, model: ModelPatcher) -> None:
    expected = model.get_model_object("latent_format").latent_channels
    if samples.shape[1] != expected:
        raise PlanError(
            f"The VAE makes {samples.shape[1]} latent channels; the model expected {expected}.",
            code="face-vae",
            hint="Connect the VAE that belongs to the model.",
        )


def _guider(model: ModelPatcher, positive: list, negative: list, drawing: FaceDrawing) -> CFGGuider:
    if not drawing.guided:
        guider = Guider_Basic(model)
        guider.set_conds(positive)
        return guider
    guider = CFGGuider(model)
    guider.set_conds(positive, negative)
    guider.set_cfg(drawing.cfg)
    return guider


def _with_rows(face_model: _FaceModel, jobs: Sequence[_Job], persons: int) -> ModelPatcher:
    """Return a clone that knows which person is in which row of this call."""
    gate = torch.zeros(persons + 1, len(jobs))
    gate[[job.face.region for job in jobs], range(len(jobs))] = 1
    model = face_model.model.clone()
    kept = SamplingCache()
    kept.attach(model, FACES_KEY)
    # APPLY_MODEL wraps around every DIFFUSION_MODEL wrapper, in whatever order they were added.
    model.add_wrapper_with_key(
        WrappersMP.APPLY_MODEL, FACES_KEY, partial(_run_rows, face_model.run, gate, kept)
    )
    return model


def _run_rows(
    run: RegionRun,
    gate: Tensor,
    kept: SamplingCache,
    executor: Callable,
    x: Tensor,
    *rest: Any,
    **named: Any,
) -> Tensor:
    """Run the model with `run.forward` set.

    Positive and negative rows follow each other in the batch, faces in the same order.
    """
    times, left = divmod(x.shape[0], gate.shape[1])
    if left:
        raise PlanError(
            f"The model is run on {x.shape[0]} rows for {gate.shape[1]} faces; expected all faces"
            " at once.",
            code="face-rows",
            hint="Take the node that splits batches out of this model's chain.",
        )
    run.forward = kept.get(
        (times, x.device), lambda: Forward.of_items(gate.repeat(1, times).to(x.device))
    )
    try:
        return executor(x, *rest, **named)
    finally:
        run.forward = None
