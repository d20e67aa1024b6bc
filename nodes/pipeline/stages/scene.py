"""What is said of a picture.

The scene's words and models, and the persons in it with theirs, before anybody has a place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ...families.family import Family
from ...prompt import Segment
from ..build.plan_builder import Desk, Painted
from ..build.settings import Settings
from ..build.stage_list import Problem
from ..build.text import (
    Encoded,
    Models,
    Wording,
    add_encoding,
    add_loras,
    negative_segments,
    prompt_segments,
    with_text_loras,
)
from .faceids import apply_faceids
from .people import add_persons, lora_chain, wordings_of_people


def add_scene(
    desk: Desk,
    stage: str,
    models: Models,
    wording: Wording,
    settings: Settings,
    family: Family | None = None,
    wearer: str = "the whole picture",
) -> Encoded:
    """Add LoRAs, text and FaceIDs of what is said of the whole picture.

    `family` where the models are of another than the picture's; `wearer` is what is painted so.
    """
    desk.wear(wearer, wording.loras)
    encoded = add_encoding(
        desk.graph,
        stage,
        add_loras(desk.graph, stage, models, wording.loras),
        wording,
        family or desk.family,
        settings.cfg,
    )
    return replace(encoded, models=apply_faceids(desk, stage, encoded.models, wording.faceids))


def say(desk: Desk, stage: str, also: Sequence[Segment] = ()) -> Painted:
    """Add the scene, and where there are persons the chain of them.

    `also` is said of the scene beside the prompt.

    Tags act where their segment's words do. Without persons all of them are the whole picture's.
    With persons, LoRAs of the common prompt act on everybody, and once; those of the base prompt on
    the scene alone; a face is that of each person whose words hold it.
    """
    request, graph = desk.request, desk.graph
    wording = desk.wording((*prompt_segments(request), *also), negative_segments(request))
    if not request.persons:
        scene = add_scene(desk, stage, desk.sources.models, wording, desk.settings)
        return Painted(scene, scene)
    if request.base.faceids:
        tag = request.base.faceids[0]
        text = (
            f"<faceid:{tag.id}:{tag.strength:g}> stands in the base prompt, which describes the"
            " scene; no person has this face."
        )
        desk.tell(
            Problem(
                "face-of-nobody",
                "error",
                text,
                "Move the tag into a person's segment, or into the common one for everybody.",
            )
        )
    shared = desk.wording((request.common,), ()).loras
    desk.wear("everybody", shared)
    models = add_loras(graph, stage, desk.sources.models, shared)
    persons = add_persons(desk, stage, models, wordings_of_people(desk))
    own = desk.wording((request.base, *also), ()).loras
    desk.wear("the scene", own)
    worded = with_text_loras(graph, f"{stage}.scene", models, own)
    scene = add_encoding(graph, stage, worded, wording, desk.family, desk.settings.cfg)
    return Painted(
        scene, scene, persons=persons, scene_loras=lora_chain(graph, f"{stage}.scene", own)
    )
