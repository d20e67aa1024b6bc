"""Segments, the tags that stand in them, and what of their text weighs."""

from __future__ import annotations

import pytest
from comfyui_astria.nodes.prompt import (
    EmbeddingTag,
    FaceIdTag,
    LoraTag,
    PromptRequest,
    Segment,
    parse,
)


def base_text(text: str) -> str:
    return PromptRequest.require(text).base.text


def codes(text: str) -> list[tuple[str, str]]:
    return [(found.severity, found.code) for found in parse(text).diagnostics]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [""]),
        ("a", ["a"]),
        ("a BREAK b", ["a", "b"]),
        ("a\nBREAK \r\nb", ["a", "b"]),
        ("BREAK BREAK c", ["", "", "c"]),
        ("a BREAK", ["a", ""]),
        ("a, BREAK, b", ["a,", ", b"]),
        ("a.BREAK;b", ["a.", ";b"]),
        ("LUNCH-BREAK", ["LUNCH-BREAK"]),
        ("(BREAK it)", ["(BREAK it)"]),
        ('BREAK" it', ['BREAK" it']),
        (
            "BREAKFAST break Break 'BREAK' (BREAK) BREAK_1",
            ["BREAKFAST break Break 'BREAK' (BREAK) BREAK_1"],
        ),
        ("<lora:x:1>BREAK<lora:y:1>b", ["", "b"]),
        ("a\u00a0BREAK\u00a0b", ["a", "b"]),
    ],
)
def test_break_as_a_whole_word_divides(text: str, expected: list[str]) -> None:
    assert [segment.text for segment in PromptRequest.require(text).prompt] == expected


def test_base_common_and_persons_are_named() -> None:
    request = PromptRequest.require("scene BREAK everywhere BREAK her BREAK him")
    assert (request.base.text, request.common.text, [one.text for one in request.persons]) == (
        "scene",
        "everywhere",
        ["her", "him"],
    )
    assert PromptRequest.require("scene").common == Segment()


def test_a_person_without_text_or_tag_is_warned_of() -> None:
    diagnostics = parse("a BREAK b BREAK BREAK c").diagnostics
    assert [(found.code, found.column) for found in diagnostics] == [("empty-person", 11)]


def test_a_line_of_lower_case_break_is_text_with_a_note() -> None:
    assert base_text("a\nbreak\nb") == "a break b"
    assert codes("a\nbreak\nb") == [("info", "lower-case-break")]
    assert codes("a break b") == []


@pytest.mark.parametrize(
    ("text", "pieces", "loras", "faceids"),
    [
        ("<lora:1533312:1.0> a", ("a",), (LoraTag("1533312", 1.0),), ()),
        ("<lora:epi_noiseoffset2> a", ("a",), (LoraTag("epi_noiseoffset2", 1.0),), ()),
        ("<lora:SDXLrender_v2.0:-0.75>", (), (LoraTag("SDXLrender_v2.0", -0.75),), ()),
        ("a <lora:b:.5> c <lora:d:2>", ("a c",), (LoraTag("b", 0.5), LoraTag("d", 2.0)), ()),
        ("<lora: my lora : 0.5 >", (), (LoraTag("my lora", 0.5),), ()),
        ("<lyco:x:0.5> a", ("a",), (LoraTag("x", 0.5),), ()),
        # As AUTOMATIC1111 reads them: one number for both, of two the first for the text encoder.
        ("<lora:x:0.2:0.9>", (), (LoraTag("x", 0.9, 0.2),), ()),
        ("<lora:x:0.5:0.5>", (), (LoraTag("x", 0.5),), ()),
        ("<lora:x:te=0.2>", (), (LoraTag("x", 0.2),), ()),
        ("<lora:x:unet=0.9>", (), (LoraTag("x", 0.9, 1.0),), ()),
        ("<lora:x:0.5:te= 0.2 :unet=0.9>", (), (LoraTag("x", 0.9, 0.2),), ()),
        ("<lora:x:0.8:lbw=OUTALL:stop=10>", (), (LoraTag("x", 0.8),), ()),
        ("<lora:x:0.2:0.9:32>", (), (LoraTag("x", 0.9, 0.2),), ()),
        ("<lora:x:0.8:MIDD>", (), (LoraTag("x", 0.8),), ()),
        ("<faceid:7:0.5> a", ("a",), (), (FaceIdTag("7", 0.5),)),
        ("a <easynegative>, b", ("a ", EmbeddingTag("easynegative"), ", b"), (), ()),
        ("<a\\b> <Zoe\u0308>", (EmbeddingTag("a\\b"), " ", EmbeddingTag("Zoe\u0308")), (), ()),
        ("<bad-hands_5><x.y>", (EmbeddingTag("bad-hands_5"), EmbeddingTag("x.y")), (), ()),
    ],
)
def test_tags_belong_to_their_segment(
    text: str, pieces: tuple, loras: tuple, faceids: tuple
) -> None:
    assert PromptRequest.require(text).base == Segment(pieces, loras, faceids)


