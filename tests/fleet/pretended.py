"""Prompts in memory and workers that are none, to test and measure a dispatcher's logic by."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from comfyui_astria.fleet.dispatcher import Ended, Event, Gone, Progress, Ready, lost
from comfyui_astria.fleet.runs import Hello, ModelFile, Result, Run, TrainingRun
from comfyui_astria.nodes.tunes.prompts import Prompt

MODEL = "loras/astria/tune-7.safetensors"
DONE = {"outputs": {}, "status": {"status_str": "success", "messages": []}}


def workflow_of(base: str, lora: str = "") -> dict:
    """Return a workflow of two loaders."""
    return {
        "models.checkpoint": {"class_type": "Loader", "inputs": {"ckpt_name": base}},
        "models.lora": {"class_type": "LoraLoader", "inputs": {"lora_name": lora}},
    }


@dataclass
class MemorySource:
    """Prompts in a dictionary, with the database's rules."""

    prompts: dict[int, Prompt] = field(default_factory=dict)
    ends: list[tuple[int, str]] = field(default_factory=list)  # prompt id, status
    kept: list[tuple[str, dict[str, bytes]]] = field(default_factory=list)  # run id, files
    modelled: bool = False

    def train(self, behind: int = 0) -> int:
        """Ask for a training and return its id."""
        id = min([0, *self.prompts]) - 1
        about = ("7", {}, "", "", workflow_of("a"))
        self.prompts[id] = TrainingRun(*about, id=id, run_id=new_run_id(), behind=behind)
        return id

    def add(self, base: str = "a", lora: str = "") -> int:
        """Store a prompt and return its id."""
        id = len(self.prompts) + 1
        workflow = workflow_of(base, lora)
        self.prompts[id] = Prompt("1", {}, str(id), "http://127.0.0.1", workflow, id=id)
        return id

    def page(self, after: int, limit: int) -> Sequence[Prompt]:
        """As DatabaseSource.page."""
        is_open = ("queued", "running")
        found = [one for id, one in self.prompts.items() if id > after and one.status in is_open]
        found = [one for one in found if not isinstance(one, TrainingRun)]
        return found[:limit]

    def claim(self, runs: Mapping[int, str]) -> Collection[int]:
        """As DatabaseSource.claim."""
        claimed = [id for id in runs if id in self.prompts and self.prompts[id].status == "queued"]
        for id in claimed:
            one = self.prompts[id]
            self.prompts[id] = replace(one, status="running", run_id=runs[id], runs=one.runs + 1)
        return claimed

    def requeue(self, prompts: Sequence[Prompt]) -> Collection[int]:
        """As DatabaseSource.requeue."""
        there = [one for one in prompts if one.id in self.prompts]
        self.prompts |= {one.id: one for one in there}
        return [one.id for one in there]

    def run_ids(self, ids: Collection[int]) -> Mapping[int, str]:
        """As DatabaseSource.run_ids."""
        return {id: self.prompts[id].run_id for id in ids if id in self.prompts}

    def trainings(self) -> Sequence[TrainingRun]:
        """As DatabaseSource.trainings."""
        return [
            one
            for one in self.prompts.values()
            if isinstance(one, TrainingRun) and one.status in ("queued", "running")
        ]

    def keep(self, run: TrainingRun, told: Mapping[str, bytes]) -> None:
        """As DatabaseSource.keep."""
        self.kept.append((run.run_id, dict(told)))

    def run_of(self, prompt: Prompt, bring: Collection[str] = ()) -> Run:
        """As DatabaseSource.run_of: one model file, where it is `modelled`."""
        models = {MODEL: ModelFile(1, 0.0, b"x" if MODEL in bring else None)}
        return Run(prompt.run_id, prompt.workflow, models=models if self.modelled else {})

    def finish(self, ends: Sequence[tuple[Prompt, Result]]) -> None:
        """As DatabaseSource.finish."""
        for prompt, _ in ends:
            if self.run_ids([prompt.id]).get(prompt.id) == prompt.run_id:
                self._end(prompt, "done")

    def fail(self, prompt: Prompt, why: str) -> None:
        """As DatabaseSource.fail."""
        self._end(prompt, "failed")

    def _end(self, prompt: Prompt, status: str) -> None:
        self.prompts[prompt.id] = replace(prompt, status=status)
        self.ends.append((prompt.id, status))


