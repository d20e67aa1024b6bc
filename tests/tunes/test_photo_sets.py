"""Ids of the service that stand for photo sets stored here."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from comfyui_astria.nodes.tunes.bindings import Bindings
from comfyui_astria.nodes.tunes.file_search import Missing
from comfyui_astria.nodes.tunes.resolve import Resolved, Resolver
from comfyui_astria.nodes.tunes.state import overview
from comfyui_astria.nodes.tunes.store import TuneStore

Resolve = Callable[..., Resolver]
Photo = Callable[..., bytes]


@pytest.fixture
def resolver(files: Callable[..., object], store: TuneStore) -> Resolve:
    return lambda **tunes: Resolver(
        Bindings(tunes=tunes), store, files(loras=["people/anna.safetensors"], checkpoints=[])
    )


def missing(result: object) -> Missing:
    assert isinstance(result, Missing)
    return result


@pytest.mark.parametrize("bound", ["Anna", "5"])
def test_an_id_of_the_service_can_stand_for_the_photos_of_a_tune_here(
    resolver: Resolve, store: TuneStore, photo: Photo, bound: str
) -> None:
    anna = store.create(title="Anna", model_type="faceid", photos=[photo("a")], id=5)
    store.create(title="somebody else", model_type="faceid", photos=[photo("b")], id=749152)
    found = resolver(**{"749152": bound})
    expected = Resolved(
        "faceid", None, anna, f"bindings: 749152 = {bound}, tune 5 of the tunes database"
    )
    assert found.faceid("749152") == found.bound("749152") == expected
    assert overview(Bindings(tunes={"749152": bound}), found) == f"found    tune 749152 = {bound}"
    assert resolver().faceid("749152").tune.title == "somebody else", "unbound, the id is its own"


def test_a_lora_tag_brings_the_photos_that_the_bindings_give_its_id(
    resolver: Resolve, store: TuneStore, photo: Photo
) -> None:
    anna = store.create(title="anna", model_type="faceid", photos=[photo()])
    assert resolver(**{"7": "anna"}).lora("7") == Resolved(
        "lora", "people/anna.safetensors", anna, "bindings: 7 = anna"
    )


def test_an_id_bound_to_a_model_file_keeps_the_photos_of_its_tune(
    resolver: Resolve, store: TuneStore, photo: Photo
) -> None:
    own = store.create(
        title="Anna", model_type="lora", file="anna.safetensors", photos=[photo()], id=7
    )
    assert resolver(**{"7": "anna.safetensors"}).faceid("7") == Resolved(
        "faceid", None, own, "tune 7 of the tunes database"
    )


def test_error_an_unbound_photo_set_offers_to_bind_it(
    resolver: Resolve, store: TuneStore, photo: Photo
) -> None:
    assert missing(resolver().faceid("749152")).hint.endswith("python dev.py bind 749152 TITLE")
    assert missing(resolver().faceid("Jane Roe")).hint.endswith(
        "python dev.py bind 'tunes.Jane Roe' TITLE"
    )
    store.create(title="Anna", model_type="faceid", photos=[photo()])
    lost = resolver(**{"749152": "Ana"})
    told = (
        "The bindings give it 'Ana', which is no tune of it; a model file holds no photos. Did you"
        " mean 'Anna'?"
    )
    assert missing(lost.faceid("749152")).message.endswith(told)
    assert missing(lost.bound("749152")) == missing(lost.lora("749152"))


def test_error_a_mock_is_no_photo_set_and_no_lora(
    resolver: Resolve, store: TuneStore, photo: Photo
) -> None:
    mock = store.create(title="Test", model_type="faceid", branch="fast", photos=[photo()], id=7)
    assert not mock.is_photo_set
    for key, bound in (("7", resolver()), ("Test", resolver()), ("9", resolver(**{"9": "Test"}))):
        for found in (bound.lora(key), bound.faceid(key)):
            assert missing(found).message.startswith("tune 7 'Test' is a mock (branch=fast)")
            assert "tune's own id, 7" in missing(found).hint


def test_a_file_that_the_bindings_give_a_mocks_id_is_found(
    resolver: Resolve, store: TuneStore, photo: Photo
) -> None:
    store.create(title="Test", model_type="lora", branch="fast", photos=[photo()], id=7)
    found = resolver(**{"7": "anna.safetensors"}).lora("7")
    assert isinstance(found, Resolved)
    assert found.file == "people/anna.safetensors"
