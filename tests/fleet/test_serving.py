"""What a dispatcher tells and is told, and what its commands refuse."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from comfyui_astria.devtools.console import DevError
from comfyui_astria.fleet import cli, serving
from comfyui_astria.fleet.dispatcher import Dispatcher
from comfyui_astria.fleet.runs import Backlog
from comfyui_astria.fleet.serving import Service, drain
from comfyui_astria.nodes.errors import AstriaError
from comfyui_astria.nodes.net.fleet_files import STATUS_FILE
from comfyui_astria.nodes.tunes.store import TuneStore
from comfyui_astria.tests.fleet.cluster import png
from comfyui_astria.tests.fleet.pretended import MemorySource, ScriptedPool


@pytest.fixture
def pool() -> ScriptedPool:
    return ScriptedPool()


@pytest.fixture
def source() -> MemorySource:
    return MemorySource()


@pytest.fixture
def service(
    tmp_path: Path, pool: ScriptedPool, source: MemorySource, monkeypatch: pytest.MonkeyPatch
) -> Service:
    for name in ("_TIDY_S", "_TELL_S"):
        monkeypatch.setattr(serving, name, -1)
    monkeypatch.setattr(serving, "_AFTER_ERROR_S", 0)
    return Service(Dispatcher(source, pool), pool, tmp_path, lambda: Backlog(5, 2))


def states(service: Service) -> dict[str, str]:
    return {name: one["state"] for name, one in service.status()["workers"].items()}


def test_the_status_is_a_file_that_says_who_does_what(
    service: Service, pool: ScriptedPool, source: MemorySource, tmp_path: Path
) -> None:
    source.add("a")
    pool.appears("m/0")
    pool.appears("m/1")
    service.step()
    told = json.loads((tmp_path / STATUS_FILE).read_text())
    assert (told["waiting"], told["running"], told["problem"]) == (2, 1, "")
    assert told["waiting_for_training"] == 2
    assert told["workers"]["m/0"]["base"] == ["a"]
    assert states(service) == {"m/0": "running", "m/1": "idle"}
    pool.dies("m/0")
    pool.released.append("m/1")
    service.step()
    assert states(service) == {"m/0": "starting", "m/1": "gone"}


def test_a_drained_worker_is_released_when_it_is_idle(
    service: Service, pool: ScriptedPool, source: MemorySource, tmp_path: Path
) -> None:
    source.add()
    pool.appears("m/0")
    service.step()
    drain(tmp_path, ["m/0"], is_on=True)
    service.step()
    assert (states(service), pool.released) == ({"m/0": "draining"}, [])
    pool.ends("m/0")
    service.step()
    assert (states(service), pool.released) == ({"m/0": "drained"}, ["m/0"])
    assert drain(tmp_path, ["m/0"], is_on=False) == []


def test_photos_of_deleted_tunes_are_taken_from_each_worker_that_may_have_them(
    service: Service, pool: ScriptedPool, tmp_path: Path
) -> None:
    tune = TuneStore(tmp_path).create(title="Ann", model_type="faceid", photos=[png()])
    pool.appears("m/0", tunes=(tune.id, 99))
    service.step()
    assert pool.forgotten == [("m/0", (99,))], "it was away when that one was deleted"
    TuneStore(tmp_path).delete(tune.id)
    service.step()
    service.step()
    assert pool.forgotten[1:] == [("m/0", (tune.id,))]


def test_model_files_of_deleted_tunes_are_taken_from_the_workers(
    service: Service, pool: ScriptedPool, tmp_path: Path
) -> None:
    file = "astria/upload-1.safetensors"
    tune = TuneStore(tmp_path).create(title="Ann", model_type="lora", file=file)
    pool.appears("m/0", models=(f"loras/{file}", "loras/astria/gone.safetensors"))
    service.step()
    assert pool.forgotten_models == [("m/0", ("loras/astria/gone.safetensors",))]
    TuneStore(tmp_path).delete(tune.id)
    service.step()
    service.step()
    assert pool.forgotten_models[1:] == [("m/0", (f"loras/{file}",))]


def test_a_locked_database_holds_up_and_ends_nothing(
    service: Service, pool: ScriptedPool, source: MemorySource, monkeypatch: pytest.MonkeyPatch
) -> None:
    source.add()
    pool.appears("m/0")
    real = source.claim
    problem = AstriaError("the database is locked", code="tunes-database")

    def locked(runs: object) -> object:
        raise problem

    monkeypatch.setattr(source, "claim", locked)
    service.step()
    assert service.problem == str(problem)
    monkeypatch.setattr(source, "claim", real)
    service.step()
    assert len(pool.started) == 1, "it waited, and was not lost"


def test_the_command_tells_of_the_workers(
    service: Service,
    pool: ScriptedPool,
    source: MemorySource,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source.add("a")
    pool.appears("m/0")
    pool.appears("n/0")
    service.step()
    monkeypatch.setattr(cli, "_state_folder", lambda arguments: tmp_path)
    assert cli.run(["status"]) == 0
    workers = capsys.readouterr().out.splitlines()[-2:]
    assert workers[0].endswith(", 0 done, a")
    assert workers[1] == "  n/0: idle, 0 done"
    assert cli.run(["drain", "m", "n/0", "elsewhere"]) == 0
    told = capsys.readouterr().out
    assert "elsewhere: not among the workers (m/0, n/0); it is given nothing once it joins" in told
    assert cli.run(["undrain", "elsewhere"]) == 0
    assert "not among" not in capsys.readouterr().out


def test_what_was_told_last_is_true_when_the_dispatcher_ends(
    service: Service,
    pool: ScriptedPool,
    source: MemorySource,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(serving, "_TELL_S", 3600)
    pool.appears("m/0")
    source.add()
    service.tell()
    service.step()
    service.tell()
    assert json.loads((tmp_path / STATUS_FILE).read_text())["running"] == 1


def test_the_commands_say_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "setup", lambda: None)
    monkeypatch.setattr(sys, "platform", "linux")
    token = tmp_path / "token"
    with pytest.raises(DevError, match="no token of the fleet"):
        cli.run(["join", "10.0.0.1:6379", "--token", str(token)])
    monkeypatch.setenv("ASTRIA_FLEET_INSIDE", "1")
    given = ["--comfyui", str(tmp_path)]
    with pytest.raises(DevError, match="no private folder"):
        cli.run(["dispatch", "10.0.0.1:6379", *given])
    (tmp_path / "user" / "__astria").mkdir(parents=True)
    with pytest.raises(DevError, match="runs its prompts itself"):
        cli.run(["dispatch", "10.0.0.1:6379", *given])
    with pytest.raises(DevError, match="No dispatcher has run"):
        cli.run(["status", *given])
    assert cli.run(["drain", "gpubox", *given]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "drained: gpubox"
    assert told[1].startswith("gpubox: not among the workers (none)")
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(DevError, match="run Linux"):
        cli.run(["head"])
