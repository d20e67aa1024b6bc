"""Trainings that programs asked for: stored with their tune, ended once, called back once."""

from __future__ import annotations

from pathlib import Path

import pytest
from comfyui_astria.nodes.training.asked import Training, TrainingStore
from comfyui_astria.nodes.tunes.prompts import Prompt, PromptStore
from comfyui_astria.nodes.tunes.store import Tune, TuneStore

ORIGIN = "http://127.0.0.1:8188"
FILE = "astria/tune-1.safetensors"


@pytest.fixture
def tunes(tmp_path: Path) -> TuneStore:
    return TuneStore(tmp_path)


@pytest.fixture
def trainings(tmp_path: Path) -> TrainingStore:
    return TrainingStore(tmp_path)


def asked(tunes: TuneStore, **about: object) -> Tune:
    request = {"photos": 4, "name": "woman", "model_type": "lora"}
    training = Training(request, ORIGIN, callback="http://127.0.0.1/done")
    return tunes.create(title="Anna", beside=TrainingStore.beside(training), **about)


def test_a_training_is_stored_with_its_tune_or_neither_is(
    tunes: TuneStore, trainings: TrainingStore
) -> None:
    def fails(*_: object) -> None:
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        tunes.create(title="nobody", beside=fails)
    assert tunes.list() == []
    tune = asked(tunes, model_type="lora", preset="flux-lora-portrait")
    assert (tune.trained_at, tune.started_training_at, tune.eta) == (None, None, None)
    [training] = trainings.open()
    assert (training.tune_id, training.status, training.kind) == (tune.id, "queued", "lora")
    wanted = training.asks_for()
    assert (wanted.tune_id, wanted.name, wanted.sizes_px) == (tune.id, "woman", ())
    assert tunes.delete(tune.id)
    assert trainings.get(tune.id) is None


def test_what_was_trained_is_told_once(
    tunes: TuneStore, trainings: TrainingStore, tmp_path: Path
) -> None:
    tune = asked(tunes)
    trainings.start(tune.id)
    tunes.training_started(tune.id)
    started = tunes.get(tune.id)
    assert started is not None
    tunes.training_started(tune.id)
    for _ in range(2):  # the node may have run twice, its first end not noted
        done = tunes.trained(tune.id, FILE, "lora")
    assert done is not None
    assert (done.file, done.model_type, done.eta) == (FILE, "lora", done.trained_at)
    assert done.started_training_at == started.started_training_at
    assert trainings.get(tune.id).status == "done"
    assert not trainings.fail(tune.id, "too late")
    assert tunes.get(tune.id) == done
    [owed] = PromptStore(tmp_path).claim_callbacks(1, 10, 60)
    assert (owed.tune_id, owed.origin, owed.body) == (tune.id, ORIGIN, "")
    assert tunes.trained(99, FILE, "lora") is None


def test_a_failed_training_is_told_of_its_tune_and_to_nobody(
    tunes: TuneStore, trainings: TrainingStore, tmp_path: Path
) -> None:
    tune = asked(tunes, model_type="lora")
    for runs in range(1, 4):
        trainings.start(tune.id)
        assert (trainings.get(tune.id).status, trainings.get(tune.id).runs) == ("running", runs)
        trainings.requeue(tune.id, f"run {runs}")
    trainings.call(tune.id, "https://example.com/second")
    assert trainings.get(tune.id).callback == "https://example.com/second"
    trainings.shrink(trainings.get(tune.id), (512,), "1024 px")
    small = trainings.get(tune.id)
    assert (small.asks_for().sizes_px, small.too_large) == ((512,), "1024 px")
    assert trainings.fail(tune.id, "no memory")
    assert (tunes.get(tune.id).user_error, trainings.open()) == ("no memory", [])
    assert PromptStore(tmp_path).next_callback_due() is None
    assert trainings.again(tune.id, "another run")
    assert not trainings.again(tune.id, "twice")
    assert (tunes.get(tune.id).user_error, trainings.get(tune.id).runs) == (None, 0)


def test_a_prompt_waits_for_its_tune(tunes: TuneStore, tmp_path: Path) -> None:
    prompts, tune = PromptStore(tmp_path), asked(tunes)
    about = {"fields": {"text": "a"}, "digest": "d", "origin": ORIGIN, "workflow": {"1": {}}}
    waiting = prompts.add(Prompt(str(tune.id), waits_for=tune.id, **about), tune.id)
    prompts.add(Prompt("690204", **about))
    assert [one.id for one in prompts.waiting()] == [waiting.id]
    assert prompts.get(waiting.id).waits_for == tune.id
    assert prompts.release(waiting.id)
    assert not prompts.release(waiting.id), "of two processes one puts it on its queue"
    assert prompts.waiting() == []
    assert prompts.get(waiting.id).workflow == {"1": {}}
