"""A MODEL of the host in which each pixel sees its own region's text, in one pass: in the
cross-attention of UNets, in the joint attention of other families.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ...errors import ImageError, PlanError
from ..run import RegionRun
from .hooks import REGIONS_KEY, ModelHooks
from .state import RegionalOptions, Regions
from .table import hooks_of

# Keys of a person's conditioning that act on the whole picture or would replace the regions, each
# with the hint for it.
_FOREIGN = {
    "area": "Regions say where a person stands.",
    "mask": "Regions say where a person stands.",
    "strength": "Give the words weights instead.",
    "start_percent": "A person's text counts for all steps.",
    "end_percent": "A person's text counts for all steps.",
    "hooks": "Give the person a LoRA through Astria Person LoRA.",
    "control": "Apply the ControlNet to the scene's conditioning; it steers the whole picture.",
    "gligen": "Regions say where a person stands.",
    "attention_mask": "Encode the text without an attention mask.",
    "reference_latents": "Add reference pictures to the scene's conditioning.",
}

Conditioning = Sequence[Sequence[Any]]


def apply_regions(
    model: ModelPatcher,
    masks: Tensor,
    positive: Sequence[Conditioning],
    negative: Sequence[Conditioning | None],
    run: RegionRun,
    options: RegionalOptions,
) -> ModelPatcher:
    """Return a clone of the model that draws region r with positive[r].

    Negative holds one text for all regions, or one each, None for the scene's.

    The sampler is given positive[0] and negative[0]; pooled text, ControlNets and guidance come
    from these. While the model runs, `run.forward` is set.
    Shapes: masks [R,H,W] of any size, non-negative, summing to 1 at every pixel, row 0 the scene.
    Raises: PlanError for another kind of model, regions applied twice, or a conditioning that
    cannot be a region's; ImageError for other masks.
    """
    hooks = hooks_of(model)
    _check(model, masks, positive, negative, options)
    count = len(positive)
    texts = (
        _texts(positive, "positive", hooks),
        _texts(negative, "negative", hooks) if len(negative) == count else (None,) * count,
    )
    sampling = model.get_model_object("model_sampling")
    regions = Regions(masks.detach().float().cpu(), texts, run, options, sampling)
    patched = model.clone()
    regions.kept.attach(patched, REGIONS_KEY)
    patched.add_wrapper_with_key(
        WrappersMP.CALC_COND_BATCH, REGIONS_KEY, _refuse_parts_of_the_picture
    )
    patched.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, REGIONS_KEY, regions.sample)
    patched.add_wrapper_with_key(WrappersMP.APPLY_MODEL, REGIONS_KEY, regions.apply)
    hooks.attach(patched, regions)
    return patched


def _check(
    model: ModelPatcher,
    masks: Tensor,
    positive: Sequence[Conditioning],
    negative: Sequence[Conditioning | None],
    options: RegionalOptions,
) -> None:
    if model.get_wrappers(WrappersMP.DIFFUSION_MODEL, REGIONS_KEY):
        hint = (
            "Connect the model from before the first Astria Regional Prompt, and give all persons"
            " to one of them."
        )
        raise PlanError(
            "This model already has regions; they cannot be applied twice.",
            code="regions-twice",
            hint=hint,
        )
    if masks.ndim != 3 or masks.shape[0] != len(positive) or masks.shape[0] < 2:
        wanted = f"expected [{len(positive)}, height, width], the scene and at least one person"
        raise ImageError(
            f"Region masks of shape {tuple(masks.shape)} for {len(positive)} texts; {wanted}.",
            code="region-masks",
        )
    total = masks.float().sum(0)
    if not bool(((total - 1).abs() < 1e-3).all()) or not bool((masks >= 0).all()):
        seen = (
            f"sums from {total.min().item():.3f} to {total.max().item():.3f}, least value"
            f" {masks.min().item():.3f}"
        )
        raise ImageError(
            f"Region masks must be non-negative and sum to 1 at every pixel; these have {seen}.",
            code="region-masks",
        )
    if len(negative) not in (1, len(positive)):
        text = (
            f"{len(negative)} negative texts for {len(positive)} regions; expected one for all, or"
            " one for each."
        )
        raise PlanError(text, code="region-texts")
    for name in ("scene_strength", "scene_until"):
        value = getattr(options, name)
        if not 0 <= value <= 1:
            raise PlanError(f"{name} is {value}; expected 0 to 1.", code="scene-strength")
    _check_texts(
        [conditioning for conditioning in (*positive, *negative) if conditioning is not None]
    )


def _check_texts(conditionings: Sequence[Conditioning]) -> None:
    widths = sorted(
        {entry[0].shape[-1] for conditioning in conditionings for entry in conditioning}
    )
    if len(widths) > 1:
        hint = "Encode all of them with the CLIP of this model."
        raise PlanError(
            f"The regions' texts come from different encoders: {widths} channels.",
            code="region-texts",
            hint=hint,
        )


def _texts(
    conditionings: Sequence[Conditioning | None], kind: str, hooks: ModelHooks
) -> tuple[Tensor | None, ...]:
    """Return each person's text [B,T,C].

    None stands for the scene's, which comes with the sampler's own conditioning.
    """
    texts: list[Tensor | None] = [None]  # the scene's
    for number, conditioning in enumerate(conditionings[1:], 1):
        name = f"The {kind} conditioning of person {number}"
        texts.append(None if conditioning is None else _text(conditioning, name, hooks))
    return tuple(texts)


def _text(conditioning: Conditioning, name: str, hooks: ModelHooks) -> Tensor:
    if len(conditioning) != 1:
        hint = "Join the texts before they are encoded."
        raise PlanError(
            f"{name} has {len(conditioning)} parts; expected one.",
            code="region-conditioning",
            hint=hint,
        )
    [(text, extra)] = conditioning
    for key, hint in _FOREIGN.items():
        if extra.get(key) is not None and key not in hooks.ignored:
            raise PlanError(
                f"{name} carries {key!r}, which a region cannot use.",
                code="region-conditioning",
                hint=hint,
            )
    return hooks.person_text(text.detach().cpu(), extra)


def _refuse_parts_of_the_picture(
    executor: Callable,
    model: Any,
    conds: Sequence,
    x_in: Tensor,
    timestep: Tensor,
    model_options: dict,
) -> list[Tensor]:
    """Stop where the host would run the model on a cut of the picture, or on several devices at
    once: the regions would not be there.
    """
    if any("area" in entry for cond in conds for entry in cond or ()):
        hint = "Remove ConditioningSetArea, or let Astria Regions say where things stand."
        raise PlanError(
            "A conditioning for an area of the picture cannot be combined with regions.",
            code="regions-area",
            hint=hint,
        )
    if "multigpu_clones" in model_options:
        hint = "Take the multi-GPU node out of this model's chain."
        raise PlanError(
            "Regions run on one GPU; this model is split over several.",
            code="regions-multigpu",
            hint=hint,
        )
    return executor(model, conds, x_in, timestep, model_options)
