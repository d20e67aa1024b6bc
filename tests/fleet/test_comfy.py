"""A worker's half: a ComfyUI that is started, given a run with its files, and ended."""

from __future__ import annotations

import sys
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from comfyui_astria.devtools.environment import Environment
from comfyui_astria.fleet.comfy import Comfy
from comfyui_astria.fleet.runs import ModelFile, PushedTune, Run
from comfyui_astria.tests.fleet.cluster import FAKE, png, prompt_of, training_of


@pytest.fixture
def comfy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Comfy]:
    monkeypatch.setenv("FAKE_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("FAKE_SECONDS", "0.1")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "secret")
    found = Comfy(Environment(Path(sys.executable), FAKE, None), tmp_path / "base", "cpu")
    found.make_ready()
    yield found
    found.stop()


def run_of(**scene: object) -> Run:
    return Run(str(uuid.uuid4()), prompt_of(7, **scene).workflow)


def test_a_run_brings_its_pictures_back_and_leaves_few_files(comfy: Comfy, tmp_path: Path) -> None:
    results = [comfy.run(run_of()) for _ in range(3)]
    assert [len(one.pictures) for one in results] == [1, 1, 1]
    assert results[0].pictures[0].startswith(b"\x89PNG")
    assert len(list((tmp_path / "base" / "output").iterdir())) == 1, "those of the last run"


def test_what_a_run_needs_is_brought_and_photos_go_with_their_tune(
    comfy: Comfy, tmp_path: Path
) -> None:
    tune = PushedTune(41, "Ann", (png(1), png(2)))
    files = {("input", "astria/a.png"): png()}
    for _ in range(2):  # a tune comes once
        assert not comfy.run(replace(run_of(), files=files, tunes=(tune,))).lost
    assert (tmp_path / "base" / "input" / "astria" / "a.png").read_bytes() == png()
    photos = tmp_path / "base" / "user" / "__astria" / "photos" / "41"
    assert len(list(photos.iterdir())) == 2
    assert comfy.tunes() == (41,)
    comfy.forget((41, 42))
    assert (comfy.tunes(), photos.exists()) == ((), False)


def test_a_failure_names_no_folder_of_the_machine(comfy: Comfy, tmp_path: Path) -> None:
    entry = comfy.run(run_of(fails=f"{tmp_path}/base/models/a.safetensors")).entry
    assert entry["status"]["messages"][0][1]["exception_message"] == (
        "no paint in ComfyUI/models/a.safetensors"
    )


def test_a_run_is_interrupted(comfy: Comfy) -> None:
    run = run_of(seconds=60)
    threading.Timer(0.5, comfy.interrupt, [run.run_id]).start()
    began = time.monotonic()
    entry = comfy.run(run).entry
    assert time.monotonic() - began < 30
    assert entry["status"]["messages"][0][0] == "execution_interrupted"


def test_a_comfyui_that_ends_loses_its_run_and_is_started_anew(comfy: Comfy) -> None:
    assert comfy._host is not None
    process = comfy._host.process
    threading.Timer(0.5, process.kill).start()
    assert comfy.run(run_of(seconds=60)).lost
    assert comfy.run(run_of()).lost, "it has to be made ready first"
    comfy.make_ready()
    assert not comfy.run(run_of()).lost


def test_refusals_are_ends(comfy: Comfy) -> None:
    entry = comfy.run(run_of(refused=True)).entry
    assert entry["status"]["messages"][0][1]["exception_message"] == (
        "the worker's ComfyUI refuses the workflow; Prompt outputs failed validation; node scene"
        " (Fake): Value not in list nothing.safetensors"
    )


def test_a_training_goes_on_from_what_is_brought_and_brings_its_file(
    comfy: Comfy, tmp_path: Path
) -> None:
    photos = PushedTune(7, "Ann", (png(1),))
    files = {("user/__astria/training", "7/resume.safetensors"): b"4"}
    run = Run("r", training_of(7, 6), files, (photos,), trains=7)
    result = comfy.run(run)
    assert result.trained == b"trained 7"
    assert set(result.told) == {"progress.json"}, "what it would go on from is needed no more"
    assert (tmp_path / "runs").read_text() == "r training of 7 at 4\n"
    told = comfy.told(7)
    assert set(told) == {"progress.json", "resume.safetensors"}
    assert comfy.told(7, {name: version for name, (version, _) in told.items()}) == {}
    assert comfy.models() == ("loras/astria/tune-7.safetensors",)
    comfy.forget((7,), ("loras/astria/tune-7.safetensors", "../../runs"))
    assert (comfy.models(), comfy.told(7), (tmp_path / "runs").exists()) == ((), {}, True)


def test_a_model_file_is_brought_where_it_is_not_there_or_another(
    comfy: Comfy, tmp_path: Path
) -> None:
    name = "loras/astria/tune-1.safetensors"
    wanted = ModelFile(3, 1_700_000_000.25)
    run = replace(run_of(lora_name="astria/tune-1.safetensors"), models={name: wanted})
    lacking = comfy.run(run)
    assert (lacking.lacks, lacking.entry, lacking.lost) == ((name,), None, "")
    assert not comfy.run(replace(run, models={name: replace(wanted, content=b"abc")})).lacks
    assert (tmp_path / "base" / "models" / name).read_bytes() == b"abc"
    assert not comfy.run(run).lacks, "it is there now"
    newer = replace(run, models={name: replace(wanted, modified_s=1_700_000_099.0)})
    assert comfy.run(newer).lacks == (name,), "trained anew, of the same size"
