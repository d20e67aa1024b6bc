"""The workers as Ray's actors.

Only here is Ray imported, which lies in a venv of its own.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray import cloudpickle
from ray.exceptions import GetTimeoutError, RayActorError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ..devtools.console import DevError, say
from . import boot
from .dispatcher import Ended, Event, Gone, Progress, Ready
from .nodes import MACHINE, SLOT
from .runs import Hello, Run
from .worker import Worker

NAMESPACE = "astria-fleet"
_LOOK_S = 2.0  # between two looks for machines that came or went
_GREET_S = 1.0  # between two tries to reach a worker that does not answer
_OTHER_VERSION_S = 60.0  # until a worker of another version is asked again
_GROUPS = {"run": 1, "hello": 1, "wait": 2, "control": 2}
_GROUP_OF = {"run": "run", "hello": "hello", "result": "wait"}  # the others are of "control"


@dataclass(frozen=True)
class Machine:
    """A node of the cluster: Ray's id of it, its name, and its slots."""

    node_id: str
    name: str
    slots: tuple[str, ...]


def connect(address: str, wait_s: float = 60.0) -> None:
    """Join the cluster as a driver, and have its processes load the pack.

    Raises: DevError where it does not answer, or does not take the token.
    """
    cloudpickle.register_pickle_by_value(boot)
    deadline = time.monotonic() + wait_s
    while True:
        try:
            ray.init(
                address=address,  # never without: Ray then tries what a file of the machine names
                namespace=NAMESPACE,
                log_to_driver=False,
                configure_logging=False,
                runtime_env={"worker_process_setup_hook": boot.load_pack},
            )
            # Ray's own handler writes where each thread stands, as if this were a crash.
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            return
        except (RayError, ConnectionError, RuntimeError, ValueError) as error:
            if time.monotonic() > deadline or "token" in str(error).lower():
                text = f"The cluster at {address} cannot be joined: {str(error)[:500]}"
                raise DevError(
                    text,
                    "Is its head running, the port reachable, and the token the same everywhere?",
                ) from error
            time.sleep(1)


def machines() -> list[Machine]:
    """Return the nodes that are alive and have workers."""
    found = []
    for node in ray.nodes():
        offered = node["Resources"] if node["Alive"] else {}
        names = [one.removeprefix(MACHINE) for one in offered if one.startswith(MACHINE)]
        slots = sorted(one.removeprefix(SLOT) for one in offered if one.startswith(SLOT))
        if names:
            found.append(Machine(node["NodeID"], names[0], tuple(slots)))
    return found


class _OnlyOne:
    """An actor of the dispatcher's own, that ends with it: there is one of its name."""


def be_the_only_dispatcher(is_waiting: Callable[[], None], wait_s: float = 60.0) -> Any:
    """Return what keeps other dispatchers off this cluster, for as long as it is held.

    `is_waiting` is called once where there is another. Raises: DevError where it stays.
    """
    deadline, is_told = time.monotonic() + wait_s, False
    while True:
        try:
            return ray.remote(num_cpus=0)(_OnlyOne).options(name="dispatcher").remote()
        except ValueError as error:  # the name is taken, for some seconds also by one that died
            if time.monotonic() > deadline:
                raise DevError(
                    "Another dispatcher works on this cluster.",
                    "End it first: two would take each other's workers.",
                ) from error
            if not is_told:
                is_told = True
                is_waiting()
            time.sleep(1)


