"""The dispatcher's process: its loop, what it tells of itself, and what it is told."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Protocol

from ..devtools.console import say
from ..nodes.errors import AstriaError
from ..nodes.net.fleet_files import DRAINED_FILE, STATUS_FILE
from ..nodes.net.writing import atomic_write
from .dispatcher import Dispatcher, Member
from .needs import gone_models, gone_tunes
from .runs import Backlog

_TELL_S = 1.0
_TIDY_S = 2.0
_RATE_S = 60.0  # over which the rate is measured
_AFTER_ERROR_S = 2.0


class Releasing(Protocol):
    """What of the pool is used here."""

    drained: Collection[str]

    def has(self, worker: str) -> bool:
        """Say whether a worker's machine is there."""

    def release(self, worker: str) -> None:
        """End a worker for good."""

    def forget(self, worker: str, tunes: tuple[int, ...], models: tuple[str, ...]) -> None:
        """Have a worker remove the photos of tunes, and model files."""


class Service:
    """Has a dispatcher work, and tells in `folder` of it each second.

    `backlog` returns how many prompts have not ended.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        pool: Releasing,
        folder: Path,
        backlog: Callable[[], Backlog],
    ) -> None:
        self._dispatcher = dispatcher
        self._pool = pool
        self._folder = folder
        self._backlog = backlog
        self._told_at = self._tidied_at = 0.0
        self._ends: list[tuple[float, int]] = []
        self.problem = ""  # why the last step could not be done

    def step(self) -> None:
        """Do one step. What cannot be done now, for the database is busy or the disk full, is done
        later.
        """
        try:
            self._dispatcher.step()
            self.problem = ""
            if time.monotonic() - self._tidied_at > _TIDY_S:
                self._tidied_at = time.monotonic()
                self._tidy()
            if time.monotonic() - self._told_at > _TELL_S:
                self.tell()
        except (AstriaError, OSError) as error:
            self.problem = str(error)
            say(f"- held up: {error}")
            time.sleep(_AFTER_ERROR_S)

    def tell(self) -> None:
        """Write what there is to watch."""
        self._told_at = time.monotonic()
        atomic_write(self._folder / STATUS_FILE, json.dumps(self.status()).encode())

    def _tidy(self) -> None:
        self._pool.drained = self._dispatcher.drained = drained_in(self._folder)
        for worker, member in self._dispatcher.members.items():
            if is_drained(member, self._pool.drained) and member.run_id is None:
                self._pool.release(worker)
            gone = gone_tunes(self._folder, member.tunes)
            models = gone_models(self._folder, member.brought)
            if gone or models:
                self._pool.forget(worker, gone, models)
                if member.run_id is None:  # else what runs may bring them once more
                    member.tunes -= set(gone)
                    member.brought -= set(models)

    def status(self) -> dict[str, Any]:
        """Return what there is to watch, as JSON has it."""
        dispatcher, moment = self._dispatcher, time.time()
        self._ends = [one for one in self._ends if one[0] > moment - _RATE_S]
        self._ends.append((moment, dispatcher.counts.done))
        span_s = moment - self._ends[0][0]
        done = dispatcher.counts.done - self._ends[0][1]
        backlog = self._backlog()
        return {
            "updated_at": round(moment, 1),
            "waiting": backlog.all - backlog.held - dispatcher.running,
            "waiting_for_training": backlog.held,
            "running": dispatcher.running,
            **vars(dispatcher.counts),
            "per_minute": round(done / span_s * 60, 1) if span_s > 1 else None,
            "drained": sorted(self._pool.drained),
            "problem": self.problem,
            "workers": {name: self._told(name, one) for name, one in dispatcher.members.items()},
        }

    def _told(self, worker: str, member: Member) -> dict[str, Any]:
        if is_drained(member, self._pool.drained):
            state = "draining" if member.run_id else "drained"
        elif not self._pool.has(worker):
            state = "gone"
        elif not member.is_ready:
            state = "starting"
        else:
            state = "running" if member.run_id else "idle"
        return {
            "state": state,
            "base": sorted(member.models.base) if member.models else [],
            "done": member.done,
            "seconds": round(time.time() - member.since, 1) if member.run_id else None,
        }


def is_drained(member: Member, drained: Collection[str]) -> bool:
    """Say whether a worker is given nothing more."""
    return bool({member.hello.place, member.hello.machine} & set(drained))


def drained_in(folder: Path) -> list[str]:
    """Return the machines and workers that the owner has drained."""
    try:
        return json.loads((folder / DRAINED_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []


def drain(folder: Path, names: Collection[str], *, is_on: bool) -> list[str]:
    """Add machines and workers to those that are drained, or take them out; return all."""
    there = set(drained_in(folder))
    changed = sorted(there | set(names) if is_on else there - set(names))
    atomic_write(folder / DRAINED_FILE, json.dumps(changed).encode())
    return changed
