"""Prompts of the API on ComfyUI's own queue.

Put in the order of their coming, followed to their end, taken up again after a restart.
"""

from __future__ import annotations

import asyncio
import copy
import logging
import sqlite3
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import execution
from server import PromptServer

from ...errors import AstriaError
from ...host.shown_paths import without_folders
from ...net.problems import ApiError
from ...net.settings import ApiSettings
from ...tunes.prompts import Prompt
from ...tunes.schema import only_one
from ...tunes.tune import now
from ..objects import callback_body
from . import state
from .entry.admission import Admission, Item
from .packs.runs import end_runs
from .prompts import Prepared, object_of

MOST_RUNS = 3  # a prompt that was running when ComfyUI ended is started so often
_POLL_S = 0.1
_AT_ONCE = 100  # prompts that are looked up to be deleted

_Answer = TypeVar("_Answer")

_log = logging.getLogger(__name__)


class Queue:
    """The API's side of ComfyUI's queue.

    Its methods run in the server's own thread; `on_done` is called when a callback is queued.
    """

    def __init__(self, on_done: Callable[[], None]) -> None:
        self._server = PromptServer.instance
        self._on_done = on_done
        self._order = asyncio.Lock()
        self._admission = Admission(self._order, self._item, self._put)
        self._followed: dict[str, int] = {}  # run id -> prompt id
        self._started: set[str] = set()
        self._wake = asyncio.Event()
        self._claiming = asyncio.Lock()
        self._has_runs = True  # of packs, with a callback to come
        self._ending = asyncio.Lock()
        self._claim: sqlite3.Connection | None = None

    async def is_only_one(self) -> bool:
        """Say whether no other running ComfyUI had this folder first.

        What waits and lies about here may be under way there.
        """
        async with self._claiming:
            if self._claim is None:
                self._claim = await asyncio.to_thread(only_one, state.claim_file())
            return self._claim is not None

    def close(self) -> None:
        if self._claim is not None:
            self._claim.close()
        state.close()

    async def admit(self, prepared: Prepared, settings: ApiSettings) -> Prompt:
        """Store a prompt and put it on the queue, behind all that came before.

        Raises: ApiError when ComfyUI refuses the workflow, or its tune was deleted meanwhile.
        """
        # Before anything waits that another one, started later, could take for left over.
        await self.is_only_one()
        return await self._admission.admit(prepared, settings)

    async def _item(self, prompt: Prompt) -> Item:
        """Return what the queue's entry for a prompt holds, as ComfyUI's POST /prompt makes it.

        Other packs' prompt handlers see it too.
        """
        body = self._server.trigger_on_prompt(
            {"prompt": copy.deepcopy(dict(prompt.workflow)), "extra_data": {}}
        )
        graph = body["prompt"]
        valid, error, outputs, node_errors = await execution.validate_prompt(
            prompt.run_id, graph, None
        )
        if not valid or node_errors:
            raise _refused(error, node_errors)
        extra = {**body.get("extra_data", {}), "create_time": int(time.time() * 1000)}
        return (graph, extra, outputs)

    def _put(self, item: Item, prompt: Prompt) -> None:
        self._followed[prompt.run_id] = prompt.id
        # Only now, for it is the order of the queue.
        number = self._server.number
        self._server.number += 1
        self._server.prompt_queue.put((number, prompt.run_id, *item, {}))
        self._wake.set()

    async def resume(self) -> None:
        """Put what was not done when ComfyUI ended on the queue again.

        What was started too often is marked as failed.
        """
        for prompt in await asyncio.to_thread(state.prompts().open):
            if prompt.status == "running" and prompt.runs >= MOST_RUNS:
                await self._finish(
                    replace(
                        prompt,
                        status="failed",
                        user_error=(
                            f"ComfyUI ended {prompt.runs} times while this prompt was running."
                        ),
                    )
                )
                continue
            again = replace(prompt, run_id=str(uuid.uuid4()))
            async with self._order:
                await asyncio.to_thread(state.prompts().requeue, again.id, again.run_id)
                try:
                    item = await self._item(again)
                except ApiError as error:
                    text = f"ComfyUI was restarted, and refuses the workflow now: {error.message}"
                    await self._finish(replace(again, status="failed", user_error=text))
                    continue
                self._put(item, again)
        await self._end_runs()

    async def follow(self) -> None:
        """Note what becomes of the prompts on the queue, until cancelled."""
        while True:
            if not self._followed:
                self._wake.clear()
                await self._wake.wait()
            try:
                await self._look()
            except AstriaError as error:
                # The database is busy, or its disk full: what ended is looked at again.
                _log.warning(
                    "Astria prompts cannot be followed: %s", without_folders(error.message)
                )
            await asyncio.sleep(_POLL_S)

    async def _look(self) -> None:
        queue = self._server.prompt_queue
        running, waiting = queue.get_current_queue_volatile()
        runs, waits = {item[1] for item in running}, {item[1] for item in waiting}
        for run_id, id in list(self._followed.items()):
            if run_id in waits:
                continue
            if run_id not in self._started:  # one that ended between two looks was started too
                self._started.add(run_id)
                await asyncio.to_thread(state.prompts().start, id)
            if run_id in runs:
                continue
            # Looked up after the queue: what is in neither has been taken out by hand.
            entry = queue.get_history(prompt_id=run_id, map_function=_result).get(run_id)
            prompt = await asyncio.to_thread(state.prompts().get, id)
            if prompt is not None:
                await self._end(prompt, entry)
            self._followed.pop(run_id, None)
            self._started.discard(run_id)

    async def _end(self, prompt: Prompt, entry: Mapping[str, Any] | None) -> None:
        try:
            await self._finish(_ended(prompt, entry))
        except AstriaError:
            raise
        except (ValueError, TypeError, LookupError, AttributeError):
            # Not to end the following of all others; it is taken up again at the next start.
            _log.exception("The end of Astria prompt %d cannot be noted", prompt.id)

    async def _finish(self, prompt: Prompt) -> None:
        moment = now()
        ended = replace(
            prompt,
            trained_at=moment if prompt.status == "done" else None,
            updated_at=moment,
            user_error=without_folders(prompt.user_error),
            notices=without_folders(prompt.notices),
        )
        body = callback_body("prompt", object_of(ended, ended.origin))
        if ended.user_error:
            _log.warning("Astria prompt %d failed: %s", ended.id, ended.user_error)
        if await asyncio.to_thread(state.prompts().finish, ended, body) and ended.callback:
            self._on_done()
        await self._end_runs()

    async def begin_run(self, url: str, prompts: Sequence[Prompt]) -> None:
        """Have `url` called once, when all these prompts have ended."""
        await asyncio.to_thread(state.packs().begin_run, url, [one.id for one in prompts])
        self._has_runs = True
        await self._end_runs()  # they may have been quicker

    async def _end_runs(self) -> None:
        async with self._ending:
            if not self._has_runs:  # most prompts are of none: no need to look each time
                return
            self._has_runs = False  # a run that begins meanwhile sets it again
            ended, left = await asyncio.to_thread(end_runs)
            self._has_runs = self._has_runs or left
        if ended:
            self._on_done()

    async def delete(self, prompt: Prompt) -> bool:
        """Delete a prompt, ending its run; its pictures stay in the output folder.

        Say whether it was there.
        """
        async with self._order:
            gone = await self._delete(prompt)
        await self._end_runs()
        return gone

    async def delete_with_tune(self, tune_id: str, delete: Callable[[], _Answer]) -> _Answer:
        """Delete the prompts of a tune, ending their runs, then the tune itself by `delete`.

        No prompt comes in between. Return what `delete` returns.
        """
        async with self._order:
            while prompts := await asyncio.to_thread(
                lambda: state.prompts().list(tune_id, limit=_AT_ONCE, offset=0)
            ):
                for prompt in prompts:
                    await self._delete(prompt)
            gone = await asyncio.to_thread(delete)
        await self._end_runs()
        return gone

    async def _delete(self, prompt: Prompt) -> bool:
        self._followed.pop(prompt.run_id, None)
        self._started.discard(prompt.run_id)
        self._server.prompt_queue.delete_queue_item(lambda item: item[1] == prompt.run_id)
        self._server.prompt_queue.interrupt_if_running(prompt.run_id)
        gone = await asyncio.to_thread(state.prompts().delete, prompt.id)
        if prompt.inputs:
            await asyncio.to_thread(state.sweep_inputs)
        return gone


