"""Stages 5 to 7: faces drawn anew, swapped, restored."""

from __future__ import annotations

from collections.abc import Mapping

from ...graph.graph import Link, Value
from ...graph.sockets import NO_FILE
from ...prompt.catalog import MAX_PERSONS
from ...tunes.file_search import Missing
from ..build.plan_builder import PlanBuilder, StagePicture
from ..build.stage_list import Stage
from ..build.text import PromptText, negative_segments, prompt_segments
from .faceids import add_identity
from .people import texts_of_people
from .sampling import add_method, shifted
from .scene import encode_prompt

FACE_DENOISE = 0.5
FACE_CONTEXT = 2.0  # side of the crop over side of the face
FACE_FEATHER = 0.15
MIN_CONFIDENCE = 0.5
MIN_SIZE_PX = 0
# What is drawn anew: as many faces as a prompt can name persons, the largest; and none so small
# that it is a speck, or a hand, of the picture's shorter side.
INPAINT_LIMITS = {"max_faces": MAX_PERSONS, "min_size": 0.02}
ALL_FACES = {"max_faces": 0, "min_size": 0.0}
SWAP_FEATHER = 0.1
RESTORE = {"strength": 1.0, "fidelity": 0.5, "size": 512}


def add_inpaint_faces(builder: PlanBuilder, stage: Stage, picture: StagePicture) -> StagePicture:
    """Add the stage: every face cropped, drawn larger with its own person's text and models, and
    put back.
    """
    faces = _detected(builder, stage, picture.image, _for_likeness(builder), INPAINT_LIMITS)
    if faces is None:
        return picture
    context = picture.context or encode_prompt(builder, "inpaint_faces")
    scene = context.scene
    given = {
        "persons": context.persons,
        "regions": context.regions and context.regions.regions,
        "scene_loras": context.scene_loras,
    }
    people = {name: link for name, link in given.items() if link is not None}
    graph, settings, side = builder.graph, builder.settings, builder.family.native_size
    model = shifted(
        graph, "inpaint_faces", scene.models.model, builder.family, settings, (side, side)
    )
    method = add_method(graph, "inpaint_faces", model, settings, FACE_DENOISE)
    painted = builder.graph.add(
        "inpaint_faces.faces",
        "AstriaInpaintFaces",
        image=picture.image,
        faces=faces,
        model=model,
        vae=scene.models.vae,
        positive=scene.positive,
        negative=scene.negative,
        **method,
        cfg=builder.family.true_cfg(builder.settings.cfg),
        face_size=side,
        context=FACE_CONTEXT,
        feather=FACE_FEATHER,
        unmatched="scene",
        max_batch=0,
        **people,
    )
    return picture.with_image(painted)


def add_face_swap(builder: PlanBuilder, stage: Stage, picture: StagePicture) -> StagePicture:
    """Add the stage: each person's face becomes that of the photos of their tune."""
    swapper = builder.require_for_stage(builder.loaders.model("face_swapper"), stage)
    identities = _identities(builder, stage)
    if swapper is None or identities is None:
        return picture
    faces = _detected(builder, stage, picture.image, builder.loaders.face_detection(), ALL_FACES)
    if faces is None:
        return picture
    people: dict[str, Value] = {"identities": identities}
    if picture.context is not None and picture.context.regions is not None:
        people["regions"] = picture.context.regions.regions
    people["unmatched"] = "skip"
    swapped = builder.graph.add(
        "face_swap.swap",
        "AstriaSwapFaces",
        image=picture.image,
        faces=faces,
        swapper=swapper,
        feather=SWAP_FEATHER,
        **people,
        face_parsing=_face_parsing(builder),
    )
    return picture.with_image(swapped)


def add_face_correct(builder: PlanBuilder, stage: Stage, picture: StagePicture) -> StagePicture:
    """Add the stage: each face cleaned by a restoration model."""
    restorer = builder.require_for_stage(builder.loaders.model("face_restorer"), stage)
    if restorer is None:
        return picture
    faces = _detected(builder, stage, picture.image, builder.loaders.face_detection(), ALL_FACES)
    if faces is None:
        return picture
    restored = builder.graph.add(
        "face_correct.restore",
        "AstriaRestoreFaces",
        image=picture.image,
        faces=faces,
        restorer=restorer,
        **RESTORE,
        face_parsing=_face_parsing(builder),
    )
    return picture.with_image(restored)


def _face_parsing(builder: PlanBuilder) -> Value:
    """Return what keeps hair, glasses and hands before a face, where a model for it is bound."""
    file = builder.require_for_part(
        builder.loaders.optional("face_parsing"), "What keeps hair, hands and glasses"
    )
    return NO_FILE if file is None else file


def _for_likeness(builder: PlanBuilder) -> Value | Missing:
    """Return what finds faces so that they can be held against the persons' photos.

    PuLID's are read by a recogniser of its own.
    """
    if builder.family.identity == "pulid" and any(
        person.faceids for person in texts_of_people(builder)
    ):
        own = builder.loaders.face_analysis(for_pulid=True)
        if not isinstance(own, Missing):
            return own
    return builder.loaders.face_detection()


def _detected(
    builder: PlanBuilder,
    stage: Stage,
    image: Value,
    found_by: Value | Missing,
    limits: Mapping[str, Value],
) -> Link | None:
    analysis = builder.require_for_stage(found_by, stage)
    if analysis is None:
        return None
    return builder.graph.add(
        f"{stage.name}.detect",
        "AstriaDetectFaces",
        image=image,
        analysis=analysis,
        min_confidence=MIN_CONFIDENCE,
        min_size_px=MIN_SIZE_PX,
        **limits,
    )


def _identities(builder: PlanBuilder, stage: Stage) -> Link | None:
    """Return the chain of whose face each person gets, in the persons' order.

    None, and a warning, where nobody has photos.

    A person without photos keeps the painted face, where the artist lets what is missing be left
    out.
    """
    scene = builder.resolve_text(
        prompt_segments(builder.request), negative_segments(builder.request)
    )
    people = texts_of_people(builder) or (scene,)
    without = [number for number, person in enumerate(people, start=1) if not person.photos]
    unnamed = [number for number in without if not _names_photos(people[number - 1])]
    if len(without) == len(people):
        if unnamed or not builder.are_models_required:
            builder.require_for_stage(_no_photos(people, unnamed or without), stage)
        return None
    if unnamed:
        builder.require_for_part(_no_photos(people, unnamed), "The face of a person")
    chain: dict[str, Value] = {}
    for number, person in enumerate(people, start=1):
        identity = (
            add_identity(builder, person.photos[0], "face_swap=true") if person.photos else None
        )
        own = {} if identity is None else {"identity": identity}
        chain = {
            "identities": builder.graph.add(
                f"{stage.name}.identity_{number}", "AstriaIdentities", **own, **chain
            )
        }
    last = chain["identities"]
    assert isinstance(last, Link), "there is at least one person"
    return last


def _names_photos(person: PromptText) -> bool:
    """Say whether a FaceID tag names photos of the person; that they are not there is told."""
    return any(segment.faceids for segment in person.positive)


def _no_photos(people: tuple[PromptText, ...], without: list[int]) -> Missing:
    who = (
        "The prompt names"
        if len(people) == 1
        else f"Person {', '.join(map(str, without))} of the prompt has"
    )
    message = f"face_swap=true takes the face from the photos of a tune. {who} no tune with photos."
    hint = (
        "Make a tune of the person's photos with Astria Create Tune, and name it by <faceid:ID:1>;"
        " a LoRA tune may hold photos too."
    )
    return Missing("photos", "face_swap", message, hint)