@dataclass
class ScriptedPool:
    """Workers that do what a test says."""

    waiting_events: list[Event] = field(default_factory=list)
    under_way: dict[str, Run] = field(default_factory=dict)  # worker -> run
    started: list[tuple[str, str]] = field(default_factory=list)  # worker, run id
    awaited: list[tuple[str, str]] = field(default_factory=list)
    acknowledged: list[str] = field(default_factory=list)
    interrupted: list[str] = field(default_factory=list)
    settled: bool = True
    drained: Collection[str] = ()
    released: list[str] = field(default_factory=list)
    forgotten: list[tuple[str, tuple[int, ...]]] = field(default_factory=list)
    forgotten_models: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    asked: list[tuple[str, str, dict[str, int]]] = field(default_factory=list)

    def appears(
        self,
        worker: str,
        *run_ids: str,
        tunes: tuple[int, ...] = (),
        models: tuple[str, ...] = (),
    ) -> None:
        """Have a worker answer, that has these runs, photo sets and model files."""
        machine, _, slot = worker.partition("/")
        self.waiting_events.append(Ready(worker, Hello(machine, slot, "1", run_ids, tunes, models)))

    def ends(self, worker: str) -> None:
        """Have a worker's run end well."""
        run = self.under_way.pop(worker)
        self.waiting_events.append(Ended(worker, Result(run.run_id, DONE)))

    def lacks(self, worker: str) -> None:
        """Have a worker lack the model file of its run."""
        run_id = self.under_way.pop(worker).run_id
        self.waiting_events.append(Ended(worker, Result(run_id, lacks=(MODEL,))))

    def tells(self, worker: str, version: int, content: bytes) -> None:
        """Have the training of a worker tell how far it is."""
        told = {"progress.json": (version, content)}
        self.waiting_events.append(Progress(self.under_way[worker].run_id, told))

    def dies(self, worker: str) -> None:
        """Have a worker end under its run."""
        self.under_way.pop(worker, None)
        self.waiting_events.append(Gone(worker))

    def loses(self, worker: str) -> None:
        """Have the ComfyUI of a worker end under its run."""
        self.waiting_events.append(Ended(worker, lost(self.under_way.pop(worker).run_id)))

    def events(self, wait_s: float) -> Sequence[Event]:
        """As RayPool.events."""
        found, self.waiting_events = self.waiting_events, []
        return found

    def start(self, worker: str, run: Run) -> None:
        """As RayPool.start."""
        assert worker not in self.under_way, "one at a time"
        self.under_way[worker] = run
        self.started.append((worker, run.run_id))

    def await_result(self, worker: str, run_id: str) -> None:
        """As RayPool.await_result."""
        self.awaited.append((worker, run_id))
        self.under_way[worker] = Run(run_id, {})

    def acknowledge(self, worker: str, run_id: str) -> None:
        """As RayPool.acknowledge."""
        self.acknowledged.append(run_id)

    def interrupt(self, worker: str, run_id: str) -> None:
        """As RayPool.interrupt."""
        self.interrupted.append(run_id)

    def has(self, worker: str) -> bool:
        """As RayPool.has."""
        return worker not in self.released

    def release(self, worker: str) -> None:
        """As RayPool.release."""
        self.released.append(worker)

    def ask(self, worker: str, run_id: str, tune_id: int, known: Mapping[str, int]) -> None:
        """As RayPool.ask."""
        self.asked.append((worker, run_id, dict(known)))

    def forget(self, worker: str, tunes: tuple[int, ...], models: tuple[str, ...]) -> None:
        """As RayPool.forget."""
        if tunes:
            self.forgotten.append((worker, tunes))
        if models:
            self.forgotten_models.append((worker, models))

    def is_settled(self) -> bool:
        """As RayPool.is_settled."""
        return self.settled


def new_run_id() -> str:
    """Return an id that no run has."""
    return str(uuid.uuid4())
