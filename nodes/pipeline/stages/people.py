"""BREAK persons of a request -> nodes.

Who each one is, where they stand, and the model that draws them in one pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ...graph.graph import Graph, Link, Value
from ...graph.outputs import (
    CheckpointNode,
    RegionalPromptNode,
    RegionsNode,
    add_node,
    outputs_of,
)
from ...prompt import PromptRequest, Segment
from ...prompt.catalog import MAX_PERSONS
from ...tunes.file_search import Missing
from ..build.plan_builder import PictureContext, PlanBuilder
from ..build.stage_list import Problem
from ..build.text import (
    Encoded,
    Lora,
    Models,
    PromptText,
    joined_text,
    with_text_loras,
)
from .faceids import person_faceids

SOFTNESS_PX = 32
NAME_LENGTH = 24
NAMELESS = "without words"


@dataclass(frozen=True)
class Heard:
    """How much persons hear of the scene's text, and until which part of the steps."""

    strength: float
    until: float


UNHEARD = Heard(0.0, 1.0)
COMPOSING = Heard(0.4, 0.3)  # where only that text can say that they are there


@dataclass(frozen=True)
class PersonSegments:
    """The texts of one person.

    Their own, alone and followed by the common prompt, and their own negative where the prompt
    gives one.
    """

    own: tuple[Segment, ...]
    positive: tuple[Segment, ...]
    negative: tuple[Segment, ...]


@dataclass(frozen=True)
class PeopleGround:
    """The picture that the persons stand in, an image of its own size or a size (numbers or links),
    and what says where each one is: a mask for each where the artist drew them, else a pose
    picture. `fit` cuts a padding off that masks have.
    """

    width: int | Link
    height: int | Link
    image: Value | None = None
    masks: Value | None = None
    pose: Value | None = None
    fit: Link | None = None


def person_segments(request: PromptRequest) -> tuple[PersonSegments, ...]:
    """Return each person's segments; the common prompts belong to every person."""
    negatives = request.negative[2:]
    found = []
    for index, person in enumerate(request.persons):
        own = negatives[index : index + 1]
        negative = (*own, *request.negative[1:2]) if own else ()
        kept = (
            tuple(segment for segment in group if not segment.is_empty)
            for group in ((person,), (person, request.common), negative)
        )
        found.append(PersonSegments(*kept))
    return tuple(found)


def people_problems(request: PromptRequest) -> tuple[Problem, ...]:
    """Return what is wrong with the persons of the prompt and of the negative prompt."""
    found = []
    if len(request.persons) > MAX_PERSONS:
        text = (
            f"The prompt describes {len(request.persons)} persons; at most {MAX_PERSONS} fit one"
            " picture."
        )
        found.append(Problem("too-many-persons", "error", text, "Take some BREAK segments out."))
    if len(request.negative) > len(request.prompt) and len(request.negative) > 2:
        text = (
            f"The negative prompt has {len(request.negative)} BREAK segments, and the prompt"
            f" {len(request.prompt)}."
        )
        found.append(
            Problem(
                "negative-without-person",
                "error",
                text,
                "Each negative segment belongs to the prompt's segment of the same number.",
            )
        )
    return tuple(found)


def texts_of_people(builder: PlanBuilder) -> tuple[PromptText, ...]:
    """Return the texts of each person, with the files behind their own tags.

    LoRAs of the common prompt are already on the picture's model.
    """
    return tuple(_of_person(builder, person) for person in person_segments(builder.request))


def _of_person(builder: PlanBuilder, person: PersonSegments) -> PromptText:
    said = builder.resolve_text(person.positive, person.negative, of_person=True)
    if said.checkpoint is not None:  # which has none of them yet
        return said
    return replace(said, loras=builder.resolve_text(person.own, (), of_person=True).loras)


def found_people(builder: PlanBuilder, stage: str, picture: Value) -> Value | None:
    """Add what finds the persons in an input picture, from left to right.

    None, and a warning, where no model can.
    """
    segmenter = builder.loaders.segmenter()
    if isinstance(segmenter, Missing):
        text = (
            "No model that finds people is connected or bound, so the persons stand in equal"
            " columns, whoever the input image shows."
        )
        builder.tell(
            Problem(
                "people-not-found", "warning", text, f"Connect person_masks, or: {segmenter.hint}"
            )
        )
        return None
    count = len(builder.request.persons)
    return builder.graph.add(
        f"{stage}.find_people",
        "AstriaFindPeople",
        image=picture,
        segmenter=segmenter,
        persons=count,
        word="person",
    )


def add_regions(builder: PlanBuilder, stage: str, ground: PeopleGround) -> RegionsNode:
    """Add the layout of the persons.

    By masks, by a pose picture, else equal columns from left to right.
    """
    pose = ground.pose if ground.masks is None else None
    given = {"image": ground.image, "masks": ground.masks, "pose_image": pose, "fit": ground.fit}
    linked = {name: value for name, value in given.items() if value is not None}
    # Masks keep the edges that they were drawn with: a pixel is softened over itself alone. (0
    # would make them hard.)
    softness = builder.family.scaled_px(SOFTNESS_PX) if ground.masks is None else 1
    size = {"width": ground.width, "height": ground.height}
    count = len(builder.request.persons)
    names = " | ".join(
        _short(person, use_lpw=builder.settings.use_lpw) for person in builder.request.persons
    )
    return add_node(
        builder.graph,
        RegionsNode,
        f"{stage}.regions",
        persons=count,
        **size,
        softness_px=softness,
        **linked,
        names=names,
        drawn_boxes="",
    )


