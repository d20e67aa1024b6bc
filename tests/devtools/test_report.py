from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from comfyui_astria.devtools.commands import main
from comfyui_astria.devtools.console import DevError
from comfyui_astria.devtools.report import Figure, report, table, take_json_option

FIGURES: list[Figure] = [
    {"name": "parse", "value": 1.23456, "unit": "ms", "ok": True},
    {"name": "source window identical", "value": True, "unit": "", "ok": False},
    {"name": "throughput", "value": 12, "unit": "MB/s", "ok": None},
]


def test_the_table_is_aligned_and_names_what_is_not_ok() -> None:
    assert table(FIGURES).splitlines() == [
        "name                     value  unit  ok",
        "--------------------------------------------",
        "parse                    1.235  ms    ok",
        "source window identical   True        NOT OK",
        "throughput                  12  MB/s",
    ]


def test_figures_are_written_as_given_and_a_bad_one_fails(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "figures.json"
    assert report(FIGURES, file) == 1
    assert json.loads(file.read_text()) == FIGURES
    assert report([FIGURES[0], FIGURES[2]], None) == 0


def test_the_json_option_is_taken_out() -> None:
    assert take_json_option(["a", "--json", "f.json", "b"]) == (["a", "b"], Path("f.json"))
    assert take_json_option(["a"]) == (["a"], None)
    with pytest.raises(DevError, match="--json needs the name"):
        take_json_option(["--json"])


def test_an_unknown_command_lists_the_known_ones(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["demoo"]) == 2
    message, hint = capfd.readouterr().err.splitlines()
    assert message == "dev.py demoo: There is no command 'demoo'."
    assert {"demo", "test", "serve", "bench", "setup", "bind", "explain", "compile"} <= set(
        re.findall(r"\w+", hint)
    )


def test_serve_helps_before_it_starts_anything(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--help"]) == 0
    told = capfd.readouterr().out
    assert "--no-browser" in told
    assert "--port" in told


def test_a_wrong_comfyui_folder_is_named(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["bind", "--comfyui", str(tmp_path), "--list"]) == 2
    assert f"--comfyui {tmp_path} is not a folder of ComfyUI" in capfd.readouterr().err


@pytest.mark.parametrize("command", ["setup", "demo", "definitions", "structure", "workflows"])
def test_a_command_without_arguments_says_so_before_it_does_anything(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def begun(*given: object) -> None:
        raise AssertionError(command)

    monkeypatch.setattr("comfyui_astria.devtools.commands.prepare", begun)
    assert main([command, "--help"]) == 0
    assert "python dev.py COMMAND" in capsys.readouterr().out
    assert main([command, "--quick"]) == 2
    assert f"{command} takes no arguments, got --quick." in capsys.readouterr().err
