"""Malformed prompts and exactly what is said about each.

Code, line, column and how the message starts.
"""

from __future__ import annotations

import pytest
from comfyui_astria.nodes.prompt import PromptRequest, parse

CANVAS = " --outpaint_width 64 --outpaint_height 64"

# text -> every error in it, as (code, line, column, start of the message)
MALFORMED: dict[str, list[tuple[str, int, int, str]]] = {
    # tags
    "<lora:x:abc> a cat": [("bad-number", 1, 9, "<lora:...>: `abc` is not a number")],
    "a <lora:x:1,5> cat": [("bad-number", 1, 11, "<lora:...>: `1,5` is not a number")],
    "<lora:x:nan>": [("bad-number", 1, 9, "<lora:...>: `nan` is not a number")],
    "<lora:x:1000>": [("out-of-range", 1, 9, "<lora:...>: `1000` is out of range")],
    "<faceid:7:-1>": [("out-of-range", 1, 11, "<faceid:...>: `-1` is out of range")],
    "<lora:x:0.5:abc=1:unet=y>": [("bad-number", 1, 24, "<lora:...>: `y` is not a number")],
    "<faceid:7:0.5:0.7>": [
        ("bad-tag", 1, 1, "`<faceid:7:0.5:0.7>` has more than a name and one number")
    ],
    "<lora::1>": [("missing-value", 1, 1, "`<lora::1>` has no name after the colon")],
    "<lora:x:>": [("missing-value", 1, 1, "`<lora:x:>` has no number after the colon")],
    "a <lora> cat": [("missing-value", 1, 3, "`<lora>` names nothing")],
    "a cat\n<lora:1533312:1.0 in a hat": [
        ("unclosed-tag", 2, 1, "`<lora:1533312:1.0` is not closed")
    ],
    "<faceid:<lora:x:1>": [("unclosed-tag", 1, 1, "`<faceid:` is not closed")],
    "<Lora:x:1> a cat": [("unknown-tag", 1, 1, "`<Lora:x:1>` is not a known tag")],
    "<face_id:7:1>": [("unknown-tag", 1, 1, "`<face_id:7:1>` is not a known tag")],
    "<faceid:tune_id:strength> woman": [
        ("bad-number", 1, 17, "<faceid:...>: `strength` is not a number")
    ],
    # flags
    "a cat --outpant center": [("unknown-flag", 1, 7, "`--outpant` is not a known flag")],
    "a cat --mask-prompt face": [("unknown-flag", 1, 7, "`--mask-prompt` is not a known flag")],
    "a cat --Multi": [("unknown-flag", 1, 7, "`--Multi` is not a known flag")],
    "a cat\n—outpaint center" + CANVAS: [("dash-look-alike", 2, 1, "`—outpaint` is not a flag")],
    "a cat \N{EN DASH}mask_invert": [
        ("dash-look-alike", 1, 7, "`\N{EN DASH}mask_invert` is not a flag")
    ],
    "a cat -mask_invert": [("dash-look-alike", 1, 7, "`-mask_invert` is not a flag")],
    "a cat ---mask_invert": [("dash-look-alike", 1, 7, "`---mask_invert` is not a flag")],
    "--multi—outpaint": [("unknown-flag", 1, 1, "`--multi—outpaint` is not a known flag")],
    "--outpaint=center" + CANVAS: [("flag-equals", 1, 1, "--outpaint= is not a flag")],
    "a cat --mask_invert true": [("unexpected-value", 1, 21, "--mask_invert takes no value")],
    "--outpaint topleft" + CANVAS: [
        ("bad-anchor", 1, 12, "--outpaint: `topleft` is not an anchor")
    ],
    "--outpaint center, a cat" + CANVAS: [
        ("bad-anchor", 1, 12, "--outpaint: `center,` is not an anchor")
    ],
    "--outpaint" + CANVAS: [("missing-value", 1, 1, "--outpaint needs a value")],
    "--mask_prompt --mask_invert": [("missing-value", 1, 1, "--mask_prompt needs a value")],
    "--mask_prompt\nface": [("missing-value", 1, 1, "--mask_prompt needs a value")],
    "--mask_prompt ''": [("missing-value", 1, 15, "the quotes are empty")],
    "--outpaint center": [
        (
            "needs-flag",
            1,
            1,
            "--outpaint needs --outpaint_width PIXELS and --outpaint_height PIXELS",
        )
    ],
    "--outpaint center --outpaint_width 64": [
        ("needs-flag", 1, 1, "--outpaint needs --outpaint_height PIXELS")
    ],
    "a cat --outpaint_width 64": [("needs-flag", 1, 7, "--outpaint_width needs --outpaint ANCHOR")],
    "a cat --outpaint_prompt fields": [
        ("needs-flag", 1, 7, "--outpaint_prompt needs --outpaint ANCHOR")
    ],
    '--outpaint center --outpaint_prompt "fields' + CANVAS: [
        (
            "needs-flag",
            1,
            1,
            "--outpaint needs --outpaint_width PIXELS and --outpaint_height PIXELS",
        ),
        ("unclosed-quote", 1, 37, "the quoted value of --outpaint_prompt is not closed"),
    ],
    f'--outpaint center{CANVAS} --outpaint_prompt "fields --multi"': [
        ("misplaced-flag", 1, 86, "`--multi` cannot stand in a quoted value")
    ],
    f'--outpaint center{CANVAS} --outpaint_prompt "a BREAK b"': [
        ("misplaced-break", 1, 81, "`BREAK` cannot stand in a quoted value")
    ],
    "--outpaint center --outpaint_width 6.5 --outpaint_height 0": [
        ("bad-number", 1, 36, "--outpaint_width: `6.5` is not a whole number"),
        ("out-of-range", 1, 58, "--outpaint_height: `0` is out of range"),
    ],
    "--mask_dilate 20em": [("bad-number", 1, 15, "--mask_dilate: `20em` is not a number")],
    "--mask_dilate -200%": [("out-of-range", 1, 15, "--mask_dilate: `-200` is out of range")],
    "--controlnets pose refrence": [
        ("bad-choice", 1, 20, "--controlnets: `refrence` is not known")
    ],
    "--controlnets pose --controlnet_weights 1 0.8": [
        ("too-many-weights", 1, 20, "--controlnet_weights holds 2, and --controlnets names 1")
    ],
    "--controlnet_weights 1": [
        ("too-many-weights", 1, 1, "--controlnet_weights holds 1, and --controlnets names 0")
    ],
    "--resemblance 0,65": [("bad-number", 1, 15, "--resemblance: `0,65` is not a number")],
    "--outpaint center --outpaint top-left" + CANVAS: [
        ("conflict", 1, 19, "--outpaint is given twice with different values")
    ],
    # brackets
    "a (cat:500)": [("out-of-range", 1, 4, "the weight of the text from here is out of range")],
    "(" * 49 + "x" + ")" * 49: [
        ("out-of-range", 1, 50, "the weight of the text from here is out of range")
    ],
    # parameters
    "a cat\nw=abc\nh=64": [("bad-number", 2, 3, "w: `abc` is not a whole number")],
    "a cat\nw=1000\nh=1001": [("not-a-multiple", 3, 3, "h: 1001 is not a multiple of 8")],
    "a cat\nw=1024": [("needs-parameter", 2, 3, "w= is set without h=")],
    "a cat\nnum_images=9": [("out-of-range", 2, 12, "num_images: `9` is out of range")],
    "seed=-1": [("out-of-range", 1, 6, "seed: `-1` is out of range")],
    "seed=" + "9" * 5000: [
        ("out-of-range", 1, 6, "seed: `999999999999999999999999999999999999999…` is out of range")
    ],
    "steps=30.0": [("bad-number", 1, 7, "steps: `30.0` is not a whole number")],
    "cfg_scale=high": [("bad-number", 1, 11, "cfg_scale: `high` is not a number")],
    "denoising_strength=1.5": [
        ("out-of-range", 1, 20, "denoising_strength: `1.5` is out of range")
    ],
    "controlnet=openpose": [("bad-choice", 1, 12, "controlnet: `openpose` is not known")],
    "scheduler=tcd": [
        (
            "unsupported-scheduler",
            1,
            11,
            "scheduler: `tcd` is a scheduler of the service that ComfyUI does not have",
        )
    ],
    "scheduler=euler_b": [("bad-choice", 1, 11, "scheduler: `euler_b` is not known")],
    "face_swap=yes": [("bad-choice", 1, 11, "face_swap: `yes` is neither true nor false")],
    "color_grading=Velvia": [("bad-choice", 1, 15, "color_grading: `Velvia` is not known")],
    "ar=2:1": [("bad-choice", 1, 4, "ar: `2:1` is not known")],
    "input_image_url=ftp://x/y.png": [
        ("bad-url", 1, 17, "input_image_url: `ftp://x/...` is not a web address")
    ],
    "input_image=../../etc/passwd": [
        ("bad-file-name", 1, 13, "input_image: `../../etc/passwd` is not the name of a file")
    ],
    "input_image=x.png[output]": [
        ("bad-file-name", 1, 13, "input_image: `x.png[output]` is not the name of a file")
    ],
    "input_image=.. [output]": [
        ("bad-file-name", 1, 13, "input_image: `.. [output]` is not the name of a file")
    ],
    "input_image=con [temp]": [
        ("bad-file-name", 1, 13, "input_image: `con [temp]` is not the name of a file")
    ],
    "mask_image=C:\\me.png": [
        ("bad-file-name", 1, 12, "mask_image: `C:\\me.png` is not the name of a file")
    ],
    "input_image_base64=no base64!": [
        ("bad-base64", 1, 20, "input_image_base64: `no base64!` is not base64")
    ],
    "input_image=a.png\ninput_image_url=https://x/b.png": [
        ("conflict", 2, 17, "input_image_url= is given twice with different values")
    ],
    "seed=1\nseed=2": [("conflict", 2, 6, "seed= is given twice with different values")],
    "super_resolution=false\nhires_fix=true": [
        ("conflict", 2, 11, "hires_fix=true needs super_resolution, which is false")
    ],
    "w=64\nh=64\na cat": [
        ("stray-line", 3, 1, "`a cat` stands among the parameters but is not key=value")
    ],
    "seed\n=5": [
        ("stray-line", 1, 1, "`seed` stands among the parameters but is not key=value"),
        ("stray-line", 2, 1, "`=5` stands among the parameters but is not key=value"),
    ],
    "negative_prompt=ugly <lora:x:1>": [
        ("misplaced-tag", 1, 22, "`<lora:x:1>` cannot stand in a negative prompt")
    ],
    "negative_prompt=ugly --multi": [
        ("misplaced-flag", 1, 22, "`--multi` cannot stand in a negative prompt")
    ],
}


