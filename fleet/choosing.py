"""Which prompt a worker gets next: one for the models that it has loaded, within bounds.

Loading a model takes as long as many pictures, so a worker stays with its base. No prompt is passed
over for it more than `MOST_BYPASSES` times for each worker that there is.
"""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

MOST_BYPASSES = 24
Worker = TypeVar("Worker")
# Inputs of loader nodes that name what takes long to load, and what takes little.
_HEAVY = ("ckpt_name", "unet_name")
_LIGHT = ("lora_name",)


@dataclass(frozen=True)
class Models:
    """The files that a workflow loads: `base`, its heavy ones, and its LoRAs."""

    base: frozenset[str] = frozenset()
    loras: frozenset[str] = frozenset()


@dataclass(eq=False)
class Waiting:
    """A prompt that waits, by its id, and how often later ones were taken before it.

    `place` is where it stands in line, its id where nothing else is said.
    """

    id: int
    models: Models
    bypassed: int = 0
    place: float | None = None

    @property
    def order(self) -> float:
        """Where it stands in line."""
        return self.id if self.place is None else self.place


def models_of(workflow: Mapping[str, Any]) -> Models:
    """Return the files that a workflow, in ComfyUI's API form, loads."""
    return Models(_named(workflow, _HEAVY), _named(workflow, _LIGHT))


def _named(workflow: Mapping[str, Any], inputs: Collection[str]) -> frozenset[str]:
    return frozenset(
        value
        for node in workflow.values()
        for name, value in node.get("inputs", {}).items()
        if name in inputs and isinstance(value, str)
    )


class Line:
    """The prompts that wait, in the order of their coming."""

    def __init__(self) -> None:
        self._waiting: list[Waiting] = []
        self._bases: Counter[frozenset[str]] = Counter()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, new: Iterable[Waiting]) -> None:
        """Put prompts in their places: one that comes back stands in front."""
        for one in new:
            bisect.insort(self._waiting, one, key=lambda other: other.order)
            self._bases[one.models.base] += 1

    def remove(self, id: int) -> None:
        """Take a prompt out, where it is there."""
        for place in [at for at, one in enumerate(self._waiting) if one.id == id]:
            self._pop(place)

    def take(
        self, held: Models | None, others: Collection[frozenset[str]], workers: int = 1
    ) -> Waiting | None:
        """Take out the prompt for a worker, one of `workers`, that has loaded `held`, while others
        have the bases `others`; None where nothing waits.

        The first for its own base, of those the first with its LoRAs; else the first for a base
        that nobody has; else the oldest.
        """
        own, nobodys = self._places(held, others, MOST_BYPASSES * workers)
        place = next((one for one in (own, nobodys) if one is not None), 0)
        return self._pop(place, is_bypassing=True) if self._waiting else None

    def take_own(self, held: Models | None, workers: int = 1) -> Waiting | None:
        """Take out the prompt for a worker by what it has loaded; None where none is for its
        base.
        """
        if held is None or not self._bases[held.base]:
            return None
        own, _ = self._places(held, (), MOST_BYPASSES * workers)
        return None if own is None else self._pop(own, is_bypassing=True)

    def _pop(self, place: int, *, is_bypassing: bool = False) -> Waiting:
        for one in self._waiting[:place] if is_bypassing else ():
            one.bypassed += 1
        taken = self._waiting.pop(place)
        self._bases[taken.models.base] -= 1
        return taken

    def _places(
        self, held: Models | None, others: Collection[frozenset[str]], most_bypasses: int
    ) -> tuple[int | None, int | None]:
        """Return the places of the first prompt for a worker's own base, better with its LoRAs, and
        of the first for a base that nobody has.
        """
        own: int | None = None
        nobodys: int | None = None
        for place, one in enumerate(self._waiting):
            if held is not None and one.models.base == held.base:
                if one.models.loras == held.loras:
                    return place, None
                own = place if own is None else own
            elif nobodys is None and one.models.base not in others:
                nobodys = place
            if one.bypassed >= most_bypasses:  # none behind it may be taken
                break
        return own, nobodys


def choose(
    line: Line,
    free: Mapping[Worker, Models | None],
    bases: Counter[frozenset[str]],
    workers: int,
) -> Iterator[tuple[Worker, Waiting]]:
    """Yield free workers, of `workers` in all, with the prompts that they get.

    First each for whose base something waits, then those that have loaded nothing, then the others.
    `free` says what each has loaded, `bases` how many workers have each base, and is kept.
    """
    left = []
    for worker, held in free.items():
        taken = line.take_own(held, workers)
        if taken is None:
            left.append(worker)
        else:
            yield worker, taken
    for worker in sorted(left, key=lambda one: free[one] is not None):
        if not len(line):
            return
        held = free[worker]
        if held is not None:
            bases[held.base] -= 1
        taken = line.take(held, +bases, workers)
        assert taken is not None, "the line is not empty"
        bases[taken.models.base] += 1
        yield worker, taken
