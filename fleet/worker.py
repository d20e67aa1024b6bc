"""A worker as Ray's actor: fleet/comfy.py behind calls from afar."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from pathlib import Path

from .comfy import Comfy, environment_here, packs_here
from .dispatcher import lost
from .runs import Hello, Result, Run, Told
from .version import pack_version


class Worker:
    """One ComfyUI for one slot of a machine.

    Its results are kept until they are acknowledged: a dispatcher may come after the one that asked
    for them. Several methods may run at once.
    """

    def __init__(self, machine: str, slot: str) -> None:
        self._machine = machine
        self._slot = slot
        base = Path(os.environ["ASTRIA_FLEET_BASE"]) / slot
        device = slot.partition("-")[0]
        self._comfy = Comfy(environment_here(), base, device, packs_here())
        self._results: dict[str, Result] = {}
        self._running: set[str] = set()
        self._changed = threading.Condition()

    def hello(self) -> Hello:
        """Return who this is, once ComfyUI answers."""
        with self._changed:
            busy = bool(self._running)
        if not busy:
            self._comfy.make_ready()
        with self._changed:
            run_ids = (*self._results, *self._running)
        brought = (self._comfy.tunes(), self._comfy.models())
        return Hello(self._machine, self._slot, pack_version(), run_ids, *brought)

    def run(self, run: Run) -> Result:
        """Run a workflow, and return how it ended, or what it lacks: it is then to come again."""
        with self._changed:
            self._running.add(run.run_id)
        result = lost(run.run_id)
        try:
            result = self._comfy.run(run)
        finally:
            with self._changed:
                self._running.discard(run.run_id)
                if not result.lacks:
                    self._results[run.run_id] = result
                self._changed.notify_all()
        return result

    def result(self, run_id: str) -> Result:
        """Return how a run ended that another dispatcher asked for, when it has."""
        with self._changed:
            self._changed.wait_for(lambda: run_id not in self._running)
            return self._results.get(run_id) or lost(run_id)

    def acknowledge(self, run_id: str) -> None:
        """Forget a result."""
        with self._changed:
            self._results.pop(run_id, None)

    def interrupt(self, run_id: str) -> None:
        """Have a run ended at ComfyUI's next step."""
        self._comfy.interrupt(run_id)

    def forget(self, tunes: tuple[int, ...], models: tuple[str, ...]) -> None:
        """Remove the photos and the model files of tunes that were deleted."""
        self._comfy.forget(tunes, models)

    def progress(self, run_id: str, tune_id: int, known: Mapping[str, int]) -> tuple[str, Told]:
        """Return a run, and what its training has told that is not `known`."""
        return run_id, self._comfy.told(tune_id, known)

    def stop(self) -> None:
        """End ComfyUI."""
        self._comfy.stop()
