"""The routes of packs: listed, made, deleted, and tunes made by them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from aiohttp import web

from ....host.state import state_folder
from ....net.problems import ApiError, Problems, problem
from ....net.settings import ApiSettings
from ....tunes.names import one_id
from ....tunes.packs import Pack
from ....tunes.tune import Tune
from ...callbacks import callback_of
from ...fields import notices_of, wrapped
from ...packs.attributes import (
    ABOUT_PROMPTS,
    KNOWN,
    asked_prompts,
    asked_tune,
    new_pack,
    pack_object,
    whole_pack,
)
from ...packs.folders import FOLDER, folder_packs
from .. import state
from ..body import read_body
from ..handlers import Answer, Handlers
from ..lookup import id_of, page_of, terms_of
from ..training.telling import told_tune

# Of the service's lists of packs: every pack here is public, and listed.
_FILTERS = ("public", "listed")
MOST_ASKED = 200  # prompts of one request, over all tunes that it names
_TUNE_IDS = re.compile(r"[1-9][0-9]{0,15}")


@dataclass(frozen=True)
class _FolderProblems:
    """The problems in the folders of packs, by the folder's name."""

    problems: Mapping[str, tuple[str, ...]]

    def problems_of(self, pack: Pack) -> Sequence[str]:
        return self.problems.get(pack.folder or "", ())


def _read_folders() -> _FolderProblems:
    """Bring the stored packs up to date with their folders; return the folders' problems."""
    found = folder_packs(state_folder() / FOLDER)
    state.packs().follow([one.new for one in found])
    return _FolderProblems({one.new.folder or "": one.problems for one in found})


class PackHandlers:
    """The answers about packs. Tunes are made as everywhere else."""

    def __init__(self, handlers: Handlers) -> None:
        self._handlers = handlers

    def table(self) -> Mapping[tuple[str, str], Answer]:
        """Return (method, path below /astria) -> answer."""
        return {
            ("GET", "/packs"): self.list_packs,
            ("GET", "/gallery/packs"): self.list_packs,
            ("POST", "/packs"): self.create_pack,
            ("GET", "/packs/{id}"): self.get_pack,
            ("DELETE", "/packs/{id}"): self.delete_pack,
            ("GET", "/p/{id}"): self.get_pack,
            ("POST", "/p/{id}/tunes"): self.create_tune,
        }

    async def list_packs(self, request: web.Request, settings: ApiSettings) -> web.Response:
        page = page_of(request, _FILTERS)
        origin = terms_of(request, settings).origin

        def look() -> list[dict[str, Any]]:
            packs = _read_folders()
            found = state.packs().list(limit=page.limit, offset=page.offset, before=page.before)
            return [pack_object(one, origin, packs.problems_of(one)) for one in found]

        return web.json_response(await asyncio.to_thread(look))

    async def get_pack(self, request: web.Request, settings: ApiSettings) -> web.Response:
        packs, pack = await asyncio.to_thread(_asked, request)
        origin = terms_of(request, settings).origin
        return web.json_response(whole_pack(pack, origin, packs.problems_of(pack)))

    async def create_pack(self, request: web.Request, settings: ApiSettings) -> web.Response:
        body = await read_body(request, settings, state.spool_folder())
        sent, beside = wrapped(body.fields, "pack")
        problems = Problems()
        new = await asyncio.to_thread(new_pack, sent, problems)
        problems.refuse()
        assert new is not None, "a pack with problems was refused above"
        pack = await asyncio.to_thread(state.packs().add, new)
        notices = notices_of(beside, "pack")
        notices += [f"{key} has no effect here." for key in sorted(set(sent) - KNOWN)]
        return web.json_response(
            whole_pack(pack, terms_of(request, settings).origin, notices), status=201
        )

    async def delete_pack(self, request: web.Request, settings: ApiSettings) -> web.Response:
        _, pack = await asyncio.to_thread(_asked, request)
        if pack.folder is not None:
            raise ApiError(
                f"pack {pack.slug} is read from the folder {FOLDER}/{pack.folder}"[:300],
                code="pack-folder",
                hint="Move that folder away: it lies beside the bindings file.",
            )
        await asyncio.to_thread(state.packs().delete, pack.id)
        return web.json_response({"id": pack.id, "message": "Pack successfully deleted"})

    async def create_tune(self, request: web.Request, settings: ApiSettings) -> web.Response:
        body = await read_body(request, settings, state.spool_folder(), takes_model=True)
        try:
            sent, beside = wrapped(body.fields, "tune")
            packs, pack = await asyncio.to_thread(_asked, request)
            _refuse_broken(pack, packs.problems_of(pack))
            callback, notices = _prompts_callback(sent, settings)
            notices += notices_of(beside, "tune")
            terms = replace(terms_of(request, settings), pack_id=pack.id, prompts_callback=callback)
            if sent.get("tune_ids") not in (None, "", []):
                tunes = await asyncio.to_thread(_tunes, sent["tune_ids"], settings.max_images)
                idle = sorted(set(sent) - ABOUT_PROMPTS)
                notices += [f"{key} has no effect together with tune_ids." for key in idle]
                asked = [
                    (str(tune.id), one)
                    for tune in tunes
                    for one in asked_prompts(pack, sent, tune.name, tune.model_type)
                ]
                if len(asked) > MOST_ASKED:
                    text = f"{len(asked)} prompts are asked for; expected at most {MOST_ASKED}"
                    raise ApiError(text, code="too-many", hint="Choose some by prompt_ids.")
                # With idempotence a prompt may have been there before.
                await self._handlers.queue_all(asked, terms, is_undone=not settings.idempotent)
                answers = [told_tune(tune, terms.origin, notices) for tune in tunes]
                return web.json_response(answers if len(answers) > 1 else answers[0], status=201)
            return await self._handlers.make_tune(asked_tune(pack, sent), terms, notices)
        finally:
            await asyncio.to_thread(body.close)


