from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from comfyui_astria.devtools import comfyui, environment
from comfyui_astria.devtools.console import DevError
from comfyui_astria.devtools.own_python import OwnPython, check_same_version, choose, probe

OWN = OwnPython(Path("/own/bin/python"), (3, 11), ("/own/site-packages",), "2.11.0", True)


class Machine:
    """Stands for the installers.

    Records what `prepare` runs, makes what they would make, and can be made to fail.
    """

    def __init__(self, venv: Path) -> None:
        self.venv = venv
        self.python = venv / "bin" / "python"
        self.done: list[str] = []
        self.fail_at: str | None = None

    def run(self, command: Sequence[str], failure: str, hint: Callable[[], str]) -> None:
        step = next(
            name
            for name in ("venv", "uv==", "torch==", "requirements-dev")
            if any(name in Path(part).name for part in command[1:])
        )
        if step == self.fail_at:
            raise DevError(failure, hint())
        self.done.append(step)
        if step == "venv":
            self.python.parent.mkdir(parents=True)
            self.python.touch()
            (self.venv / "lib" / "python3.11" / "site-packages").mkdir(parents=True)

    def fetch(self, python: Path) -> None:
        self.done.append("source")

    def prepare(self) -> list[str]:
        self.done.clear()
        environment.prepare()
        return list(self.done)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.delenv("COMFYUI_PATH", raising=False)
    machine = Machine(tmp_path / "venv")
    source = tmp_path / "source"
    source.mkdir()
    (source / "requirements.txt").write_text("numpy\n")
    monkeypatch.setattr(environment, "VENV", machine.venv)
    monkeypatch.setattr(environment, "_STAMPS", machine.venv / ".stamps")
    monkeypatch.setattr(environment, "DEV", tmp_path / "dev")
    monkeypatch.setattr(environment, "venv_python", lambda: machine.python)
    monkeypatch.setattr(environment, "inside_venv", lambda: False)
    monkeypatch.setattr(environment, "_run", machine.run)
    monkeypatch.setattr(comfyui, "SOURCE", source)
    monkeypatch.setattr(comfyui, "fetch", machine.fetch)
    monkeypatch.setattr(comfyui, "is_fetched", lambda: "source" in machine.done)
    return machine


def test_setup_runs_each_step_once(machine: Machine) -> None:
    assert machine.prepare() == ["venv", "source", "uv==", "torch=="]
    # This stand-in forgets it; the real one is asked by is_fetched.
    assert machine.prepare() == ["source"]


def test_changed_requirements_install_again_into_the_same_venv(machine: Machine) -> None:
    machine.prepare()
    (comfyui.SOURCE / "requirements.txt").write_text("numpy\nscipy\n")
    assert machine.prepare() == ["source", "torch=="]


def test_a_cut_off_installation_is_not_built_upon(machine: Machine) -> None:
    machine.fail_at = "torch=="
    with pytest.raises(DevError, match="packages could not be installed"):
        machine.prepare()
    machine.fail_at = None
    assert machine.prepare() == ["venv", "source", "uv==", "torch=="]
    assert machine.prepare() == ["source"]


def test_an_own_python_with_torch_gets_the_test_tools_only(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "requirements.txt").write_text("torch\n")
    monkeypatch.setattr(comfyui, "own_path", lambda: tmp_path)
    monkeypatch.setattr(environment, "choose", lambda path, recorded: OWN)
    assert machine.prepare() == ["venv", "requirements-dev"]
    assert (environment._site_packages() / "own_comfyui.pth").read_text() == "/own/site-packages\n"
    assert machine.prepare() == []
    monkeypatch.setattr(environment, "choose", lambda path, recorded: None)
    assert machine.prepare() == ["venv", "uv==", "torch=="]


def test_another_own_python_gets_a_new_venv(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(comfyui, "own_path", lambda: tmp_path)
    monkeypatch.setattr(environment, "choose", lambda path, recorded: OWN)
    machine.prepare()
    monkeypatch.setattr(
        environment, "choose", lambda path, recorded: replace(OWN, executable=Path("/other/python"))
    )
    assert machine.prepare() == ["venv", "requirements-dev"]


def test_a_full_disk_is_named(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        environment.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 3e8})
    )
    machine.fail_at = "torch=="
    with pytest.raises(DevError, match=r"has 0\.3 GB left: free 8 GB"):
        machine.prepare()


def test_an_interpreter_tells_about_itself() -> None:
    found = probe(Path(sys.executable))
    assert found is not None
    assert found.version == sys.version_info[:2]
    assert any((Path(folder) / "torch").is_dir() for folder in found.site_packages)


def test_a_missing_interpreter_is_none(tmp_path: Path) -> None:
    assert probe(tmp_path / "python") is None


def test_a_named_interpreter_without_torch_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMFYUI_PYTHON", str(tmp_path / "python"))
    with pytest.raises(DevError, match=r"COMFYUI_PYTHON=.* cannot be run, or has no torch"):
        choose(tmp_path, recorded=None)


def test_an_embedded_interpreter_of_another_version_is_refused() -> None:
    embedded = replace(OWN, version=(3, 9), makes_venvs=False)
    with pytest.raises(
        DevError,
        match=r"Python 3\.9 cannot make virtual environments.*\n.*Run dev\.py with a Python 3\.9",
    ):
        check_same_version(embedded, Path(sys.executable))
    check_same_version(replace(embedded, version=sys.version_info[:2]), Path(sys.executable))
