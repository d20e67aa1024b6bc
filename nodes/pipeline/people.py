"""BREAK persons of a request -> nodes: who each one is, where they stand, and the model that draws them in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..prompt import PromptRequest, Segment
from ..tunes.resolve import Missing
from .desk import Desk
from .encode import Encoded, Lora, Models, Wording
from .faceids import person_faceids
from .graph import Graph, Link, Value, slot
from .stages import MAX_PERSONS, Problem

SOFTNESS_PX = 32


@dataclass(frozen=True)
class PersonSegments:
    """The texts of one person: their own followed by the common prompt, and their own negative where the prompt gives one."""

    positive: tuple[Segment, ...]
    negative: tuple[Segment, ...]


@dataclass(frozen=True)
class Ground:
    """The picture that the persons stand in, an image of its own size or a size (numbers or links), and what says where each one is:
    a mask for each where the artist drew them, else a pose picture.
    """

    width: int | Link
    height: int | Link
    image: Value | None = None
    masks: Value | None = None
    pose: Value | None = None


def person_segments(request: PromptRequest) -> tuple[PersonSegments, ...]:
    """Return each person's segments; the common prompts belong to every person."""
    negatives = request.negative[2:]
    found = []
    for index, person in enumerate(request.persons):
        own = negatives[index : index + 1]
        negative = (*own, *request.negative[1:2]) if own else ()
        kept = (tuple(segment for segment in group if not segment.is_empty) for group in ((person, request.common), negative))
        found.append(PersonSegments(*kept))
    return tuple(found)


def people_problems(request: PromptRequest) -> tuple[Problem, ...]:
    """Return what is wrong with the persons of the prompt and of the negative prompt."""
    found = []
    if len(request.persons) > MAX_PERSONS:
        text = f"The prompt describes {len(request.persons)} persons; at most {MAX_PERSONS} fit one picture."
        found.append(Problem("too-many-persons", "error", text, "Take some BREAK segments out."))
    if len(request.negative) > len(request.prompt) and len(request.negative) > 2:
        text = f"The negative prompt has {len(request.negative)} BREAK segments, and the prompt {len(request.prompt)}."
        found.append(Problem("negative-without-person", "error", text, "Each negative segment belongs to the prompt's segment of the same number."))
    return tuple(found)


def wordings_of_people(desk: Desk) -> tuple[Wording, ...]:
    """Return what is said of each person."""
    return tuple(desk.wording(person.positive, person.negative, of_person=True) for person in person_segments(desk.request))


def found_people(desk: Desk, stage: str, picture: Value) -> Value | None:
    """Add what finds the persons in an input picture, from left to right; None, and a word about it, where no model can."""
    segmenter = desk.kit.segmenter()
    if isinstance(segmenter, Missing):
        text = "No model that finds people is connected or bound, so the persons stand in equal columns, whoever the input image shows."
        desk.tell(Problem("people-not-found", "warning", text, f"Connect person_masks, or: {segmenter.hint}"))
        return None
    count = len(desk.request.persons)
    return desk.graph.add(f"{stage}.find_people", "AstriaFindPeople", image=picture, segmenter=segmenter, persons=count, word="person")


def add_regions(graph: Graph, stage: str, count: int, ground: Ground) -> Link:
    """Add the layout of `count` persons: by masks, by a pose picture, else equal columns from left to right."""
    given = {"image": ground.image, "masks": ground.masks, "pose_image": ground.pose if ground.masks is None else None}
    linked = {name: value for name, value in given.items() if value is not None}
    # Masks keep the edges that they were drawn with: a pixel is softened over itself alone. (0 would make them hard.)
    softness = SOFTNESS_PX if ground.masks is None else 1
    size = {"width": ground.width, "height": ground.height}
    return graph.add(f"{stage}.regions", "AstriaRegions", persons=count, **size, softness_px=softness, **linked)


def add_people(desk: Desk, stage: str, encoded: Encoded, regions: Value, people: Sequence[Wording]) -> tuple[Encoded, Link]:
    """Add every person's text, LoRAs, FaceIDs and own model, and the regional model.

    Returns what the sampler takes in place of `encoded`, and the chain of persons.
    """
    graph = desk.graph
    chain: dict[str, Value] = {}
    for number, person in enumerate(people, start=1):
        name = f"{stage}.person_{number}"
        models, own = _persons_models(desk, name, encoded.models, person)
        texts = {"positive": graph.add(f"{name}_positive", "CLIPTextEncode", clip=models.clip, text=person.text)}
        if person.negative:
            texts["negative"] = graph.add(f"{name}_negative", "CLIPTextEncode", clip=models.clip, text=person.negative_text)
        own |= person_faceids(desk, name, person.faceids)
        chain = {"persons": graph.add(name, "AstriaPerson", **texts, **own, **chain)}
    persons = chain["persons"]
    assert isinstance(persons, Link), "there is at least one person"
    return add_regional(graph, stage, encoded, regions, persons), persons


def add_regional(graph: Graph, stage: str, encoded: Encoded, regions: Value, persons: Link) -> Encoded:
    """Add the model that draws the chain of persons in their regions; return what the sampler takes in place of `encoded`."""
    scene = {"positive": encoded.positive, "negative": encoded.negative}
    people = {"regions": regions, "persons": persons}
    model = encoded.models.model
    regional = graph.add(f"{stage}.regional", "AstriaRegionalPrompt", model=model, **people, **scene, scene_strength=0.0, isolation=False)
    return Encoded(replace(encoded.models, model=regional), slot(regional, 1), slot(regional, 2))


def _persons_models(desk: Desk, name: str, models: Models, person: Wording) -> tuple[Models, dict[str, Value]]:
    """Return whose text encoder encodes the person, and what the person is drawn with.

    LoRAs act on the text encoder as a whole, and on the model for this person only, be it the picture's or the person's own checkpoint.
    """
    own = _person_loras(desk.graph, name, person.loras)
    if person.checkpoint is not None:
        loaded = desk.kit.checkpoint(person.checkpoint)
        models, own = Models(loaded, slot(loaded, 1), slot(loaded, 2)), {"model": loaded, **own}
    return _with_text_loras(desk.graph, name, models, person.loras), own


def _with_text_loras(graph: Graph, name: str, models: Models, loras: Sequence[Lora]) -> Models:
    clip = models.clip
    for number, lora in enumerate(loras, start=1):
        strengths = {"strength_model": 0.0, "strength_clip": lora.weight}
        loaded = graph.add(f"{name}_text_lora_{number}", "LoraLoader", model=models.model, clip=clip, lora_name=lora.file, **strengths)
        clip = slot(loaded, 1)
    return replace(models, clip=clip)


def _person_loras(graph: Graph, name: str, loras: Sequence[Lora]) -> dict[str, Value]:
    chain: dict[str, Value] = {}
    for number, lora in enumerate(loras, start=1):
        inputs = {"lora_name": lora.file, "strength": lora.weight}
        chain = {"loras": graph.add(f"{name}_lora_{number}", "AstriaPersonLora", **inputs, **chain)}
    return chain
