"""A MODEL of the host that draws a picture's people, each with their text, LoRAs, FaceIDs and
checkpoint.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from comfy.model_patcher import ModelPatcher
from torch import Tensor

from ...faceid.host.apply import apply_person_faceids
from ...host.models import family_of, variant_of_model
from ...regions.host.checkpoints import apply_person_models
from ...regions.host.loras import Loras, apply_gated_loras, load_region_loras
from ...regions.host.regional import Conditioning, RegionalOptions, apply_regions
from ...regions.lora_fit import OnFit, log_partial_fit
from ...regions.person import Person
from ...regions.run import RegionRun


class Scene(NamedTuple):
    """The conditionings that the sampler is given, and LoRAs that act where no person stands."""

    positive: Conditioning
    negative: Conditioning
    loras: Loras = ()


def draw_people(
    model: ModelPatcher,
    masks: Tensor,
    people: Sequence[Person],
    scene: Scene,
    options: RegionalOptions,
    on_fit: OnFit = log_partial_fit,
) -> ModelPatcher:
    """Return a clone of the model that draws person i in region i + 1, and the scene in region 0.

    A person's own model draws the same regions, the scene's too; their LoRAs and FaceIDs act on
    that model, and not on the scene's. `on_fit` gets how much of each LoRA fits.
    Shapes: masks [R,H,W] of any size, non-negative, summing to 1 at every pixel.
    Raises: what apply_regions, apply_person_models and apply_gated_loras raise.
    """
    run = RegionRun()
    positive = [scene.positive, *(person.positive for person in people)]
    negative = [scene.negative, *(person.negative for person in people)]
    patched = apply_regions(model, masks, positive, negative, run, options)

    def patch_person(
        of: ModelPatcher, numbers: Collection[int], its_run: RegionRun
    ) -> ModelPatcher:
        return _with_identities(
            apply_regions(of, masks, positive, negative, its_run, options),
            (),
            [person if number in numbers else None for number, person in enumerate(people, 1)],
            its_run,
            on_fit,
        )

    shared = [person if person.model is None else None for person in people]
    patched_scene = _with_identities(patched, scene.loras, shared, run, on_fit)
    return apply_person_models(patched_scene, masks, people, patch_person)


def of_another_variant(
    model: ModelPatcher, people: Sequence[Person], names: Sequence[str]
) -> list[str]:
    """Return a line for each person whose checkpoint wants other steps or another kind of guidance
    than the picture's model, such as one that is distilled to few steps.
    """
    wanted, lines = family_of(model), []
    for person, name in zip(people, names, strict=True):
        if person.model is None:
            continue
        own, why = variant_of_model(person.model)
        if (own.steps, own.guidance) != (wanted.steps, wanted.guidance):
            told = f" ({why})" if why else ""
            lines.append(
                f"{name or 'A person'} is drawn by a checkpoint of {own.title}{told}, and the"
                f" picture by {wanted.title}: steps and guidance are the picture's, for which that"
                " checkpoint was not made."
            )
    return lines


def isolation_without_effect(model: ModelPatcher) -> list[str]:
    """Return a line where a person's text meets no other person's pixels anyway: on UNets."""
    family = family_of(model)
    if family.text.in_sequence:
        return []
    return [
        f"isolation changes nothing on {family.title}: no other person's text reaches a person's"
        " pixels there. It is for Flux, Z-Image and Krea 2; switch it off."
    ]


def _with_identities(
    model: ModelPatcher,
    scene: Loras,
    people: Sequence[Person | None],
    run: RegionRun,
    on_fit: OnFit,
) -> ModelPatcher:
    """Return a clone on which the scene's LoRAs and the persons' LoRAs and FaceIDs act, each in
    their region; None: a person it does not draw.
    """
    of_persons = [() if person is None else person.loras for person in people]
    loras = load_region_loras([scene, *of_persons])
    patched = apply_gated_loras(model, loras, run, on_fit=on_fit) if loras else model
    faceids = [() if person is None else person.faceids for person in people]
    if not any(faceids):
        return patched
    return apply_person_faceids(patched, faceids, run)
