"""Tunes that are there, and the bases of the bindings: listed, shown, changed."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from ...host.state import state_folder
from ...net.problems import ApiError, Problems
from ...net.settings import ApiSettings
from ...tunes.bindings import BINDINGS_FILE
from ...tunes.state import bindings_in
from ...tunes.store import SOUGHT
from ..fields import notices_of, wrapped
from ..gallery import gallery_tune
from ..objects import tune_object
from ..openapi import CHANGEABLE
from ..operations import GALLERY
from ..packs.placeholders import characteristics_of
from . import state
from .body import read_body
from .lookup import id_of, number_of, origin_of, page_of, unknown, wanted
from .training.telling import told_tune
from .tunes import KNOWN, WITHOUT_EFFECT, typed

_TRAINED_BY = ("name", "token", "base_tune_id")
_IDLE = (*WITHOUT_EFFECT, "callback")  # what may be sent, and changes nothing


async def list_tunes(request: web.Request, settings: ApiSettings) -> web.Response:
    """Answer with a page of the stored tunes, those of the highest ids first."""
    page, sought = page_of(request, SOUGHT), wanted(request, SOUGHT)
    found = await asyncio.to_thread(
        lambda: state.tunes().page(
            limit=page.limit, offset=page.offset, before=page.before, wanted=sought
        )
    )
    origin = origin_of(request, settings)
    told = await asyncio.to_thread(lambda: [told_tune(tune, origin) for tune in found])
    return web.json_response(told)


async def get_tune(request: web.Request, settings: ApiSettings) -> web.Response:
    """Answer with a stored tune, or with a base of the bindings."""
    id = id_of(request, "id")
    tune = await asyncio.to_thread(state.tunes().get, number_of(id))
    origin = origin_of(request, settings)
    if tune is not None:
        return web.json_response(await asyncio.to_thread(told_tune, tune, origin))
    base = (await asyncio.to_thread(_bases)).get(id)
    if base is None:
        raise unknown("tune", id)
    return web.json_response(tune_object(base, origin))


async def gallery(request: web.Request, settings: ApiSettings) -> web.Response:
    """Answer with the bases that are bound here, as tunes."""
    page, sought = page_of(request, SOUGHT, GALLERY), wanted(request, SOUGHT)
    bases = (await asyncio.to_thread(_bases)).values()
    fitting = [
        one
        for one in sorted(bases, key=_number, reverse=True)
        if all(one[name] in values for name, values in sought.items())
        and (page.before is None or _number(one) < page.before)
    ]
    shown = fitting[page.offset : page.offset + page.limit]
    return web.json_response([tune_object(one, origin_of(request, settings)) for one in shown])


def _number(base: Mapping[str, Any]) -> float:
    """Return the id of a base; one that is a word comes first, on the first page only."""
    return base["id"] if isinstance(base["id"], int) else math.inf


def _bases() -> dict[str, dict[str, Any]]:
    bases = bindings_in(state_folder()).bases
    if not bases:
        return {}
    bound_at = (state_folder() / BINDINGS_FILE).stat().st_mtime
    return {id: gallery_tune(id, base.family, bound_at) for id, base in bases.items()}


async def change_tune(request: web.Request, settings: ApiSettings) -> web.Response:
    """Change what can be changed of a stored tune, all that is sent or nothing."""
    id = id_of(request, "id")
    body = await read_body(request, settings, state.spool_folder())
    sent, beside = wrapped(body.fields, "tune")
    changes = _changes(sent)
    changed = await asyncio.to_thread(state.tunes().change, number_of(id), changes)
    if changed is None:
        raise unknown("tune", id)
    idle = [key for key in sent if key in _IDLE or key not in (*KNOWN, *CHANGEABLE)]
    notices = [*notices_of(beside, "tune"), *(f"{key} has no effect here."[:300] for key in idle)]
    late = [key for key in changes if key in _TRAINED_BY]
    if late and await asyncio.to_thread(state.trainings().get, changed.id) is not None:
        notices += [f"{key} is changed, and what the tune is trained with stays." for key in late]
    answer = await asyncio.to_thread(told_tune, changed, origin_of(request, settings), notices)
    return web.json_response(answer)


def _changes(sent: Mapping[str, Any]) -> dict[str, Any]:
    """Return the new values of what can be changed. Raises: ApiError with every problem."""
    found, changes = Problems(), {}
    for key, value in sent.items():
        with found.noting(key[:100]):
            if key in CHANGEABLE:
                changes[key] = _value(key, value)
            elif key in KNOWN and key not in _IDLE:
                raise ApiError(
                    f"{key} of a tune cannot be changed",
                    code="not-changeable",
                    hint=f"Make a tune anew. What can be changed: {', '.join(CHANGEABLE)}.",
                )
    found.refuse()
    return changes


def _value(key: str, value: Any) -> Any:
    if key == "characteristics":
        return characteristics_of(value)
    if value not in (None, ""):
        return typed(key, value)
    if key in ("title", "token"):
        raise ApiError(
            f"a tune needs a {key}", code="bad-field", hint=f"Leave {key} out to keep it."
        )
    return None


_Answer = Callable[[web.Request, ApiSettings], Awaitable[web.StreamResponse]]
TUNE_HANDLERS: Mapping[tuple[str, str], _Answer] = {
    ("GET", "/tunes"): list_tunes,
    ("GET", "/tunes/{id}"): get_tune,
    ("PATCH", "/tunes/{id}"): change_tune,
    ("GET", "/gallery/tunes"): gallery,
}
