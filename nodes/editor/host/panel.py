"""The sidebar's HTTP routes, below /astria/editor.

Tunes are listed, made and deleted, ids and roles bound to files.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from aiohttp import web

from ...api import access
from ...api.host import state
from ...api.host.body import read_body, uploads_of
from ...api.host.queue import Queue
from . import bindings, tunes
from .http import Asked, Handler, RequestError, checked, for_the_page, for_the_sidebar, read_json

_TEXTS = {"title": str, "name": str, "token": str, "min_face_px": str}
_MAX_DIGITS = 15
_COOKIE_S = 400 * 24 * 3600  # as long as browsers keep one


def register(routes: web.RouteTableDef, queue: Queue) -> None:
    """Add the sidebar's routes. A tune that is deleted takes its prompts out of the `queue`."""
    routes.get("/astria/editor/tunes")(_looking(_page))
    routes.post("/astria/editor/tunes")(for_the_sidebar(_create))
    routes.get("/astria/editor/tunes/{id}/photo")(for_the_sidebar(_photo))
    routes.delete("/astria/editor/tunes/{id}")(
        for_the_sidebar(lambda request: _delete(request, queue))
    )
    routes.get("/astria/editor/bindings")(_looking(lambda query: bindings.overview()))
    routes.get("/astria/editor/bindings/choices")(
        _looking(lambda query: bindings.choices_of(query.get("key", "")))
    )
    routes.put("/astria/editor/bindings")(
        _changing(lambda asked: bindings.set_binding(asked["key"], asked["file"]), "key", "file")
    )
    routes.delete("/astria/editor/bindings")(
        _changing(lambda asked: bindings.remove_binding(asked["key"]), "key")
    )
    routes.post("/astria/editor/key")(for_the_page(_enter))
    routes.get("/astria/editor/models")(_looking(lambda query: bindings.models()))


async def _enter(request: web.Request) -> web.Response:
    """Answer the right key with the cookie by which the sidebar then shows that it knows it."""
    asked = await read_json(request, ("key",), {"key": str})
    settings = await asyncio.to_thread(state.settings)
    access.check_key(f"Bearer {asked['key']}", settings.key)
    answer = _answer({})
    answer.set_cookie(
        access.COOKIE,
        access.cookie_of(settings.key),
        max_age=_COOKIE_S,
        httponly=True,
        samesite="Strict",
        secure=request.secure,
    )
    return answer


def _page(query: Asked) -> dict[str, Any]:
    return tunes.page(query.get("search", ""), _number(query.get("offset", "0"), "offset"))


def _looking(answer: Callable[[Asked], dict[str, Any]]) -> Handler:
    async def handle(request: web.Request) -> web.Response:
        return _answer(await asyncio.to_thread(answer, request.query))

    return for_the_sidebar(handle)


def _changing(answer: Callable[[Asked], dict[str, Any]], *needed: str) -> Handler:
    async def handle(request: web.Request) -> web.Response:
        asked = await read_json(request, needed, dict.fromkeys(needed, str))
        return _answer(await asyncio.to_thread(answer, asked))

    return for_the_sidebar(handle)


def _answer(content: dict[str, Any]) -> web.Response:
    return web.json_response(content, headers={"Cache-Control": "no-store"})


def _number(text: str, what: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS):
        raise RequestError(
            f"{what} should be a whole number, found {text!r}."[:300], code="bad-field"
        )
    return int(text)


async def _create(request: web.Request) -> web.Response:
    """Answer a multipart form with `title`, `name`, `token` and files `images[]`."""
    settings = await asyncio.to_thread(state.settings)
    body = await read_body(request, settings, state.spool_folder())
    try:
        texts = checked({key: body.fields[key] for key in _TEXTS if key in body.fields}, _TEXTS)
        sent = {**texts, "images": list(uploads_of(body.fields.get("images")))}
        return _answer(await asyncio.to_thread(tunes.create, sent, settings))
    finally:
        body.close()


async def _photo(request: web.Request) -> web.Response:
    content = await asyncio.to_thread(tunes.thumbnail, _number(request.match_info["id"], "id"))
    # A photo of a person is kept nowhere else: when its tune is deleted it is gone from the browser
    # as well.
    return web.Response(
        body=content,
        content_type="image/jpeg",
        headers={"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"},
    )


async def _delete(request: web.Request, queue: Queue) -> web.Response:
    """End and forget what programs asked of the tune, then delete it, as the API does."""
    asked = await read_json(request, ("title",), {"title": str})
    number = _number(request.match_info["id"], "id")
    tune = await asyncio.to_thread(tunes.shown_tune, number, asked["title"])
    return _answer(await queue.delete_with_tune(str(tune.id), lambda: tunes.delete(tune)))
