"""What each route of the API does."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from aiohttp import web

from ...host.state import state_folder
from ...net.problems import ApiError, Problems
from ...net.settings import ApiSettings
from ...tunes.bindings import KNOWN_BASES
from ...tunes.prompts import Prompt
from ...tunes.state import bindings_in
from ...tunes.tune import Tune
from ..attributes import ATTRIBUTES
from ..fields import notices_of, prompt_attributes, wrapped
from ..objects import tune_object
from ..openapi import document
from . import state
from .body import read_body, uploads_of
from .callbacks import Callbacks
from .prompts import Terms, object_of, prepare
from .queue import Queue
from .tunes import Made, delete_tune, fetching_of, make_tune

PAGE = 20
MOST_PAGE = 100
MAX_OFFSET = 2**52
_AT_ONCE = 4

_ID = re.compile(r"([0-9A-Za-z_][0-9A-Za-z_-]{0,63})(?:\.json)?")
_Answer = Callable[[web.Request, ApiSettings], Awaitable[web.StreamResponse]]


class Handlers:
    """The answers of the API.

    Work on files and the database is done outside the server's own thread.
    """

    def __init__(self, queue: Queue, callbacks: Callbacks) -> None:
        self._queue = queue
        self._callbacks = callbacks
        self._making = asyncio.Lock()
        # Pictures are fetched, decoded and searched for faces here, so that few are in memory at
        # once, and looking something up never waits for it.
        self._studio = ThreadPoolExecutor(_AT_ONCE, "astria-api")

    def table(self) -> Mapping[tuple[str, str], _Answer]:
        """Return (method, path below /astria) -> answer."""
        return {
            ("GET", "/openapi.json"): self.openapi,
            ("POST", "/generate"): self.generate,
            ("GET", "/tunes"): self.list_tunes,
            ("POST", "/tunes"): self.create_tune,
            ("GET", "/tunes/{id}"): self.get_tune,
            ("DELETE", "/tunes/{id}"): self.delete_tune,
            ("GET", "/tunes/{id}/images/{name}"): self.get_photo,
            ("GET", "/tunes/{id}/prompts"): self.list_prompts,
            ("POST", "/tunes/{id}/prompts"): self.create_prompt,
            ("GET", "/tunes/{id}/prompts/{prompt_id}"): self.get_prompt,
            ("DELETE", "/tunes/{id}/prompts/{prompt_id}"): self.delete_prompt,
        }

    async def _in_studio(self, act: Callable[..., Any], *values: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._studio, act, *values)

    async def openapi(self, request: web.Request, settings: ApiSettings) -> web.Response:
        return web.json_response(
            document(_origin(request, settings), ATTRIBUTES, needs_key=bool(settings.key))
        )

    async def list_tunes(self, request: web.Request, settings: ApiSettings) -> web.Response:
        limit, offset = _page(request)
        title = request.query.get("title")
        if title is None:
            found = await asyncio.to_thread(lambda: state.tunes().list(limit=limit, offset=offset))
        else:
            one = await asyncio.to_thread(state.tunes().find_by_title, title)
            found = [one] if one is not None and offset == 0 and limit else []
        return web.json_response(
            [tune_object(tune.to_json(), _origin(request, settings)) for tune in found]
        )

    async def get_tune(self, request: web.Request, settings: ApiSettings) -> web.Response:
        tune = await asyncio.to_thread(_tune, request)
        return web.json_response(tune_object(tune.to_json(), _origin(request, settings)))

    async def get_photo(self, request: web.Request, settings: ApiSettings) -> web.StreamResponse:
        tune = await asyncio.to_thread(_tune, request)
        paths = {
            path.name: path for path in await asyncio.to_thread(state.tunes().photo_paths, tune.id)
        }
        path = paths.get(request.match_info["name"])
        if path is None or not path.is_file():
            raise _unknown("photo", request.match_info["name"])
        return web.FileResponse(path, headers={"X-Content-Type-Options": "nosniff"})

    async def create_tune(self, request: web.Request, settings: ApiSettings) -> web.Response:
        body = await read_body(request, settings, state.spool_folder(), takes_model=True)
        terms = _terms(request, settings)
        try:
            sent, beside = wrapped(body.fields, "tune")
            # One at a time, so that of two requests with one title the second finds the first's
            # tune.
            async with self._making if settings.idempotent else contextlib.nullcontext():
                made = await self._in_studio(make_tune, sent, settings, terms.fetching)
                try:
                    await self._first_prompts(made, sent, terms)
                except BaseException:
                    if made.is_new:
                        await asyncio.to_thread(delete_tune, made.tune.id)
                    raise
        finally:
            await asyncio.to_thread(body.close)
        answer = tune_object(
            made.tune.to_json(), terms.origin, (*notices_of(beside, "tune"), *made.notices)
        )
        # Also where the tune was there: whoever asks again may never have had the first answer.
        if made.callback:
            await asyncio.to_thread(
                state.prompts().owe, made.callback, json.dumps(answer, ensure_ascii=False)
            )
            self._callbacks.wake()
        return web.json_response(answer, status=201)

    async def _first_prompts(self, made: Made, sent: Mapping[str, Any], terms: Terms) -> None:
        """Queue the prompts that came with a tune, all or none."""
        attributes = uploads_of(sent.get("prompts_attributes"))
        if len(attributes) > terms.settings.max_images or any(
            not isinstance(one, dict) for one in attributes
        ):
            text = f"prompts_attributes is no list of at most {terms.settings.max_images} prompts"
            raise ApiError(
                text,
                code="bad-field",
                hint="Write tune[prompts_attributes][0][text], or JSON with a list of objects.",
            )
        prepared, found = [], Problems()
        for number, one in enumerate(attributes):
            with found.noting(f"prompts_attributes[{number}]"):
                prepared.append(await self._in_studio(prepare, str(made.tune.id), one, terms))
        found.refuse()
        queued: list[Prompt] = []
        try:
            for one in prepared:
                queued.append(await self._queue.admit(one, terms.settings))
        except BaseException:
            for prompt in queued if made.is_new else ():
                await self._queue.delete(prompt)
            raise

    async def delete_tune(self, request: web.Request, settings: ApiSettings) -> web.Response:
        tune = await asyncio.to_thread(_tune, request)
        while prompts := await asyncio.to_thread(
            lambda: state.prompts().list(str(tune.id), limit=MOST_PAGE, offset=0)
        ):
            for prompt in prompts:
                await self._queue.delete(prompt)
        await asyncio.to_thread(delete_tune, tune.id)
        return web.Response()

    async def generate(self, request: web.Request, settings: ApiSettings) -> web.Response:
        return await self._create(None, request, settings)

    async def create_prompt(self, request: web.Request, settings: ApiSettings) -> web.Response:
        return await self._create(_id(request, "id"), request, settings)

    async def _create(
        self, tune_id: str | None, request: web.Request, settings: ApiSettings
    ) -> web.Response:
        body = await read_body(request, settings, state.spool_folder())
        terms = _terms(request, settings)
        sent, beside = prompt_attributes(body.fields)
        prepared = await self._in_studio(
            prepare, tune_id, sent, terms, notices_of(beside, "prompt")
        )
        prompt = await self._queue.admit(prepared, settings)
        return web.json_response(object_of(prompt, terms.origin), status=201)

    async def list_prompts(self, request: web.Request, settings: ApiSettings) -> web.Response:
        limit, offset = _page(request)
        tune_id = _id(request, "id")
        found = await asyncio.to_thread(
            lambda: state.prompts().list(tune_id, limit=limit, offset=offset)
        )
        if not found and not await asyncio.to_thread(_takes_prompts, tune_id):
            raise _unknown("tune", tune_id)
        return web.json_response(
            [object_of(prompt, _origin(request, settings)) for prompt in found]
        )

    async def get_prompt(self, request: web.Request, settings: ApiSettings) -> web.Response:
        prompt = await asyncio.to_thread(_prompt, request)
        return web.json_response(object_of(prompt, _origin(request, settings)))

    async def delete_prompt(self, request: web.Request, settings: ApiSettings) -> web.Response:
        prompt = await asyncio.to_thread(_prompt, request)
        await self._queue.delete(prompt)
        return web.Response()


def _terms(request: web.Request, settings: ApiSettings) -> Terms:
    return Terms(_origin(request, settings), settings, fetching_of(settings))


def _origin(request: web.Request, settings: ApiSettings) -> str:
    """Return what addresses in answers begin with."""
    return settings.public_url or f"{request.scheme}://{request.host}"


def _page(request: web.Request) -> tuple[int, int]:
    limit, offset = request.query.get("limit", str(PAGE)), request.query.get("offset", "0")
    for name, value, most in (("limit", limit, MOST_PAGE), ("offset", offset, MAX_OFFSET)):
        if not re.fullmatch(r"[0-9]{1,16}", value) or int(value) > most:
            raise ApiError(
                f"{name} is {value!r}; expected 0 to {most}"[:300], code="bad-field", status=400
            )
    return int(limit), int(offset)


def _id(request: web.Request, name: str) -> str:
    found = _ID.fullmatch(request.match_info[name])
    if found is None:
        raise _unknown("tune or prompt", request.match_info[name])
    return found[1]


def _number(text: str) -> int:
    return int(text) if re.fullmatch(r"[0-9]{1,16}", text) else 0


def _tune(request: web.Request) -> Tune:
    id = _id(request, "id")
    tune = state.tunes().get(_number(id))
    if tune is None:
        raise _unknown("tune", id)
    return tune


def _takes_prompts(id: str) -> bool:
    """Say whether prompts can be at this id.

    A stored tune, a base tune bound or known to be of the service, or one that was and has prompts.
    """
    is_base = id in KNOWN_BASES or id in bindings_in(state_folder()).bases
    return (
        is_base
        or state.tunes().get(_number(id)) is not None
        or bool(state.prompts().list(id, limit=1, offset=0))
    )


def _prompt(request: web.Request) -> Prompt:
    tune_id, id = _id(request, "id"), _id(request, "prompt_id")
    prompt = state.prompts().get(_number(id))
    if prompt is None or prompt.tune_id != tune_id:
        raise _unknown(f"prompt of tune {tune_id}", id)
    return prompt


def _unknown(what: str, id: str) -> ApiError:
    hint = (
        "GET the list to see which there are. Base tunes of the bindings take prompts and are no"
        " objects themselves."
    )
    return ApiError(f"there is no {what} {id!r}"[:300], code="not-found", hint=hint, status=404)
