"""A tag whose file names the words that call it, and a text that has none of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from comfyui_astria.nodes.errors import AstriaError
from comfyui_astria.nodes.graph.graph import Socket
from comfyui_astria.nodes.net.lora_words import TrainedWords, trained_words
from comfyui_astria.nodes.pipeline.build.sources import Options
from comfyui_astria.nodes.pipeline.plan import draft, encode_request
from comfyui_astria.nodes.prompt import PromptRequest
from comfyui_astria.nodes.prompt.dialects.persons import telling_words
from comfyui_astria.nodes.tunes.bindings import Bindings
from comfyui_astria.nodes.tunes.local_files import LocalFiles
from comfyui_astria.nodes.tunes.resolve import Resolver
from safetensors.numpy import save_file

from .support import sources

PHRASE = "modelspec.trigger_phrase"


def counted(**captions: Mapping[str, int]) -> dict[str, str]:
    return {"ss_tag_frequency": json.dumps(captions)}


SAID = {
    "anna": {"token": "ohwx", "preset": "portrait"},
    "bob": {PHRASE: "sks man"},
    "carl": counted(folder={"zwx woman": 12}),
    "style": {PHRASE: "in the style of barebones"},
    "light": {PHRASE: "cinematic light"},
    "tagged": counted(folder={"red dress": 12, "smile": 5}),
    "plain": {},
}


def put(folder: Path, name: str, said: Mapping[str, str]) -> Path:
    path = folder / f"{name}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({"one": np.zeros(1, np.float32)}, path, dict(said))
    return path


@pytest.fixture
def known(tmp_path: Path) -> Resolver:
    for name, said in SAID.items():
        put(tmp_path / "loras", name, said)
    put(tmp_path / "checkpoints", "dora", {PHRASE: "dwx woman"})
    bindings = Bindings.parse("[tunes]\n77 = anna.safetensors\n", "test")
    return Resolver(bindings, None, LocalFiles(tmp_path, tmp_path))


def told(text: str, known: Resolver, family: str = "sd15") -> list[str]:
    planned = draft(PromptRequest.require(text), sources(family), known, Options())
    return [one.render() for one in planned.problems if one.code == "trigger-unsaid"]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("<lora:anna:1> a woman on a beach", "ohwx"),
        ("<lora:77:1> a woman on a beach", "ohwx"),
        ("<lora:bob:0.8> a man", "sks"),
        ("<lora:carl:1> a woman", "zwx"),
        ("<lora:style:1> a street", "barebones"),
    ],
)
def test_words_that_are_not_said_are_told(known: Resolver, text: str, word: str) -> None:
    [note] = told(text, known)
    assert f"the text of the prompt does not say {word}" in note
    assert "Write `" in note


@pytest.mark.parametrize(
    "text",
    [
        "<lora:anna:1> a photo of ohwx woman",
        "<lora:anna:1> a photo of (OHWX:1.2) woman",
        "<lora:anna:0> a woman",
        "<lora:bob:1> portrait, sks",
        "<lora:style:1> a barebones street",
        "<lora:light:1> a street",
        "<lora:tagged:1> a street",
        "<lora:plain:1> a street",
    ],
)
def test_words_that_are_said_and_files_that_say_nothing_for_sure_are_not(
    known: Resolver, text: str
) -> None:
    assert told(text, known) == []


def test_each_tag_is_held_to_the_text_that_it_acts_on(known: Resolver) -> None:
    people = "a street BREAK {} BREAK <lora:anna:1> {} BREAK <lora:bob:1> {}"
    assert told(people.format("", "ohwx woman", "sks man"), known) == []
    assert told(people.format("ohwx sks", "woman", "man"), known) == []
    [note] = told(people.format("", "sks woman", "sks man"), known)
    assert "the text of person 1 does not say ohwx" in note
    scene = "a {} street BREAK {} <lora:style:1> BREAK woman BREAK {} man"
    for said in (("barebones", "", ""), ("", "barebones", ""), ("", "", "barebones")):
        assert told(scene.format(*said), known) == []
    assert len(told(scene.format("", "", ""), known)) == 1
    of_scene = "<lora:style:1> a street BREAK BREAK barebones woman BREAK man"
    assert "the text of the base prompt" in told(of_scene, known)[0]
    wider = "--outpaint center --outpaint_width 768 --outpaint_height 768"
    own = f'ohwx woman {wider} --outpaint_prompt "a <lora:anna:1> woman"'
    assert "the text of --outpaint_prompt" in told(own, known)[0]


def test_a_person_s_checkpoint_is_called_by_its_words_too(known: Resolver) -> None:
    people = "a street BREAK BREAK <lora:dora:1> {} BREAK man"
    assert "does not say dwx" in told(people.format("woman"), known)[0]
    assert told(people.format("dwx woman"), known) == []


def test_what_an_artist_samples_themselves_is_told_too(known: Resolver) -> None:
    request = PromptRequest.require("<lora:anna:1> a woman")
    _, problems = encode_request(request, sources("sd15"), known, Socket("regions"))
    assert [one.code for one in problems] == ["trigger-unsaid"]


@pytest.mark.parametrize(
    ("phrase", "telling"),
    [
        ("ohwx woman", ["ohwx"]),
        ("photo of a person", []),
        ("Luke Skywalker, 1boy, solo", ["luke", "skywalker"]),
        ("35mm film", []),
        ("", []),
    ],
)
def test_words_that_can_mean_one_thing_alone(phrase: str, telling: list[str]) -> None:
    assert telling_words(phrase) == telling


def test_what_a_file_says_for_sure(tmp_path: Path) -> None:
    cases: dict[str, tuple[Mapping[str, str], TrainedWords]] = {
        "phrase": ({PHRASE: "sks man"}, TrainedWords(("sks man",), "sks man")),
        "ours": ({"token": "ohwx", "preset": "p"}, TrainedWords(("ohwx",), "ohwx")),
        "another": ({"token": "hf_secret"}, TrainedWords()),
        "one caption": (counted(a={"x y": 3}, b={"x y": 2}), TrainedWords(("x y",), "x y")),
        "tags": (counted(a={"x": 3, "y": 1}), TrainedWords(("x",))),
        "none": (counted(a={}), TrainedWords()),
        "odd": ({"ss_tag_frequency": "[1]"}, TrainedWords()),
        "odd tags": ({"ss_tag_frequency": '{"a": {"x": "many"}}'}, TrainedWords()),
    }
    for name, (said, found) in cases.items():
        assert trained_words(put(tmp_path, name, said)) == found, name
    assert trained_words(tmp_path / "missing.safetensors") == TrainedWords()
    (tmp_path / "text.safetensors").write_text("no tensors")
    assert trained_words(tmp_path / "text.safetensors") == TrainedWords()


def test_a_file_that_is_missing_is_told_as_missing_alone(known: Resolver) -> None:
    assert told("<lora:nobody_here:1> a woman", known) == []
    with pytest.raises(AstriaError):
        encode_request(
            PromptRequest.require("<lora:nobody_here:1> a woman"),
            sources("sd15"),
            known,
            Socket("regions"),
        )
