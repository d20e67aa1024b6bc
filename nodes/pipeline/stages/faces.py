"""Stages 5 to 7: faces drawn anew, swapped, restored."""

from __future__ import annotations

from collections.abc import Mapping

from ...graph.graph import Link, Value
from ...graph.sockets import NO_FILE
from ...tunes.resolve import Missing
from ..build.plan_builder import Desk
from ..build.stage_list import Stage
from ..build.text import Wording, negative_segments, prompt_segments
from .faceids import add_identity
from .people import wordings_of_people
from .sampling import add_method
from .scene import say

FACE_DENOISE = 0.5
FACE_CONTEXT = 2.0  # side of the crop over side of the face
FACE_FEATHER = 0.15
MIN_CONFIDENCE = 0.5
MIN_SIZE_PX = 0
# What is drawn anew: as many faces as a prompt can name persons, the largest; and none so small
# that it is a speck, or a hand, of the picture's shorter side.
INPAINT_LIMITS = {"max_faces": 8, "min_size": 0.02}
ALL_FACES = {"max_faces": 0, "min_size": 0.0}
SWAP_FEATHER = 0.1
RESTORE = {"strength": 1.0, "fidelity": 0.5, "size": 512}


def add_inpaint_faces(desk: Desk, stage: Stage, image: Value) -> Value:
    """Add the stage: every face cropped, drawn larger with its own person's text and models, and
    put back.
    """
    faces = _detected(desk, stage, image, _for_likeness(desk), INPAINT_LIMITS)
    if faces is None:
        return image
    painted = desk.painted or say(desk, "inpaint_faces")
    scene = painted.scene
    given = {
        "persons": painted.persons,
        "regions": painted.regions,
        "scene_loras": painted.scene_loras,
    }
    people = {name: link for name, link in given.items() if link is not None}
    method = add_method(
        desk.graph, "inpaint_faces", scene.models.model, desk.settings, FACE_DENOISE
    )
    return desk.graph.add(
        "inpaint_faces.faces",
        "AstriaInpaintFaces",
        image=image,
        faces=faces,
        model=scene.models.model,
        vae=scene.models.vae,
        positive=scene.positive,
        negative=scene.negative,
        **method,
        cfg=1.0 if desk.family.is_flux else desk.settings.cfg,
        face_size=desk.family.native_size,
        context=FACE_CONTEXT,
        feather=FACE_FEATHER,
        unmatched="scene",
        max_batch=0,
        **people,
    )


def add_face_swap(desk: Desk, stage: Stage, image: Value) -> Value:
    """Add the stage: each person's face becomes that of the photos of their tune."""
    swapper = desk.for_stage(desk.kit.model("face_swapper"), stage)
    identities = _identities(desk, stage)
    if swapper is None or identities is None:
        return image
    faces = _detected(desk, stage, image, desk.kit.face_detection(), ALL_FACES)
    if faces is None:
        return image
    painted = desk.painted
    regions = {} if painted is None or painted.regions is None else {"regions": painted.regions}
    people = {"identities": identities, **regions, "unmatched": "skip"}
    return desk.graph.add(
        "face_swap.swap",
        "AstriaSwapFaces",
        image=image,
        faces=faces,
        swapper=swapper,
        feather=SWAP_FEATHER,
        **people,
        face_parsing=_face_parsing(desk),
    )


def add_face_correct(desk: Desk, stage: Stage, image: Value) -> Value:
    """Add the stage: each face cleaned by a restoration model."""
    restorer = desk.for_stage(desk.kit.model("face_restorer"), stage)
    if restorer is None:
        return image
    faces = _detected(desk, stage, image, desk.kit.face_detection(), ALL_FACES)
    if faces is None:
        return image
    return desk.graph.add(
        "face_correct.restore",
        "AstriaRestoreFaces",
        image=image,
        faces=faces,
        restorer=restorer,
        **RESTORE,
        face_parsing=_face_parsing(desk),
    )


def _face_parsing(desk: Desk) -> Value:
    """Return what keeps hair, glasses and hands before a face, where a model for it is bound."""
    file = desk.for_part(desk.kit.optional("face_parsing"), "What keeps hair, hands and glasses")
    return NO_FILE if file is None else file


def _for_likeness(desk: Desk) -> Value | Missing:
    """Return what finds faces so that they can be held against the persons' photos.

    PuLID's are read by a recogniser of its own.
    """
    if desk.family.is_flux and any(person.faceids for person in wordings_of_people(desk)):
        own = desk.kit.face_analysis(for_pulid=True)
        if not isinstance(own, Missing):
            return own
    return desk.kit.face_detection()


def _detected(
    desk: Desk, stage: Stage, image: Value, found_by: Value | Missing, limits: Mapping[str, Value]
) -> Link | None:
    analysis = desk.for_stage(found_by, stage)
    if analysis is None:
        return None
    return desk.graph.add(
        f"{stage.name}.detect",
        "AstriaDetectFaces",
        image=image,
        analysis=analysis,
        min_confidence=MIN_CONFIDENCE,
        min_size_px=MIN_SIZE_PX,
        **limits,
    )


def _identities(desk: Desk, stage: Stage) -> Link | None:
    """Return the chain of whose face each person gets, in the persons' order.

    None, and a word about it, where nobody has photos.

    A person without photos keeps the painted face, where the artist lets what is missing be left
    out.
    """
    scene = desk.wording(prompt_segments(desk.request), negative_segments(desk.request))
    people = wordings_of_people(desk) or (scene,)
    without = [number for number, person in enumerate(people, start=1) if not person.photos]
    if len(without) == len(people):
        desk.for_stage(_no_photos(people, without), stage)
        return None
    if without:
        desk.for_part(_no_photos(people, without), "The face of a person")
    chain: dict[str, Value] = {}
    for number, person in enumerate(people, start=1):
        identity = add_identity(desk, person.photos[0], "face_swap=true") if person.photos else None
        own = {} if identity is None else {"identity": identity}
        chain = {
            "identities": desk.graph.add(
                f"{stage.name}.identity_{number}", "AstriaIdentities", **own, **chain
            )
        }
    last = chain["identities"]
    assert isinstance(last, Link), "there is at least one person"
    return last


def _no_photos(people: tuple[Wording, ...], without: list[int]) -> Missing:
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
