"""Ids and names -> files that the host lists, or what is missing and what to do."""

from __future__ import annotations

import posixpath
from collections.abc import Callable

import pytest
from comfyui_astria.nodes.tunes import names
from comfyui_astria.nodes.tunes.bindings import BaseModel, Bindings
from comfyui_astria.nodes.tunes.file_search import Missing
from comfyui_astria.nodes.tunes.resolve import Resolved, Resolver
from comfyui_astria.nodes.tunes.store import TuneStore
from comfyui_astria.tests.tunes.resolve_support import FOLDERS, Files, missing
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("name", "kind", "file"),
    [
        ("epi_noiseoffset2", "lora", "epi_noiseoffset2.safetensors"),
        ("SDXLrender_v2.0", "lora", "SDXLrender_v2.0.safetensors"),
        ("SDXLrender_v2.0.safetensors", "lora", "SDXLrender_v2.0.safetensors"),
        ("anna", "lora", "people/anna.safetensors"),
        ("people/anna", "lora", "people/anna.safetensors"),
        ("x/tom", "lora", "x/tom.pt"),
        ("realisticVision", "checkpoint", "realisticVision.safetensors"),
    ],
)
def test_a_file_is_found_by_its_name(resolver: Callable, name: str, kind: str, file: str) -> None:
    assert resolver(Bindings()).lora(name) == Resolved(kind, file, None, "file name")


def test_no_database_is_needed_for_files(files: Files) -> None:
    assert (
        Resolver(Bindings(), None, files(**FOLDERS)).lora("anna").file == "people/anna.safetensors"
    )


def test_leading_zeros_change_no_id(resolver: Callable, store: TuneStore) -> None:
    tune = store.create(title="a", model_type="lora", file="anna.safetensors", id=7)
    plain = resolver(Bindings())
    assert plain.lora("007") == plain.lora("7")
    assert plain.lora("007").tune == tune
    base = BaseModel("sd15", checkpoint="realisticVision.safetensors")
    bound = resolver(Bindings(bases={"12": base}, tunes={"7": "my_wife"}))
    assert bound.lora("007").file == "my_wife.safetensors"
    assert bound.base("0012") == bound.base("12")
    assert "bind 5 " in missing(plain.lora("005")).hint


def test_bindings_come_before_tunes_and_tunes_before_files(
    resolver: Callable, store: TuneStore
) -> None:
    plain = resolver(Bindings())
    assert plain.lora("my_wife").how == "file name"
    tune = store.create(title="my_wife", model_type="lora", file="anna.safetensors", id=1533312)
    expected = Resolved(
        "lora", "people/anna.safetensors", tune, "tune 1533312 of the tunes database"
    )
    assert plain.lora("1533312") == plain.lora("my_wife") == expected
    bound = resolver(Bindings(tunes={"1533312": "realisticVision"}))
    how = "bindings: 1533312 = realisticVision"
    assert bound.lora("1533312") == Resolved("checkpoint", "realisticVision.safetensors", tune, how)


def test_a_photo_set_of_the_same_title_does_not_hide_the_file(
    resolver: Callable, store: TuneStore, photo: Callable[..., bytes]
) -> None:
    tune = store.create(title="anna", model_type="faceid", photos=[photo()])
    assert resolver(Bindings()).lora("anna") == Resolved(
        "lora", "people/anna.safetensors", tune, "file name"
    )


def test_error_an_unknown_id_says_where_it_was_searched_and_how_to_bind_it(
    resolver: Callable,
) -> None:
    assert resolver(Bindings()).lora("1558021") == Missing(
        "LoRA",
        "1558021",
        "LoRA '1558021' (not bound, no such tune) was not found. Searched loras (/models/loras),"
        " checkpoints (/models/checkpoints).",
        "Put the file into /models/loras, then bind it: python dev.py bind 1558021 FILE",
    )


@pytest.mark.parametrize(
    ("name", "close"),
    [
        ("Anna", "Did you mean 'people/anna.safetensors'?"),
        ("epi_noiseofset2", "Did you mean 'epi_noiseoffset2.safetensors'?"),
        ("1533321", "Did you mean '1533312'?"),
        ("77416", "Did you mean '774160'?"),
        ("Mary Jan", "Did you mean 'Mary Jane'?"),
    ],
)
def test_error_an_unknown_name_says_what_comes_close(
    resolver: Callable, store: TuneStore, name: str, close: str
) -> None:
    store.create(title="Mary Jane", model_type="lora", file="anna.safetensors", id=774160)
    assert missing(
        resolver(Bindings(tunes={"1533312": "my_wife.safetensors"})).lora(name)
    ).message.endswith(close)


