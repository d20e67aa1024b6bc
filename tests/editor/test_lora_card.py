"""What lies beside a LoRA: pictures and trigger words, as other programs keep them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from comfyui_astria.nodes.editor.lora_card import LoraCard, card_of
from safetensors.numpy import save_file


def card(path: Path) -> LoraCard:
    return card_of(path, lambda folder: frozenset(os.listdir(folder)))


@pytest.fixture
def lora(tmp_path: Path) -> Path:
    path = tmp_path / "ink.v1.safetensors"
    path.write_bytes(b"no tensors")
    return path


@pytest.mark.parametrize(
    "ending", [".png", ".preview.png", ".jpg", ".preview.jpeg", ".webp", ".preview.webp"]
)
def test_its_picture_has_its_name(lora: Path, ending: str) -> None:
    (lora.parent / f"ink{ending}").touch()
    assert card(lora).picture is None, "another file's"
    (lora.parent / f"ink.v1{ending}").touch()
    assert card(lora).picture == lora.parent / f"ink.v1{ending}"


@pytest.mark.parametrize(
    ("ending", "content"),
    [
        (".txt", "ohwx\nink wash,\n\nA note about it."),
        (".json", json.dumps({"activation text": "ohwx, ink wash", "sd version": "SD1"})),
        (".civitai.info", json.dumps({"id": 1, "trainedWords": ["ohwx", " ink wash, "]})),
        (".metadata.json", json.dumps({"civitai": {"trainedWords": ["ohwx", "ink wash"]}})),
        (
            ".rgthree-info.json",
            json.dumps(
                {
                    "trainedWords": [
                        {"word": "ohwx", "civitai": True},
                        {"word": "ink wash", "user": True},
                        {"word": "1girl", "count": 30, "metadata": True},
                    ]
                }
            ),
        ),
    ],
)
def test_trigger_words_are_read_as_each_program_keeps_them(
    lora: Path, ending: str, content: str
) -> None:
    (lora.parent / f"ink.v1{ending}").write_text(content, encoding="utf-8")
    assert card(lora).triggers == "ohwx, ink wash"
    assert card(lora).unreadable == ()


def test_the_trainers_own_phrase_counts_where_nobody_else_says_one(tmp_path: Path) -> None:
    path = tmp_path / "own.safetensors"
    save_file({"a": np.zeros(1, np.float32)}, path, {"modelspec.trigger_phrase": "sks <b> dog"})
    assert card(path).words == ("sks b dog",)
    (tmp_path / "own.civitai.info").write_text('{"trainedWords": ["rex"]}', encoding="utf-8")
    assert card(path).words == ("rex",)


FREQUENCY = {
    "8_ohwx woman": {"ohwx woman": 20, "red dress": 7, "smiling": 19},
    "1_woman": {"woman": 50},
}


@pytest.mark.parametrize(
    ("frequency", "folders", "words"),
    [
        (FREQUENCY, {"8_ohwx woman": {"n_repeats": 8, "img_count": 20}}, ("ohwx woman",)),
        # Two folders: what both have in all captions, so that one person's are not said of another.
        (
            {"a": {"sks": 3, "anna": 3}, "b": {"sks": 2, "tom": 2}},
            {"a": {"img_count": 3}, "b": {"img_count": 2}},
            ("sks",),
        ),
        # A file that does not count its pictures has as many as its commonest tag.
        ({"a": {"ink wash": 12, "boat": 5}}, None, ("ink wash",)),
        ({"a": {}}, None, ()),
        ({}, {"a": {"img_count": 3}}, ()),
        ([1], None, ()),
        ({"a": {"ohwx": "many"}}, {"a": {"img_count": 1}}, ()),
    ],
)
def test_words_in_every_caption_of_the_training_are_trigger_words(
    tmp_path: Path, frequency: object, folders: object, words: tuple[str, ...]
) -> None:
    path = tmp_path / "kohya.safetensors"
    texts = {"ss_tag_frequency": json.dumps(frequency)}
    if folders is not None:
        texts["ss_dataset_dirs"] = json.dumps(folders)
    save_file({"a": np.zeros(1, np.float32)}, path, texts)
    assert card(path).words == words


def test_tags_of_many_captions_are_read_and_a_phrase_counts_before_them(tmp_path: Path) -> None:
    path = tmp_path / "kohya.safetensors"
    tags = {"ohwx": 900, **{f"a tag of {number} captions": number for number in range(800)}}
    texts = {"ss_tag_frequency": json.dumps({"a": tags})}
    assert len(texts["ss_tag_frequency"]) > 10_000
    save_file({"a": np.zeros(1, np.float32)}, path, texts)
    assert card(path).words == ("ohwx",)
    save_file({"a": np.zeros(1, np.float32)}, path, {**texts, "modelspec.trigger_phrase": "sks"})
    assert card(path).words == ("sks",)


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"trainedWords": "ohwx"}', '{"trainedWords": [1]}', "\x00\xff"]
)
def test_what_cannot_be_read_is_named_and_stops_nothing(lora: Path, content: str) -> None:
    (lora.parent / "ink.v1.civitai.info").write_text(content, encoding="latin-1")
    assert card(lora) == LoraCard(None, (), ("ink.v1.civitai.info",))


def test_many_words_are_cut_to_what_a_prompt_holds(lora: Path) -> None:
    words = [f"word {number} {'x' * 40}" for number in range(50)]
    (lora.parent / "ink.v1.civitai.info").write_text(json.dumps({"trainedWords": words}))
    assert len(card(lora).triggers) <= 300
    assert card(lora).words[0] == words[0]