@pytest.mark.parametrize("text", MALFORMED)
def test_a_malformed_prompt_says_exactly_this(text: str) -> None:
    request, diagnostics = PromptRequest.from_text(text)
    errors = [found for found in diagnostics if found.severity == "error"]
    assert request is None
    assert [(found.code, found.line, found.column) for found in errors] == [
        expected[:3] for expected in MALFORMED[text]
    ]
    for found, expected in zip(errors, MALFORMED[text], strict=True):
        assert found.message.startswith(expected[3])
        assert found.hint


# text -> what its hint must offer
OFFERS = {
    "--outpant center": "--outpaint?",
    "--mask-prompt face": "--mask_prompt?",
    "--Multi": "--multi?",
    "—outpaint": "--outpaint?",
    "--outpaint topleft": "top-left?",
    "--outpaint center-left": "left-center?",
    "--outpaint top": "top-center?",
    "--outpaint middle": "center?",
    "--resemblance 0,65": "0.65",
    "--controlnets refrence": "reference?",
    "<Lora:x:1>": "<lora:x:1>?",
    "<loar:my wife>": "<lora:my wife>?",
    "<face_id:7:1>": "<faceid:7:1>?",
    "<faceid:7:1:2>": "<faceid:7:1>",
    "a <lora:my_wife:0.5": "<lora:my_wife:0.5>",
    "a --ar 16:9": "aspect_ratio=16:9",
    "a --no hands": "negative_prompt=",
    "a --v 6": "take it out",
    "a --stylize 100": "take it out",
    "a --seed 5": "seed=",
    "a --width 512": "w=",
    "a --negative-prompt dog": "negative_prompt=",
    "a\nwidth=512": "w=?",
    "a\nsize=512x512": "w= and h=?",
    "a\nw=8\nh=8\ncfg=7": "cfg_scale=?",
    "a\nw=8\nh=8\nsampler=Euler a": "scheduler=?",
    "a cat, width=512": "w=",
    "a\ncfg scale: 7": "cfg_scale=7",
    "a <embedding:ink>": "Write <ink>",
    "a\nSize: 512x768": "w=512 and h=768",
    "a\nnum_images: 4": "num_images=4",
    "controlnet=openpose": "pose?",
    "scheduler=tcd": "lcm",
    "scheduler=euler-b": "euler_a?",
    "color_grading=Velvia": "Film Velvia?",
    "w=1001\nh=8": "1000",
    "face_swap=yes": "true",
    "seed=1\nsteps=1\nseed=2": "line 1, column 6",
    "a\nw=8\nh=8\nnum_image=4": "num_images=?",
}


