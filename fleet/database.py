"""Prompts of the API: the database is their truth, the API's output folder has their pictures."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..nodes.api import ends as prompt_ends
from ..nodes.api.objects import callback_body
from ..nodes.api.pictures.provenance import marked
from ..nodes.errors import AstriaError
from ..nodes.net import settings
from ..nodes.net.fleet_files import FOLDERS_FILE
from ..nodes.net.writing import atomic_write
from ..nodes.tunes.prompts import Prompt, PromptStore
from ..nodes.tunes.tune import now
from .needs import needed
from .runs import Backlog, Result, Run, TrainingRun
from .trainings import TrainingSource


class DatabaseSource:
    """The prompts and trainings in the private folder of the API's ComfyUI.

    `folders` are that ComfyUI's folders by its names of them.
    """

    def __init__(self, state_folder: Path, folders: Mapping[str, Path]) -> None:
        self._state = state_folder
        self._folders = folders
        self._store = PromptStore(state_folder)
        self._trainings = TrainingSource(state_folder, folders)

    def trainings(self) -> Sequence[TrainingRun]:
        """Return the trainings that have not ended."""
        return self._trainings.open()

    def keep(self, run: TrainingRun, told: Mapping[str, bytes]) -> None:
        """Keep what a training tells of itself while it runs."""
        self._trainings.keep(run, told)

    def page(self, after: int, limit: int) -> Sequence[Prompt]:
        """Return at most `limit` open prompts with ids above `after`."""
        return self._store.open(after=after, limit=limit)

    def claim(self, runs: Mapping[int, str]) -> Collection[int]:
        """Note that prompts run now; return the ids of those that waited."""
        prompts = {id: run_id for id, run_id in runs.items() if id > 0}
        trainings = {id: run_id for id, run_id in runs.items() if id < 0}
        found = set(self._store.claim(prompts)) if prompts else set[int]()
        return found.union(self._trainings.claim(trainings)) if trainings else found

    def requeue(self, prompts: Sequence[Prompt]) -> Collection[int]:
        """Note that prompts wait again; return the ids of those that are open."""
        trainings = [one for one in prompts if isinstance(one, TrainingRun)]
        others = [one for one in prompts if not isinstance(one, TrainingRun)]
        found = set(self._store.requeue(others)) if others else set[int]()
        return found.union(self._trainings.requeue(trainings)) if trainings else found

    def run_ids(self, ids: Collection[int]) -> Mapping[int, str]:
        """Return the run ids of those prompts that are open."""
        found = dict(self._store.run_ids([id for id in ids if id > 0]))
        trainings = [id for id in ids if id < 0]
        return {**found, **self._trainings.run_ids(trainings)} if trainings else found

    def run_of(self, prompt: Prompt, bring: Collection[str] = ()) -> Run:
        """Return the run of a prompt, with the pictures and photo sets that its nodes name, and the
        model files in `bring`.
        """
        if isinstance(prompt, TrainingRun):
            return self._trainings.run_of(prompt, bring)
        return needed(prompt.run_id, prompt.workflow, self._folders, self._state, bring)

    def backlog(self) -> Backlog:
        """Return how many prompts and trainings have not ended."""
        prompts, held = self._store.counts()
        return Backlog(prompts + self._trainings.count_open(), held)

    def finish(self, ends: Sequence[tuple[Prompt, Result]]) -> None:
        """Store how prompts ended, in one transaction, once their pictures lie in the folder.

        The end of a run that another took the place of is passed over, with its pictures. Those of
        trainings are stored one by one.
        """
        for prompt, result in ends:
            if isinstance(prompt, TrainingRun):
                self._trainings.finish(prompt, result)
        self._finish([one for one in ends if not isinstance(one[0], TrainingRun)])

    def _finish(self, ends: Sequence[tuple[Prompt, Result]]) -> None:
        there = {one.id: one for one in self._store.get_many([prompt.id for prompt, _ in ends])}
        ended = [
            self._ended_or_failed(replace(kept, workflow=prompt.workflow), result)
            for prompt, result in ends
            if (kept := there.get(prompt.id)) is not None and kept.run_id == prompt.run_id
        ]
        stored = self._store.finish_many([(one, _body(one)) for one in ended])
        for one in ended:
            if one.id not in stored:  # deleted this very moment
                for image in one.images:
                    self._path(image).unlink(missing_ok=True)

    def fail(self, prompt: Prompt, why: str) -> None:
        """Store that a prompt failed."""
        if isinstance(prompt, TrainingRun):
            self._trainings.fail(prompt, why)
            return
        moment = now()
        failed = replace(prompt, status="failed", user_error=why, updated_at=moment)
        self._store.finish(failed, _body(failed))

    def _ended_or_failed(self, prompt: Prompt, result: Result) -> Prompt:
        try:
            return self._ended(prompt, result)
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            # Not to hold up the ends of all others.
            why = f"The worker's answer cannot be read: {type(error).__name__}."
            return replace(prompt, status="failed", user_error=why, updated_at=now())

    def _ended(self, prompt: Prompt, result: Result) -> Prompt:
        moment = now()
        one = prompt_ends.ended(prompt, result.entry)
        images, said = self._saved(one, result.pictures)
        return replace(
            one,
            images=images,
            notices=(*one.notices, *said),
            trained_at=moment if one.status == "done" else None,
            updated_at=moment,
        )

    def _saved(
        self, prompt: Prompt, pictures: Sequence[bytes]
    ) -> tuple[tuple[Mapping[str, str], ...], list[str]]:
        """Write pictures under names of the prompt's id, which a second run has too."""
        images, said = [], []
        is_marked = self._is_marked(prompt)
        for number, (image, content) in enumerate(
            zip(prompt.images, pictures, strict=True), start=1
        ):
            ending = Path(image["filename"]).suffix
            name = f"astria_{prompt.id:06d}_{number:02d}{ending}"
            saved = {"filename": name, "subfolder": "", "type": image["type"]}
            if is_marked:
                try:
                    content = marked(content)
                except AstriaError as error:
                    text = f"{name} could not be marked as made by a model: {error.message}."
                    said.append(text)
            atomic_write(self._path(saved), content)
            images.append(saved)
        return tuple(images), said

    def _is_marked(self, prompt: Prompt) -> bool:
        if any(name.startswith("mock.") for name in prompt.workflow):
            return False  # placeholders, which no model made
        try:
            return settings.load(self._state / settings.SETTINGS_FILE).mark_pictures
        except AstriaError:  # a slip in the settings: the mark is the rule
            return True

    def _path(self, image: Mapping[str, str]) -> Path:
        return self._folders[image["type"]] / image["subfolder"] / image["filename"]


def _body(prompt: Prompt) -> str:
    return callback_body("prompt", prompt_ends.object_of(prompt, prompt.origin))


def folders_of(state_folder: Path) -> Mapping[str, Path] | None:
    """Return the folders of the API's ComfyUI as it noted them when it started with fleet = yes;
    None where it did not.
    """
    try:
        found: dict[str, Any] = json.loads(
            (state_folder / FOLDERS_FILE).read_text(encoding="utf-8")
        )
    except FileNotFoundError:
        return None
    return {name: Path(folder) for name, folder in found.items()}
