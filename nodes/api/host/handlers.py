"""The handlers of the API's routes for tunes and new prompts."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from weakref import WeakValueDictionary

from aiohttp import web

from ...net.problems import ApiError, Problems
from ...net.settings import ApiSettings
from ...tunes.prompts import Prompt, Sought
from ..attributes import ATTRIBUTES
from ..ends import object_of
from ..fields import notices_of, prompt_attributes, wrapped
from ..objects import callback_body
from ..openapi import document
from . import state
from .body import read_body, uploads_of
from .callbacks import Callbacks
from .entry.fleet import fleet_status
from .lookup import (
    id_of,
    origin_of,
    page_of,
    takes_prompts,
    terms_of,
    tune_of,
    unknown,
)
from .picture_threads import PictureThreads
from .prompt_handlers import FILTERS, PromptHandlers, search
from .prompts import Terms, prepare
from .queue import Queue
from .training.telling import told_tune
from .tune_handlers import TUNE_HANDLERS
from .tunes import Made, delete_tune, make_tune

Answer = Callable[[web.Request, ApiSettings], Awaitable[web.StreamResponse]]


class Handlers:
    """The answers of the API.

    Work on files and the database is done outside the server's own thread.
    """

    def __init__(self, queue: Queue, callbacks: Callbacks) -> None:
        self._queue = queue
        self._callbacks = callbacks
        # One for each title: those of others do not wait for a slow one.
        self._making: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        # Calls in one of the few threads for pictures.
        self.in_picture_thread = PictureThreads().run

    def table(self) -> Mapping[tuple[str, str], Answer]:
        """Return (method, path below /astria) -> answer."""
        return {
            ("GET", "/openapi.json"): self.openapi,
            ("GET", "/fleet"): self.fleet,
            ("POST", "/generate"): self.generate,
            ("POST", "/tunes"): self.create_tune,
            ("DELETE", "/tunes/{id}"): self.delete_tune,
            ("GET", "/tunes/{id}/images/{name}"): self.get_photo,
            ("GET", "/tunes/{id}/prompts"): self.list_prompts,
            ("POST", "/tunes/{id}/prompts"): self.create_prompt,
            **TUNE_HANDLERS,
            **PromptHandlers(self._queue, self.in_picture_thread).table(),
        }

    async def openapi(self, request: web.Request, settings: ApiSettings) -> web.Response:
        return web.json_response(
            document(origin_of(request, settings), ATTRIBUTES, needs_key=bool(settings.key))
        )

    async def fleet(self, request: web.Request, settings: ApiSettings) -> web.Response:
        return web.json_response(await asyncio.to_thread(fleet_status, settings))

    async def get_photo(self, request: web.Request, settings: ApiSettings) -> web.StreamResponse:
        tune = await asyncio.to_thread(tune_of, request)
        paths = {
            path.name: path for path in await asyncio.to_thread(state.tunes().photo_paths, tune.id)
        }
        path = paths.get(request.match_info["name"])
        if path is None or not path.is_file():
            raise unknown("photo", request.match_info["name"])
        return web.FileResponse(path, headers={"X-Content-Type-Options": "nosniff"})

    async def create_tune(self, request: web.Request, settings: ApiSettings) -> web.Response:
        body = await read_body(request, settings, state.spool_folder(), takes_model=True)
        try:
            sent, beside = wrapped(body.fields, "tune")
            return await self.make_tune(
                sent, terms_of(request, settings), notices_of(beside, "tune")
            )
        finally:
            await asyncio.to_thread(body.close)

    async def make_tune(
        self, sent: Mapping[str, Any], terms: Terms, notices: Sequence[str]
    ) -> web.Response:
        """Make a tune with its prompts, all or nothing; `notices` stand before its own."""
        settings = terms.settings
        # Of two requests with one title the second finds the first's tune.
        making = self._making.setdefault(str(sent.get("title")), asyncio.Lock())
        async with making if settings.idempotent else contextlib.nullcontext():
            made = await self.in_picture_thread(make_tune, sent, terms)
            try:
                await self._first_prompts(made, sent, terms)
            except BaseException:
                if made.is_new:
                    await self._queue.delete_with_tune(
                        str(made.tune.id), lambda: delete_tune(made.tune.id)
                    )
                raise
            if made.trains:
                await self._queue.train(made.tune.id)
        answer = told_tune(made.tune, terms.origin, (*notices, *made.notices))
        # Also where the tune was there: the first answer to this client may have been lost.
        if made.callback and made.tune.trained_at is None and not made.is_new:
            await asyncio.to_thread(state.trainings().call, made.tune.id, made.callback)
        elif made.callback and made.tune.trained_at is not None:
            await asyncio.to_thread(
                state.prompts().queue_callback, made.callback, callback_body("tune", answer)
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
        tune_id = str(made.tune.id)
        asked = [(tune_id, one) for one in attributes]
        await self.queue_all(asked, terms, is_undone=made.is_new)

    async def queue_all(
        self, asked: Sequence[tuple[str, Mapping[str, Any]]], terms: Terms, *, is_undone: bool
    ) -> None:
        """Queue prompts, each for its tune, all or none.

        Where one cannot be queued those before it are deleted again, if `is_undone`: none of them
        may then have been there before.
        """
        prepared, found = [], Problems()
        for number, (tune_id, one) in enumerate(asked):
            with found.noting(f"prompts_attributes[{number}]"):
                prepared.append(await self.in_picture_thread(prepare, tune_id, one, terms))
        found.refuse()
        queued: list[Prompt] = []
        try:
            for one in prepared:
                queued.append(await self._queue.admit(one, terms.settings))
            if terms.prompts_callback and queued:
                await self._queue.begin_run(terms.prompts_callback, queued)
        except BaseException:
            for prompt in queued if is_undone else ():
                await self._queue.delete(prompt)
            raise

    async def delete_tune(self, request: web.Request, settings: ApiSettings) -> web.Response:
        tune = await asyncio.to_thread(tune_of, request)
        if not await self._queue.delete_with_tune(str(tune.id), lambda: delete_tune(tune.id)):
            raise unknown("tune", str(tune.id))
        return web.json_response({"id": tune.id, "message": "Tune successfully deleted"})

    async def generate(self, request: web.Request, settings: ApiSettings) -> web.Response:
        return await self._create(None, request, settings)

    async def create_prompt(self, request: web.Request, settings: ApiSettings) -> web.Response:
        return await self._create(id_of(request, "id"), request, settings)

    async def _create(
        self, tune_id: str | None, request: web.Request, settings: ApiSettings
    ) -> web.Response:
        body = await read_body(request, settings, state.spool_folder())
        terms = terms_of(request, settings)
        sent, beside = prompt_attributes(body.fields)
        prepared = await self.in_picture_thread(
            prepare, tune_id, sent, terms, notices_of(beside, "prompt")
        )
        prompt = await self._queue.admit(prepared, settings)
        return web.json_response(object_of(prompt, terms.origin), status=201)

    async def list_prompts(self, request: web.Request, settings: ApiSettings) -> web.Response:
        page, tune_id = page_of(request, FILTERS), id_of(request, "id")
        found = await search(Sought(tune_id), page, request)
        if not found and not await asyncio.to_thread(takes_prompts, tune_id):
            raise unknown("tune", tune_id)
        return web.json_response([object_of(one, origin_of(request, settings)) for one in found])
