"""A fleet's dispatcher with pretended workers: the database, the choosing, its own work, and a day.

No Ray, no ComfyUI, no network: what is measured is what the pack adds. `--long` takes the whole day
of a million prompts.
"""

from __future__ import annotations

import heapq
import random
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from comfyui_astria.bench._figures import figure
from comfyui_astria.fleet.choosing import MOST_BYPASSES, Line, Models, Waiting, choose
from comfyui_astria.fleet.database import DatabaseSource
from comfyui_astria.fleet.dispatcher import LOOKAHEAD, Dispatcher, Ended, Event, Ready
from comfyui_astria.fleet.runs import Hello, Result, Run
from comfyui_astria.nodes.tunes.prompts import Prompt, PromptStore
from comfyui_astria.nodes.tunes.schema import connected
from comfyui_astria.nodes.tunes.store import DATABASE_FILE

COMMITTED = 200  # prompts of the measurement of commits
TOGETHER = 10
RUN_S = 1.0
WORKERS = (1, 2, 4)
MANY, MANY_PROMPTS = 100, 600
MEASURED_S = 8.0
BUDGET_MS = 2.0  # of the dispatcher's CPU a prompt

MIXED = 40

# The day: what is assumed, not measured.
GPUS, PROMPTS, DAY_S = 100, 1_000_000, 86_400
PEAK = 5.0  # times the mean, at its highest
BASES, LORAS = 200, 20_000
DAY_LOAD_S, DAY_LORA_S, DAY_PAINT_S = 10.0, 0.5, 4.0
DEATHS = 0.001  # of the runs end with their worker
RESTART_S = 60.0
ENOUGH_GPUS = 400  # for the peak of that day

# Prompts that come evenly, a little faster than so many GPUs paint.
STEADY, STEADY_RATE = 8000, 20.0


def run() -> list[dict]:
    """Return the figures, of a day that is a twentieth as long, with as many prompts a second."""
    return [*_commits(), *_rates(), *_many(), *_loads(), *_steady(), *_day(0.05)]


def run_long() -> list[dict]:
    """Return the figures, with the whole day, and one of more GPUs."""
    days = [*_day(1.0), *_day(0.1, ENOUGH_GPUS)]
    return [*_commits(), *_rates(), *_many(), *_loads(), *_steady(), *days]


