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
from ...api.host.entry.fleet import shown_fleet
from ...api.host.queue import Queue
from . import bindings, loras, training, tunes
from .http import Asked, Handler, RequestError, checked, for_the_page, for_the_sidebar, read_json

_TEXTS = dict.fromkeys(("title", "name", "token", "min_face_px"), str)
_TRAINED = dict.fromkeys(("model_type", "preset", "base_tune_id", "person_agreed"), str)
_MAX_DIGITS = 15
_COOKIE_S = 400 * 24 * 3600  # as long as browsers keep one


def register(routes: web.RouteTableDef, queue: Queue) -> None:
    """Add the sidebar's routes. A tune that is deleted takes its prompts out of the `queue`."""
    routes.get("/astria/editor/tunes")(_looking(_page))
    routes.post("/astria/editor/tunes")(for_the_sidebar(lambda request: _create(request, queue)))
    routes.get("/astria/editor/tunes/{id}/photo")(for_the_sidebar(_photo))
    routes.delete("/astria/editor/tunes/{id}")(
        for_the_sidebar(lambda request: _delete(request, queue))
    )
    routes.get("/astria/editor/tunes/{id}/sample")(for_the_sidebar(_sample))
    routes.post("/astria/editor/tunes/{id}/training")(
        for_the_sidebar(lambda request: _change_training(request, queue))
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
    routes.get("/astria/editor/loras")(_looking(_loras))
    routes.get("/astria/editor/loras/named")(
        _looking(lambda query: loras.named(query.get("name", "")))
    )
    routes.get("/astria/editor/loras/picture")(for_the_sidebar(_lora_picture))
    routes.post("/astria/editor/key")(for_the_page(_enter))
    routes.get("/astria/editor/models")(_looking(lambda query: bindings.models()))
    routes.get("/astria/editor/fleet")(_looking(lambda query: shown_fleet(state.settings())))


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


def _loras(query: Asked) -> dict[str, Any]:
    return loras.page(query.get("search", ""), _number(query.get("offset", "0"), "offset"))


async def _lora_picture(request: web.Request) -> web.Response:
    return _jpeg(await asyncio.to_thread(loras.picture, request.query.get("file", "")))


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


async def _create(request: web.Request, queue: Queue) -> web.Response:
    """Answer a multipart form with `title`, `name`, `token` and files `images[]`; `model_type` lora
    is trained.
    """
    settings = await asyncio.to_thread(state.settings)
    body = await read_body(request, settings, state.spool_folder())
    kinds = {**_TEXTS, **_TRAINED}
    try:
        texts = dict(checked({key: body.fields[key] for key in kinds if key in body.fields}, kinds))
        if texts.pop("person_agreed", "") == "true":
            await asyncio.to_thread(training.agree)
        sent = {**texts, "images": list(uploads_of(body.fields.get("images")))}
        made = await asyncio.to_thread(tunes.create, sent, settings)
    finally:
        body.close()
    if made.trains:
        await queue.train(made.tune.id)
    return _answer(await asyncio.to_thread(tunes.told, made))


async def _change_training(request: web.Request, queue: Queue) -> web.Response:
    """Stop the training of a tune, or have it go on."""
    asked = await read_json(request, ("title", "act"), {"title": str, "act": str})
    number = _number(request.match_info["id"], "id")
    tune = await asyncio.to_thread(tunes.shown_tune, number, asked["title"])
    if asked["act"] == "stop":
        await queue.trainings.stop(tune.id)
    elif asked["act"] == "go on":
        await queue.trainings.again(tune.id)
    else:
        raise RequestError("act should be 'stop' or 'go on'.", code="bad-field")
    changed = await asyncio.to_thread(tunes.shown_tune, number, asked["title"])
    return _answer({"tune": await asyncio.to_thread(tunes.tune_row, changed)})


async def _sample(request: web.Request) -> web.Response:
    number = _number(request.match_info["id"], "id")
    return _jpeg(await asyncio.to_thread(training.newest_sample, number))


async def _photo(request: web.Request) -> web.Response:
    content = await asyncio.to_thread(tunes.thumbnail, _number(request.match_info["id"], "id"))
    return _jpeg(content)


def _jpeg(content: bytes) -> web.Response:
    # A picture of a person is kept nowhere else: when its tune is deleted it is gone from the
    # browser as well.
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
