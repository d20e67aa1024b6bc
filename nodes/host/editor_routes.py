"""The prompt editor's HTTP routes on ComfyUI's own server, below /astria; they read and change nothing.

ComfyUI's server lets the pages of other sites reach none of its routes, these included.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web
from server import PromptServer

from ..errors import AstriaError
from .editor import PICTURES, completions, description, explanation, painted

MOST_BYTES = 1 << 20  # of a request: a pasted prompt has some 2,000 characters, one with a picture in base64 far more
_KINDS = {"text": str, "offset": int, "asked": bool, "family": str, "base": str, **dict.fromkeys(PICTURES, bool)}

Asked = Mapping[str, Any]


class RequestError(AstriaError):
    """A request that cannot be read; `status` is that of the answer."""

    def __init__(self, message: str, *, code: str, hint: str = "", status: int = 400) -> None:
        super().__init__(message, code=code, hint=hint)
        self.status = status


def register() -> None:
    """Add the routes to the host's server."""
    routes = PromptServer.instance.routes
    routes.post("/astria/parse")(_answering(lambda asked: painted(asked["text"]), "text"))
    routes.post("/astria/complete")(_answering(_complete, "text", "offset"))
    routes.post("/astria/describe")(_answering(lambda asked: description(asked["text"], asked["offset"]), "text", "offset"))
    routes.post("/astria/explain")(_answering(explanation, "text"))


def _complete(asked: Asked) -> dict[str, Any]:
    return completions(asked["text"], asked["offset"], asked.get("asked", False))


def _answering(answer: Callable[[Asked], dict[str, Any]], *needed: str) -> Callable:
    """Return a handler that gives the fields of a request to `answer`, outside the server's own thread, and sends what it returns."""

    async def handle(request: web.Request) -> web.Response:
        try:
            asked = await _read(request, needed)
            return web.json_response(await asyncio.to_thread(answer, asked))
        except AstriaError as error:
            told = {"error": {"type": error.code, "message": error.message, "details": error.hint}}
            return web.json_response(told, status=getattr(error, "status", 422))

    return handle


async def _read(request: web.Request, needed: tuple[str, ...]) -> Asked:
    body = bytearray()
    async for chunk in request.content.iter_chunked(1 << 16):
        body += chunk
        if len(body) > MOST_BYTES:
            text = f"The request has more than {MOST_BYTES} bytes, too many for the editor to check while you type."
            raise RequestError(text, code="too-large", hint="The prompt can run all the same; it is checked when it is queued.", status=413)
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"The request is not JSON: {error}", code="bad-json") from error
    if not isinstance(asked, dict) or [name for name in needed if name not in asked]:
        raise RequestError(f"Expected a JSON object with {', '.join(needed)}.", code="missing-field")
    wrong = [name for name, kind in _KINDS.items() if name in asked and type(asked[name]) is not kind]
    if wrong:
        raise RequestError(f"{wrong[0]} should be of type {_KINDS[wrong[0]].__name__}, found {asked[wrong[0]]!r}."[:300], code="bad-field")
    return asked
