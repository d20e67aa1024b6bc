"""The queue of a fleet's trainings, in the place of ComfyUI's own."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ....host.state import state_folder
from ....training.fleet_runs import FleetRuns
from ....training.progress import INTERRUPTED, PROGRESS_FILE, change_progress
from ....tunes.state import training_folder
from .host_queue import HostQueue, Item


class FleetQueue:
    """Runs of trainings that a fleet's workers take, by the ids that they were asked for with.

    As HostQueue, which checks the workflows.
    """

    def __init__(self, host: HostQueue) -> None:
        self._host = host

    async def item(self, run_id: str, workflow: Mapping[str, Any]) -> Item:
        """Return what an entry holds. Raises: ApiError where ComfyUI refuses the workflow."""
        await self._host.item(run_id, workflow)
        return (workflow,)  # as it came: the worker's ComfyUI has other packs' handlers see it

    def put(self, item: Item, run_id: str) -> None:
        """Put an entry behind all others."""
        [workflow] = item
        tune_id = workflow["training.lora"]["inputs"]["tune_id"]
        _runs(state_folder()).put(run_id, tune_id, workflow)

    def remove(self, run_id: str) -> None:
        """Take an entry off the queue; its worker is interrupted by the dispatcher."""
        tune_id = _runs(state_folder()).remove(run_id)
        if tune_id and (training_folder(state_folder(), tune_id) / PROGRESS_FILE).exists():
            change_progress(state_folder(), tune_id, state=INTERRUPTED, eta_s=None)

    def now(self) -> tuple[set[str], set[str]]:
        """Return the runs that are under way, and those that wait."""
        states = _runs(state_folder()).states()
        running, waiting = (
            {run_id for run_id, status in states.items() if status == one}
            for one in ("running", "queued")
        )
        return running, waiting

    def has(self, run_id: str) -> bool:
        """Say whether a run is there, ended or not: it goes on whatever ends here."""
        return run_id in _runs(state_folder()).states()

    def ended(self, run_id: str) -> Mapping[str, Any] | None:
        """Return how a run ended, None for one that was taken off the queue."""
        return _runs(state_folder()).entry(run_id)


@functools.cache
def _runs(folder: Path) -> FleetRuns:
    return FleetRuns(folder)
