"""FaceID tags -> nodes.

The photos of a tune as an identity, and the adapter that draws it, in the whole picture or for one
person.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ...graph.graph import Link, Value
from ..build.plan_builder import PlanBuilder
from ..build.text import FaceID, Models

# PuLID's authors begin a few steps in for realistic pictures: the composition is then the prompt's
# own.
PULID_START = 0.14
# A tune's photos were held against their least size when it was made; the node's own default.
MIN_FACE_PX = 64


def add_identity(
    builder: PlanBuilder, tune: str, said: str, *, for_pulid: bool = False
) -> Link | None:
    """Add the identity of the photos of a tune, once for each way of knowing faces.

    None where the model for it is left out.
    """
    analysis = builder.require_for_part(builder.loaders.face_analysis(for_pulid=for_pulid), said)
    if analysis is None:
        return None
    key = tune, str(analysis)
    if key not in builder.identities:
        number = len(builder.identities) + 1
        # Widgets that the editor always sends stand in both forms of a workflow. Whether a face can
        # be found in the photos is known when the node runs.
        least = builder.family.scaled_px(MIN_FACE_PX)
        policy = {"min_face_px": least, "no_face": builder.options.missing_models}
        builder.identities[key] = builder.graph.add(
            f"models.identity_{number}", "AstriaIdentity", analysis=analysis, tune=tune, **policy
        )
    return builder.identities[key]


def apply_faceids(
    builder: PlanBuilder, stage: str, models: Models, faceids: Sequence[FaceID]
) -> Models:
    """Add the FaceIDs that act on the whole picture."""
    for number, faceid in enumerate(faceids, start=1):
        use = _use(builder, faceid)
        if use is not None:
            models = replace(
                models,
                model=builder.graph.add(
                    f"{stage}.faceid_{number}", "AstriaApplyFaceID", model=models.model, **use
                ),
            )
    return models


def person_faceids(builder: PlanBuilder, name: str, faceids: Sequence[FaceID]) -> dict[str, Value]:
    """Add the FaceIDs of one person.

    Return them as the input of Astria Person, empty when there are none.
    """
    chain: dict[str, Value] = {}
    for number, faceid in enumerate(faceids, start=1):
        use = _use(builder, faceid)
        if use is not None:
            chain = {
                "faceids": builder.graph.add(
                    f"{name}_faceid_{number}", "AstriaPersonFaceID", **use, **chain
                )
            }
    return chain


def _use(builder: PlanBuilder, faceid: FaceID) -> dict[str, Value] | None:
    """Return adapter, identity and numbers of one tag; None where a model for it is left out."""
    said = f"<faceid:{faceid.tune}:{faceid.strength:g}>"
    if not builder.family.identity:
        return None  # told as a problem
    for_pulid = builder.family.identity == "pulid"
    is_portrait = bool(builder.request.faceid_portrait) and not for_pulid
    found = (
        builder.loaders.faceid("faceid_portrait", "portrait")
        if is_portrait
        else builder.loaders.faceid("faceid", "auto")
    )
    adapter = builder.require_for_part(found, said)
    identity = add_identity(builder, faceid.tune, said, for_pulid=for_pulid)
    if adapter is None or identity is None:
        return None
    start = PULID_START if for_pulid else 0.0
    return {
        "faceid": adapter,
        "identity": identity,
        "strength": float(faceid.strength),
        "start": start,
        "end": 1.0,
    }
