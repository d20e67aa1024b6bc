"""Plain text beside the embeddings that are there."""

from __future__ import annotations

import pytest
from comfyui_astria.tests.pipeline.support import plan_text


def told(text: str) -> list[tuple[str, str, str]]:
    return [
        (one.severity, one.message.split()[0], one.hint)
        for one in plan_text(text).problems
        if one.code in ("no-embedding", "embedding-as-word")
    ]


@pytest.mark.parametrize("name", ["nowhere", "nowhere.pt", "styles/no", "inkk", "Ink"])
def test_an_embedding_spelled_out_that_is_not_there_is_warned_of(name: str) -> None:
    assert told(f"a cat (embedding:{name}:1.2), b") == [
        (
            "warning",
            f"embedding:{name}",
            f"Put the file there, or write other words for embedding:{name}.",
        )
    ]


def test_a_weight_outside_of_brackets_is_part_of_the_name() -> None:
    [(severity, name, _)] = told("a cat, embedding:easynegative:1.2, b")
    assert (severity, name) == ("warning", "embedding:easynegative:1.2")
    assert told("a cat, (embedding:easynegative:1.2), b") == []


@pytest.mark.parametrize("name", ["easynegative", "easynegative.safetensors", "styles/ink", "ink"])
def test_an_embedding_spelled_out_that_is_there_needs_no_word(name: str) -> None:
    assert told(f"a cat, embedding:{name}") == []


@pytest.mark.parametrize(
    "text",
    [
        "a cat\nnegative_prompt=blurry, EasyNegative, dark",
        "a cat\nnegative_prompt=(easynegative:1.2)",
        "easynegative BREAK BREAK a man",
        "a bar BREAK BREAK a man, easynegative",
    ],
)
def test_a_word_that_is_an_embeddings_name_is_noted_once(text: str) -> None:
    assert [(severity, hint) for severity, _, hint in told(text)] == [
        ("info", "Write <easynegative> to use it.")
    ]


def test_a_tag_and_other_words_are_not_noted() -> None:
    assert told("a cat <easynegative>, negative, easy") == []
