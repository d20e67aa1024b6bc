"""Offsets in UTF-16 code units, against Python's own encoder."""

from __future__ import annotations

from comfyui_astria.nodes.editor.utf16 import Utf16
from comfyui_astria.nodes.prompt import Span
from hypothesis import given
from hypothesis import strategies as st

texts = st.text(
    alphabet=st.one_of(st.sampled_from("a\n😀𝄞é\ud800\uffff"), st.characters()), max_size=40
)


def units_before(text: str, offset: int) -> int:
    return len(text[:offset].encode("utf-16-le", "surrogatepass")) // 2


@given(texts)
def test_units_are_those_of_the_encoder_and_lead_back(text: str) -> None:
    offsets = Utf16(text)
    for point in range(len(text) + 1):
        units = units_before(text, point)
        assert offsets.units(point) == units
        assert offsets.points(units) == point


def test_an_offset_inside_a_character_is_its_start_and_one_beyond_the_text_its_end() -> None:
    offsets = Utf16("a😀b")
    assert [offsets.points(units) for units in (-3, 0, 1, 2, 3, 4, 5, 99)] == [
        0,
        0,
        1,
        1,
        2,
        3,
        3,
        3,
    ]
    assert offsets.span(Span(1, 2)) == (1, 3)
