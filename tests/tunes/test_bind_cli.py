"""The command `bind`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from comfyui_astria.nodes.families.family import FAMILIES
from comfyui_astria.nodes.tunes.bindings import BINDINGS_FILE
from comfyui_astria.nodes.tunes.cli import USAGE, main
from comfyui_astria.nodes.tunes.store import TuneStore

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def run(*argv: str) -> tuple[int, str]:
        lines: list[str] = []
        status = main(list(argv), folder=tmp_path, write=lines.append)
        return status, "\n".join(lines)

    return run


def test_an_id_is_bound_and_removed_in_any_spelling(run: Run, tmp_path: Path) -> None:
    path = tmp_path / BINDINGS_FILE
    path.write_text("[tunes]\n007 = mine\n[base 0042]\nfamily = sd15\ncheckpoint = a\n")
    assert run("7", "other")[0] == run("base.042.checkpoint", "b")[0] == 0
    lines = ["[tunes]", "007 = other", "[base 0042]", "family = sd15", "checkpoint = b"]
    assert path.read_text().split("\n") == [*lines, ""]
    assert run("--remove", "00007")[0] == run("--remove", "base.042")[0] == 0
    assert path.read_text() == "[tunes]\n"


def test_binding_and_removing(run: Run, tmp_path: Path) -> None:
    path = tmp_path / BINDINGS_FILE
    assert run("1533312", "my wife.safetensors") == (
        0,
        f"bound 1533312 = my wife.safetensors in {path}",
    )
    assert path.read_text() == "[tunes]\n1533312 = my wife.safetensors\n"
    assert run("--remove", "1533312") == (0, f"removed 1533312 from {path}")
    assert path.read_text() == "[tunes]\n"
    assert run("--remove", "1533312") == (
        1,
        f"error: 1533312 is not bound in {path}\nSee what is bound: python dev.py bind --list",
    )


def test_error_a_refused_binding_says_why(run: Run, tmp_path: Path) -> None:
    status, output = run("upscalr", "u.pth")
    assert status == 1
    assert output.startswith(
        "error: 'upscalr' is not a key of the bindings. Did you mean 'upscaler'?\nKeys: a tune id, "
    )
    assert not (tmp_path / BINDINGS_FILE).exists()


def test_the_list_shows_bindings_and_tunes(run: Run, tmp_path: Path) -> None:
    run("base.690204.checkpoint", "rv.safetensors")
    run("defaults.base", "690204")
    run("1533312", "wife.pt")
    run("upscaler", "u.pth")
    store = TuneStore(tmp_path)
    store.create(title="John", model_type="faceid", photos=[b"\xff\xd8\xff"])
    store.create(title="Anna", model_type="lora", file="anna.pt")
    status, output = run("--list")
    assert status == 0
    assert output.splitlines() == [
        f"bindings: {tmp_path / 'bindings.ini'}",
        "  base 690204 Realistic Vision v5.1 (sd15, default)",
        "    checkpoint = rv.safetensors",
        "  tune 1533312 = wife.pt",
        "  role upscaler = u.pth",
        "  base 1504944 Flux1.dev (flux) is not bound",
        "  base flux_schnell Flux.1 schnell (flux_schnell) is not bound",
        *(
            f"  base {one.name} {one.title} ({one.name}) is not bound"
            for one in FAMILIES.values()
            if one.files and one.branch != "flux"
        ),
        f"tunes database: {tmp_path / 'tunes.sqlite3'}",
        "  2 Anna (lora): anna.pt",
        "  1 John (faceid): photos: 1",
    ]


def test_the_list_of_an_empty_folder_makes_no_files(run: Run, tmp_path: Path) -> None:
    status, output = run("--list")
    assert status == 0
    assert output.startswith(f"bindings: {tmp_path / 'bindings.ini'} (not there yet)\n")
    assert not list(tmp_path.iterdir())


def test_error_the_list_of_a_broken_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / BINDINGS_FILE).write_text("nonsense")
    status, output = run("--list")
    assert status == 1
    assert "bindings.ini, line 1: 'nonsense': expected" in output


@pytest.mark.parametrize(
    "argv", [(), ("1",), ("1", "2", "3"), ("--remove",), ("--remove", "--list"), ("--force", "1")]
)
def test_error_misuse_shows_the_usage(run: Run, argv: tuple[str, ...]) -> None:
    assert run(*argv) == (2, USAGE)


def test_help(run: Run) -> None:
    assert run("--help") == (0, USAGE)
