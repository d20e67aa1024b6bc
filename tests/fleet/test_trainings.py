"""Trainings of the API as a dispatcher takes them, and what comes of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from comfyui_astria.fleet.database import DatabaseSource
from comfyui_astria.fleet.runs import Backlog, Result, TrainingRun
from comfyui_astria.nodes.training.asked import TrainingStore
from comfyui_astria.nodes.training.fleet_runs import FleetRuns
from comfyui_astria.nodes.training.progress import DONE, read_progress, record_agreement
from comfyui_astria.nodes.tunes.prompts import Prompt, PromptStore
from comfyui_astria.nodes.tunes.state import tunes_in
from comfyui_astria.nodes.tunes.store import TuneStore
from comfyui_astria.tests.fleet.cluster import asked_training

PROGRESS = b'{"tune_id": 1, "state": "training", "step": 7, "steps": 9}'
FILE = "astria/tune-1.safetensors"
OUTCOME = {"tune_id": 1, "file": FILE, "model_type": "lora"}
ENTRY = {
    "outputs": {"output.tune": {"astria_training": [OUTCOME]}},
    "status": {"status_str": "success", "messages": []},
}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    state = tmp_path / "user" / "__astria"
    state.mkdir(parents=True)
    yield state
    tunes_in.__globals__["_opened"].cache_clear()


@pytest.fixture
def source(folder: Path) -> DatabaseSource:
    names = ("input", "output", "temp", "loras", "checkpoints")
    return DatabaseSource(folder, {name: folder.parent.parent / name for name in names})


def running(source: DatabaseSource) -> TrainingRun:
    [one] = source.trainings()
    assert source.claim({one.id: "try"}) == {one.id}
    assert source.claim({one.id: "another"}) == set(), "it waits no more"
    [one] = source.trainings()
    assert (one.status, one.run_id, one.runs) == ("running", "try", 1)
    return one


def test_a_run_brings_photos_words_of_agreement_and_the_state_to_go_on_from(
    source: DatabaseSource, folder: Path
) -> None:
    prompt = PromptStore(folder).add(Prompt("690204", {}, "d", "http://127.0.0.1", {}))
    asked_training(folder, 9)
    record_agreement(folder, {"by": "api.ini"})
    one = running(source)
    assert (one.id, one.behind, source.backlog()) == (-1, prompt.id, Backlog(2, 0))
    assert TuneStore(folder).get(1).started_training_at is not None
    source.keep(one, {"resume.safetensors": b"state", "progress.json": PROGRESS})
    source.keep(one, {"../../elsewhere": b"", "samples/a.jpg": b"jpg"})
    run = source.run_of(one)
    training = "user/__astria/training"
    assert {name: content for (where, name), content in run.files.items() if where == training} == {
        "agreed.json": b'{"by": "api.ini"}',
        "1/resume.safetensors": b"state",
    }
    assert (run.trains, [len(tune.photos) for tune in run.tunes]) == (1, [4])
    assert read_progress(folder, 1).step == 7
    assert (folder / "training" / "1" / "samples" / "a.jpg").read_bytes() == b"jpg"
    assert not (folder.parent / "elsewhere").exists()


def test_a_training_that_is_done_is_a_file_a_tune_and_a_callback_once(
    source: DatabaseSource, folder: Path
) -> None:
    asked_training(folder, 9, "https://a.example")
    one = running(source)
    source.keep(one, {"resume.safetensors": b"state"})
    result = Result("try", ENTRY, told={"progress.json": PROGRESS}, trained=b"weights")
    for _ in range(2):  # a dispatcher that was killed before it was acknowledged is told once more
        source.finish([(one, result)])
    tune = TuneStore(folder).get(1)
    assert (tune.file, tune.model_type, tune.trained_at is None) == (FILE, "lora", False)
    assert (folder.parent.parent / "loras" / FILE).read_bytes() == b"weights"
    assert (read_progress(folder, 1).state, read_progress(folder, 1).file) == (DONE, FILE)
    assert not (folder / "training" / "1" / "resume.safetensors").exists()
    assert TrainingStore(folder).get(1).status == "done"
    [owed] = PromptStore(folder).claim_callbacks(0, 9, 60)
    assert owed.tune_id == 1
    assert (source.trainings(), source.backlog()) == ([], Backlog(0, 0))


def test_the_end_of_a_try_that_another_took_the_place_of_changes_nothing(
    source: DatabaseSource, folder: Path
) -> None:
    asked_training(folder, 9)
    late = running(source)
    assert source.requeue([replace(late, run_id="again", status="queued")]) == {late.id}
    source.keep(late, {"progress.json": PROGRESS})
    source.finish([(late, Result("try", ENTRY, trained=b"weights"))])
    assert (TuneStore(folder).get(1).file, read_progress(folder, 1)) == (None, None)
    [one] = source.trainings()
    assert (one.status, one.run_id, one.runs) == ("queued", "again", 1)


def test_a_training_of_a_tune_that_is_deleted_leaves_nothing(
    source: DatabaseSource, folder: Path
) -> None:
    asked_training(folder, 9)
    one = running(source)
    TuneStore(folder).delete(1)
    source.keep(one, {"progress.json": PROGRESS})
    source.finish([(one, Result("try", ENTRY, trained=b"weights"))])
    assert not (folder / "training" / "1").exists()
    assert not (folder.parent.parent / "loras" / FILE).exists()


def test_a_training_that_failed_or_died_too_often_says_why(
    source: DatabaseSource, folder: Path
) -> None:
    asked_training(folder, 9)
    asked = TrainingStore(folder).get(1).run_id
    source.fail(running(source), "Its worker ended 3 times.")
    [[_, told]] = FleetRuns(folder).entry(asked)["status"]["messages"]
    assert told["exception_message"] == "Its worker ended 3 times."
    assert FleetRuns(folder).states() == {asked: "ended"}


def test_runs_that_nobody_waits_for_go_when_the_next_is_asked_for(folder: Path) -> None:
    asked_training(folder, 9)
    TrainingStore(folder).fail(1, "It was stopped.")
    asked_training(folder, 9)
    assert [one.tune_id for one in FleetRuns(folder).open()] == [2]
