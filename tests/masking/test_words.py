"""How a mask prompt's text becomes words."""

from __future__ import annotations

import pytest
from comfyui_astria.nodes.errors import PromptError
from comfyui_astria.nodes.masking.words import split_words
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("windows door", ("windows", "door")),
        ("  Face\n face ", ("face",)),
        ('"red hat" shoes', ("red hat", "shoes")),
        ("red hat, shoes", ("red hat", "shoes")),
        ('"red, old hat" shoes', ("red, old hat", "shoes")),
        ('big "red hat", shoes', ("big red hat", "shoes")),
        ("hat,", ("hat",)),
        ('a"b c"d', ("a", "b c", "d")),
        ('"" , ,', ()),
        ("", ()),
    ],
)
def test_words_and_phrases(text: str, words: tuple[str, ...]) -> None:
    assert split_words(text) == words


def test_an_open_quote_is_said() -> None:
    with pytest.raises(PromptError, match="A quote is opened and not closed in '\"red hat'"):
        split_words('"red hat')


@given(st.lists(st.text("abc \N{NULL}", min_size=1), max_size=5))
def test_quoted_phrases_come_back(phrases: list[str]) -> None:
    tidy = [" ".join(phrase.replace("\N{NULL}", " ").split()) for phrase in phrases]
    expected = tuple(dict.fromkeys(phrase for phrase in tidy if phrase))
    assert split_words(" ".join(f'"{phrase}"' for phrase in phrases)) == expected