@pytest.mark.parametrize("text", OFFERS)
def test_a_hint_offers_what_was_probably_meant(text: str) -> None:
    assert any(OFFERS[text] in found.hint for found in parse(text).diagnostics)


def test_all_errors_come_at_once_in_the_order_of_the_text() -> None:
    text = "<lora:x:abc> --outpaint topleft --foo\nw=abc\nscheduler=tcd"
    codes = [found.code for found in parse(text).diagnostics if found.severity == "error"]
    assert codes == [
        "bad-number",
        "needs-flag",
        "bad-anchor",
        "unknown-flag",
        "bad-number",
        "needs-parameter",
        "unsupported-scheduler",
    ]


def test_very_many_errors_end_in_one_that_counts_the_rest() -> None:
    diagnostics = parse("--xq " * 1000).diagnostics
    assert len(diagnostics) == 201
    assert (diagnostics[-1].code, diagnostics[-1].message) == (
        "too-many-diagnostics",
        "800 more diagnostics are not listed",
    )


def test_very_many_warnings_are_no_error() -> None:
    request, diagnostics = PromptRequest.from_text("w=8\nh=8\n" + "foo=1\n" * 300)
    assert request is not None
    assert diagnostics[-1].severity == "warning"


def test_a_dilation_out_of_range_is_told_both_ranges() -> None:
    _, [found] = PromptRequest.from_text("a --mask_dilate 300%")
    assert found.hint.endswith("Pixels go from -16384 to 16384, per cent from -100 to 100.")
