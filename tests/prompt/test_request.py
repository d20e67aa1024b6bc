"""The request as a value: what it accepts, what it raises, how it prints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace

import pytest
from comfyui_astria.nodes.errors import PromptError
from comfyui_astria.nodes.prompt import (
    FLAGS,
    PARAMETERS,
    Dilation,
    EmbeddingTag,
    FaceIdTag,
    ImageRef,
    LoraTag,
    PromptRequest,
    Segment,
)


def test_every_parameter_and_flag_has_its_field_and_no_field_is_left_over() -> None:
    names = {field.name for field in fields(PromptRequest)}
    assert names == {"prompt", "unknown"} | {spec.target for spec in PARAMETERS.values()} | set(
        FLAGS
    )


def test_a_request_can_be_a_key_and_be_changed_by_copy() -> None:
    request = PromptRequest(seed=5)
    assert {request: 1}[PromptRequest(seed=5)] == 1
    assert replace(request, seed=6).seed == 6


REFUSED: dict[str, Callable[[], object]] = {
    "too many": lambda: PromptRequest(num_images=9),
    "a text for a number": lambda: PromptRequest(seed="5"),
    "a boolean for a number": lambda: PromptRequest(steps=True),
    "a number for a boolean": lambda: PromptRequest(face_swap=1),
    "a choice in other case": lambda: PromptRequest(style="cinematic"),
    "a scheduler of the service": lambda: PromptRequest(scheduler="tcd"),
    "not a multiple": lambda: PromptRequest(w=10, h=8),
    "one side": lambda: PromptRequest(w=8),
    "not a number": lambda: PromptRequest(cfg_scale=float("nan")),
    "unset in words": lambda: PromptRequest(backend_version="undefined"),
    "empty": lambda: PromptRequest(backend_version=""),
    "a flag that is off": lambda: PromptRequest(multi=False),
    "no words": lambda: PromptRequest(mask_prompt=()),
    "a list": lambda: PromptRequest(mask_prompt=["face"]),
    "an untidy word": lambda: PromptRequest(mask_prompt=("a  b",)),
    "a word that no quotes hold": lambda: PromptRequest(mask_prompt=("a\" ' b",)),
    "an unknown unit": lambda: PromptRequest(mask_dilate=Dilation(1.0, "em")),
    "an outpaint prompt alone": lambda: PromptRequest(outpaint_prompt=Segment(("a",))),
    "an outpaint prompt that no quotes hold": lambda: PromptRequest(
        outpaint="center",
        outpaint_width=8,
        outpaint_height=8,
        outpaint_prompt=Segment(("a\" ' b",), (LoraTag("x"),)),
    ),
    "an outpaint prompt of nothing": lambda: PromptRequest(
        outpaint="center", outpaint_width=8, outpaint_height=8, outpaint_prompt=Segment()
    ),
    "hires fix without super-resolution": lambda: PromptRequest(
        hires_fix=True, super_resolution=False
    ),
    "a path": lambda: PromptRequest(input_image=ImageRef("file", "../x.png")),
    "an address as a file": lambda: PromptRequest(
        input_image=ImageRef("file", "https://a.example/x.png")
    ),
    "no segment": lambda: PromptRequest(prompt=()),
    "text for a segment": lambda: PromptRequest(prompt="a"),
    "a weight beyond measure": lambda: PromptRequest(prompt=(Segment(("(a:500)",)),)),
    "a text that opens the block": lambda: PromptRequest(prompt=(Segment(("seed=5",)),)),
    "tags in a negative prompt": lambda: PromptRequest(negative=(Segment((), (LoraTag("x"),)),)),
    "a negative prompt of nothing": lambda: PromptRequest(negative=(Segment(),)),
    "a known key as unknown": lambda: PromptRequest(unknown=(("seed", "5"),)),
    "an unknown key with blanks": lambda: PromptRequest(unknown=(("a b", "5"),)),
    "BREAK in a segment": lambda: Segment(("a BREAK b",)),
    "a flag in a segment": lambda: Segment(("a --multi",)),
    "a tag in a text": lambda: Segment(("a <easy>",)),
    "untidy text": lambda: Segment((" a",)),
    "neighbouring texts": lambda: Segment(("a", "b")),
    "a tag's name with a colon": lambda: LoraTag("a:b"),
    "a tag without a name": lambda: FaceIdTag(""),
    "a weight that is no number": lambda: LoraTag("a", float("inf")),
    "a negative strength": lambda: FaceIdTag("a", -1.0),
    "an embedding with blanks": lambda: EmbeddingTag("a b"),
    "an embedding like a tag": lambda: EmbeddingTag("lora"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_language_cannot_say_is_refused(name: str) -> None:
    with pytest.raises(PromptError) as raised:
        REFUSED[name]()
    assert raised.value.hint


def test_a_refusal_names_field_value_and_what_was_expected() -> None:
    with pytest.raises(PromptError) as raised:
        PromptRequest(num_images=9)
    assert (raised.value.code, raised.value.message) == (
        "bad-value",
        "num_images=9 is not a value of a request",
    )
    assert raised.value.hint == "Expected None or a whole number from 1 to 8."


def test_a_whole_number_does_for_a_decimal_one() -> None:
    assert PromptRequest(cfg_scale=7) == PromptRequest.require("cfg_scale=7")


def test_require_lists_every_error_with_place_and_caret() -> None:
    with pytest.raises(PromptError) as raised:
        PromptRequest.require("a --foo\nscheduler=tcd")
    assert raised.value.code == "unknown-flag"
    assert (
        str(raised.value)
        == "line 1, column 3: `--foo` is not a known flag\na --foo\n  ^^^^^\nTo have it as text,"
        " put a blank after the dashes.\n\nline 2, column 11: scheduler: `tcd` is a scheduler of"
        " the service that ComfyUI does not have\nscheduler=tcd\n          ^^^\nUse lcm, which"
        " is made for the same few steps."
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("a  <lora:x>\n\nb BREAK\nBREAK c", "<lora:x:1.0> a b\nBREAK\nBREAK c"),
        (
            "--mask_prompt 'red car' face --mask_dilate -20.0%\na",
            'a --mask_prompt "red car" face --mask_dilate -20%',
        ),
        (
            (
                'a --outpaint_prompt the kings\' "gold" now\n--outpaint center --outpaint_width 8'
                " --outpaint_height 8 --multi"
            ),
            (
                'a --outpaint_prompt the kings\' "gold" now --outpaint center --outpaint_width 8'
                " --outpaint_height 8 --multi"
            ),
        ),
        (
            "h=8\nw=8\nnegative_prompt=x\nBREAK y\nfoo=1\nseed=",
            "negative_prompt=x BREAK y\nw=8\nh=8\nfoo=1",
        ),
        ("--mask_prompt 'x' --multi seed =5", "--mask_prompt x --multi seed =5"),
        ("input_image=data:image/png;base64,QUJD", "input_image_base64=QUJD"),
        ("mask_image_url=m.png\ncfg_scale=7", "cfg_scale=7.0\nmask_image=m.png"),
    ],
)
def test_the_printer_is_canonical(text: str, expected: str) -> None:
    printed = PromptRequest.require(text).to_text()
    assert printed == expected
    assert PromptRequest.require(printed) == PromptRequest.require(text)


def test_text_that_starts_like_a_parameter_is_kept_text_by_what_is_printed_before_it() -> None:
    request = PromptRequest.require("<lora:x:1> seed=5 BREAK w=8")
    assert request.to_text() == "<lora:x:1.0> seed=5\nBREAK w=8"
    assert PromptRequest.require(request.to_text()) == request