def test_error_a_name_of_two_files_lists_both(resolver: Callable) -> None:
    assert resolver(Bindings()).lora("tom") == Missing(
        "LoRA",
        "tom",
        "LoRA 'tom' (not bound, no such tune) is ambiguous in loras (/models/loras): x/tom.pt,"
        " y/tom.pt.",
        "Choose one: python dev.py bind tunes.tom x/tom.pt",
    )


def test_error_a_bound_file_that_is_not_there(resolver: Callable) -> None:
    assert resolver(Bindings(tunes={"1533312": "my_wive.safetensors"})).lora("1533312") == Missing(
        "LoRA",
        "1533312",
        "the file 'my_wive.safetensors' that LoRA 1533312 stands for was not found. Searched loras"
        " (/models/loras), checkpoints (/models/checkpoints). Did you mean 'my_wife.safetensors'?",
        "Put the file into /models/loras, or bind another: python dev.py bind 1533312 FILE",
    )


def test_error_tunes_without_a_model_file(
    resolver: Callable, store: TuneStore, photo: Callable[..., bytes]
) -> None:
    store.create(title="John", model_type="faceid", photos=[photo()], id=5)
    store.create(title="Later", model_type="lora", id=6)
    store.create(title="Soon", model_type="lora", photos=[photo()], id=7)
    john, later, soon = (missing(resolver(Bindings()).lora(id)) for id in ("5", "6", "7"))
    assert soon.message.startswith("LoRA '7' (not bound, tune 7 'Soon' is not trained yet)")
    assert "Wait until it is trained" in soon.hint
    assert "bind" not in soon.hint
    store.change(7, {"user_error": "no memory"})
    assert "go on in the sidebar" in missing(resolver(Bindings()).lora("7")).hint
    assert john.message.startswith(
        "LoRA '5' (not bound, tune 5 'John' is a photo set) was not found."
    )
    assert john.hint.startswith("For the photos of tune 5 write <faceid:5:1>. ")
    assert later.message.startswith(
        "LoRA '6' (not bound, tune 6 'Later' has no model file) was not found."
    )


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "/etc/passwd",
        "C:\\x",
        "C:x",
        "..\\b",
        "\\\\pc\\b",
        "-x",
        "a\0b",
        "a\nb",
        "",
        "x" * 300,
    ],
)
def test_error_unsafe_names_are_refused_everywhere(resolver: Callable, name: str) -> None:
    plain = resolver(Bindings())
    for result in (
        plain.lora(name),
        plain.faceid(name),
        plain.model_file("vae", name),
        plain.base(name),
    ):
        assert "is refused: " in missing(result).message
        assert "\n" not in missing(result).message + missing(result).hint
    bound = resolver(
        Bindings(
            {"1": BaseModel("sd15", checkpoint=name or "/")}, None, {"1": name}, {"upscaler": name}
        )
    )
    for result in (bound.lora("1"), bound.role("upscaler"), bound.base("1")):
        assert "is refused: " in missing(result).message


@given(st.text(max_size=12))
def test_only_listed_files_are_ever_returned(files: Files, name: str) -> None:
    found = Resolver(Bindings(tunes={"1": name}), None, files(**FOLDERS)).lora("1")
    assert isinstance(found, Missing) or found.file in FOLDERS["loras"] + FOLDERS["checkpoints"]


def test_a_suggested_command_cannot_run_another(resolver: Callable) -> None:
    assert missing(resolver(Bindings()).lora("$(reboot)")).hint.endswith(
        "bind 'tunes.$(reboot)' FILE"
    )


def test_faceid_photos_are_found_by_id_and_title(
    resolver: Callable, store: TuneStore, photo: Callable[..., bytes]
) -> None:
    tune = store.create(title="John Doe", model_type="faceid", photos=[photo()], id=788416)
    trained = store.create(
        title="Anna", model_type="lora", file="anna.safetensors", photos=[photo()]
    )
    plain = resolver(Bindings())
    expected = Resolved("faceid", None, tune, "tune 788416 of the tunes database")
    assert plain.faceid("788416") == plain.faceid("John Doe") == expected
    assert plain.faceid("Anna").tune == trained  # a LoRA tune may hold photos


def test_error_faceid_without_photos(
    resolver: Callable, store: TuneStore, photo: Callable[..., bytes]
) -> None:
    store.create(title="John", model_type="faceid", photos=[photo("a"), photo("b")], id=5)
    store.create(title="Anna", model_type="lora", file="anna.safetensors", id=6)
    plain = resolver(Bindings(tunes={"7": "my_wife.safetensors"}))
    assert missing(plain.faceid("6")).message == "tune 6 'Anna' holds no photos"
    assert "with Astria Create Tune" in missing(plain.faceid("6")).hint
    bound = missing(plain.faceid("7")).message
    assert bound.startswith(
        "FaceID photo set '7' is not in the tunes database. The bindings give it"
        " 'my_wife.safetensors', which is no tune of it; a model file holds no photos."
    )
    assert missing(plain.faceid("Jon")).message.endswith("Did you mean 'John'?")
    lost = store.photo_paths(5)[1]
    lost.unlink()
    message = missing(plain.faceid("5")).message
    assert message == f"tune 5 'John' has lost photos: 1 of 2, the first is {lost}"


