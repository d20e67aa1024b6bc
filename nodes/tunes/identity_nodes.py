"""The node that says who somebody is: from photos, or from a tune that holds some."""

from __future__ import annotations

from collections.abc import Sequence

from comfy_api.latest import io

from ..errors import ImageError, MissingModelError
from ..faces.detector import rgb_pixels
from ..faces.photos import bounded, find_person, identity_of, notes, read_photo
from ..host.state import fingerprint, state_folder
from ..host.types import FaceAnalysisType, IdentityType, notes_ui, only_values
from .face_cache import FaceCache
from .host.state import make_resolver
from .resolve import Missing
from .store import DATABASE_FILE, Tune, TuneStore


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
                FaceAnalysisType.Input("analysis"),
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
            ],
            outputs=[IdentityType.Output(display_name="identity")],
            is_input_list=True,  # photos of several sizes are no batch
        )

    @classmethod
    def fingerprint_inputs(cls, tune: Sequence[str | None], **sockets) -> str:
        """Change when the tune does.

        An id that comes over a link is not known here: then with any tune.
        """
        return fingerprint(_tune_state(tune[0]))

    @classmethod
    def execute(cls, analysis, photos=None, tune=("",)) -> io.NodeOutput:
        analysis, tune = only_values({"analysis": analysis, "tune": tune}).values()
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
        if photos is None:
            pictures, title = _tune_photos(tune.strip())
        else:
            pictures = [bounded(one) for batch in photos for one in rgb_pixels(batch)]
            title = "photos"
        cache = FaceCache(state_folder())
        findings = [find_person(one, analysis, cache) for one in pictures]
        identity = identity_of(findings, analysis, title)
        report = "\n".join(
            [f"{title}: {len(identity.photos)} of {len(pictures)} photo(s) used.", *notes(findings)]
        )
        return io.NodeOutput(identity, ui=notes_ui(report))


def _tune_state(tune: str | None) -> str:
    """Return what changes when the tune of this id does, or any for None; empty for no id."""
    if tune == "" or not (state_folder() / DATABASE_FILE).exists():
        return ""
    store = TuneStore(state_folder())
    named = None if tune is None else make_resolver().faceid(tune)
    if isinstance(named, Missing):
        return named.message
    tunes = store.list(limit=10_000) if named is None else [named.tune]
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
