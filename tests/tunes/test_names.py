"""Names of model files: refused paths, readings of a name, near misses."""

from __future__ import annotations

import ntpath
import posixpath

import pytest
from comfyui_astria.nodes.tunes.names import close_names, matching, name_problem, without_ending
from hypothesis import given
from hypothesis import strategies as st

LISTED = [
    "anna.safetensors",
    "people/anna.safetensors",
    "people/bob.pt",
    "x/tom.ckpt",
    "y/tom.ckpt",
    "v2.0.safetensors",
]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "it is empty"),
        (" ", "it is empty"),
        ("..", "'..' part"),
        ("../a", "'..' part"),
        ("a/../b", "'..' part"),
        ("a/./b", "'..' part"),
        ("a//b", "an empty"),
        ("a/", "an empty"),
        ("/etc/passwd", "absolute path"),
        ("C:/a", "drive letter"),
        ("c:a", "drive letter"),
        ("a.pt:stream", "drive letter"),
        ("a\\b", "backslash"),
        ("\\\\server\\share", "backslash"),
        ("-rf", "begins with '-'"),
        ("a\0b", "control character"),
        ("a\nb", "line break"),
        ("a\u2028b", "line break"),
        ("a\ud800", "control character"),
        (" a", "white space"),
        ("a" * 256, "256 characters"),
    ],
)
def test_unsafe_names_are_refused_with_their_reason(name: str, reason: str) -> None:
    assert reason in name_problem(name)


@pytest.mark.parametrize(
    "name",
    ["1533312", "SDXLrender_v2.0", "people/anna.safetensors", "...x", "a-b (1) #2.pt", "Žofie"],
)
def test_ordinary_names_are_accepted(name: str) -> None:
    assert name_problem(name) is None


@given(st.text(alphabet=st.sampled_from("ab./\\:-C \0\n"), max_size=12))
def test_an_accepted_name_stays_below_its_folder_on_every_system(name: str) -> None:
    if name_problem(name) is None:
        assert posixpath.normpath(posixpath.join("/models", name)).startswith("/models/")
        assert ntpath.normpath(ntpath.join("D:\\models", name)).startswith("D:\\models\\")


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("a.safetensors", "a"),
        ("SDXLrender_v2.0", "SDXLrender_v2.0"),
        ("SDXLrender_v2.0.safetensors", "SDXLrender_v2.0"),
        ("a.CKPT", "a"),
        (".pt", ".pt"),
    ],
)
def test_only_endings_of_models_are_endings(name: str, stem: str) -> None:
    assert without_ending(name) == stem


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("anna.safetensors", ["anna.safetensors"]),
        ("anna", ["anna.safetensors"]),  # the file in the root before the one in a subfolder
        ("people/anna", ["people/anna.safetensors"]),
        ("bob", ["people/bob.pt"]),
        ("bob.pt", ["people/bob.pt"]),
        ("bob.safetensors", []),
        ("tom", ["x/tom.ckpt", "y/tom.ckpt"]),
        ("v2.0", ["v2.0.safetensors"]),
        ("v2", []),
        ("Anna", []),
        ("ann", []),
    ],
)
def test_readings_of_a_name(name: str, found: list[str]) -> None:
    assert matching(name, LISTED) == found


def test_windows_lists_subfolders_with_backslashes() -> None:
    assert matching("people/anna", ["people\\anna.safetensors"]) == ["people\\anna.safetensors"]
    assert matching("anna", ["people\\anna.safetensors"]) == ["people\\anna.safetensors"]


def test_near_misses_by_letter_case_and_spelling() -> None:
    assert close_names("ANNA", LISTED) == ["anna.safetensors", "people/anna.safetensors"]
    assert close_names("bobb", LISTED) == ["people/bob.pt"]
    assert close_names("zebra", LISTED) == []
    assert close_names("1", ["1"]) == []  # the name itself is no suggestion
