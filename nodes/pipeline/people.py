"""BREAK persons of a request -> nodes: who each one is, where they stand, and the model that draws them in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..prompt import PromptRequest, Segment
from .encode import Encoded, Lora, Models, Wording, joined_text
from .graph import Graph, Link, Value, slot

SOFTNESS_PX = 32


@dataclass(frozen=True)
class PersonSegments:
    """The texts of one person: their own followed by the common prompt, and their own negative where the prompt gives one."""

    positive: tuple[Segment, ...]
    negative: tuple[Segment, ...]


@dataclass(frozen=True)
class Ground:
    """The picture that the persons stand in, an image of its own size or a size, and a mask for each where the artist drew them."""

    width: int
    height: int
    image: Value | None = None
    masks: Value | None = None


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


def add_regions(graph: Graph, stage: str, count: int, ground: Ground) -> Link:
    """Add the layout of `count` persons: by the artist's masks, else equal columns from left to right."""
    given = {"image": ground.image, "masks": ground.masks}
    linked = {name: value for name, value in given.items() if value is not None}
    # Drawn masks keep the edges that they were drawn with: a pixel is softened over itself alone. (0 would make them hard.)
    softness = SOFTNESS_PX if ground.masks is None else 1
    size = {"width": ground.width, "height": ground.height}
    return graph.add(f"{stage}.regions", "AstriaRegions", persons=count, **size, softness_px=softness, **linked)


def add_people(graph: Graph, stage: str, encoded: Encoded, regions: Link, people: Sequence[Wording]) -> Encoded:
    """Add every person's text and LoRAs, and the regional model; return what the sampler takes in place of `encoded`."""
    chain: dict[str, Value] = {}
    for number, person in enumerate(people, start=1):
        name = f"{stage}.person_{number}"
        clip = _person_clip(graph, name, encoded.models, person.loras)
        texts = {"positive": graph.add(f"{name}_positive", "CLIPTextEncode", clip=clip, text=joined_text(person.positive, use_lpw=person.use_lpw))}
        if person.negative:
            texts["negative"] = graph.add(f"{name}_negative", "CLIPTextEncode", clip=clip, text=joined_text(person.negative, use_lpw=person.use_lpw))
        chain = {"persons": graph.add(name, "AstriaPerson", **texts, **_person_loras(graph, name, person.loras), **chain)}
    scene = {"positive": encoded.positive, "negative": encoded.negative}
    regional = graph.add(
        f"{stage}.regional",
        "AstriaRegionalPrompt",
        model=encoded.models.model,
        regions=regions,
        **chain,
        **scene,
        scene_strength=0.0,
        isolation=False,
    )
    return Encoded(replace(encoded.models, model=regional), slot(regional, 1), slot(regional, 2))


def _person_clip(graph: Graph, name: str, models: Models, loras: Sequence[Lora]) -> Value:
    """Return the person's own text encoder: their LoRAs act on it as a whole, and on the picture's model inside their region only."""
    clip = models.clip
    for number, lora in enumerate(loras, start=1):
        strengths = {"strength_model": 0.0, "strength_clip": lora.weight}
        loaded = graph.add(f"{name}_text_lora_{number}", "LoraLoader", model=models.model, clip=clip, lora_name=lora.file, **strengths)
        clip = slot(loaded, 1)
    return clip


def _person_loras(graph: Graph, name: str, loras: Sequence[Lora]) -> dict[str, Value]:
    chain: dict[str, Value] = {}
    for number, lora in enumerate(loras, start=1):
        inputs = {"lora_name": lora.file, "strength": lora.weight}
        chain = {"loras": graph.add(f"{name}_lora_{number}", "AstriaPersonLora", **inputs, **chain)}
    return chain
