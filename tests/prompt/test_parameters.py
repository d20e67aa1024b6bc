"""The parameter block: where it begins, its values, and what they say to each other."""

from __future__ import annotations

import pytest
from comfyui_astria.nodes.prompt import EmbeddingTag, ImageRef, PromptRequest, Segment, parse


def base_text(text: str) -> str:
    return PromptRequest.require(text).base.text


def codes(text: str) -> list[tuple[str, str]]:
    return [(found.severity, found.code) for found in parse(text).diagnostics]


@pytest.mark.parametrize(
    ("block", "name", "value"),
    [
        ("num_images=4", "num_images", 4),
        ("seed=4294967296", "seed", 2**32),
        ("steps=", "steps", None),
        ("steps=undefined", "steps", None),
        ("steps=0", "steps", None),
        ("steps=00", "steps", None),
        ("seed=0", "seed", 0),
        ("cfg_scale=3", "cfg_scale", 3.0),
        ("controlnet=pose", "controlnet", "pose"),
        ("controlnet_conditioning_scale=0.5", "controlnet_conditioning_scale", 0.5),
        ("controlnet_txt2img=true", "controlnet_txt2img", True),
        ("face_swap=1", "face_swap", True),
        ("face_swap=0", "face_swap", False),
        ("film_grain=True", "film_grain", True),
        ("denoising_strength=0", "denoising_strength", 0.0),
        ("color_grading=film velvia", "color_grading", "Film Velvia"),
        ("scheduler=dpm++2m", "scheduler", "dpm++2m"),
        ("style=Fantasy Art", "style", "Fantasy art"),
        ("ar=portrait", "ar", "portrait"),
        ("aspect_ratio=9:21", "aspect_ratio", "9:21"),
        ("backend_version=0", "backend_version", "0"),
        ("prompt_expansion=true", "prompt_expansion", "true"),
        (
            "input_image_url=https://a.example/b.png?x=1",
            "input_image",
            ImageRef("url", "https://a.example/b.png?x=1"),
        ),
        ("input_image_url=me and you.png", "input_image", ImageRef("file", "me and you.png")),
        (
            "input_image=https://a.example/b.png",
            "input_image",
            ImageRef("url", "https://a.example/b.png"),
        ),
        ("input_image=faces/me.png", "input_image", ImageRef("file", "faces/me.png")),
        ("input_image_base64=iVBORw0KGgo=", "input_image", ImageRef("base64", "iVBORw0KGgo=")),
        (
            "mask_image=data:image/png;base64,iVBORw0KGgo=",
            "mask_image",
            ImageRef("base64", "iVBORw0KGgo="),
        ),
        ("mask_image_url=m.png", "mask_image", ImageRef("file", "m.png")),
        ("  seed\t= 5  ", "seed", 5),
        ("\ufeffseed=5\u00a0", "seed", 5),
    ],
)
def test_a_parameter_has_its_value(block: str, name: str, value: object) -> None:
    request = PromptRequest.require(f"a cat\n{block}")
    assert getattr(request, name) == value
    assert request.base.text == "a cat"


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_any_line_end_ends_a_line(ending: str) -> None:
    request = PromptRequest.require(
        ending.join(["a", "BREAK", "b --mask_prompt face", "c", "w=64", "", "h=32", ""])
    )
    assert ([one.text for one in request.prompt], request.mask_prompt, request.w, request.h) == (
        ["a", "b c"],
        ("face",),
        64,
        32,
    )


def test_a_byte_order_mark_at_the_start_is_no_text() -> None:
    assert PromptRequest.require("\ufeffseed=5") == PromptRequest(seed=5)
    assert base_text("\ufeffa") == "a"


def test_a_line_end_that_is_only_a_blank_elsewhere_ends_no_value() -> None:
    assert PromptRequest.require("--mask_prompt a\u2028b").mask_prompt == ("a", "b")


def test_text_that_only_looks_like_a_block_stays_text() -> None:
    assert base_text("e=mc2 and\nx=1") == "e=mc2 and x=1"
    assert codes("e=mc2 and\nx=1") == []


def test_a_parameter_inside_a_line_is_text_with_a_warning() -> None:
    assert base_text("a cat seed=5") == "a cat seed=5"
    assert codes("a cat seed=5") == [("warning", "parameter-in-text")]


def test_a_misspelt_parameter_above_the_block_is_text_with_a_warning() -> None:
    assert base_text("a cat\nnum_image=4\nseed=5") == "a cat num_image=4"
    assert codes("a cat\nnum_image=4\nseed=5") == [("warning", "parameter-look-alike")]