class RayPool:
    """The workers of all machines: detached actors, which outlive their dispatcher.

    Each is bound to its machine's node, and goes with it; killed alone it starts again there.
    """

    def __init__(self, version: str) -> None:
        self.drained: Collection[str] = ()  # machines and workers for which none is made
        self._version = version  # of the pack: workers of another one are given nothing
        self._actors: dict[str, Any] = {}
        self._nodes: dict[str, str] = {}  # worker -> node id
        self._pending: dict[Any, tuple[str, str]] = {}  # ref -> worker, method
        self._answered: set[str] = set()  # ready, or known not to be
        self._greet_at: dict[str, float] = {}
        self._events: list[Event] = []
        self._looked_at = 0.0

    def events(self, wait_s: float) -> Sequence[Event]:
        """Return what happened, waiting for it at most that long."""
        self._look()
        self._greet()
        if self._pending:
            done, _ = ray.wait(list(self._pending), num_returns=1, timeout=wait_s)
            if done:  # and all others that are there by now
                done, _ = ray.wait(list(self._pending), num_returns=len(self._pending), timeout=0)
            for ref in done:
                self._take(ref)
        else:
            time.sleep(wait_s)
        found, self._events = self._events, []
        return found

    def start(self, worker: str, run: Run) -> None:
        """Have a worker run something."""
        self._call(worker, "run", run)

    def await_result(self, worker: str, run_id: str) -> None:
        """Have `Ended` follow for a run that another dispatcher started."""
        self._call(worker, "result", run_id)

    def ask(self, worker: str, run_id: str, tune_id: int, known: Mapping[str, int]) -> None:
        """Have `Progress` follow of a training, unless it is on its way."""
        if (worker, "progress") not in self._pending.values():
            self._call(worker, "progress", run_id, tune_id, known)

    def acknowledge(self, worker: str, run_id: str) -> None:
        """Let a worker forget a result."""
        self._call(worker, "acknowledge", run_id)

    def interrupt(self, worker: str, run_id: str) -> None:
        """Have a run ended."""
        self._call(worker, "interrupt", run_id)

    def forget(self, worker: str, tunes: tuple[int, ...], models: tuple[str, ...]) -> None:
        """Have a worker remove the photos of tunes, and model files."""
        self._call(worker, "forget", tunes, models)

    def is_settled(self) -> bool:
        """Say whether every worker that there is has answered or is gone."""
        return bool(self._looked_at) and self._answered >= set(self._actors)

    def has(self, worker: str) -> bool:
        """Say whether a worker's machine is there."""
        return worker in self._actors

    def release(self, worker: str) -> None:
        """End a worker and its ComfyUI for good."""
        actor = self._actors.pop(worker, None)
        self._nodes.pop(worker, None)
        self._greet_at.pop(worker, None)
        self._answered.discard(worker)
        if actor is not None:
            ray.kill(actor, no_restart=True)
            self._events.append(Gone(worker))

    def _look(self) -> None:
        """Have a worker for each slot of each machine, and none for those that are gone."""
        if time.monotonic() - self._looked_at < _LOOK_S:
            return
        there = machines()
        self._looked_at = time.monotonic()
        wanted = {
            f"{one.name}/{slot}": (one, slot)
            for one in there
            for slot in one.slots
            if not {one.name, f"{one.name}/{slot}"} & set(self.drained)
        }
        for worker in [one for one in self._nodes if one not in wanted]:
            alive = {one.name for one in there}
            if worker.partition("/")[0] not in alive:  # a drained one ends when it is idle
                self.release(worker)
        for worker, (machine, slot) in wanted.items():
            if self._nodes.get(worker) != machine.node_id:
                if worker in self._nodes:  # its machine went, and came again
                    self.release(worker)
                self._make(worker, machine, slot)

    def _make(self, worker: str, machine: Machine, slot: str) -> None:
        bound = NodeAffinitySchedulingStrategy(machine.node_id, soft=False)
        made = ray.remote(
            num_cpus=0, max_restarts=-1, max_task_retries=0, concurrency_groups=_GROUPS
        )(Worker)
        self._actors[worker] = made.options(
            name=f"{worker}@{machine.node_id}",
            lifetime="detached",
            get_if_exists=True,
            scheduling_strategy=bound,
        ).remote(machine.name, slot)
        self._nodes[worker] = machine.node_id
        self._greet_at[worker] = 0.0

    def _greet(self) -> None:
        moment = time.monotonic()
        for worker, due in list(self._greet_at.items()):
            if due <= moment:
                del self._greet_at[worker]
                self._call(worker, "hello")

    def _call(self, worker: str, method: str, *values: Any) -> None:
        actor = self._actors.get(worker)
        if actor is None:
            return
        group = _GROUP_OF.get(method, "control")
        ref = getattr(actor, method).options(concurrency_group=group).remote(*values)
        self._pending[ref] = (worker, method)

    def _take(self, ref: Any) -> None:
        worker, method = self._pending.pop(ref)
        if worker not in self._actors:
            return
        try:
            answer = ray.get(ref, timeout=60)
        except (RayActorError, GetTimeoutError):
            # It ended, or is just starting again. Idle is only who answers.
            self._events.append(Gone(worker))
            self._meet(worker)
            return
        except RayError as error:
            if method == "hello":
                say(f"- {worker}: {str(error)[-600:]}")
            self._answered.add(worker)
            self._events.append(Gone(worker))
            self._meet(worker)
            return
        if method == "hello":
            self._answered.add(worker)
            self._welcome(worker, answer)
        elif method in ("run", "result"):
            self._events.append(Ended(worker, answer))
            if answer.lost:
                self._meet(worker)
        elif method == "progress":
            self._events.append(Progress(*answer))

    def _welcome(self, worker: str, hello: Hello) -> None:
        if hello.version == self._version:
            self._events.append(Ready(worker, hello))
            return
        say(
            f"- {worker} runs another version of the pack ({hello.version}, here {self._version})"
            " and is given nothing: bring its checkout to the same state, and join again."
        )
        self._greet_at[worker] = time.monotonic() + _OTHER_VERSION_S

    def _meet(self, worker: str) -> None:
        """Have a worker greeted in a moment, unless it is being greeted."""
        if not any(of == worker and what == "hello" for of, what in self._pending.values()):
            self._greet_at[worker] = time.monotonic() + _GREET_S
