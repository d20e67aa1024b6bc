"""Ids, pages and filters in the address of a request, and the tune or prompt that it names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web

from ...host.state import state_folder
from ...net.problems import ApiError
from ...net.settings import ApiSettings
from ...tunes.bindings import KNOWN_BASES
from ...tunes.names import one_id
from ...tunes.prompts import Prompt
from ...tunes.state import bindings_in
from ...tunes.tune import Tune
from ..operations import LIST, MAX_OFFSET
from . import state
from .prompts import Terms
from .tunes import fetching_of

_ID = re.compile(r"([0-9A-Za-z_][0-9A-Za-z_-]{0,63})(?:\.json)?")
# Other ways to ask for the next page, and filters of the service's own lists: passed over in
# silence they would give a program the same page for ever, or what it did not ask for.
_NOT_HERE = frozenset(
    (
        "page",
        "per_page",
        "page_size",
        "cursor",
        "after",
        "after_id",
        "before",
        "starting_after",
        "ending_before",
        "since_id",
        "user_id",
        "today",
        "is_video",
        "is_api",
    )
)
# What is asked for once is no list: so spelled it would be passed over, too.
_NO_LISTS = frozenset(("before_id[]", "limit[]", "offset[]", "tune_id[]", "text[]", "liked[]"))


@dataclass(frozen=True)
class Page:
    """The part of a list that is asked for; ids of the page are below `before`."""

    limit: int
    offset: int
    before: int | None = None


def page_of(request: web.Request, filters: tuple[str, ...], sizes: tuple[int, int] = LIST) -> Page:
    """Return the page that a request asks for, of a list that knows these filters.

    `sizes`: items of a page where `limit` is not sent, and at most. Raises: ApiError, 400.
    """
    for name in request.query:
        if name.partition("[")[0] in _NOT_HERE or name in _NO_LISTS:
            known = ", ".join(("before_id", "limit", "offset", *filters))
            raise ApiError(
                f"this list knows no {name}",
                code="bad-field",
                hint=f"It knows {known}.",
                status=400,
            )
    bounds = {"limit": sizes[1], "offset": MAX_OFFSET, "before_id": MAX_OFFSET}
    sent = {"limit": str(sizes[0]), "offset": "0"} | {
        name: request.query[name] for name in bounds if request.query.get(name, "") != ""
    }
    for name, value in sent.items():
        if not re.fullmatch(r"[0-9]{1,16}", value) or int(value) > bounds[name]:
            text = f"{name} is {value!r}; expected 0 to {bounds[name]}"[:300]
            raise ApiError(text, code="bad-field", status=400)
    before = sent.get("before_id")
    return Page(int(sent["limit"]), int(sent["offset"]), None if before is None else int(before))


def tune_id_asked(request: web.Request) -> str | None:
    """Return the tune whose prompts are asked for as `tune_id`, None where it is not sent.

    It is read as in an address, with or without .json. Raises: ApiError, 400.
    """
    value = request.query.get("tune_id", "")
    found = _ID.fullmatch(value)
    if value and found is None:
        text = f"tune_id is {value!r}; expected the id of a tune"[:300]
        raise ApiError(text, code="bad-field", status=400)
    return one_id(found[1]) if found else None


def wanted(request: web.Request, filters: tuple[str, ...]) -> Mapping[str, list[str]]:
    """Return the values that are asked of each filter, sent once, or several times with []."""
    asked = {
        name: [*request.query.getall(name, []), *request.query.getall(f"{name}[]", [])]
        for name in filters
    }
    return {name: values for name, values in asked.items() if values}


def truth(request: web.Request, name: str) -> bool | None:
    """Return a switch of the address, None where it is not there. Raises: ApiError, 400."""
    value = request.query.get(name, "").lower()
    if value in ("", "true", "1", "false", "0"):
        return None if value == "" else value in ("true", "1")
    raise ApiError(
        f"{name} is {value!r}; expected true or false"[:300], code="bad-field", status=400
    )


def terms_of(request: web.Request, settings: ApiSettings) -> Terms:
    """Return the terms of a request."""
    return Terms(origin_of(request, settings), settings, fetching_of(settings))


def origin_of(request: web.Request, settings: ApiSettings) -> str:
    """Return scheme and host that addresses in answers begin with."""
    return settings.public_url or f"{request.scheme}://{request.host}"


def id_of(request: web.Request, name: str) -> str:
    """Return an id of the address, without .json and leading zeros. Raises: ApiError, 404."""
    found = _ID.fullmatch(request.match_info[name])
    if found is None:
        raise unknown("tune or prompt", request.match_info[name])
    return one_id(found[1])


def number_of(id: str) -> int:
    """Return an id as the number of a stored tune or prompt, 0 where it can be none."""
    return int(id) if re.fullmatch(r"[0-9]{1,16}", id) else 0


def tune_of(request: web.Request) -> Tune:
    """Return the stored tune of the address. Raises: ApiError, 404."""
    id = id_of(request, "id")
    tune = state.tunes().get(number_of(id))
    if tune is None:
        raise unknown("tune", id)
    return tune


def takes_prompts(id: str) -> bool:
    """Say whether prompts can be at this id.

    A stored tune, a base tune bound or known to be of the service, or one that was and has prompts.
    """
    is_base = id in KNOWN_BASES or id in bindings_in(state_folder()).bases
    return (
        is_base
        or state.tunes().get(number_of(id)) is not None
        or bool(state.prompts().list(id, limit=1, offset=0))
    )


def prompt_of(request: web.Request) -> Prompt:
    """Return the prompt of the address, which may name its tune, too. Raises: ApiError, 404."""
    tune_id = id_of(request, "id") if "id" in request.match_info else None
    id = id_of(request, "prompt_id")
    prompt = state.prompts().get(number_of(id))
    if prompt is None or tune_id not in (None, prompt.tune_id):
        raise unknown("prompt" if tune_id is None else f"prompt of tune {tune_id}", id)
    return prompt


def unknown(what: str, id: str) -> ApiError:
    """Return the error for an id that nothing has."""
    hint = "GET the list to see which there are. Base tunes stand in GET /gallery/tunes."
    return ApiError(f"there is no {what} {id!r}"[:300], code="not-found", hint=hint, status=404)