def test_faceid_without_a_database(files: Files) -> None:
    assert (
        "not in the tunes database"
        in missing(Resolver(Bindings(), None, files()).faceid("5")).message
    )


def test_files_of_a_windows_host(files: Files) -> None:
    windows = Resolver(Bindings(), None, files(loras=["people\\anna.pt", "a\\tom.pt", "b\\tom.pt"]))
    assert windows.lora("people/anna").file == "people\\anna.pt"
    assert "'people/anna.pt'" in missing(windows.lora("ANNA")).message
    assert missing(windows.lora("tom")).hint.endswith("bind tunes.tom a/tom.pt")


def test_names_given_by_hints_are_accepted_again(resolver: Callable) -> None:
    command = missing(resolver(Bindings()).lora("tom")).hint.split()
    key, file = command[-2:]
    assert posixpath.basename(file) == "tom.pt"
    bound = resolver(Bindings(tunes={key.removeprefix("tunes."): file}))
    assert bound.lora("tom").file == "x/tom.pt"


DECOMPOSED = "Zoe\N{COMBINING DIAERESIS}"
COMPOSED = "Zo\N{LATIN SMALL LETTER E WITH DIAERESIS}"


@pytest.mark.parametrize("name", ["Style\\ink", "Style/ink", "Style\\ink.safetensors"])
@pytest.mark.parametrize("listed", ["Style/ink.safetensors", "Style\\ink.safetensors"])
def test_folders_are_parted_by_either_stroke(files: Files, name: str, listed: str) -> None:
    found = Resolver(Bindings(), None, files(loras=[listed])).lora(name)
    assert isinstance(found, Resolved)
    assert found.file == listed, "as the host lists it"


@pytest.mark.parametrize("name", [DECOMPOSED, COMPOSED])
@pytest.mark.parametrize("other", [DECOMPOSED, COMPOSED])
def test_accents_are_the_same_however_they_are_composed(
    files: Files, store: TuneStore, photo: Callable[..., bytes], name: str, other: str
) -> None:
    listed = files(loras=[f"{other}.safetensors", "b.safetensors"])
    assert Resolver(Bindings(), None, listed).lora(name).file == f"{other}.safetensors"
    bound = Resolver(Bindings(tunes={other: "b.safetensors"}), None, listed)
    assert bound.lora(name).file == "b.safetensors", "the binding counts before the file's name"
    store.create(title=other, model_type="faceid", photos=[photo()], id=5)
    assert Resolver(Bindings(), store, files()).faceid(name).tune.id == 5


def test_error_a_name_is_shown_as_it_was_written_and_the_command_can_be_run(
    resolver: Callable,
) -> None:
    found = missing(resolver(Bindings()).lora("Style\\no"))
    assert "'Style\\\\no'" in found.message
    assert found.hint.endswith("bind tunes.Style/no FILE")


def test_hundreds_of_unknown_names_search_what_is_there_a_bounded_number_of_times(
    resolver: Callable, store: TuneStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.create(title="anna_photos", model_type="lora", file="anna.safetensors")
    searched: list[str] = []
    listed: list[int] = []
    search, tunes = names.close_names, store.list
    monkeypatch.setattr(
        names, "close_names", lambda name, there: searched.append(name) or search(name, there)
    )
    monkeypatch.setattr(store, "list", lambda **page: listed.append(1) or tunes(**page))
    asked = resolver(Bindings())
    for find in (asked.faceid, asked.lora):
        searched.clear()
        told = {missing(find("ana_photos")).message for _ in range(200)}
        assert (len(told), searched) == (1, ["ana_photos"])
        assert "Did you mean 'anna_photos'?" in told.pop()
        messages = [missing(find(f"anna_photo{number}")).message for number in range(200)]
        assert len(searched) == names.MOST_SUGGESTIONS
        assert sum("Did you mean" in one for one in messages) == names.MOST_SUGGESTIONS - 1
    assert listed == [1]


def test_a_name_is_searched_for_in_the_folder_that_is_asked(files: Files) -> None:
    folders = files(vae=["soft_1.pt"], loras=["soft_2.pt"])
    asked = Resolver(Bindings(), None, folders)
    assert "Did you mean 'soft_1.pt'?" in missing(asked.model_file("vae", "soft")).message
    assert "Did you mean 'soft_2.pt'?" in missing(asked.model_file("loras", "soft")).message
