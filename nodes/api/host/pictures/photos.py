"""Photos that requests bring, and what looks for faces in them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import folder_paths

from ....faces.detector import FaceAnalysis
from ....faces.insight import find_packs, load_pack
from ....faces.photos import read_photo
from ....host.state import state_folder
from ....net.fetching import Fetching
from ....net.files import from_base64, picture_name
from ....net.problems import ApiError, Problems
from ....net.settings import ApiSettings
from ....tunes.file_search import Missing
from ....tunes.host.state import make_resolver
from ....tunes.names import shown
from ....tunes.state import bindings_in
from ...fields import Upload
from .. import state
from ..body import uploads_of


def sent_photos(
    sent: Mapping[str, Any], settings: ApiSettings, fetching: Fetching, problems: Problems
) -> list[bytes]:
    """Return the photos that are sent.

    Each that is none is noted, and one too many ends the looking.
    """
    given, urls = uploads_of(sent.get("images")), uploads_of(sent.get("image_urls"))
    if len(given) + len(urls) > settings.max_images:
        text = f"{len(given) + len(urls)} photos are sent; expected at most {settings.max_images}"
        problems.note(ApiError(text, code="too-many-photos"), "images")
        return []
    contents = []
    for number, one in enumerate(given, 1):
        with problems.noting("images"):
            contents.append(
                _checked_picture(
                    photo_content(one, f"images, number {number}", settings),
                    _photo_name(one, number),
                    settings,
                )
            )
    for number, url in enumerate(urls, 1):
        with problems.noting("image_urls"):
            if problems:  # nothing is fetched for what is refused already
                fetching.check(url, f"image_urls, number {number}")
                continue
            content = fetching.get(url, f"image_urls, number {number}")
            contents.append(_checked_picture(content, f"photo {len(given) + number}", settings))
    return contents


def _photo_name(one: Any, number: int) -> str:
    """Return what a message calls a photo: by its sender's file name, else by its number."""
    return f"photo {shown(one.file_name)}" if isinstance(one, Upload) else f"photo {number}"


def _checked_picture(content: bytes, what: str, settings: ApiSettings) -> bytes:
    picture_name(content, what, settings.image_bytes)
    return content


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
