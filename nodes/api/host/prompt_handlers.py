"""Prompts at any tune: listed, shown, deleted, made again, liked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from aiohttp import web

from ...net.files import INPUT_FOLDER
from ...net.problems import ApiError
from ...net.settings import ApiSettings
from ...tunes.names import one_id
from ...tunes.prompts import Prompt, Sought
from ..ends import object_of
from ..fields import notices_of, prompt_attributes
from ..objects import KEPT_IDS, PICTURES
from ..pictures.mock import FILE_PREFIX
from . import state
from .body import read_body
from .lookup import (
    Page,
    origin_of,
    page_of,
    prompt_of,
    terms_of,
    truth,
    tune_id_asked,
    unknown,
    wanted,
)
from .picture_threads import names_address
from .prompts import Prepared, Terms, prepare
from .queue import Queue
from .reading import SPELLED, TEXTS

FILTERS = ("text", "liked", *KEPT_IDS)  # of a list of prompts

_Answer = Callable[[web.Request, ApiSettings], Awaitable[web.StreamResponse]]
_InPictureThread = Callable[..., Awaitable[Any]]


class PromptHandlers:
    """The answers of the API about prompts that are there. `in_picture_thread` runs slow work."""

    def __init__(self, queue: Queue, in_picture_thread: _InPictureThread) -> None:
        self._queue = queue
        self._in_picture_thread = in_picture_thread

    def table(self) -> Mapping[tuple[str, str], _Answer]:
        """Return (method, path below /astria) -> answer."""
        return {
            ("GET", "/prompts"): self.list_all,
            ("GET", "/prompts/{prompt_id}"): self.get,
            ("DELETE", "/prompts/{prompt_id}"): self.delete,
            ("POST", "/prompts/{prompt_id}/duplicate"): self.duplicate,
            ("POST", "/prompts/{prompt_id}/likes"): self.like,
            ("DELETE", "/prompts/{prompt_id}/likes"): self.unlike,
            # The service's printed examples spell it so.
            ("POST", "/prompts/{prompt_id}/like"): self.like,
            ("DELETE", "/prompts/{prompt_id}/like"): self.unlike,
            ("GET", "/tunes/{id}/prompts/{prompt_id}"): self.get,
            ("DELETE", "/tunes/{id}/prompts/{prompt_id}"): self.delete,
            ("POST", "/tunes/{id}/prompts/{prompt_id}/duplicate"): self.duplicate,
            ("POST", "/tunes/{id}/prompts/{prompt_id}/likes"): self.like,
            ("DELETE", "/tunes/{id}/prompts/{prompt_id}/likes"): self.unlike,
        }

    async def list_all(self, request: web.Request, settings: ApiSettings) -> web.Response:
        page = page_of(request, (*FILTERS, "tune_id"))
        found = await search(Sought(tune_id_asked(request)), page, request)
        return web.json_response([object_of(one, origin_of(request, settings)) for one in found])

    async def get(self, request: web.Request, settings: ApiSettings) -> web.Response:
        prompt = await asyncio.to_thread(prompt_of, request)
        return web.json_response(object_of(prompt, origin_of(request, settings)))

    async def delete(self, request: web.Request, settings: ApiSettings) -> web.Response:
        prompt = await asyncio.to_thread(prompt_of, request)
        if not await self._queue.delete(prompt):
            raise unknown("prompt", str(prompt.id))
        return web.json_response({"id": prompt.id, "message": "Prompt successfully deleted"})

    async def duplicate(self, request: web.Request, settings: ApiSettings) -> web.Response:
        prompt = await asyncio.to_thread(prompt_of, request)
        body = await read_body(request, settings, state.spool_folder())
        terms = terms_of(request, settings)
        index = body.fields.pop("image_index", None)
        sent, beside = prompt_attributes(body.fields)
        notices = notices_of(beside, "prompt")
        if index not in (None, ""):
            notices.append("image_index has no effect here: every picture is painted anew.")
        prepared = await self._in_picture_thread(prepare_again, prompt, sent, terms, notices)
        # A duplicate is asked for on purpose, so equal requests are not one.
        made = await self._queue.admit(prepared, replace(settings, idempotent=False))
        return web.json_response(object_of(made, terms.origin), status=201)

    async def like(self, request: web.Request, settings: ApiSettings) -> web.Response:
        return await _liked(request, settings, liked=True, status=201)

    async def unlike(self, request: web.Request, settings: ApiSettings) -> web.Response:
        return await _liked(request, settings, liked=False, status=200)


async def _liked(
    request: web.Request, settings: ApiSettings, *, liked: bool, status: int
) -> web.Response:
    prompt = await asyncio.to_thread(prompt_of, request)
    if not await asyncio.to_thread(lambda: state.prompts().like(prompt.id, liked=liked)):
        raise unknown("prompt", str(prompt.id))
    answer = object_of(replace(prompt, liked=liked), origin_of(request, settings))
    return web.json_response(answer, status=status)


def prepare_again(
    prompt: Prompt, sent: Mapping[str, Any], terms: Terms, notices: Sequence[str] = ()
) -> Prepared:
    """Return a new prompt with the attributes of `prompt`, those of `sent` in their place.

    Raises: ApiError listing every problem.
    """
    attributes = {"callback": prompt.callback, **prompt.fields, **_stored_picture(prompt)}
    for names in (TEXTS, *SPELLED.values()):  # several spellings of one attribute
        if any(name in sent for name in names):
            attributes = {key: value for key, value in attributes.items() if key not in names}
    attributes |= sent
    prepared = prepare(prompt.tune_id, attributes, terms, notices)
    # Its pictures stay in the input folder as long as this one needs them, too.
    kept = [name for name in prompt.inputs if name in attributes.values()]
    inputs = tuple(dict.fromkeys((*kept, *prepared.prompt.inputs)))
    return replace(prepared, prompt=replace(prepared.prompt, inputs=inputs))


def _stored_picture(prompt: Prompt) -> dict[str, Any]:
    """Return the one picture that came with a prompt as the file that is here.

    Its address may have expired. Of two pictures it is not recorded which file is whose. A picture
    in base64 is stored as its file already, and a file of the owner's stays the one that was named.
    """
    named = [(key, one) for key in PICTURES for one in SPELLED[key] if prompt.fields.get(one)]
    came = [one for one in prompt.inputs if not one.startswith(f"{INPUT_FOLDER}/{FILE_PREFIX}")]
    if len(named) != 1 or len(came) != 1:
        return {}
    [(key, spelled)], [file] = named, came
    return {spelled: None, key: file} if names_address(prompt.fields[spelled]) else {}


async def search(sought: Sought, page: Page, request: web.Request) -> Sequence[Prompt]:
    """Return the prompts of a page that fit `sought` and the filters of the address.

    Raises: ApiError, 400.
    """
    attributes = {name: values[-1] for name, values in wanted(request, KEPT_IDS).items()}
    for name, value in attributes.items():
        if not (value.isascii() and value.isdecimal()):
            text = f"{name} is {value!r}; expected a whole number"[:300]
            raise ApiError(text, code="bad-field", status=400)
    sought = replace(
        sought,
        before=page.before,
        text=request.query.get("text", ""),
        liked=truth(request, "liked"),
        attributes={name: one_id(value) for name, value in attributes.items()},
    )
    return await asyncio.to_thread(
        lambda: state.prompts().search(sought, limit=page.limit, offset=page.offset)
    )