def _asked(request: web.Request) -> tuple[_FolderProblems, Pack]:
    """Return the packs, and the one that the address names by id or slug."""
    key = id_of(request, "id")
    packs = _read_folders()
    pack = state.packs().get(key)
    if pack is None:
        hint = "GET /packs lists those that there are, with id and slug."
        raise ApiError(f"there is no pack {key!r}"[:300], code="not-found", hint=hint, status=404)
    return packs, pack


def _refuse_broken(pack: Pack, wrong: Sequence[str]) -> None:
    """Raise ApiError for a pack of which some files cannot be used: none is left out in silence."""
    if wrong:
        hint = f"Mend the files in {FOLDER}/{pack.folder}, beside the bindings file."
        listed = [problem("pack-file", one, hint) for one in wrong]
        raise ApiError("\n".join(wrong), code="pack-file", hint=hint, problems=listed)


def _prompts_callback(
    sent: Mapping[str, Any], settings: ApiSettings
) -> tuple[str | None, list[str]]:
    """Return the address to call when all prompts have ended, and the notices on it.

    Raises: ApiError.
    """
    problems = Problems()
    callback, notices = None, []
    with problems.noting("prompts_callback"):
        callback, notices = callback_of(sent.get("prompts_callback"), settings)
    problems.refuse()
    return callback, notices


def _tunes(ids: Any, most: int) -> list[Tune]:
    """Return the stored tunes of these ids. Raises: ApiError."""
    listed = ids if isinstance(ids, list) else [ids]
    if len(listed) > most:
        text = f"tune_ids holds {len(listed)} ids; expected at most {most}"
        raise ApiError(text, code="bad-field")
    found = []
    for one in listed:
        number = one_id(str(one))
        tune = state.tunes().get(int(number)) if _TUNE_IDS.fullmatch(number) else None
        if tune is None:
            text = f"tune_ids holds {one!r}, and there is no such tune"[:300]
            problems = [problem("not-found", text, "GET /tunes lists them.", "tune_ids")]
            raise ApiError(text, code="not-found", problems=problems)
        found.append(tune)
    return found
