"""Encodes a request: scene and persons, each with their words, models and LoRAs.

Where the persons stand comes later, in `people`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from ...families.family import Family
from ...prompt import Segment
from ..build.plan_builder import PictureContext, PlanBuilder
from ..build.settings import Settings
from ..build.stage_list import Problem
from ..build.text import (
    Encoded,
    Models,
    PromptText,
    add_encoding,
    add_loras,
    negative_segments,
    prompt_segments,
    with_text_loras,
)
from .faceids import apply_faceids
from .people import add_persons, lora_chain, person_segments, texts_of_people

# By which a scene's text says how many people there are.
_WORDS_OF_COUNT = """
    2 3 4 5 6 7 8 two three four five six seven eight couple pair duo both trio twins
"""
COUNTS = frozenset(_WORDS_OF_COUNT.split())


def add_scene(
    builder: PlanBuilder,
    stage: str,
    models: Models,
    prompt_text: PromptText,
    settings: Settings,
    family: Family | None = None,
    wearer: str = "the whole picture",
) -> Encoded:
    """Add LoRAs, text and FaceIDs that act on the whole picture.

    `family` where the models are of another than the picture's; `wearer` is what is painted so.
    """
    builder.wear(wearer, prompt_text.loras)
    encoded = add_encoding(
        builder.graph,
        stage,
        add_loras(builder.graph, stage, models, prompt_text.loras),
        prompt_text,
        family or builder.family,
        settings.cfg,
    )
    return replace(
        encoded, models=apply_faceids(builder, stage, encoded.models, prompt_text.faceids)
    )


def encode_prompt(
    builder: PlanBuilder,
    stage: str,
    also: Sequence[Segment] = (),
    *,
    is_composed: bool = False,
) -> PictureContext:
    """Add the scene, and where there are persons the chain of them.

    `also` is encoded with the scene, behind the prompt. `is_composed`: nothing but text tells that
    the persons are there, so that the first sampling gets a text of the scene with the persons'
    words. Where text and image stand in one sequence, a region paints what its place in the whole
    picture is expected to show, and nobody where the whole picture's text speaks of nobody.

    Tags act where their segment's words do. Without persons all of them are the whole picture's.
    With persons, LoRAs of the common prompt act on everybody, and once; those of the base prompt on
    the scene alone; a face is that of each person whose words hold it.
    """
    request, graph = builder.request, builder.graph
    prompt_text = builder.resolve_text(
        (*prompt_segments(request), *also), negative_segments(request)
    )
    if not request.persons:
        scene = add_scene(builder, stage, builder.sources.models, prompt_text, builder.settings)
        return PictureContext(scene, scene)
    _tell_of_nobodys_face(builder)
    shared = builder.resolve_text((request.common,), ()).loras
    builder.wear("everybody", shared)
    models = add_loras(graph, stage, builder.sources.models, shared)
    persons = add_persons(builder, stage, models, texts_of_people(builder))
    own = builder.resolve_text((request.base, *also), ()).loras
    builder.wear("the scene", own)
    worded = with_text_loras(graph, f"{stage}.scene", models, own)
    family, cfg = builder.family, builder.settings.cfg
    composition, kept = None, stage
    if is_composed:
        kept = f"{stage}.kept"
        unsaid = _unsaid_of_people(builder, prompt_text)
        if unsaid:
            builder.tell(_people_in_scene_text(family, prompt_text.text))
        said = replace(prompt_text, positive=(*prompt_text.positive, *unsaid))
        composition = add_encoding(graph, stage, worded, said, family, cfg)
    scene = add_encoding(graph, kept, worded, prompt_text, family, cfg)
    return PictureContext(
        scene,
        scene,
        composition,
        persons=persons,
        scene_loras=lora_chain(graph, f"{stage}.scene", own),
    )


def _people_in_scene_text(family: Family, scene: str) -> Problem:
    says_how_many = not COUNTS.isdisjoint(re.findall(r"\w+", scene.casefold()))
    text = (
        f"{family.title} may leave out people of whom the base prompt does not speak, so in the"
        " first sampling it also says each person's words, and the persons read it too while the"
        " picture takes shape."
    )
    hint = "Say in the base prompt how many there are, such as two people."
    return Problem("people-in-scene-text", "info", text, "" if says_how_many else hint)


def _tell_of_nobodys_face(builder: PlanBuilder) -> None:
    """Refuse a face in the base prompt of a picture with persons."""
    for tag in builder.request.base.faceids[:1]:
        text = (
            f"<faceid:{tag.id}:{tag.strength:g}> stands in the base prompt, which describes the"
            " scene; no person has this face."
        )
        builder.tell(
            Problem(
                "face-of-nobody",
                "error",
                text,
                "Move the tag into a person's segment, or into the common one for everybody.",
            )
        )


def _unsaid_of_people(builder: PlanBuilder, scene: PromptText) -> list[Segment]:
    """Return what each person's own segment says, from left to right, but for what the scene's text
    says already: N equal prompts stay one prompt.
    """
    words = [
        segment
        for person in person_segments(builder.request)
        for segment in builder.resolve_text(person.own, (), of_person=True).positive
    ]
    return [one for one in words if not _says(scene, replace(scene, positive=(one,), style=None))]


def _says(scene: PromptText, words: PromptText) -> bool:
    return re.search(rf"(?<!\w){re.escape(words.text)}(?!\w)", scene.text) is not None