def test_unknown_parameters_are_kept_and_reported() -> None:
    request, diagnostics = PromptRequest.from_text("a\nw=64\nh=64\nwidht=7\nfoo=")
    assert request is not None
    assert request.unknown == (("widht", "7"), ("foo", ""))
    assert [(found.severity, found.code, found.line) for found in diagnostics] == [
        ("warning", "unknown-parameter", 4),
        ("warning", "unknown-parameter", 5),
    ]


def test_a_negative_prompt_has_segments_and_embeddings_and_may_go_on_over_lines() -> None:
    request = PromptRequest.require(
        "a\nnegative_prompt=ugly, <easy>\nBREAK BREAK\nblue eyes\nseed=5"
    )
    assert request.negative == (
        Segment(("ugly, ", EmbeddingTag("easy"))),
        Segment(),
        Segment(("blue eyes",)),
    )
    assert request.seed == 5


@pytest.mark.parametrize(
    "text", ["negative_prompt=", "negative_prompt=undefined", "negative_prompt=\n\nseed="]
)
def test_an_empty_negative_prompt_is_not_set(text: str) -> None:
    assert PromptRequest.require(text) == PromptRequest()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hires_fix=true", [("info", "implied")]),
        ("hires_fix=true\nsuper_resolution=true", []),
        ("hires_fix=false\nsuper_resolution=false", []),
        ("inpaint_faces=true", [("info", "implied")]),
        ("inpaint_faces=true\nsuper_resolution=false", [("info", "implied")]),
        ("inpaint_faces=true\nsuper_resolution=true", []),
        ("w=64\nh=64\nar=1:1", [("info", "no-effect")]),
        ("w=64\nh=64\naspect_ratio=1:1", [("info", "no-effect")]),
        ("ar=1:1\naspect_ratio=16:9", [("info", "no-effect")]),
        ("ar=1:1\naspect_ratio=1:1", []),
        ("w=64\nh=64\nar=1:1\naspect_ratio=16:9", [("info", "no-effect"), ("info", "no-effect")]),
        (
            "backend_version=1\nprompt_expansion=true",
            [("info", "no-effect"), ("info", "no-effect")],
        ),
        ("denoising_strength=0\ncontrolnet=pose", []),  # an image may come by a link
    ],
)
def test_values_that_touch_each_other(text: str, expected: list[tuple[str, str]]) -> None:
    assert codes(text) == expected
    assert PromptRequest.from_text(text)[0] is not None


def test_values_are_kept_as_written() -> None:
    request = PromptRequest.require(
        "inpaint_faces=true\nsuper_resolution=false\nw=64\nh=64\nar=1:1"
    )
    assert (request.super_resolution, request.ar) == (False, "1:1")


FLAGS_AS_PARAMETERS = {
    "mask_prompt=face": "mask_prompt",
    "outpaint_widht=512": "outpaint_width",
    "hires_cfg_scale=3": "hires_cfg_scale",  # near a parameter too
    "Multi=true": "multi",
}


@pytest.mark.parametrize("line", FLAGS_AS_PARAMETERS)
@pytest.mark.parametrize("text", ["a cat\n{}", "a cat\n{}\nsteps=30", "a cat\nsteps=30\n{}"])
def test_a_flag_that_is_written_as_a_parameter_is_told(line: str, text: str) -> None:
    [told] = parse(text.format(line)).diagnostics
    flag = FLAGS_AS_PARAMETERS[line]
    assert told.severity == "warning"
    assert told.hint == f"Did you mean the flag --{flag}? Write it in the text, without =."


def test_a_flag_inside_a_line_without_its_dashes_is_told() -> None:
    [told] = parse("a cat, mask_prompt=face, hires_denoising_strength").diagnostics
    assert (told.severity, told.code) == ("warning", "parameter-in-text")
    assert told.hint == "Did you mean the flag --mask_prompt? Write it in the text, without =."
    [told] = parse("a cat hires_denoising_strength=0.4").diagnostics
    assert "--hires_denoising_strength" in told.hint
    assert codes("a cat --mask_prompt=face") == [("error", "flag-equals")]


@pytest.mark.parametrize(
    ("flag", "parameter"), [("cfg_scal", "cfg_scale"), ("hires_fi", "hires_fix"), ("seeds", "seed")]
)
def test_a_flag_that_is_nearly_a_parameter_is_told(flag: str, parameter: str) -> None:
    [told] = parse(f"a cat --{flag} 5").diagnostics
    assert told.code == "unknown-flag"
    assert told.hint.startswith(f"Did you mean {parameter}? Parameters have no dashes: write")
