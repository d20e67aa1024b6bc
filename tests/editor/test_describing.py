"""What stands at a place of a text, in words."""

from __future__ import annotations

import pytest
from comfyui_astria.nodes.editor.describing import describe
from comfyui_astria.tests.prompt.strategies import wild_texts
from hypothesis import given
from hypothesis import strategies as st

TEXT = """a --outpaint center <lora:x:0.5> BREAK BREAK b <e> --multi \
--outpaint_prompt 'x <faceid:3>'
w=8
foo=1
negative_prompt=x <bad>
backend_version=2"""


def test_the_two_weights_of_a_lora_are_told_apart() -> None:
    found = describe("<lyco:x:0.5:0.7>", 3)
    assert found is not None
    assert found.text == "LoRA x, weight 0.7, on the text encoder 0.5."


def test_a_tag_in_another_programs_negative_prompt_is_a_tag() -> None:
    text = "a\nNegative prompt: b <emb>\nSteps: 20, Seed: 1"
    found = describe(text, text.index("emb"))
    assert found is not None
    assert found.name == "emb"
    assert describe(text, text.index("Steps")) is None


@pytest.mark.parametrize(
    ("at", "span", "said"),
    [
        ("outpaint c", "--outpaint center", "where the source image sits on the new canvas"),
        ("center", "--outpaint center", "one of top-left, top-center"),
        ("ora:x", "<lora:x:0.5>", "LoRA x, weight 0.5"),
        ("BREAK BREAK", "BREAK", "what follows is the common prompt"),
        ("BREAK b", "BREAK", "what follows is person 1"),
        ("e>", "<e>", "Embedding e"),
        ("multi", "--multi", "has no effect here"),
        ("faceid:3", "<faceid:3>", "the photos of 3, strength 1"),
        ("'x", "--outpaint_prompt 'x <faceid:3>'", "text for the new area"),
        ("w=8", "w=8", "Takes a whole number from 8"),
        ("bad", "<bad>", "Embedding bad"),
        ("negative", "negative_prompt=x <bad>", "what the picture should not show"),
        ("backend", "backend_version=2", "has no effect here"),
    ],
)
def test_what_is_said(at: str, span: str, said: str) -> None:
    found = describe(TEXT, TEXT.index(at))
    assert found is not None
    assert found.span.of(TEXT) == span
    assert said in found.text


@pytest.mark.parametrize("at", ["a --", "foo", "x <bad"])
def test_text_and_unknown_keys_are_left_alone(at: str) -> None:
    found = describe(TEXT, TEXT.index(at))
    assert found is None or found.span.of(TEXT).startswith("negative_prompt")


def test_tags_say_what_to_look_up() -> None:
    assert [
        (found.kind, found.name)
        for at in ("lora:x", "e>", "faceid:3")
        if (found := describe(TEXT, TEXT.index(at)))
    ] == [("lora", "x"), ("embedding", "e"), ("faceid", "3")]


@given(wild_texts.flatmap(lambda text: st.tuples(st.just(text), st.integers(0, len(text)))))
def test_every_place_of_every_text_has_an_answer(placed: tuple[str, int]) -> None:
    text, offset = placed
    found = describe(text, offset)
    assert found is None or (found.span.start <= offset < found.span.end and found.text)
