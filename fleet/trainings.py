"""Trainings of the API: the database is their truth, the API's folders have what comes of them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..devtools.paths import STATE_FOLDER
from ..nodes.api.ends import is_success
from ..nodes.net.writing import atomic_write
from ..nodes.training.fleet_runs import FleetRuns
from ..nodes.training.progress import AGREED_FILE, DONE, change_progress
from ..nodes.tunes.state import (
    TRAINING_FOLDER,
    forget_training,
    trained_name,
    training_folder,
    tunes_in,
)
from .needs import needed
from .runs import Result, Run, TrainingRun

FOLDER = f"user/{STATE_FOLDER}/{TRAINING_FOLDER}"  # below a worker's ComfyUI
OUTPUT = "output.tune"  # the node of a training's workflow that saves the tune
PHOTOS = "training.photos"  # and the one that knows its words
KINDS = {"lora": "loras", "checkpoint": "checkpoints"}
STATE_FILES = (
    "resume.safetensors",
    "best.safetensors",
)  # to go on from, see training/host/state.py
_TOLD = re.compile(r"(samples/)?[A-Za-z0-9][\w.-]*")


class TrainingSource:
    """The trainings in the private folder of the API's ComfyUI, as runs with ids below 0.

    `folders` are that ComfyUI's folders by its names of them.
    """

    def __init__(self, state_folder: Path, folders: Mapping[str, Path]) -> None:
        self._state = state_folder
        self._folders = folders
        self._runs = FleetRuns(state_folder)

    def open(self) -> Sequence[TrainingRun]:
        """Return the runs that have not ended."""
        return [
            TrainingRun(
                str(one.tune_id),
                {},
                "",
                "",
                one.workflow,
                id=-one.id,
                status="running" if one.status == "running" else "queued",
                run_id=one.run_id,
                runs=one.runs,
                behind=one.behind,
            )
            for one in self._runs.open()
        ]

    def count_open(self) -> int:
        """Return how many runs have not ended."""
        return self._runs.count_open()

    def claim(self, runs: Mapping[int, str]) -> Collection[int]:
        """Note that trainings run now; return the ids of those that waited."""
        claimed = {-id for id in self._runs.claim({-id: run_id for id, run_id in runs.items()})}
        for one in self.open() if claimed else ():
            if one.id in claimed and (store := tunes_in(self._state)) is not None:
                store.training_started(int(one.tune_id))
        return claimed

    def requeue(self, again: Sequence[TrainingRun]) -> Collection[int]:
        """Note that trainings wait again; return the ids of those that are open."""
        return {
            -id for id in self._runs.requeue({-one.id: (one.run_id, one.runs) for one in again})
        }

    def run_ids(self, ids: Collection[int]) -> Mapping[int, str]:
        """Return the run ids of those trainings that are open."""
        found = self._runs.run_ids([-id for id in ids])
        return {-id: run_id for id, run_id in found.items()}

    def run_of(self, run: TrainingRun, bring: Collection[str]) -> Run:
        """Return the run of a training, with its photos and the state that it goes on from."""
        tune_id = int(run.tune_id)
        folder = training_folder(self._state, tune_id)
        files = {
            (FOLDER, path.relative_to(folder.parent).as_posix()): path.read_bytes()
            for path in (folder.parent / AGREED_FILE, *(folder / one for one in STATE_FILES))
            if path.is_file()
        }
        found = needed(run.run_id, run.workflow, self._folders, self._state, bring)
        return replace(found, files={**found.files, **files}, trains=tune_id)

    def keep(self, run: TrainingRun, told: Mapping[str, bytes]) -> None:
        """Keep what a training tells of itself, and what it can go on from, unless it was ended."""
        if not told or self.run_ids([run.id]).get(run.id) != run.run_id:
            return
        tune_id = int(run.tune_id)
        folder = training_folder(self._state, tune_id)
        # The state last: it names the others.
        for name in sorted(told, key=lambda one: one == STATE_FILES[0]):
            if _TOLD.fullmatch(name):
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                atomic_write(path, told[name])
        store = tunes_in(self._state)
        if store is None or store.get(tune_id) is None:  # deleted this very moment
            forget_training(self._state, tune_id)

    def finish(self, run: TrainingRun, result: Result) -> None:
        """Store how a training ended, once its file lies in the model folder.

        The end of a run that another took the place of is passed over, with its file.
        """
        if self.run_ids([run.id]).get(run.id) != run.run_id:
            return
        self.keep(run, result.told)
        entry = result.entry or _failed("It was taken off the worker's queue.")
        if is_success(entry) and result.trained is not None:
            self._trained(run, _outcome(entry), result.trained)
        self._runs.end(-run.id, run.run_id, {"outputs": {}, "status": entry["status"]})

    def fail(self, run: TrainingRun, why: str) -> None:
        """Store that a training failed."""
        self._runs.end(-run.id, run.run_id, _failed(why))

    def _trained(self, run: TrainingRun, outcome: Mapping[str, Any], content: bytes) -> None:
        tune_id, kind = int(run.tune_id), outcome["model_type"]
        name = trained_name(tune_id)
        path = self._folders[KINDS[kind]] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, content)
        store = tunes_in(self._state)
        words = run.workflow[PHOTOS]["inputs"]
        if store is not None:
            store.change(tune_id, {"token": words["token"], "name": words["name"]})
        if store is None or store.trained(tune_id, name, kind) is None:  # deleted meanwhile
            path.unlink(missing_ok=True)
            forget_training(self._state, tune_id)
            return
        ended = {"state": DONE, "file": name, "user_error": None, "code": None, "eta_s": 0.0}
        change_progress(self._state, tune_id, **ended)
        for left in STATE_FILES:
            (training_folder(self._state, tune_id) / left).unlink(missing_ok=True)


def _outcome(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what the last node of a training's workflow tells."""
    [told] = entry["outputs"][OUTPUT]["astria_training"]
    return told


def trained_file(entry: Mapping[str, Any]) -> str | None:
    """Return the file of a training that ended well, by its model folder; None of any other."""
    if not is_success(entry) or "astria_training" not in entry["outputs"].get(OUTPUT, {}):
        return None
    outcome = _outcome(entry)
    return f"{KINDS[outcome['model_type']]}/{outcome['file']}"


def _failed(why: str) -> Mapping[str, Any]:
    message = {"node_id": "-", "node_type": "-", "exception_message": why}
    return {
        "outputs": {},
        "status": {"status_str": "error", "messages": [["execution_error", message]]},
    }
