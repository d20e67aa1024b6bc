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
