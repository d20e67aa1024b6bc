"""Where prompts come from and go to: the API's database, and a file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from comfyui_astria.devtools.console import DevError
from comfyui_astria.fleet.batch import FileSource, read_lines
from comfyui_astria.fleet.database import DatabaseSource, folders_of
from comfyui_astria.fleet.runs import Backlog, ModelFile, Result
from comfyui_astria.nodes.api.pictures.provenance import TRAINED_ALGORITHMIC_MEDIA
from comfyui_astria.nodes.tunes.prompts import Prompt, PromptStore
from comfyui_astria.nodes.tunes.state import tunes_in
from comfyui_astria.nodes.tunes.store import TuneStore
from comfyui_astria.tests.fleet.cluster import png

ENTRY = {
    "outputs": {
        "output.save": {"images": [{"filename": "a_00001_.png", "subfolder": "", "type": "output"}]}
    },
    "status": {"status_str": "success", "messages": []},
}
FAILED = {
    "outputs": {},
    "status": {
        "status_str": "error",
        "messages": [
            ["execution_error", {"node_id": "1", "node_type": "X", "exception_message": "no"}]
        ],
    },
}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    state = tmp_path / "user" / "__astria"
    for one in (state, *(tmp_path / name for name in ("input", "output", "temp"))):
        one.mkdir(parents=True)
    yield state
    tunes_in.__globals__["_opened"].cache_clear()


def source_in(state: Path) -> DatabaseSource:
    base = state.parent.parent
    return DatabaseSource(state, {name: base / name for name in ("input", "output", "temp")})


def stored(state: Path, **workflow: dict) -> Prompt:
    prompt = Prompt(
        "690204", {"text": "a"}, "d", "http://127.0.0.1:8188", workflow, "https://a.example"
    )
    return PromptStore(state).add(prompt)


def claimed(source: DatabaseSource, prompt: Prompt, run_id: str) -> Prompt:
    assert source.claim({prompt.id: run_id})
    [found] = source.page(prompt.id - 1, 1)
    return found


def test_a_picture_comes_marked_under_its_prompts_id_and_a_callback_is_owed(folder: Path) -> None:
    source = source_in(folder)
    one = claimed(source, stored(folder), "run")
    source.finish([(one, Result("run", ENTRY, (png(),)))])
    done = PromptStore(folder).get(one.id)
    assert (done.status, done.trained_at is None, done.started_training_at is None) == (
        "done",
        False,
        False,
    )
    assert done.images == ({"filename": "astria_000001_01.png", "subfolder": "", "type": "output"},)
    content = (folder.parent.parent / "output" / "astria_000001_01.png").read_bytes()
    assert TRAINED_ALGORITHMIC_MEDIA.encode() in content
    [owed] = PromptStore(folder).claim_callbacks(0, 9, 60)
    assert json.loads(owed.body)["prompt"]["images"] == [
        "http://127.0.0.1:8188/view?filename=astria_000001_01.png&subfolder=&type=output"
    ]


def test_a_run_names_the_loras_that_came_here_and_brings_them_where_they_lack(
    folder: Path,
) -> None:
    base = folder.parent.parent
    file = base / "loras" / "astria" / "tune-1.safetensors"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"abc")
    names = ("astria/tune-1.safetensors", "astria/gone.safetensors", "own.safetensors", None)
    nodes = {
        f"lora_{number}": {"class_type": "LoraLoader", "inputs": {"lora_name": name}}
        for number, name in enumerate(names)
    }
    source = DatabaseSource(folder, {name: base / name for name in ("input", "loras")})
    prompt = stored(folder, **nodes)
    named, about = "loras/astria/tune-1.safetensors", file.stat()
    assert source.run_of(prompt).models == {named: ModelFile(3, about.st_mtime)}
    assert source.run_of(prompt, [named]).models[named].content == b"abc"


def test_prompts_that_wait_for_a_training_are_counted_by_themselves(folder: Path) -> None:
    source = source_in(folder)
    stored(folder)
    claimed(source, stored(folder), "run")
    held = Prompt("690204", {"text": "b"}, "e", "http://127.0.0.1:8188", {}, waits_for=7)
    PromptStore(folder).add(held)
    assert source.backlog() == Backlog(3, 1)


def test_a_late_end_writes_no_picture(folder: Path) -> None:
    source = source_in(folder)
    late = claimed(source, stored(folder), "late")
    source.requeue([replace(late, run_id="later")])
    source.finish([(late, Result("late", ENTRY, (png(),)))])
    assert list((folder.parent.parent / "output").iterdir()) == []
    assert PromptStore(folder).get(late.id).status == "queued"


def test_an_end_that_cannot_be_read_holds_up_no_other(folder: Path) -> None:
    source = source_in(folder)
    first, second = (claimed(source, stored(folder), run) for run in ("1", "2"))
    source.finish([(first, Result("1", ENTRY, ())), (second, Result("2", FAILED))])
    told = [PromptStore(folder).get(one.id).user_error for one in (first, second)]
    assert told == ["The worker's answer cannot be read: ValueError.", "node 1 (X): no"]


def test_a_run_brings_the_pictures_and_photo_sets_that_its_nodes_name(folder: Path) -> None:
    base = folder.parent.parent
    (base / "input" / "astria").mkdir()
    (base / "input" / "astria" / "a.png").write_bytes(png())
    (base / "output" / "b.png").write_bytes(png(9))
    tune = TuneStore(folder).create(title="Ann", model_type="faceid", photos=[png(1), png(2)])
    prompt = stored(
        folder,
        one={"class_type": "LoadImage", "inputs": {"image": "astria/a.png"}},
        two={"class_type": "LoadImageMask", "inputs": {"image": "b.png [output]"}},
        three={"class_type": "AstriaIdentity", "inputs": {"tune": str(tune.id)}},
        four={"class_type": "AstriaIdentity", "inputs": {"tune": "999"}},
    )
    run = source_in(folder).run_of(prompt)
    assert run.files == {("input", "astria/a.png"): png(), ("output", "b.png"): png(9)}
    assert [(one.id, one.title, one.photos) for one in run.tunes] == [
        (tune.id, "Ann", (png(1), png(2)))
    ]


def test_without_fleet_yes_no_dispatcher_finds_the_folders(folder: Path) -> None:
    assert folders_of(folder) is None


BINDINGS = "[base 1]\nfamily = sd15\ncheckpoint = a.safetensors\n[defaults]\nbase = 1\n"


def batch(folder: Path, lines: list[dict]) -> FileSource:
    base = folder.parent.parent
    (folder / "bindings.ini").write_text(BINDINGS, encoding="utf-8")
    (base / "models" / "checkpoints").mkdir(parents=True, exist_ok=True)
    (base / "models" / "checkpoints" / "a.safetensors").touch()
    file = base / "prompts.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return FileSource(read_lines(file), base / "out", folder, [base / "models"])


def test_a_file_goes_on_where_it_was_stopped(folder: Path) -> None:
    lines = [{"text": "a cat", "w": 64, "h": 64}, {"text": "a dog", "steps": 900}, {"text": "b"}]
    source = batch(folder, lines)
    assert (source.failed, [one.id for one in source.page(0, 9)]) == (1, [1, 3])
    first, last = source.page(0, 9)
    source.claim({1: "x", 3: "y"})
    [first, last] = source.page(0, 9)
    source.finish([(first, Result("x", ENTRY, (png(),))), (last, Result("y", FAILED))])
    out = folder.parent.parent / "out"
    told = [json.loads(one) for one in (out / "manifest.jsonl").read_text().splitlines()]
    assert [(one["line"], one["status"], one["files"]) for one in told] == [
        (2, "failed", []),
        (1, "done", ["000001_01.png"]),
        (3, "failed", []),
    ]
    assert "900" in told[0]["error"]
    assert (out / "000001_01.png").read_bytes() == png()
    again = batch(folder, lines)
    assert again.skipped == 1
    [retried] = again.page(0, 9)
    assert retried.fields["seed"] == last.fields["seed"], "the same picture as the first try's"
    (out / "000001_01.png").unlink()
    assert batch(folder, lines).skipped == 0, "a picture that is gone is made again"


def test_a_line_that_is_no_prompt_is_told_with_its_number(tmp_path: Path) -> None:
    file = tmp_path / "prompts.jsonl"
    file.write_text('{"text": "a"}\n\n["b"]\n')
    with pytest.raises(DevError, match=r"line 3 is no prompt: \[\"b\"\]"):
        read_lines(file)