def _refused(error: Mapping[str, Any] | None, node_errors: Mapping[str, Any]) -> ApiError:
    lines = [
        f"node {node} ({record.get('class_type', '?')}): {one.get('message', '')}"
        f" {one.get('details', '')}".strip()
        for node, record in (node_errors or {}).items()
        for one in record.get("errors", [])
    ]
    headline = (error or {}).get("message", "ComfyUI refuses the workflow")
    return ApiError(
        "\n".join([headline, *lines]),
        code="prompt_outputs_failed_validation",
        hint="A model file or picture may have been moved.",
    )


def _result(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return outputs and status of a history entry, without a copy of its workflow."""
    return {"outputs": entry["outputs"], "status": entry["status"]}


def _ended(prompt: Prompt, entry: Mapping[str, Any] | None) -> Prompt:
    if entry is None:
        return replace(
            prompt,
            status="failed",
            user_error=(
                "It was taken off ComfyUI's queue before it ran, or its history was cleared."
            ),
        )
    prompt = replace(prompt, notices=tuple(dict.fromkeys((*prompt.notices, *_node_notes(entry)))))
    status = entry["status"] or {}
    if status.get("status_str") != "success":
        return replace(prompt, status="failed", user_error=_reason(status))
    images = [
        image
        for node, output in sorted(entry["outputs"].items())
        if node.startswith("output.")
        for image in output.get("images", [])
    ]
    kept = tuple(
        {key: image.get(key, "") for key in ("filename", "subfolder", "type")} for image in images
    )
    return replace(prompt, status="done", images=kept)


def _node_notes(entry: Mapping[str, Any]) -> list[str]:
    """Return the notes of a run's nodes, a line each, in the order of their running."""
    notes = [note for one in entry["outputs"].values() for note in one.get("astria_notes", ())]
    lines = (line for note in notes for line in str(note).splitlines())
    return [line for line in lines if line.strip()]


def _reason(status: Mapping[str, Any]) -> str:
    for kind, data in status.get("messages", []):
        if kind == "execution_error":
            return (
                f"node {data.get('node_id')} ({data.get('node_type')}):"
                f" {str(data.get('exception_message', '')).strip()}"
            )
        if kind == "execution_interrupted":
            return "It was interrupted."
    return "ComfyUI ended its run without a message."