def test_tags_stay_in_the_segment_in_which_they_stand() -> None:
    request = PromptRequest.require("a <lora:x:1> BREAK <easy> BREAK b<lora:y:1>")
    assert [segment.loras for segment in request.prompt] == [
        (LoraTag("x", 1.0),),
        (),
        (LoraTag("y", 1.0),),
    ]
    assert request.common.pieces == (EmbeddingTag("easy"),)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a <lora:x:1> b", "a b"),
        ("a<lora:x:1>b", "a b"),
        ("a <lora:x:1>, b", "a, b"),
        ("a <lora:x:1> , b", "a, b"),
        ("a (<lora:x:1> b)", "a (b)"),
        ("a <lora:x:1>.", "a."),
        ("<lora:x:1>  a  \n\n b\t", "a b"),
        ("a <faceid:1:1> <lora:x:1> b", "a b"),
        ("a --mask_invert b", "a b"),
        ("<em<lora:x:1>.b>", "<em .b>"),  # closed up this would be a tag
        ("a, <lora:x:1>, b", "a, b"),
        ("a, <lora:x:1>, <lora:y:1>, b", "a, b"),
        ("a,<lora:x:1>,,b", "a, b"),
        ("a (<lora:x:1>, b)", "a (b)"),
        ("a, (<lora:x:1>), b", "a, b"),
        ("((<lora:x:1>)) b", "b"),
        ("a, ( (<lora:x:1>:1.2) ) b", "a, b"),
        ("[<lora:x:1>] {<lora:y:1>}, b", "b"),
        ('"<lora:x:1>", b', "b"),
        ("(<lora:x:1> <lora:y:1>), (<faceid:1>, <lora:z:1>) b", "b"),
        ("[<lora:x:1>:<lora:y:1>:0.5] b", "b"),
        ("\uff08<lora:x:1>\uff09\uff0c b", "b"),
        ("a (--mask_invert), b", "a, b"),
        ("<lora:x:1>. b", "b"),
        ("<lora:x:1>, , b", "b"),
        ("a, <lora:x:1>, , b", "a, b"),
        ("a. <lora:x:1>, b", "a. b"),
        ("a, <lora:x:1>. b", "a, b"),
        ("(red hat, <lora:x:1>) b", "(red hat) b"),
        ("(red hat, <lora:x:1>:1.2) b", "(red hat:1.2) b"),
        ("<ink> (<lora:x:1>), b", "<ink>, b"),
        ("<lora:x:1>.5 mm", ".5 mm"),
        ("(a <lora:x:1> : 1.2)", "(a: 1.2)"),
        ("a \\(<lora:x:1>) b", "a \\() b"),
        ("a \\\\(<lora:x:1>) b", "a \\\\ b"),
        ('"a"<lora:x:1>"b"', '"a" "b"'),
        ("BREAK(<lora:x:1>)", "BREAK()"),  # alone it would divide the prompt
        ("(<lora:x:1>)BREAK b", "()BREAK b"),
        (", a <lora:x:1>", ", a"),  # its own
        ("a (), b <lora:x:1>", "a (), b"),
        ("a, --mask_invert , b", "a, b"),
        ("a,, b", "a,, b"),  # nothing was taken out
    ],
)
def test_where_a_tag_was_blanks_are_tidied(text: str, expected: str) -> None:
    assert base_text(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "a < b",
        "a <3",
        "<>",
        "< b >",
        "<a b>",
        "<-x>",
        "</b>",
        "<a,b>",
        "1 < 2 > 1",
        "<lora",
        "lora:x:1>",
        "<b",
        "a <\nb>",
    ],
)
def test_unknown_brackets_are_text(text: str) -> None:
    assert base_text(text) == " ".join(text.split())
    assert codes(text) == []


def test_tags_of_other_programs_are_text_with_a_warning() -> None:
    assert base_text("<hypernet:x:1> a") == "<hypernet:x:1> a"
    assert codes("<hypernet:x:1> a") == [("warning", "unknown-tag")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a (b) [c] \\( :)", [("warning", "unbalanced-bracket", 15)]),
        ("a (b\nuse_lpw=false", []),
        ("a (b\nuse_lpw=true", [("warning", "unbalanced-bracket", 3)]),
        ("(a <lora:x:1> b:1.2)", []),
        ("a\nnegative_prompt=(b", [("warning", "unbalanced-bracket", 17)]),
    ],
)
def test_brackets_without_a_partner_are_warned_of_where_brackets_weigh(
    text: str, expected: list[tuple[str, str, int]]
) -> None:
    assert [
        (found.severity, found.code, found.column) for found in parse(text).diagnostics
    ] == expected


def test_weights_beyond_measure_are_none_where_brackets_are_text() -> None:
    assert PromptRequest.from_text("(a:500)\nuse_lpw=false")[0] is not None
    assert PromptRequest.from_text("(a:<lora:x:1>500)")[0] is None
