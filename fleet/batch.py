"""A file of prompts, run without the API: pictures into a folder, and a manifest of what became of
each line.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..devtools.console import DevError
from ..nodes.api import ends as prompt_ends
from ..nodes.errors import AstriaError
from ..nodes.graph.graph import api_workflow
from ..nodes.net.pictures import PictureStore
from ..nodes.net.settings import SETTINGS_FILE
from ..nodes.net.writing import atomic_write
from ..nodes.pipeline.build.sources import Options
from ..nodes.pipeline.compiling import CompileOptions, compile_request
from ..nodes.pipeline.pictures import with_files
from ..nodes.prompt import PromptRequest
from ..nodes.tunes.local_files import LocalFiles
from ..nodes.tunes.prompts import Prompt
from ..nodes.tunes.state import resolver_in
from .needs import MODEL_FOLDERS, needed
from .runs import Backlog, Result, Run, TrainingRun

MANIFEST = "manifest.jsonl"
_SEEDS = 2**32


@dataclass(frozen=True)
class Line:
    """A line of the file: its number, its attributes, and a digest that tells it from others."""

    number: int
    fields: Mapping[str, Any]
    digest: str

    @property
    def seed(self) -> int:
        """The seed where the prompt sets none: always the same one for the same line."""
        return int(self.digest[:16], 16) % _SEEDS


def read_lines(path: Path) -> list[Line]:
    """Return the lines of a file of prompts. Raises: DevError naming the first that is none."""
    found = []
    for number, raw in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not raw.strip():
            continue
        try:
            fields = json.loads(raw)
        except ValueError as error:
            fields = error
        if not isinstance(fields, dict) or not isinstance(fields.get("text"), str):
            raise DevError(
                f"{path}, line {number} is no prompt: {raw[:100]}",
                'Write an object of attributes on each line: {"text": "a cat", "w": 512}',
            )
        digest = hashlib.sha256(f"{number}\0{raw.strip()}".encode()).hexdigest()
        found.append(Line(number, fields, digest))
    return found


class FileSource:
    """The lines of a file as prompts, those that the manifest in `out` has as done left out.

    `state_folder` is the private folder with bindings and tunes, `models` are the model folders.
    """

    def __init__(
        self, lines: Sequence[Line], out: Path, state_folder: Path, models: Sequence[Path]
    ) -> None:
        out.mkdir(parents=True, exist_ok=True)
        self._out = out
        self._state = state_folder
        self._input = state_folder.parent.parent / "input"
        self._models = models
        named = {name: self._input.parent / name for name in ("input", "output", "temp")}
        own = state_folder.parent.parent / "models"
        self._folders = {**named, **{name: own / name for name in MODEL_FOLDERS.values()}}
        self._lines = {one.number: one for one in lines}
        self._prompts: dict[int, Prompt] = {}
        done = self._done()
        self.skipped = sum(one.digest in done for one in lines)
        self.failed = 0
        for one in lines:
            if one.digest not in done:
                self._prepare(one)

    def page(self, after: int, limit: int) -> Sequence[Prompt]:
        """Return at most `limit` prompts with ids above `after`."""
        return [one for id, one in self._prompts.items() if id > after][:limit]

    def claim(self, runs: Mapping[int, str]) -> Collection[int]:
        """Note that prompts run now; return the ids of those that waited."""
        for id, run_id in runs.items():
            one = self._prompts[id]
            self._prompts[id] = replace(one, status="running", run_id=run_id, runs=one.runs + 1)
        return list(runs)

    def requeue(self, prompts: Sequence[Prompt]) -> Collection[int]:
        """Note that prompts wait again."""
        self._prompts |= {one.id: one for one in prompts}
        return [one.id for one in prompts]

    def run_ids(self, ids: Collection[int]) -> Mapping[int, str]:
        """Return the run ids of those prompts that are open."""
        return {id: self._prompts[id].run_id for id in ids if id in self._prompts}

    def trainings(self) -> Sequence[TrainingRun]:
        """Return none: a line of the file is a prompt."""
        return ()

    def keep(self, run: TrainingRun, told: Mapping[str, bytes]) -> None:
        """Keep nothing, for nothing is trained."""

    def run_of(self, prompt: Prompt, bring: Collection[str] = ()) -> Run:
        """Return the run of a prompt, with the files that its nodes name."""
        return needed(prompt.run_id, prompt.workflow, self._folders, self._state, bring)

    def count_open(self) -> int:
        """Return how many prompts have not ended."""
        return len(self._prompts)

    def backlog(self) -> Backlog:
        """Return how many prompts have not ended, none of which waits for a training."""
        return Backlog(self.count_open(), 0)

    def finish(self, ends: Sequence[tuple[Prompt, Result]]) -> None:
        """Write pictures, then a line of the manifest, for prompts that ended."""
        for prompt, result in ends:
            if self._prompts.get(prompt.id, prompt).run_id != prompt.run_id:
                continue
            one = prompt_ends.ended(prompt, result.entry)
            files = []
            for number, content in enumerate(result.pictures, start=1):
                ending = Path(one.images[number - 1]["filename"]).suffix
                name = f"{prompt.id:06d}_{number:02d}{ending}"
                atomic_write(self._out / name, content)
                files.append(name)
            self._tell(one, files)

    def fail(self, prompt: Prompt, why: str) -> None:
        """Write a line of the manifest for a prompt that failed."""
        self._tell(replace(prompt, status="failed", user_error=why), [])

    def _tell(self, prompt: Prompt, files: Sequence[str]) -> None:
        line = self._lines[prompt.id]
        self.failed += prompt.status == "failed"
        told = {
            "line": line.number,
            "status": prompt.status,
            "files": list(files),
            "seed": prompt.fields.get("seed"),
            "error": prompt.user_error,
            "notices": list(prompt.notices),
            "digest": line.digest,
        }
        with (self._out / MANIFEST).open("a", encoding="utf-8") as file:
            file.write(json.dumps(told, ensure_ascii=False) + "\n")
        self._prompts.pop(prompt.id, None)

    def _done(self) -> set[str]:
        """Return the digests of what is done; a line that a crash cut off counts for nothing."""
        path = self._out / MANIFEST
        done = set()
        for raw in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
            try:
                told = json.loads(raw)
            except ValueError:
                continue
            if told["status"] == "done" and all(
                (self._out / one).exists() for one in told["files"]
            ):
                done.add(told["digest"])
        return done

    def _prepare(self, line: Line) -> None:
        prompt = Prompt("", dict(line.fields), line.digest, "", {}, id=line.number)
        try:
            fields = {key: value for key, value in line.fields.items() if key != "base"}
            request, found = PromptRequest.from_fields(fields)
            if request is None:
                errors = [one for one in found if one.severity == "error"]
                self.fail(prompt, "; ".join(one.message for one in errors))
                return
            store = PictureStore(self._input, self._state / SETTINGS_FILE)
            resolver = resolver_in(self._state, LocalFiles(*self._models))
            options = CompileOptions(line.fields.get("base"), options=Options(line.seed))
            compiled = compile_request(with_files(request, (), store), resolver, options)
        except AstriaError as error:
            self.fail(prompt, error.message)
            return
        fields = {**line.fields, "seed": compiled.plan.settings.seed}
        notes = tuple(one.render() for one in compiled.plan.problems)
        workflow = api_workflow(compiled.graph)
        self._prompts[line.number] = replace(
            prompt, fields=fields, workflow=workflow, notices=notes
        )
