"""The node of identities: from photos, or from a tune that holds some."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from comfy_api.latest import io

from ..errors import ImageError, MissingModelError
from ..faces.detector import FaceAnalysis, rgb_pixels
from ..faces.identity import Identity
from ..faces.photos import (
    LEAST_FACE_PX,
    MAX_SIDE_PX,
    MIN_FACE_PX,
    bounded,
    find_person,
    identity_of,
    notes,
    read_photo,
)
from ..host.state import fingerprint, state_folder
from ..host.tensors import as_pictures
from ..host.types import FaceAnalysisType, IdentityType, notes_ui, only_values
from .face_cache import FaceCache
from .file_search import Missing
from .host.state import MOST_TUNES, make_resolver
from .store import DATABASE_FILE, Tune, TuneStore

NO_FACE = ("error", "skip")
PHOTOS = "photos"  # the title of an identity without a tune


class AstriaIdentity(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AstriaIdentity",
            display_name="Astria Identity",
            category="astria/faces",
            description=(
                "Who somebody is, from photos or from a tune that holds some: for FaceID, for"
                " matching faces, for swapping them."
            ),
            search_aliases=["faceid", "face embedding", "likeness"],
            inputs=[
                FaceAnalysisType.Input(
                    "analysis",
                    tooltip="Finds faces and tells people apart: Astria Load Face Analysis.",
                ),
                io.Image.Input(
                    "photos",
                    optional=True,
                    tooltip=(
                        "Photos of one person, a batch or a list. The largest face of each counts."
                    ),
                ),
                io.String.Input(
                    "tune",
                    default="",
                    tooltip=(
                        "Id of a tune with photos, as in <faceid:788416:1>; empty with connected"
                        " photos."
                    ),
                ),
                io.Int.Input(
                    "min_face_px",
                    default=MIN_FACE_PX,
                    min=LEAST_FACE_PX,
                    max=MAX_SIDE_PX,
                    optional=True,
                    tooltip=(
                        "Connected photos whose largest face is smaller are not used; lower it for"
                        " small photos."
                    ),
                ),
                io.Combo.Input(
                    "no_face",
                    options=list(NO_FACE),
                    optional=True,
                    default=NO_FACE[0],
                    tooltip=(
                        "No photo that can be used: stop with an error, or go on without this"
                        " person's face and say so."
                    ),
                ),
            ],
            outputs=[
                IdentityType.Output(display_name="identity"),
                io.String.Output(display_name="info", tooltip="Which photos are used, and why."),
            ],
            has_intermediate_output=True,
            is_input_list=True,  # photos of several sizes are no batch
        )

    @classmethod
    def fingerprint_inputs(cls, tune: Sequence[str | None], **sockets) -> str:
        """Change when the tune does.

        An id that comes over a link is not known here: then with any tune.
        """
        return fingerprint(_tune_state(tune[0]))

    @classmethod
    def execute(
        cls, analysis, photos=None, tune=("",), min_face_px=(MIN_FACE_PX,), no_face=NO_FACE[:1]
    ) -> io.NodeOutput:
        given = {"analysis": analysis, "tune": tune, "least": min_face_px, "no_face": no_face}
        analysis, tune, least, no_face = only_values(given).values()
        if (photos is None) == (not tune.strip()):
            message = (
                "An identity comes from photos or from a tune;"
                f" {'neither is' if photos is None else 'both are'} given."
            )
            raise ImageError(
                message,
                code="identity-source",
                hint="Connect photos, or write the id of a tune that holds some.",
            )
        if analysis.recogniser is None:
            message = (
                "The connected analysis finds faces and does not tell whose they are: its pack is"
                " 'none'."
            )
            raise MissingModelError(
                message, code="no-recogniser", hint="Choose a pack in Astria Load Face Analysis."
            )
        try:
            identity, report = (
                _of_tune(tune.strip(), analysis)
                if photos is None
                else _of_photos(photos, analysis, least)
            )
        except (ImageError, MissingModelError) as error:
            if no_face == NO_FACE[0]:
                raise
            title = tune.strip() or PHOTOS
            identity = Identity((), analysis.recogniser.name, title)
            report = f"The face of {title} is left out: {error.message} {error.hint}".strip()
        return io.NodeOutput(identity, report, ui=notes_ui(report))


def _of_photos(photos: Sequence, analysis: FaceAnalysis, least: int) -> tuple[Identity, str]:
    pictures = [bounded(one) for batch in photos for one in rgb_pixels(as_pictures(batch))]
    return _identified(pictures, analysis, PHOTOS, least)


def _of_tune(name: str, analysis: FaceAnalysis) -> tuple[Identity, str]:
    """Return the identity of a tune's photos, whose face sizes were checked when it was
    made.
    """
    pictures, title = _tune_photos(name)
    return _identified(pictures, analysis, title, 0)


def _identified(
    pictures: Sequence[np.ndarray], analysis: FaceAnalysis, title: str, least: int
) -> tuple[Identity, str]:
    """Return the identity that the pictures show, and the notes on them.

    Raises: ImageError when none shows a usable face.
    """
    cache = FaceCache(state_folder())
    findings = [find_person(one, analysis, cache, least) for one in pictures]
    identity = identity_of(findings, analysis, title)
    used = f"{title}: {len(identity.photos)} of {len(pictures)} photo(s) used."
    return identity, "\n".join([used, *notes(findings)])


def _tune_state(tune: str | None) -> str:
    """Return what changes when the tune of this id does, or any for None; empty for no id."""
    if tune == "" or not (state_folder() / DATABASE_FILE).exists():
        return ""
    store = TuneStore(state_folder())
    named = None if tune is None else make_resolver().faceid(tune)
    if isinstance(named, Missing):
        return named.message
    tunes = store.list(limit=MOST_TUNES) if named is None else [named.tune]
    return repr([(one.id, one.updated_at, one.orig_images) for one in tunes])


def _tune_photos(name: str) -> tuple[list, str]:
    """Return the photos of a tune, and its title.

    Raises: MissingModelError when there is none with photos.
    """
    found = make_resolver().faceid(name)
    if isinstance(found, Missing):
        raise MissingModelError(found.message, code="missing-tune", hint=found.hint)
    tune: Tune = found.tune
    return [read_photo(path) for path in TuneStore(state_folder()).photo_paths(tune.id)], tune.title


NODES = [AstriaIdentity]