def _short(person: Segment, *, use_lpw: bool) -> str:
    """Return the first words of a person's text, as a name for a preview."""
    words = " ".join(joined_text((person,), use_lpw=use_lpw).replace("|", "/").split())
    if not words:
        return NAMELESS
    return words if len(words) <= NAME_LENGTH else f"{words[:NAME_LENGTH].rsplit(' ', 1)[0]} …"


def fitted_masks(builder: PlanBuilder, stage: str, multiple: int) -> Value:
    """Return the masks that the artist drew, moved with the input image that they belong to, where
    there is one.
    """
    masks = builder.sources.person_masks
    assert masks is not None, "they are connected"
    if builder.sources.image is None:
        return masks
    sizes = {
        "width": builder.settings.width or 0,
        "height": builder.settings.height or 0,
        "multiple": multiple,
    }
    return builder.graph.add(
        f"{stage}.fit_people", "AstriaFitMasks", image=builder.sources.image, masks=masks, **sizes
    )


def in_regions(
    builder: PlanBuilder, stage: str, context: PictureContext, ground: PeopleGround
) -> PictureContext:
    """Return the same with the persons in their regions."""
    regions = add_regions(builder, stage, ground)
    graph, composition, kept = builder.graph, context.composition, stage
    if composition is not None:
        kept = f"{stage}.kept"
        composition = add_regional(
            graph, stage, composition, regions.regions, context, heard=COMPOSING
        )
    drawn = add_regional(graph, kept, context.scene, regions.regions, context)
    return replace(context, drawn=drawn, composition=composition, regions=regions)


def are_drawn_again(request: PromptRequest) -> bool:
    """Say whether a stage behind the first two draws people or their faces once more."""
    return bool(
        request.hires_fix
        or request.tiled_upscale
        or request.tiled_upscale_v2
        or request.inpaint_faces
        or request.face_swap
    )


def add_persons(
    builder: PlanBuilder, stage: str, models: Models, people: Sequence[PromptText]
) -> Link:
    """Add every person's text, LoRAs, FaceIDs and own model; return the chain of them.

    `models` draw those without a checkpoint.
    """
    graph = builder.graph
    chain: dict[str, Value] = {}
    for number, person in enumerate(people, start=1):
        name = f"{stage}.person_{number}"
        words = _short(builder.request.persons[number - 1], use_lpw=builder.settings.use_lpw)
        builder.wear(f"person {number} ({words})", person.loras)
        encoder, own = _persons_models(builder, name, models, person)
        texts = {
            "positive": graph.add(
                f"{name}_positive", "CLIPTextEncode", clip=encoder.clip, text=person.text
            )
        }
        if person.negative:
            texts["negative"] = graph.add(
                f"{name}_negative", "CLIPTextEncode", clip=encoder.clip, text=person.negative_text
            )
        own |= person_faceids(builder, name, person.faceids)
        chain = {"persons": graph.add(name, "AstriaPerson", **texts, **own, **chain)}
    persons = chain["persons"]
    assert isinstance(persons, Link), "there is at least one person"
    return persons


def add_regional(
    graph: Graph,
    stage: str,
    encoded: Encoded,
    regions: Value,
    context: PictureContext,
    heard: Heard = UNHEARD,
) -> Encoded:
    """Add the model that draws the persons in their regions; `heard` is how much they hear of the
    scene's text, and until when.

    Return what the sampler takes in place of `encoded`.
    """
    scene = {"positive": encoded.positive, "negative": encoded.negative}
    people: dict[str, Value] = {"regions": regions, "persons": context.persons}
    if context.scene_loras is not None:
        people["scene_loras"] = context.scene_loras
    model = encoded.models.model
    regional = add_node(
        graph,
        RegionalPromptNode,
        f"{stage}.regional",
        model=model,
        **people,
        **scene,
        scene_strength=heard.strength,
        isolation=False,
        scene_until=heard.until,
    )
    models = replace(encoded.models, model=regional.model)
    return Encoded(models, regional.positive, regional.negative)


def _persons_models(
    builder: PlanBuilder, name: str, models: Models, person: PromptText
) -> tuple[Models, dict[str, Value]]:
    """Return whose text encoder encodes the person, and what the person is drawn with.

    LoRAs act on the text encoder as a whole, and on the model for this person only, be it the
    picture's or the person's own checkpoint.
    """
    chain = lora_chain(builder.graph, name, person.loras)
    own: dict[str, Value] = {} if chain is None else {"loras": chain}
    if person.checkpoint is not None:
        loaded = outputs_of(CheckpointNode, builder.loaders.checkpoint(person.checkpoint))
        models = Models(loaded.model, loaded.clip, loaded.vae)
        own = {"model": loaded.model, **own}
    return with_text_loras(builder.graph, name, models, person.loras), own


def lora_chain(graph: Graph, name: str, loras: Sequence[Lora]) -> Link | None:
    """Add LoRAs that act in one region only; None when there are none."""
    chain: Link | None = None
    for number, lora in enumerate(loras, start=1):
        before = {} if chain is None else {"loras": chain}
        chain = graph.add(
            f"{name}_lora_{number}",
            "AstriaPersonLora",
            lora_name=lora.file,
            strength=lora.weight,
            **before,
        )
    return chain
