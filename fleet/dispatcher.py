"""The dispatcher: gives stored prompts to workers, and has their ends stored.

It holds nothing that cannot be lost: what waits and what runs stands in the source, and what runs
or has ended unseen is known to the workers. Knows neither Ray nor the database.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from ..nodes.errors import AstriaError
from ..nodes.tunes.prompts import Prompt
from .choosing import MOST_BYPASSES, Line, Models, Waiting, choose, models_of
from .runs import DIED, Hello, Result, Run, Told, TrainingRun, place_of

MOST_RUNS = 3  # a prompt whose worker ended while it ran is started so often
LOOKAHEAD = 256  # prompts that are chosen from at least
_PAGE = 100
_LOOK_S = 0.5  # between two looks for prompts that were deleted
_RESCAN_S = 5.0  # between two looks for prompts that waited for something else
_ASK_S = 2.0  # between two looks for trainings that came, and for how far they are
ADOPTING_S = 60.0  # for workers to tell what they run, when a dispatcher starts


class Source(Protocol):
    """Where prompts come from, and their ends go."""

    def page(self, after: int, limit: int) -> Sequence[Prompt]:
        """Return at most `limit` open prompts with ids above `after`, in the order of their ids."""

    def trainings(self) -> Sequence[TrainingRun]:
        """Return all open trainings. All below takes them like prompts."""

    def claim(self, runs: Mapping[int, str]) -> Collection[int]:
        """Note that prompts run now, by these run ids; return the ids of those that waited."""

    def requeue(self, prompts: Sequence[Prompt]) -> Collection[int]:
        """Note that prompts wait again, started `runs` times; return the ids of those open."""

    def run_ids(self, ids: Collection[int]) -> Mapping[int, str]:
        """Return the run ids of those prompts that are open."""

    def run_of(self, prompt: Prompt, bring: Collection[str] = ()) -> Run:
        """Return what a worker needs to run it, the model files in `bring` with their contents.

        Raises: OSError where a file is gone.
        """

    def keep(self, run: TrainingRun, told: Mapping[str, bytes]) -> None:
        """Keep what a training tells of itself while it runs."""

    def finish(self, ends: Sequence[tuple[Prompt, Result]]) -> None:
        """Store how prompts ended, with their pictures: those of runs that count still."""

    def fail(self, prompt: Prompt, why: str) -> None:
        """Store that a prompt failed."""


@dataclass(frozen=True)
class Ready:
    """A worker answers: it can be given a run, unless it has one."""

    worker: str
    hello: Hello


@dataclass(frozen=True)
class Ended:
    """A run has ended on a worker."""

    worker: str
    result: Result


@dataclass(frozen=True)
class Progress:
    """What a training has told since it was last asked."""

    run_id: str
    told: Told


@dataclass(frozen=True)
class Gone:
    """A worker does not answer any more, and what it ran is lost, until it is ready again."""

    worker: str


Event = Ready | Ended | Progress | Gone


class Pool(Protocol):
    """The workers. No method waits for one."""

    def events(self, wait_s: float) -> Sequence[Event]:
        """Return what happened, waiting for it at most that long."""

    def start(self, worker: str, run: Run) -> None:
        """Have a worker run something; `Ended` follows, or `Gone`."""

    def await_result(self, worker: str, run_id: str) -> None:
        """Have `Ended` follow for a run that another dispatcher started."""

    def ask(self, worker: str, run_id: str, tune_id: int, known: Mapping[str, int]) -> None:
        """Have `Progress` follow of a training, without the files that are `known` by version."""

    def acknowledge(self, worker: str, run_id: str) -> None:
        """Let a worker forget a result."""

    def interrupt(self, worker: str, run_id: str) -> None:
        """Have a run ended."""

    def is_settled(self) -> bool:
        """Say whether every worker that there is has answered or is gone."""


@dataclass
class Member:
    """A worker as the dispatcher sees it."""

    hello: Hello
    run_id: str | None = None
    is_ready: bool = True
    models: Models | None = None  # of its last run
    done: int = 0
    since: float = 0.0  # when its run began
    tunes: set[int] = field(default_factory=set)  # whose photos it may have
    brought: set[str] = field(default_factory=set)  # model files that it may have


@dataclass
class Counts:
    """What happened since the dispatcher started."""

    done: int = 0
    failed: int = 0
    rerun: int = 0
    loads: int = 0  # runs whose base the worker did not have


class Dispatcher:
    """Gives prompts of a source to workers of a pool."""

    def __init__(self, source: Source, pool: Pool) -> None:
        self._source = source
        self._pool = pool
        self.members: dict[str, Member] = {}
        self.counts = Counts()
        self.drained: Collection[str] = ()  # machines, and workers, that are given nothing more
        self._line = Line()
        self._prompts: dict[int, Prompt] = {}  # in the line, or running
        self._running: dict[str, tuple[Prompt, str]] = {}  # run id -> prompt, worker
        self._orphans: dict[str, Prompt] | None = None  # run by a dispatcher before, run id first
        self._ends: list[tuple[Prompt, Result, str]] = []
        self._died: list[Prompt] = []  # whose worker ended under them
        self._known: dict[str, dict[str, int]] = {}  # run id of a training -> files, versions
        self._after = 0
        self._started_at = self._looked_at = self._scanned_at = time.monotonic()
        self._asked_at = 0.0

    @property
    def running(self) -> int:
        """How many prompts run."""
        return len(self._running)

    def step(self, wait_s: float = 0.1) -> None:
        """Do what there is to do, after waiting for something to happen at most that long."""
        if self._orphans is None:
            self._orphans = self._left_running()
        for event in self._pool.events(wait_s):
            self._take(event)
        self._store_ends()
        self._forget_deleted()
        self._take_orphans()
        self._run_again()
        self._look_at_trainings()
        self._refill()
        self._assign()

    def is_idle(self) -> bool:
        """Say whether nothing waits or runs."""
        return not (len(self._line) or self._running or self._orphans or self._ends or self._died)

    def _left_running(self) -> dict[str, Prompt]:
        found: dict[str, Prompt] = {}
        after = 0
        while page := self._source.page(after, _PAGE):
            found |= {one.run_id: one for one in page if one.status == "running"}
            after = page[-1].id
        trainings = [one for one in self._source.trainings() if one.status == "running"]
        return found | {one.run_id: one for one in trainings}

    def _take(self, event: Event) -> None:
        if isinstance(event, Ready):
            self._greet(event.worker, event.hello)
        elif isinstance(event, Gone):
            member = self.members.get(event.worker)
            if member is not None:
                member.is_ready = False
                self._lost(member)
        elif isinstance(event, Progress):
            self._keep(event.run_id, event.told)
        else:
            self._end(event.worker, event.result)

    def _greet(self, worker: str, hello: Hello) -> None:
        member = self.members.setdefault(worker, Member(hello))
        member.hello, member.is_ready = hello, True
        member.tunes |= set(hello.tunes)
        member.brought |= set(hello.models)
        for run_id in hello.run_ids:
            prompt = (self._orphans or {}).pop(run_id, None)
            if prompt is not None:
                self._running[run_id] = (prompt, worker)
                self._prompts[prompt.id] = prompt
                member.run_id, member.models = run_id, models_of(prompt.workflow)
                self._pool.await_result(worker, run_id)
            elif run_id not in self._running:
                self._pool.interrupt(worker, run_id)
                self._pool.acknowledge(worker, run_id)

    def _end(self, worker: str, result: Result) -> None:
        member = self.members.get(worker)
        if member is not None and member.run_id == result.run_id:
            if result.lost:
                member.is_ready = False  # until it has started anew, and says so
                self._lost(member)
                return
            if result.lacks and self._bring(worker, result):
                return
            member.run_id = None
            member.done += not result.lacks
        prompt, _ = self._running.pop(result.run_id, (None, ""))
        self._known.pop(result.run_id, None)
        if prompt is None:
            self._pool.acknowledge(worker, result.run_id)
        elif not (result.lost or result.lacks):
            self._ends.append((prompt, result, worker))

    def _bring(self, worker: str, result: Result) -> bool:
        """Bring a worker what it lacks for a run, and have it begin; say whether it does."""
        prompt, _ = self._running.get(result.run_id, (None, ""))
        return prompt is not None and self._begin(prompt, worker, result.lacks)

    def _keep(self, run_id: str, told: Told) -> None:
        """Keep what a training has told."""
        prompt, _ = self._running.get(run_id, (None, ""))
        known = self._known.get(run_id)
        if isinstance(prompt, TrainingRun) and known is not None:
            self._source.keep(prompt, {name: content for name, (_, content) in told.items()})
            known |= {name: version for name, (version, _) in told.items()}

    def _lost(self, member: Member) -> None:
        """Note that a worker ended, and with it what it ran."""
        run_id, member.run_id, member.models = member.run_id, None, None
        self._known.pop(run_id or "", None)
        prompt, _ = self._running.pop(run_id or "", (None, ""))
        if prompt is not None:
            self._died.append(prompt)

    def _run_again(self) -> None:
        """Have what died wait once more, or failed where that happened too often."""
        while self._died:
            prompt = self._died[0]
            self._prompts.pop(prompt.id, None)
            if prompt.runs >= MOST_RUNS:
                text = f"Its worker ended {prompt.runs} times while this prompt was running."
                self._source.fail(prompt, text)
                self.counts.failed += 1
            else:
                again = replace(prompt, status="queued", run_id=str(uuid.uuid4()))
                if self._source.requeue([again]):
                    self._enter([again])
                    self.counts.rerun += 1
            self._died.pop(0)

    def _store_ends(self) -> None:
        if not self._ends:
            return
        self._source.finish([(prompt, result) for prompt, result, _ in self._ends])
        for prompt, result, worker in self._ends:
            succeeded = (result.entry or {}).get("status", {}).get("status_str") == "success"
            self.counts.done += succeeded
            self.counts.failed += not succeeded
            self._prompts.pop(prompt.id, None)
            self._pool.acknowledge(worker, result.run_id)
        self._ends.clear()

    def _forget_deleted(self) -> None:
        if time.monotonic() - self._looked_at < _LOOK_S:
            return
        self._looked_at = time.monotonic()
        there = self._source.run_ids(self._prompts.keys())
        for id in [one for one in self._prompts if one not in there]:
            self._line.remove(id)
            del self._prompts[id]
        for run_id, (prompt, worker) in list(self._running.items()):
            if there.get(prompt.id) != run_id:
                del self._running[run_id]  # the worker is free when it tells the end
                self._pool.interrupt(worker, run_id)

    def _take_orphans(self) -> None:
        """Run once more what no worker has told of."""
        is_late = time.monotonic() - self._started_at > ADOPTING_S
        if self._orphans and (is_late or self._pool.is_settled()):
            self._died += self._orphans.values()
            self._orphans = {}

    def _look_at_trainings(self) -> None:
        """Take in trainings that came, and ask those that run how far they are."""
        if time.monotonic() - self._asked_at < _ASK_S:
            return
        self._asked_at = time.monotonic()
        waiting = [one for one in self._source.trainings() if one.status == "queued"]
        self._enter([one for one in waiting if one.id not in self._prompts])
        for run_id, (prompt, worker) in self._running.items():
            if isinstance(prompt, TrainingRun):
                known = self._known.setdefault(run_id, {})
                self._pool.ask(worker, run_id, int(prompt.tune_id), dict(known))

    def _refill(self) -> None:
        lookahead = max(LOOKAHEAD, MOST_BYPASSES * self._workers())
        if len(self._line) >= lookahead:
            return
        if time.monotonic() - self._scanned_at > _RESCAN_S:
            self._scanned_at, self._after = time.monotonic(), 0
        while len(self._line) < lookahead and (page := self._source.page(self._after, _PAGE)):
            self._after = page[-1].id
            self._enter(
                one
                for one in page
                if one.status == "queued" and one.waits_for is None and one.id not in self._prompts
            )

    def _enter(self, prompts: Collection[Prompt]) -> None:
        new = list(prompts)
        self._prompts |= {one.id: one for one in new}
        self._line.add(Waiting(one.id, models_of(one.workflow), place=place_of(one)) for one in new)

    def _assign(self) -> None:
        chosen: list[tuple[Prompt, str, Models]] = []
        held = Counter(one.models.base for one in self.members.values() if one.models is not None)
        free = {name: self.members[name].models for name in self._free()} if len(self._line) else {}
        for worker, taken in choose(self._line, free, held, self._workers()):
            member = self.members[worker]
            prompt = self._prompts[taken.id]
            run = replace(prompt, run_id=str(uuid.uuid4()), runs=prompt.runs + 1, status="running")
            chosen.append((run, worker, taken.models))
            if member.models is None or member.models.base != taken.models.base:
                self.counts.loads += 1
            member.models = taken.models
        if not chosen:
            return
        try:
            claimed = self._source.claim({one.id: one.run_id for one, _, _ in chosen})
        except AstriaError:
            again = [(one, models, place_of(one)) for one, _, models in chosen]
            self._line.add(Waiting(one.id, models, place=place) for one, models, place in again)
            raise
        for prompt, worker, _ in chosen:
            if prompt.id in claimed:
                self._start(prompt, worker)
            else:
                self._prompts.pop(prompt.id, None)  # deleted meanwhile

    def _workers(self) -> int:
        return max(1, sum(one.is_ready for one in self.members.values()))

    def _free(self) -> list[str]:
        """Return the workers that can be given something."""
        return [
            name
            for name, one in self.members.items()
            if one.is_ready
            and one.run_id is None
            and not {one.hello.place, one.hello.machine} & set(self.drained)
        ]

    def _start(self, prompt: Prompt, worker: str) -> None:
        self._prompts[prompt.id] = prompt
        self._running[prompt.run_id] = (prompt, worker)
        if self._begin(prompt, worker):
            member = self.members[worker]
            member.run_id, member.since = prompt.run_id, time.time()

    def _begin(self, prompt: Prompt, worker: str, bring: Collection[str] = ()) -> bool:
        """Have a worker run what was claimed; where a file of it is gone it fails."""
        try:
            run = self._source.run_of(prompt, bring)
        except OSError as error:
            self._prompts.pop(prompt.id, None)
            self._running.pop(prompt.run_id, None)
            self.counts.failed += 1
            self._source.fail(prompt, f"A file that it needs is gone: {error.strerror}.")
            return False
        member = self.members[worker]
        member.tunes |= {one.id for one in run.tunes}
        member.brought |= set(run.models)
        self._pool.start(worker, run)
        return True


def lost(run_id: str) -> Result:
    """Return the result of a run whose ComfyUI ended under it."""
    return Result(run_id, lost=DIED)
