"""Requests and answers of the editor's routes.

Bodies within bounds, errors as text and hint, work outside the server's own thread.

Pages of other sites reach none of them: ComfyUI refuses these only in part, and with
--enable-cors-header not at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web
from comfy.cli_args import args

from ...api import access
from ...api.host import state
from ...api.host.arriving import Arriving, stop_counting
from ...api.host.body import parsed
from ...api.json_text import from_json
from ...errors import AstriaError
from ...host.shown_paths import without_folders
from ...net.problems import envelope
from ...net.settings import ApiSettings

# Of a request: a pasted prompt has some 2,000 characters, one with a picture in base64 far more.
MOST_BYTES = 1 << 20

Asked = Mapping[str, Any]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class RequestError(AstriaError):
    """A request that cannot be read; `status` is that of the answer."""

    def __init__(self, message: str, *, code: str, hint: str = "", status: int = 400) -> None:
        super().__init__(message, code=code, hint=hint)
        self.status = status


def for_the_page(answer: Handler) -> Handler:
    """Return a handler for the editor's own page, which answers what anybody may see who may use
    this ComfyUI.
    """

    async def handle(request: web.Request) -> web.StreamResponse:
        access.check_page(request.headers, args.listen)
        return await answer(request)

    return _with_json_errors(handle)


def for_the_sidebar(answer: Handler) -> Handler:
    """Return a handler for the editor's own page, of people's photos, tunes and bindings: beyond
    this machine it asks for the key's cookie.
    """

    async def handle(request: web.Request) -> web.StreamResponse:
        settings = await asyncio.to_thread(state.settings)
        key_file = str(state.settings_file())
        access.check_sidebar(request.headers, settings.key, args.listen, key_file)
        return await answer(request)

    return _with_json_errors(handle)


def _with_json_errors(answer: Handler) -> Handler:
    """Return a handler that gives what `answer` raises as the API does."""

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            return await answer(request)
        except AstriaError as error:
            status = getattr(error, "status", 422)
            return web.json_response(without_folders(envelope(error)), status=status)
        finally:
            stop_counting(request)

    return handle


async def read_json(
    request: web.Request, needed: tuple[str, ...], kinds: Mapping[str, type]
) -> Asked:
    """Return the JSON object that a request brings.

    Raises: RequestError when it lacks a field of `needed` or has one of another kind, ApiError when
    it is none, is too large, or comes too slowly.
    """
    if (request.content_length or 0) > MOST_BYTES:
        raise _too_long()
    body = bytearray()
    # Of no settings: a slip in them must not silence the prompt box.
    with Arriving(request, ApiSettings(), MOST_BYTES) as arriving:
        async for chunk in request.content.iter_chunked(1 << 16):
            body += chunk
            arriving.hold(len(chunk))
            if len(body) > MOST_BYTES:
                raise _too_long()
    asked = await parsed(from_json, body)
    if [name for name in needed if name not in asked]:
        raise RequestError(
            f"Expected a JSON object with {', '.join(needed)}.", code="missing-field"
        )
    return checked(asked, kinds)


def _too_long() -> RequestError:
    text = (
        f"The request has more than {MOST_BYTES} bytes, too many for the editor to check while you"
        " type."
    )
    hint = "The prompt can run all the same; it is checked when it is queued."
    return RequestError(text, code="too-large", hint=hint, status=413)


def checked(asked: Asked, kinds: Mapping[str, type]) -> Asked:
    """Return the fields as they are.

    Raises: RequestError for one that is of another type than `kinds` says.
    """
    wrong = [
        name for name, kind in kinds.items() if name in asked and type(asked[name]) is not kind
    ]
    if wrong:
        raise RequestError(
            f"{wrong[0]} should be of type {kinds[wrong[0]].__name__}, found {asked[wrong[0]]!r}."[
                :300
            ],
            code="bad-field",
        )
    return asked
