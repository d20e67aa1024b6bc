"""Prompts of the API on ComfyUI's own queue.

Put in the order of their coming, followed to their end, taken up again after a restart.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from ...errors import AstriaError
from ...host.shown_paths import without_folders
from ...net.problems import ApiError
from ...net.settings import ApiSettings
from ...training.asked import Training
from ...tunes.prompts import Prompt
from ...tunes.schema import only_one
from ...tunes.tune import now
from .. import ends
from ..ends import object_of
from ..objects import callback_body
from . import state
from .entry.admission import Admission
from .entry.fleet import tell_fleet
from .entry.fleet_queue import FleetQueue
from .entry.host_queue import HostQueue, Item
from .packs.runs import end_runs
from .pictures.marking import mark_pictures
from .prompts import Prepared
from .training.trainings import Trainings
from .tunes import delete_tune

MOST_RUNS = 3  # a prompt that was running when ComfyUI ended is started so often
# What was left by the last run is put on ComfyUI's queue in pages, so that a start does not wait
# for all of it; a page follows when fewer than that many are there.
_PAGE = 100
_POLL_S = 0.1
_FLEET_LOOK_S = 1.0  # between two looks for what a fleet has ended
_AT_ONCE = 100  # prompts that are looked up to be deleted

_Answer = TypeVar("_Answer")

_log = logging.getLogger(__name__)


class Queue:
    """The API's side of ComfyUI's queue.

    Its methods run in the server's own thread; `on_done` is called when a callback is queued.
    """

    def __init__(self, on_done: Callable[[], None]) -> None:
        self._host = HostQueue()
        self._on_done = on_done
        self._order = asyncio.Lock()
        self._admission = Admission(self._order, self._item, self._put)
        self._followed: dict[str, int] = {}  # run id -> prompt id
        self._started: set[str] = set()
        self._wake = asyncio.Event()
        self._claiming = asyncio.Lock()
        self._has_runs = True  # of packs, with a callback to come
        self._ending = asyncio.Lock()
        self._is_fleet: bool | None = None  # not known yet
        self._is_behind = False  # prompts with ids above `_after` are stored, and not put yet
        self._after = 0
        self._left: deque[Training] = deque()  # trainings that come between those prompts
        self._claim: sqlite3.Connection | None = None
        self.trainings = Trainings(self._host, self._order, self._after_training)

    async def is_only_one(self) -> bool:
        """Say whether no other running ComfyUI had this folder first.

        What waits and lies about here may be under way there.
        """
        async with self._claiming:
            if self._claim is None:
                self._claim = await asyncio.to_thread(only_one, state.claim_file())
            return self._claim is not None

    async def is_fleet(self) -> bool:
        """Say whether a fleet's workers run the prompts, as api.ini had it when this first asked.

        Its dispatcher is then told this ComfyUI's folders. Raises: ApiError for a slip in api.ini.
        """
        if self._is_fleet is None:
            settings = await asyncio.to_thread(state.settings)
            await asyncio.to_thread(tell_fleet, settings.fleet)
            self._is_fleet = settings.fleet
            if settings.fleet:
                self.trainings.use(FleetQueue(self._host))
        return self._is_fleet

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
        await self.is_fleet()
        prompt = await self._admission.admit(prepared, settings)
        if prompt.waits_for is not None:
            await self._release()  # its tune may have been quicker
        return prompt

    async def train(self, tune_id: int) -> None:
        """Put the training of a new tune on the queue, or delete the tune with all that is of it.

        Raises: ApiError where it cannot be put there.
        """
        await self.is_only_one()
        try:
            await self.is_fleet()
            if self._is_behind:
                training = await asyncio.to_thread(state.trainings().get, tune_id)
                self._left.extend([training] if training is not None else [])
            else:
                await self.trainings.begin(tune_id)
        except BaseException:
            await self.delete_with_tune(str(tune_id), lambda: delete_tune(tune_id))
            raise

    async def _item(self, prompt: Prompt) -> Item:
        """Return what the queue's entry for a prompt holds; nothing for one that waits."""
        if prompt.waits_for is not None:
            return ()
        return await self._host.item(prompt.run_id, prompt.workflow)

    def _put(self, item: Item, prompt: Prompt) -> None:
        if self._is_fleet or prompt.waits_for is not None:
            return
        if self._is_behind and prompt.id > self._after:
            return  # its turn comes
        self._followed[prompt.run_id] = prompt.id
        self._host.put(item, prompt.run_id)
        self._wake.set()

    async def resume(self) -> None:
        """Put what was not done when ComfyUI ended on the queue again, in the order of its coming;
        of many prompts the first, and `follow` the others.

        What was started too often is marked as failed.
        """
        if await self.is_fleet():
            for training in await asyncio.to_thread(state.trainings().open):
                await self.trainings.resume(training)
            await self._release()
            await self._end_runs()
            return
        trainings = await asyncio.to_thread(state.trainings().open)
        self._left.extend(sorted(trainings, key=lambda one: one.created_at or now()))
        self._is_behind = True
        await self._catch_up()
        await self._release()
        await self._end_runs()

    async def _catch_up(self) -> None:
        """Put the next page of what is stored on the queue."""
        async with self._order:  # in which prompts are stored
            page = await asyncio.to_thread(
                lambda: state.prompts().open(after=self._after, limit=_PAGE)
            )
            self._is_behind = bool(page)
        for prompt in page:
            await self._take_left(prompt.created_at)
            async with self._order:
                self._after = prompt.id
                try:
                    await self._resume(prompt.id)
                except AstriaError:
                    self._after -= 1  # read once more
                    raise
        if not page:
            await self._take_left(None)

    async def _take_left(self, before: datetime | None) -> None:
        """Put the trainings on the queue that came before that moment, or all that are left."""
        while self._left and (before is None or (self._left[0].created_at or before) <= before):
            left = self._left.popleft()
            training = await asyncio.to_thread(state.trainings().get, left.tune_id)
            # Else its tune went, or it was stopped, maybe begun anew.
            if training is not None and training.is_open and training.run_id == left.run_id:
                await self.trainings.resume(training)

    async def _resume(self, id: int) -> None:
        prompt = await asyncio.to_thread(state.prompts().get, id)
        if prompt is None or prompt.waits_for is not None:
            return
        if prompt.status == "running" and prompt.runs >= MOST_RUNS:
            text = f"ComfyUI ended {prompt.runs} times while this prompt was running."
            await self._finish(replace(prompt, status="failed", user_error=text))
            return
        again = replace(prompt, run_id=str(uuid.uuid4()))
        if await asyncio.to_thread(state.prompts().requeue, [again]):
            await self._put_or_fail(again, "ComfyUI was restarted, and refuses the workflow now")

    async def _put_or_fail(self, prompt: Prompt, why: str) -> None:
        try:
            item = await self._item(prompt)
        except ApiError as error:
            text = f"{why}: {error.message}"
            await self._finish(replace(prompt, status="failed", user_error=text))
        else:
            self._put(item, prompt)

    async def _after_training(self) -> None:
        self._on_done()
        await self._release()

    async def _release(self) -> None:
        """Put prompts on the queue whose tune is trained; end those whose tune never will be."""
        async with self._order:
            for prompt in await asyncio.to_thread(state.prompts().waiting):
                training = await asyncio.to_thread(state.trainings().get, prompt.waits_for or 0)
                if training is not None and training.is_open:
                    continue
                if not await asyncio.to_thread(state.prompts().release, prompt.id):
                    continue  # another ComfyUI with this folder has taken it
                free = replace(prompt, waits_for=None)
                if training is not None and training.status == "done":
                    why = f"Tune {prompt.waits_for} is trained, and ComfyUI refuses the workflow"
                    await self._put_or_fail(free, why)
                else:
                    text = await asyncio.to_thread(_never, prompt)
                    await self._finish(replace(free, status="failed", user_error=text))

    async def follow(self) -> None:
        """Note what becomes of the prompts on the queue, until cancelled."""
        while self._is_fleet:  # its dispatcher notes it, but for runs of packs
            try:
                await self._end_runs()
            except AstriaError as error:
                _log.warning("Astria packs wait: %s", without_folders(error.message))
            await asyncio.sleep(_FLEET_LOOK_S)
        while True:
            if not self._followed and not self._is_behind:
                self._wake.clear()
                await self._wake.wait()
            try:
                await self._look()
                if self._is_behind and len(self._followed) < _PAGE:
                    await self._catch_up()
            except AstriaError as error:
                # The database is busy, or its disk full: what ended is looked at again.
                _log.warning(
                    "Astria prompts cannot be followed: %s", without_folders(error.message)
                )
            await asyncio.sleep(_POLL_S)

    async def _look(self) -> None:
        runs, waits = self._host.now()
        for run_id, id in list(self._followed.items()):
            if run_id in waits:
                continue
            if run_id not in self._started:  # one that ended between two looks was started too
                self._started.add(run_id)
                await asyncio.to_thread(state.prompts().start, id, run_id)
            if run_id in runs:
                continue
            # Looked up after the queue: what is in neither has been taken out by hand.
            entry = self._host.ended(run_id)
            prompt = await asyncio.to_thread(state.prompts().get, id)
            if prompt is not None and prompt.run_id == run_id:  # else another has taken it over
                await self._end(prompt, entry)
            self._followed.pop(run_id, None)
            self._started.discard(run_id)

    async def _end(self, prompt: Prompt, entry: Mapping[str, Any] | None) -> None:
        try:
            ended = ends.ended(prompt, entry)
            said = await asyncio.to_thread(mark_pictures, ended)
            await self._finish(replace(ended, notices=(*ended.notices, *said)))
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

    async def forget(self, settings: ApiSettings) -> None:
        """Remove the prompts that ended longer ago than the owner keeps them."""
        if not settings.keep_days:
            return
        before = now() - timedelta(days=settings.keep_days)
        gone = 0
        while went := await asyncio.to_thread(state.prompts().forget, before, _AT_ONCE):
            gone += went
        if gone:
            async with self._order:
                await asyncio.to_thread(state.sweep_inputs)

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

        No prompt comes in between. A training is ended. Return what `delete` returns.
        """
        if tune_id.isdecimal():
            await self.trainings.leave(int(tune_id))
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
        self._host.remove(prompt.run_id)
        gone = await asyncio.to_thread(state.prompts().delete, prompt.id)
        if prompt.inputs:
            await asyncio.to_thread(state.sweep_inputs)
        return gone


def _never(prompt: Prompt) -> str:
    """Say why the tune that a prompt waits for will not be trained."""
    tune = state.tunes().get(prompt.waits_for or 0)
    reason = "it was deleted." if tune is None else tune.user_error
    return f"Tune {prompt.waits_for} was not trained: {reason}"
