"""The body of an API request, read within bounds.

JSON, a form, or multipart with pictures in memory and weights on the disk.
"""

from __future__ import annotations

import tempfile
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import BodyPartReader, web
from aiohttp.http_exceptions import HttpProcessingError

from ...net.problems import ApiError
from ...net.settings import ApiSettings
from ..fields import MAX_FIELDS, Upload, from_json, nested

MODEL_FIELDS = ("tune[file]", "file")
_CHUNK = 1 << 16


@dataclass(frozen=True)
class UploadedModel:
    """A model file that the request brought, in a temporary place."""

    file_name: str
    path: Path


@dataclass
class Body:
    """The fields of a request. `close` removes the temporary files that nobody has moved away."""

    fields: dict[str, Any] = field(default_factory=dict)
    temporary: list[Path] = field(default_factory=list)

    def close(self) -> None:
        for path in self.temporary:
            path.unlink(missing_ok=True)


async def read_body(
    request: web.Request, settings: ApiSettings, spool: Path, *, takes_model: bool = False
) -> Body:
    """Return the fields of a request.

    Where it `takes_model`, one model file may come along, which then lies in the folder `spool`.

    Raises: ApiError for what cannot be read, or is too large.
    """
    kind = request.content_type.lower()
    body = Body()
    if kind.startswith("multipart/") and kind != "multipart/form-data":
        raise _unreadable(f"the request is {kind}", 415)
    try:
        if kind == "multipart/form-data":
            await _Parts(settings, spool if takes_model else None, body).read(request)
        elif kind in (
            "application/x-www-form-urlencoded",
            "application/json",
            "application/octet-stream",
            "text/plain",
        ):
            body.fields = _of_text(await _whole(request, settings), kind)
        else:
            raise _unreadable(f"the request is {kind}", 415)
    except ConnectionError as error:  # nobody is left to answer
        body.close()
        raise _unreadable("the connection ended before the request did") from error
    except BaseException:
        body.close()
        raise
    return body


def _of_text(content: bytes, kind: str) -> dict[str, Any]:
    # curl --data sends JSON as a form unless told otherwise.
    if kind == "application/json" or content.lstrip()[:1] == b"{":
        return from_json(content)
    if not content.strip():
        return {}
    try:
        return nested(
            urllib.parse.parse_qsl(
                content.decode("utf-8"),
                keep_blank_values=True,
                strict_parsing=True,
                max_num_fields=MAX_FIELDS,
            )
        )
    except ValueError as error:
        raise _unreadable(f"the request is no form: {error}") from error


async def _whole(request: web.Request, settings: ApiSettings) -> bytes:
    content = bytearray()
    try:
        async for chunk in request.content.iter_chunked(_CHUNK):
            content += chunk
            if len(content) > settings.request_bytes:
                raise _too_large("the request", settings.max_request_mb)
    except (HttpProcessingError, web.RequestPayloadError) as error:
        raise _unreadable(f"the request's body is damaged: {error}") from error
    return bytes(content)


class _Parts:
    """Reads the parts of a multipart request.

    Without a folder for it a model file is a file as others are.
    """

    def __init__(self, settings: ApiSettings, spool: Path | None, body: Body) -> None:
        self._settings = settings
        self._spool = spool
        self._body = body
        self._held = 0

    async def read(self, request: web.Request) -> None:
        pairs: list[tuple[str, Any]] = []
        try:
            reader = await request.multipart()
            while (part := await reader.next()) is not None:
                if not isinstance(part, BodyPartReader) or not part.name:
                    raise _unreadable("a part of the request has no name, or parts of its own")
                pairs.append((part.name, await self._value(part, part.name)))
                if len(pairs) > MAX_FIELDS:
                    raise _unreadable(f"the request has more than {MAX_FIELDS} parts")
        except (
            ValueError,
            AssertionError,
            LookupError,
            HttpProcessingError,
            web.RequestPayloadError,
        ) as error:
            if isinstance(error, ApiError):
                raise
            raise _unreadable(f"the request is no multipart form: {error}"[:300]) from error
        self._body.fields = nested(pairs)

    async def _value(self, part: BodyPartReader, name: str) -> Any:
        if part.filename is None:
            return (await self._bytes(part, name)).decode("utf-8")
        if name in MODEL_FIELDS and self._spool is not None:
            return await self._weights(part, self._spool)
        return Upload(part.filename, await self._bytes(part, name))

    async def _bytes(self, part: BodyPartReader, name: str) -> bytes:
        content = bytearray()
        while chunk := await part.read_chunk(_CHUNK):
            content += chunk
            self._held += len(chunk)
            if part.filename is not None and len(content) > self._settings.image_bytes:
                raise _too_large(f"the file {name}", self._settings.max_image_mb)
            if self._held > self._settings.request_bytes:
                raise _too_large("the request", self._settings.max_request_mb)
        return bytes(content)

    async def _weights(self, part: BodyPartReader, spool: Path) -> UploadedModel:
        if self._body.temporary:
            raise ApiError(
                "the request holds two model files",
                code="bad-field",
                hint="Send one; each tune has one of its own.",
                status=400,
            )
        spool.mkdir(parents=True, exist_ok=True)
        size = 0
        with tempfile.NamedTemporaryFile(dir=spool, suffix=".partial", delete=False) as file:
            path = Path(file.name)
            self._body.temporary.append(path)
            while chunk := await part.read_chunk(_CHUNK):
                size += len(chunk)
                if size > self._settings.model_bytes:
                    raise _too_large("the model file", self._settings.max_model_mb)
                file.write(chunk)
        return UploadedModel(part.filename or "", path)


def uploads_of(value: Any) -> Sequence[Any]:
    """Return a field that may be one thing or a list of them as a list."""
    if value is None or value == "":
        return ()
    return value if isinstance(value, list) else (value,)


def _too_large(what: str, most_mb: int) -> ApiError:
    hint = "The owner may raise the limits in api.ini."
    return ApiError(f"{what} has more than {most_mb} MB", code="too-large", hint=hint, status=413)


def _unreadable(message: str, status: int = 400) -> ApiError:
    return ApiError(
        message,
        code="bad-request",
        hint="Send JSON, a form, or multipart/form-data.",
        status=status,
    )
