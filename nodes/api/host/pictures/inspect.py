"""POST /images/inspect: what a photo is like, by the face analysis that is bound."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from aiohttp import web

from ....net.files import picture_name
from ....net.problems import ApiError, Problems
from ....net.settings import ApiSettings
from ...fields import notices_of, wrapped
from ...pictures.inspection import inspected
from ...pictures.sizes import upright_size
from .. import state
from ..body import read_body
from ..guess import guess_roles
from ..handlers import Answer, Handlers
from ..tunes import fetching_of
from .photos import bound_analysis, photo_content, photo_pixels

_NO_ANALYSIS = "Faces are not looked for: no face_analysis is bound."
_KNOWN = frozenset(("name", "file", "file_url"))


class InspectHandlers:
    """The answer about one photo."""

    def __init__(self, handlers: Handlers) -> None:
        self._handlers = handlers

    def table(self) -> Mapping[tuple[str, str], Answer]:
        """Return (method, path below /astria) -> answer."""
        return {("POST", "/images/inspect"): self.inspect}

    async def inspect(self, request: web.Request, settings: ApiSettings) -> web.Response:
        body = await read_body(request, settings, state.spool_folder())
        sent, beside = wrapped(body.fields, "image")
        notices = notices_of(beside, "image")
        notices += [f"{key} has no effect here." for key in sorted(set(sent) - _KNOWN)]
        answer = await self._handlers.in_picture_thread(_inspected, sent, settings, notices)
        return web.json_response(answer, status=200)


def _inspected(
    sent: Mapping[str, Any], settings: ApiSettings, notices: list[str]
) -> dict[str, Any]:
    content = _sent_photo(sent, settings)
    notices += guess_roles(["face_analysis"], "")
    analysis = bound_analysis()
    pixels, size = photo_pixels(content), upright_size(io.BytesIO(content))
    if analysis is None:
        return inspected(pixels, None, size, [*notices, _NO_ANALYSIS])
    # Where faces are, and not whose: nothing is kept of a photo that is only looked at.
    faces = replace(analysis, recogniser=None).faces(pixels)
    return inspected(pixels, faces, size, notices)


def _sent_photo(sent: Mapping[str, Any], settings: ApiSettings) -> bytes:
    """Return the picture that the request brings or names, checked. Raises: ApiError."""
    problems = Problems()
    content = b""
    if sent.get("file") not in (None, ""):
        with problems.noting("file"):
            content = photo_content(sent["file"], "file", settings)
            picture_name(content, "file", settings.image_bytes)
    elif sent.get("file_url") not in (None, ""):
        with problems.noting("file_url"):
            content = fetching_of(settings).get(sent["file_url"], "file_url")
            picture_name(content, "file_url", settings.image_bytes)
    else:
        hint = "Send file, as multipart/form-data or base64 in JSON, or file_url."
        problems.note(ApiError("no picture is sent", code="missing-picture", hint=hint), "file")
    problems.refuse()
    return content
