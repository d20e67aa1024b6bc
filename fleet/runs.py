"""What goes between dispatcher and workers: a run, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

DIED = "died"  # ComfyUI or its worker ended while the run was under way


@dataclass(frozen=True)
class Backlog:
    """How many prompts have not ended, and how many of these wait for a training."""

    all: int
    held: int


@dataclass(frozen=True)
class PushedTune:
    """A photo set that a run needs: what `TuneStore.create` makes it of."""

    id: int
    title: str
    photos: tuple[bytes, ...]


@dataclass(frozen=True)
class Run:
    """A workflow to be run once.

    `files` are pictures that it reads, by folder (input, output, temp) and name below it.
    """

    run_id: str
    workflow: Mapping[str, Any]
    files: Mapping[tuple[str, str], bytes] = field(default_factory=dict)
    tunes: tuple[PushedTune, ...] = ()


@dataclass(frozen=True)
class Result:
    """How a run ended: its entry in ComfyUI's history, None where it was taken off the queue, and
    the pictures that the entry names, in its order.

    `lost` says why there is neither.
    """

    run_id: str
    entry: Mapping[str, Any] | None = None
    pictures: tuple[bytes, ...] = ()
    lost: str = ""


@dataclass(frozen=True)
class Hello:
    """What a worker tells of itself once its ComfyUI answers.

    `run_ids` are the runs that it works on, or has the results of.
    """

    machine: str
    slot: str
    version: str  # of the pack there
    run_ids: tuple[str, ...] = ()
    tunes: tuple[int, ...] = ()

    @property
    def place(self) -> str:
        """The worker as people name it: machine and slot."""
        return f"{self.machine}/{self.slot}"
