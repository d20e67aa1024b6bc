"""What goes between dispatcher and workers: a run, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..nodes.tunes.prompts import Prompt

DIED = "died"  # ComfyUI or its worker ended while the run was under way


@dataclass(frozen=True)
class TrainingRun(Prompt):
    """A training as a dispatcher sees it: like a prompt, with an id below 0.

    It stands in line behind the prompt of the id `behind`.
    """

    behind: int = 0


def place_of(prompt: Prompt) -> float:
    """Return where a prompt or training stands in line."""
    return prompt.behind + 0.5 if isinstance(prompt, TrainingRun) else prompt.id


@dataclass(frozen=True)
class Backlog:
    """How many prompts and trainings have not ended, and how many of these wait for a training."""

    all: int
    held: int


@dataclass(frozen=True)
class PushedTune:
    """A photo set that a run needs: what `TuneStore.create` makes it of."""

    id: int
    title: str
    photos: tuple[bytes, ...]


@dataclass(frozen=True)
class ModelFile:
    """A model file that came with a request or of a training, as the API's machine has it.

    Without its content for a worker that is likely to have it.
    """

    size: int
    modified_s: float
    content: bytes | None = None


@dataclass(frozen=True)
class Run:
    """A workflow to be run once.

    `files` are what it reads beside models, by folder below ComfyUI's and name below that; `models`
    are files of the model folder by their names below it. `trains` is the tune that it trains, 0
    for none.
    """

    run_id: str
    workflow: Mapping[str, Any]
    files: Mapping[tuple[str, str], bytes] = field(default_factory=dict)
    tunes: tuple[PushedTune, ...] = ()
    models: Mapping[str, ModelFile] = field(default_factory=dict)
    trains: int = 0


@dataclass(frozen=True)
class Result:
    """How a run ended: its entry in ComfyUI's history, None where it was taken off the queue, and
    the pictures that the entry names, in its order.

    `lost` says why there is neither. `lacks` are the model files without which it did not begin.
    Of a training come what it tells of itself, by name, and the file that was trained.
    """

    run_id: str
    entry: Mapping[str, Any] | None = None
    pictures: tuple[bytes, ...] = ()
    lost: str = ""
    lacks: tuple[str, ...] = ()
    told: Mapping[str, bytes] = field(default_factory=dict)
    trained: bytes | None = None


# Files of a training's folder that are new since they were last asked for, with their versions.
Told = Mapping[str, tuple[int, bytes]]


@dataclass(frozen=True)
class Hello:
    """What a worker tells of itself once its ComfyUI answers.

    `run_ids` are the runs that it works on, or has the results of; `tunes` and `models` are what
    was brought there.
    """

    machine: str
    slot: str
    version: str  # of the pack there
    run_ids: tuple[str, ...] = ()
    tunes: tuple[int, ...] = ()
    models: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        """The worker as people name it: machine and slot."""
        return f"{self.machine}/{self.slot}"
