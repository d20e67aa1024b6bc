"""Flags: where they begin, what they take, and where their value ends."""

from __future__ import annotations

import pytest
from comfyui_astria.nodes.prompt import (
    Dilation,
    EmbeddingTag,
    LoraTag,
    PromptRequest,
    Segment,
    parse,
)

CANVAS = " --outpaint center --outpaint_width 64 --outpaint_height 64"


def base_text(text: str) -> str:
    return PromptRequest.require(text).base.text


def codes(text: str) -> list[tuple[str, str]]:
    return [(found.severity, found.code) for found in parse(text).diagnostics]


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("--mask_prompt foreground", "mask_prompt", ("foreground",)),
        ("--mask_prompt windows door", "mask_prompt", ("windows", "door")),
        ("--mask_prompt 'red car' hair", "mask_prompt", ("red car", "hair")),
        ("--mask_prompt \"--multi\" 'a' b", "mask_prompt", ("--multi", "a", "b")),
        ("--mask_prompt 'king's men' x", "mask_prompt", ("king's men", "x")),
        ("--mask_prompt king's a<b", "mask_prompt", ("king's", "a<b")),
        ("--mask_negative clothes --multi", "mask_negative", ("clothes",)),
        ("--mask_negative clothes<lora:x:1>", "mask_negative", ("clothes",)),
        ("--mask_negative clothes BREAK a", "mask_negative", ("clothes",)),
        ("--mask_negative clothes\nw=8\nh=8", "mask_negative", ("clothes",)),
        ("--mask_negative clothes\nwords", "mask_negative", ("clothes",)),
        ("a --mask_invert", "mask_invert", True),
        ("--mask_dilate -20", "mask_dilate", Dilation(-20.0, "px")),
        ("--mask_dilate 20", "mask_dilate", Dilation(20.0, "px")),
        ("--mask_dilate -20%", "mask_dilate", Dilation(-20.0, "%")),
        ("--mask_dilate 2.5%", "mask_dilate", Dilation(2.5, "%")),
        ("--hires_denoising_strength 0.2", "hires_denoising_strength", 0.2),
        ("--hires_cfg_scale 5.5", "hires_cfg_scale", 5.5),
        ("--resemblance .65", "resemblance", 0.65),
        ("a" + CANVAS, "outpaint", "center"),
        ("a" + CANVAS.replace(" center", "  'Center'"), "outpaint", "center"),
        ("a" + CANVAS, "outpaint_height", 64),
        (
            f"a{CANVAS} --outpaint_prompt 'fields, sky'",
            "outpaint_prompt",
            Segment(("fields, sky",)),
        ),
        (
            f"a{CANVAS} --outpaint_prompt fields of gold --multi",
            "outpaint_prompt",
            Segment(("fields of gold",)),
        ),
        (f"a{CANVAS} --outpaint_prompt fields <lora:x:1>", "outpaint_prompt", Segment(("fields",))),
        (
            f'a{CANVAS} --outpaint_prompt "a <easy> king\'s <lora:x:0.5> field"',
            "outpaint_prompt",
            Segment(("a ", EmbeddingTag("easy"), " king's field"), (LoraTag("x", 0.5),)),
        ),
        (f"a{CANVAS} --outpaint_prompt ''", "outpaint_prompt", None),
        ("--controlnets pose reference", "controlnets", ("pose", "reference")),
        ("--controlnets 'pose reference'", "controlnets", ("pose", "reference")),
        ("--controlnets pose hed --controlnet_weights 1 0.8", "controlnet_weights", (1.0, 0.8)),
        ("--control_guidance_end 0.5", "control_guidance_end", 0.5),
        ("--improve_similarity 2", "improve_similarity", 2.0),
        ("--video_prompt she turns, then smiles", "video_prompt", "she turns, then smiles"),
        ("--video_model kling 5 cats", "video_model", "kling"),
        ("--duration 5", "duration", 5.0),
        ("a\u00a0--multi", "multi", True),
    ],
)
def test_a_flag_has_its_value(text: str, name: str, value: object) -> None:
    assert getattr(PromptRequest.require(text), name) == value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a cat --mask_invert in a hat", "a cat in a hat"),
        ("a cat --mask_dilate -20 in a hat", "a cat in a hat"),
        (f"a cat{CANVAS} --outpaint_prompt 'fields' in a hat", "a cat in a hat"),
        (f"a cat{CANVAS} --outpaint_prompt fields in a hat", "a cat"),
        ("a cat --mask_prompt face\nin a hat", "a cat in a hat"),
        ("a cat --mask_invert, in a hat", "a cat, in a hat"),
    ],
)
def test_text_goes_on_behind_a_value(text: str, expected: str) -> None:
    assert base_text(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "ready-to-wear",
        "1940s--noir",
        "a -- b",
        "a --20",
        "--",
        "a - b",
        "well—outpaint",
        "a \N{EN DASH} b",
        "a -cat",
        "—cat",
        "-20 degrees",
        "---",
        "a_--multi",
    ],
)
def test_dashes_that_are_text(text: str) -> None:
    request, diagnostics = PromptRequest.from_text(text)
    assert request is not None
    assert (request.base.text, diagnostics) == (text, ())


def test_flags_stand_anywhere_and_speak_of_the_whole_request() -> None:
    one = PromptRequest.require("a --mask_invert BREAK b --mask_prompt face BREAK c")
    assert one == PromptRequest.require("--mask_prompt face --mask_invert\na BREAK b BREAK c")


def test_a_tag_inside_the_quotes_does_not_reach_the_prompt() -> None:
    request = PromptRequest.require(f"<lora:a:1> x{CANVAS} --outpaint_prompt 'y <lora:b:1>' z")
    assert request.base == Segment(("x z",), (LoraTag("a", 1.0),))


@pytest.mark.parametrize(
    "text",
    [
        "--multi",
        "--fix_bindi",
        "--improve_similarity 1",
        "--video",
        "--video_model m",
        "--video_prompt p",
        "--duration 1",
    ],
)
def test_a_flag_without_effect_says_so_once(text: str) -> None:
    assert codes(text) == [("info", "no-effect")]


def test_the_same_flag_twice_is_a_warning() -> None:
    assert codes("--mask_invert --mask_invert") == [("warning", "duplicate")]
