"""Trainings on ComfyUI's own queue: begun, followed, made smaller, taken up again, ended."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

from ....errors import AstriaError
from ....host.shown_paths import without_folders
from ....host.state import state_folder
from ....net.problems import ApiError
from ....training.asked import Training
from ....training.errors import TrainedElsewhere
from ....training.progress import FAILED, PREPARING, TrainingProgress, change_progress
from ...ends import error_of, is_out_of_memory, is_success, why_failed
from .. import state
from ..entry.fleet_queue import FleetQueue
from ..entry.host_queue import HostQueue
from .asking import workflow_of
from .leavings import sweep_trainings
from .telling import readable_progress

MOST_RUNS = 3  # a training that was running when ComfyUI ended is started so often
SMALL_PX = 512  # at which it is tried again where memory was short
STOPPED = "It was stopped."
_OUT_OF_MEMORY = "training-memory"
_POLL_S = 0.2
_ENDING_S = 10.0  # for a run that is interrupted to end: a step may take seconds

_log = logging.getLogger(__name__)


class Trainings:
    """The API's trainings on ComfyUI's queue, or a fleet's.

    Its methods run in the server's own thread. `order` is held while something is put there;
    `on_end` is awaited when a training has ended.
    """

    def __init__(
        self, host: HostQueue, order: asyncio.Lock, on_end: Callable[[], Awaitable[None]]
    ) -> None:
        self._host: HostQueue | FleetQueue = host
        self._order = order
        self._on_end = on_end
        self._followed: dict[str, int] = {}  # run id -> tune id
        self._started: set[str] = set()
        self._leaving: set[str] = set()  # runs of tunes that are gone
        self._wake = asyncio.Event()

    def use(self, queue: FleetQueue) -> None:
        """Have a fleet's workers train from now on."""
        self._host = queue

    async def begin(self, tune_id: int) -> None:
        """Put the training of a tune on the queue, behind all that came before.

        Raises: ApiError where it cannot be planned, or ComfyUI refuses it.
        """
        async with self._order:  # in which tunes are deleted
            training = await asyncio.to_thread(state.trainings().get, tune_id)
            if training is not None and training.is_open:
                await self._put(training)

    async def again(self, tune_id: int) -> bool:
        """Have a training that failed go on; say whether it had failed. Raises: ApiError."""
        if not await asyncio.to_thread(state.trainings().again, tune_id, str(uuid.uuid4())):
            return False
        try:
            await self.begin(tune_id)
        except AstriaError as error:
            await self._fail(tune_id, error.message)
            raise
        return True

    async def _put(self, training: Training) -> None:
        workflow = await asyncio.to_thread(workflow_of, training)
        item = await self._host.item(training.run_id, workflow)
        await asyncio.to_thread(_forget_failure, training.tune_id)
        self._followed[training.run_id] = training.tune_id
        self._host.put(item, training.run_id)
        self._wake.set()

    async def resume(self, training: Training) -> None:
        """Put a training that was not done when ComfyUI ended on the queue again.

        One that was started too often is marked as failed; one that a fleet has is followed.
        """
        if self._host.has(training.run_id):
            self._followed[training.run_id] = training.tune_id
            self._wake.set()
            return
        if training.status == "running" and training.runs >= MOST_RUNS:
            text = f"ComfyUI ended {training.runs} times while this tune was trained."
            await self._fail(training.tune_id, text)
            return
        again = replace(training, run_id=str(uuid.uuid4()))
        await asyncio.to_thread(state.trainings().requeue, again.tune_id, again.run_id)
        try:
            async with self._order:
                await self._put(again)
        except ApiError as error:
            text = f"ComfyUI was restarted, and this cannot be trained now: {error.message}"
            await self._fail(again.tune_id, text)

    async def follow(self) -> None:
        """Note what becomes of the trainings on the queue, until cancelled."""
        while True:
            if not self._followed and not self._leaving:
                self._wake.clear()
                await self._wake.wait()
            try:
                await self._look()
            except AstriaError as error:
                # The database is busy, or its disk full: what ended is looked at again.
                _log.warning(
                    "Astria trainings cannot be followed: %s", without_folders(error.message)
                )
            await asyncio.sleep(_POLL_S)

    async def _look(self) -> None:
        runs, waits = self._host.now()
        if self._leaving - runs:
            self._leaving &= runs
            await asyncio.to_thread(sweep_trainings)
        for run_id, tune_id in list(self._followed.items()):
            if run_id in waits:
                continue
            if run_id not in self._started:
                self._started.add(run_id)
                await asyncio.to_thread(state.trainings().start, tune_id)
            if run_id in runs:
                continue
            training = await asyncio.to_thread(state.trainings().get, tune_id)
            if training is not None:
                await self._end(training, self._host.ended(run_id))
            self._followed.pop(run_id, None)
            self._started.discard(run_id)

    async def _end(self, training: Training, entry: Mapping[str, Any] | None) -> None:
        """Note the end of a run; that a training is done its last node has noted already."""
        if error_of(entry).endswith(f".{TrainedElsewhere.__name__}"):
            text = "Astria tune %d is trained by another ComfyUI with this folder."
            _log.warning(text, training.tune_id)
            return  # whose training it is, and who notes its end
        if training.is_open and not await self._shrunk(training, entry):
            progress = await asyncio.to_thread(readable_progress, training.tune_id)
            await self._fail(training.tune_id, _reason(training, entry, progress))
        if not training.is_open:
            await self._on_end()

    async def _shrunk(self, training: Training, entry: Mapping[str, Any] | None) -> bool:
        """Try once more at a smaller size where memory was short; say whether it is tried."""
        progress = await asyncio.to_thread(readable_progress, training.tune_id)
        sizes = [int(one) for one in training.request["sizes_px"]]
        if training.too_large or max(sizes) <= SMALL_PX or not _lacks_memory(entry, progress):
            return False
        again = replace(training, run_id=str(uuid.uuid4()))
        await asyncio.to_thread(state.trainings().shrink, again, (SMALL_PX,), _told_sizes(training))
        smaller = await asyncio.to_thread(state.trainings().get, training.tune_id)
        if smaller is None:
            return True
        _log.warning(
            "Astria tune %d: memory was short at %s; it is trained at %d px.",
            training.tune_id,
            smaller.too_large,
            SMALL_PX,
        )
        try:
            async with self._order:
                await self._put(smaller)
        except ApiError:
            return False
        return True

    async def _fail(self, tune_id: int, user_error: str) -> None:
        text = without_folders(user_error)
        if await asyncio.to_thread(state.trainings().fail, tune_id, text):
            _log.warning("Astria tune %d is not trained: %s", tune_id, text)
            await self._on_end()

    async def stop(self, tune_id: int) -> None:
        """End the training of a tune, which stays, and can go on."""
        await self._fail(tune_id, STOPPED)
        await self.leave(tune_id)

    async def leave(self, tune_id: int) -> None:
        """End the run of a tune's training, and wait some time until it has ended."""
        for run_id in [one for one, id in self._followed.items() if id == tune_id]:
            self._followed.pop(run_id, None)
            self._started.discard(run_id)
            self._host.remove(run_id)
            self._leaving.add(run_id)
            self._wake.set()
            for _ in range(int(_ENDING_S / _POLL_S)):
                if run_id not in self._host.now()[0]:
                    break
                await asyncio.sleep(_POLL_S)


def _forget_failure(tune_id: int) -> None:
    """Have what the last try ended with not be taken for the end of this one."""
    if readable_progress(tune_id) is not None:
        change_progress(state_folder(), tune_id, state=PREPARING, user_error=None, code=None)


def _lacks_memory(entry: Mapping[str, Any] | None, progress: TrainingProgress | None) -> bool:
    told = progress is not None and progress.state == FAILED and progress.code == _OUT_OF_MEMORY
    return told or is_out_of_memory(entry)


def _reason(
    training: Training, entry: Mapping[str, Any] | None, progress: TrainingProgress | None
) -> str:
    """Say why a training ended without a model."""
    if entry is not None and is_success(entry):
        return "Its run ended, and its last node has saved no file."
    reason = why_failed(entry)
    if progress is not None and progress.state == FAILED and progress.user_error:
        reason = progress.user_error
    if not _lacks_memory(entry, progress):
        return reason
    tried = f"at {_told_sizes(training)}"
    if training.too_large:
        tried = f"at {training.too_large}, and again {tried}"
    return f"Memory was short {tried}. {reason}"


def _told_sizes(training: Training) -> str:
    return " and ".join(f"{one} px" for one in training.request["sizes_px"])
