"""Which prompt a worker gets next: one for the models that it has loaded, within bounds.

Loading a model takes as long as many pictures, so a worker stays with its base. No prompt is passed
over for it more than `MOST_BYPASSES` times for each worker that there is.
"""

from __future__ import annotations

import bisect
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

MOST_BYPASSES = 24
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

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, new: Iterable[Waiting]) -> None:
        """Put prompts in their places: one that comes back stands in front."""
        for one in new:
            bisect.insort(self._waiting, one, key=lambda other: other.order)

    def remove(self, id: int) -> None:
        """Take a prompt out, where it is there."""
        self._waiting = [one for one in self._waiting if one.id != id]

    def take(
        self, held: Models | None, others: Collection[frozenset[str]], workers: int = 1
    ) -> Waiting | None:
        """Take out the prompt for a worker, one of `workers`, that has loaded `held`, while others
        have the bases `others`; None where nothing waits.

        The first for its own base, of those the first with its LoRAs; else the first for a base
        that nobody has; else the oldest.
        """
        if not self._waiting:
            return None
        place = self._place(held, others, MOST_BYPASSES * workers)
        for one in self._waiting[:place]:
            one.bypassed += 1
        return self._waiting.pop(place)

    def _place(
        self, held: Models | None, others: Collection[frozenset[str]], most_bypasses: int
    ) -> int:
        own: int | None = None
        nobodys: int | None = None
        for place, one in enumerate(self._waiting):
            if held is not None and one.models.base == held.base:
                if one.models.loras == held.loras:
                    return place
                own = place if own is None else own
            elif nobodys is None and one.models.base not in others:
                nobodys = place
            if one.bypassed >= most_bypasses:  # none behind it may be taken
                break
        return next((one for one in (own, nobodys) if one is not None), 0)