def _prompt(number: int, base: str = "a.safetensors") -> Prompt:
    """Return a prompt with a workflow of usual length, some 3 KB."""
    nodes = {
        f"stage.node_{one}": {"class_type": "Any", "inputs": {"text": "x" * 200}}
        for one in range(10)
    }
    loader = {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": base}}
    workflow = {**nodes, "models.checkpoint": loader}
    return Prompt("690204", {"text": "a cat"}, str(number), "http://127.0.0.1:8188", workflow)


def _commits() -> list[dict]:
    rates = {}
    with tempfile.TemporaryDirectory() as folder:
        store = PromptStore(Path(folder))
        stored = store.add_together([(_prompt(one), None) for one in range(2 * COMMITTED)])
        singly, grouped = stored[:COMMITTED], stored[COMMITTED:]
        start = time.perf_counter()
        for one in singly:
            store.start(one.id, one.run_id)
            store.finish(replace(one, status="done"), "")
        rates["one by one"] = COMMITTED / (time.perf_counter() - start)
        start = time.perf_counter()
        for at in range(0, COMMITTED, TOGETHER):
            some = grouped[at : at + TOGETHER]
            store.claim({one.id: one.run_id for one in some})
            store.finish_many([(replace(one, status="done"), "") for one in some])
        rates[f"{TOGETHER} together"] = COMMITTED / (time.perf_counter() - start)
        with connected(Path(folder) / DATABASE_FILE) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.execute("VACUUM")  # the room of workflows is used again
        a_million_gb = (Path(folder) / DATABASE_FILE).stat().st_size / (2 * COMMITTED) / 1000
    return [
        figure("rows of a million ended prompts", round(a_million_gb, 1), "GB"),
        *_told(rates),
    ]


def _told(rates: Mapping[str, float]) -> list[dict]:
    return [
        figure(f"prompts begun and ended in the database, {how}", round(rate), "a second")
        for how, rate in rates.items()
    ]


@dataclass
class TimedPool:
    """Workers that take a second for each run, by the clock."""

    workers: int
    _due: list[tuple[float, str, str]] = field(default_factory=list)
    _said_hello: bool = False

    def events(self, wait_s: float) -> Sequence[Event]:
        if not self._said_hello:
            self._said_hello = True
            return [Ready(f"m/{one}", Hello("m", str(one), "")) for one in range(self.workers)]
        if not self._due or self._due[0][0] > time.monotonic():
            next_s = self._due[0][0] - time.monotonic() if self._due else wait_s
            time.sleep(max(0.0, min(wait_s, next_s)))
        done = []
        while self._due and self._due[0][0] <= time.monotonic():
            _, worker, run_id = heapq.heappop(self._due)
            entry = {"outputs": {}, "status": {"status_str": "success", "messages": []}}
            done.append(Ended(worker, Result(run_id, entry)))
        return done

    def start(self, worker: str, run: Run) -> None:
        heapq.heappush(self._due, (time.monotonic() + RUN_S, worker, run.run_id))

    def await_result(self, worker: str, run_id: str) -> None: ...

    def ask(self, worker: str, run_id: str, tune_id: int, known: Mapping[str, int]) -> None: ...

    def acknowledge(self, worker: str, run_id: str) -> None: ...

    def interrupt(self, worker: str, run_id: str) -> None: ...

    def is_settled(self) -> bool:
        return True


def _dispatched(workers: int, prompts: int, until: Callable[[Dispatcher, float], bool]) -> tuple:
    """Return prompts done, seconds, and CPU seconds of a dispatcher with stored prompts."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folders = {one: folder / one for one in ("input", "output", "temp")}
        source = DatabaseSource(folder, folders)
        PromptStore(folder).add_together([(_prompt(one), None) for one in range(prompts)])
        dispatcher = Dispatcher(source, TimedPool(workers))
        start, cpu = time.perf_counter(), time.process_time()
        while not until(dispatcher, time.perf_counter() - start):
            dispatcher.step()
        return dispatcher.counts.done, time.perf_counter() - start, time.process_time() - cpu


def _rates() -> list[dict]:
    rows = []
    for workers in WORKERS:
        done, took, _ = _dispatched(
            workers, int(workers * MEASURED_S * 2), lambda _, passed: passed > MEASURED_S
        )
        name = f"prompts with {workers} pretended workers of {RUN_S:g} s"
        rows.append(figure(name, round(done / took, 2), "a second"))
    return rows


def _many() -> list[dict]:
    done, took, cpu = _dispatched(
        MANY, MANY_PROMPTS, lambda dispatcher, _: dispatcher.counts.done >= MANY_PROMPTS
    )
    each_ms = cpu / done * 1000
    return [
        figure(f"prompts with {MANY} pretended workers", round(done / took, 1), "a second"),
        figure(
            f"CPU of the dispatcher, {MANY} workers",
            round(each_ms, 2),
            "ms a prompt",
            each_ms <= BUDGET_MS,
        ),
    ]


def _models(number: int) -> Models:
    return Models(frozenset([str(number)]))


def _loads() -> list[dict]:
    bases = [_models(one % 3) for one in range(MIXED)]
    line = Line()
    line.add(Waiting(number, one) for number, one in enumerate(bases))
    held: Models | None = None
    loads, order = 0, []
    while len(line):
        taken = line.take(held, ())
        loads += held is None or taken.models.base != held.base
        held = taken.models
        order.append(taken.id)
    worst = max(place - id for place, id in enumerate(order))
    in_order = sum(one != other for one, other in zip(bases, [None, *bases], strict=False))
    return [
        figure(f"loads, {MIXED} prompts of three bases by turns, first in first out", in_order, ""),
        figure(f"loads, {MIXED} prompts of three bases by turns, a fleet's choice", loads, ""),
        figure("the most places that one of them starts later", worst, ""),
    ]


class Day:
    """A day of a fleet, in a time of its own: prompts that come, GPUs that load and paint."""

    def __init__(self, share: float, gpus: int = GPUS, seed: int = 1) -> None:
        self.gpus = gpus
        self.bound_of = gpus  # workers by whose number the bound on overtaking grows
        self.day_s = DAY_S * share
        self._chance = random.Random(seed)
        self._coming = self._moments(round(PROMPTS * share)) if share else []
        self._bases = _popular(BASES)
        self._loras = _popular(LORAS)
        self.waits: list[float] = []
        self.counts: Counter[str] = Counter()
        self.longest = 0
        self._held: Counter[frozenset[str]] = Counter()  # bases, and how many GPUs have each

    def _moments(self, prompts: int) -> list[float]:
        """Return when prompts come: `PEAK` times the mean at the peak, by night a third of it."""
        # A bell of an hour and a half to each side stands on that level.
        width_s, middle_s = 5400.0, 14 * 3600.0
        bell = 2.5066 * width_s * (PEAK - 0.5) / DAY_S  # its share of a day at mean 1
        found = []
        for _ in range(prompts):
            moment = -1.0
            while not 0 <= moment < DAY_S:
                moment = (
                    self._chance.gauss(middle_s, width_s)
                    if self._chance.random() < bell
                    else self._chance.random() * DAY_S
                )
            found.append(moment * self.day_s / DAY_S)
        return sorted(found)

    def live_evenly(self, prompts: int, a_second: float) -> None:
        """Live through prompts that come one after another."""
        self._coming = [number / a_second for number in range(prompts)]
        self.live()

    def live(self) -> None:
        """Live through the day."""
        line, held = Line(), dict[int, Models]()
        free = set(range(self.gpus))
        busy: list[tuple[float, int, Waiting | None]] = []  # until when, GPU, what died
        backlog: list[tuple[int, float, Models]] = []
        came: dict[int, float] = {}
        coming, at, id, moment = self._coming, 0, 0, 0.0
        read, lookahead = 0, max(LOOKAHEAD, MOST_BYPASSES * self.gpus)
        while at < len(coming) or read < len(backlog) or len(line) or busy:
            soon = [coming[at]] if at < len(coming) else []
            moment = min([*soon, busy[0][0]] if busy else soon)
            while at < len(coming) and coming[at] <= moment:
                backlog.append((id, coming[at], self._asked()))
                at, id = at + 1, id + 1
            while busy and busy[0][0] <= moment:
                _, gpu, died = heapq.heappop(busy)
                free.add(gpu)
                if died is not None:
                    line.add([died])
            while len(line) < lookahead and read < len(backlog):
                new = backlog[read : read + lookahead - len(line)]
                came |= {one: when for one, when, _ in new}
                line.add(Waiting(one, models) for one, _, models in new)
                read += len(new)
            self.longest = max(self.longest, len(line) + len(backlog) - read)
            idle = {gpu: held.get(gpu) for gpu in free} if len(line) else {}
            for gpu, taken in choose(line, idle, self._held, self.bound_of):
                free.discard(gpu)
                self._begin(gpu, taken, held, busy, moment - came[taken.id], moment)

    def _asked(self) -> Models:
        base = self._bases(self._chance)
        return Models(frozenset([str(base)]), frozenset([str(self._loras(self._chance))]))

    def _begin(self, gpu, taken, held, busy, waited, moment) -> None:
        before = held.get(gpu)
        took = DAY_PAINT_S
        if before is None or before.base != taken.models.base:
            self.counts["loads"] += 1
            took += DAY_LOAD_S
        if before is None or before.loras != taken.models.loras:
            self.counts["loras"] += 1
            took += DAY_LORA_S
        self.counts["busy"] += took
        held[gpu] = taken.models
        if self._chance.random() < DEATHS:
            self.counts["deaths"] += 1
            self._held[held.pop(gpu).base] -= 1
            heapq.heappush(busy, (moment + took / 2 + RESTART_S, gpu, taken))
            return
        self.waits.append(waited)
        self.counts["done"] += 1
        heapq.heappush(busy, (moment + took, gpu, None))


def _popular(count: int) -> Callable[[random.Random], int]:
    """Return what draws one of `count`, the n-th with a chance of 1/n (Zipf's law)."""
    total, sums = 0.0, []
    for rank in range(1, count + 1):
        total += 1 / rank
        sums.append(total)
    ranks = range(count)
    return lambda chance: chance.choices(ranks, cum_weights=sums)[0]


def _steady() -> list[dict]:
    rows = []
    for bound_of, how in ((1, "in all"), (GPUS, "for each GPU")):
        day = Day(0.0)
        day.bound_of = bound_of
        day.live_evenly(STEADY, STEADY_RATE)
        waits = sorted(day.waits)
        of = f"{STEADY} prompts at {STEADY_RATE:g} a second, {MOST_BYPASSES} overtakings {how}"
        loads, took = (day.counts[one] / len(waits) for one in ("loads", "busy"))
        rows += [
            figure(f"{of}: prompts for which a base was loaded", round(loads * 100), "%"),
            figure(f"{of}: of a GPU for each", round(took, 1), "s"),
            figure(f"{of}: waiting, median", round(statistics.median(waits)), "s"),
            figure(f"{of}: waiting, 99th percentile", round(waits[int(len(waits) * 0.99)]), "s"),
        ]
    return rows


def _day(share: float, gpus: int = GPUS) -> list[dict]:
    day = Day(share, gpus)
    day.live()
    waits = sorted(day.waits)
    of = f"{day.day_s / 3600:g} h of {day.gpus} GPUs"
    loads, loras = (day.counts[one] / len(waits) for one in ("loads", "loras"))
    busy = day.counts["busy"] / (day.gpus * day.day_s)
    return [
        figure(f"{of}: prompts", day.counts["done"], ""),
        figure(f"{of}: waiting, median", round(statistics.median(waits), 1), "s"),
        figure(f"{of}: waiting, 99th percentile", round(waits[int(len(waits) * 0.99)]), "s"),
        figure(f"{of}: longest line", day.longest, "prompts"),
        figure(f"{of}: prompts for which a base was loaded", round(loads * 100, 1), "%"),
        figure(f"{of}: prompts for which a LoRA was loaded", round(loras * 100, 1), "%"),
        figure(f"{of}: of a GPU for each", round(day.counts["busy"] / len(waits), 1), "s"),
        figure(f"{of}: GPUs busy", round(busy * 100), "%"),
        figure(f"{of}: runs that died", day.counts["deaths"], ""),
    ]
