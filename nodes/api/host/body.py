"""The body of an API request, read within bounds of size and time.

JSON, a form, or multipart with pictures in memory and weights on the disk.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import BodyPartReader, web
from aiohttp.http_exceptions import HttpProcessingError

from ...net.problems import ApiError
from ...net.settings import ApiSettings
from ..fields import Upload, nested
from ..form_text import form_pairs, last_name
from ..json_text import from_json
from ..limits import TextBudget, base64_bytes, holds_picture, too_large
from .arriving import Arriving

MODEL_FIELDS = ("tune[file]", "file")
_CHUNK = 1 << 16
_WRITTEN = 1 << 22  # of a model file at once
_AT_ONCE = 2

# Bodies are parsed in these threads, so that other requests do not wait.
_parsers = ThreadPoolExecutor(_AT_ONCE, "astria-body")


@dataclass(frozen=True)
class UploadedModel:
    """A model file that came with the request, in a temporary place."""

    file_name: str
    path: Path


@dataclass
class Body:
    """The fields of a request. `close` removes the temporary files that were not moved away."""

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

    Raises: ApiError for what cannot be read, is too large, or takes too long to arrive.
    """
    kind = request.content_type.lower()
    body = Body()
    if kind.startswith("multipart/") and kind != "multipart/form-data":
        raise _unreadable(f"the request is {kind}", 415)
    most = settings.request_bytes + (settings.model_bytes if takes_model else 0)
    try:
        with Arriving(request, settings, most) as arriving:
            if kind == "multipart/form-data":
                parts = _Parts(settings, spool if takes_model else None, body, arriving)
                await parts.read(request)
            elif kind in (
                "application/x-www-form-urlencoded",
                "application/json",
                "application/octet-stream",
                "text/plain",
            ):
                content = await _whole(request, settings, arriving)
                body.fields = await parsed(_of_text, content, kind, settings.image_bytes)
            else:
                raise _unreadable(f"the request is {kind}", 415)
    except ConnectionError as error:  # the client is gone
        body.close()
        raise _unreadable("the connection ended before the request did") from error
    except BaseException:
        body.close()
        raise
    return body


async def parsed(parse: Callable[..., Any], *values: Any) -> Any:
    """Run `parse` on the values outside the server's own thread."""
    return await asyncio.get_running_loop().run_in_executor(_parsers, parse, *values)


def _of_text(content: bytearray, kind: str, image_bytes: int) -> dict[str, Any]:
    # curl --data sends JSON under the content type of a form.
    if kind == "application/json" or content[:1000].lstrip()[:1] == b"{":
        return from_json(content, image_bytes)
    if not content[:1000].strip() and not content.strip():
        return {}
    try:
        return nested(form_pairs(content, image_bytes))
    except ApiError:
        raise
    except ValueError as error:
        raise _unreadable(f"the request is no form: {error}"[:300]) from error


async def _whole(request: web.Request, settings: ApiSettings, arriving: Arriving) -> bytearray:
    content = bytearray()
    try:
        async for chunk in request.content.iter_chunked(_CHUNK):
            content += chunk
            arriving.hold(len(chunk))
            if len(content) > settings.request_bytes:
                raise _above("the request", settings.max_request_mb)
    except (HttpProcessingError, web.RequestPayloadError) as error:
        raise _unreadable(f"the request's body is damaged: {error}") from error
    return content


class _Parts:
    """Reads the parts of a multipart request.

    Without a folder for it a model file is a file as others are.
    """

    def __init__(
        self, settings: ApiSettings, spool: Path | None, body: Body, arriving: Arriving
    ) -> None:
        self._settings = settings
        self._spool = spool
        self._body = body
        self._arriving = arriving
        self._budget = TextBudget()
        self._held = 0

    async def read(self, request: web.Request) -> None:
        pairs: list[tuple[str, Any]] = []
        try:
            reader = await request.multipart()
            while (part := await reader.next()) is not None:
                if not isinstance(part, BodyPartReader) or not part.name:
                    raise _unreadable("a part of the request has no name, or parts of its own")
                self._budget.count()
                self._budget.spend(len(part.name))
                pairs.append((part.name, await self._value(part, part.name)))
        except (
            ValueError,
            AssertionError,
            LookupError,
            RuntimeError,  # a _charset_ that is none
            HttpProcessingError,
            web.RequestPayloadError,
        ) as error:
            if isinstance(error, ApiError):
                raise
            raise _unreadable(f"the request is no multipart form: {error}"[:300]) from error
        self._body.fields = await parsed(nested, pairs)

    async def _value(self, part: BodyPartReader, name: str) -> Any:
        if part.filename is None:
            return (await self._text(part, name)).decode("utf-8")
        if name in MODEL_FIELDS and self._spool is not None:
            return await self._weights(part, self._spool)
        return Upload(part.filename, await self._file(part, name))

    async def _text(self, part: BodyPartReader, name: str) -> bytes:
        content = bytearray()
        most = base64_bytes(self._settings.image_bytes)
        is_picture = holds_picture(last_name(name))
        while chunk := await part.read_chunk(_CHUNK):
            content += chunk
            self._hold(len(chunk))
            if not is_picture:
                self._budget.spend(len(chunk))
            elif len(content) > most:
                raise _above(f"the text of {name[:100]}", self._settings.max_image_mb)
        return bytes(content)

    async def _file(self, part: BodyPartReader, name: str) -> bytes:
        content = bytearray()
        while chunk := await part.read_chunk(_CHUNK):
            content += chunk
            self._hold(len(chunk))
            if len(content) > self._settings.image_bytes:
                raise _above(f"the file {name[:100]}", self._settings.max_image_mb)
        return bytes(content)

    def _hold(self, size: int) -> None:
        self._arriving.hold(size)
        self._held += size
        if self._held > self._settings.request_bytes:
            raise _above("the request", self._settings.max_request_mb)

    async def _weights(self, part: BodyPartReader, spool: Path) -> UploadedModel:
        if self._body.temporary:
            raise ApiError(
                "the request holds two model files",
                code="bad-field",
                hint="Send one; each tune has one of its own.",
                status=400,
            )
        spool.mkdir(parents=True, exist_ok=True)
        size, waiting = 0, bytearray()
        with tempfile.NamedTemporaryFile(dir=spool, suffix=".partial", delete=False) as file:
            path = Path(file.name)
            self._body.temporary.append(path)
            while chunk := await part.read_chunk(_CHUNK):
                size += len(chunk)
                waiting += chunk
                if size > self._settings.model_bytes:
                    raise _above("the model file", self._settings.max_model_mb)
                if len(waiting) >= _WRITTEN:
                    await asyncio.to_thread(file.write, waiting)
                    waiting = bytearray()
            file.write(waiting)
        return UploadedModel(part.filename or "", path)


def uploads_of(value: Any) -> Sequence[Any]:
    """Return a field that may be one thing or a list of them as a list."""
    if value is None or value == "":
        return ()
    return value if isinstance(value, list) else (value,)


def _above(what: str, most_mb: int) -> ApiError:
    hint = "The owner may raise the limits in api.ini."
    return too_large(f"{what} has more than {most_mb} MB", hint)


def _unreadable(message: str, status: int = 400) -> ApiError:
    return ApiError(
        message,
        code="bad-request",
        hint="Send JSON, a form, or multipart/form-data.",
        status=status,
    )
