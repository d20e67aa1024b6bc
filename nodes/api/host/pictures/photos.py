"""Photos that requests bring, and what looks for faces in them."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import folder_paths

from ....faces.detector import FaceAnalysis
from ....faces.insight import find_packs, load_pack
from ....faces.photos import read_photo
from ....host.state import state_folder
from ....net.files import from_base64
from ....net.problems import ApiError
from ....net.settings import ApiSettings
from ....tunes.file_search import Missing
from ....tunes.host.state import make_resolver
from ....tunes.state import bindings_in
from ...fields import Upload
from .. import state


def photo_content(one: Any, what: str, settings: ApiSettings) -> bytes:
    """Return the bytes of an upload or base64 text. Raises: ApiError for anything else."""
    if isinstance(one, Upload):
        return one.content
    if isinstance(one, str):
        return from_base64(
            one.partition(",")[2] if one.startswith("data:") else one, what, settings.image_bytes
        )
    raise ApiError(
        f"{what} is no file",
        code="bad-picture",
        hint="Send files as multipart/form-data, or base64 text in JSON.",
    )


def photo_pixels(content: bytes) -> Any:
    """Return the photo as `read_photo` does."""
    spool = state.spool_folder()
    spool.mkdir(parents=True, exist_ok=True)
    # A name of its own: two requests may bring the same photo at once.
    handle, name = tempfile.mkstemp(suffix=".partial", dir=spool)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        return read_photo(Path(name))
    finally:
        Path(name).unlink(missing_ok=True)


def bound_analysis() -> FaceAnalysis | None:
    """Return the bound face analysis, None where none is bound."""
    if "face_analysis" not in bindings_in(state_folder()).roles:
        return None
    bound = make_resolver().role("face_analysis")
    if isinstance(bound, Missing):
        raise ApiError(bound.message, code="missing-model", hint=bound.hint)
    return load_pack(find_packs(folder_paths.get_folder_paths("insightface"))[bound]).analysis
