"""Settings of other programs: taken as what, left out with which words, rewritten into what."""

from __future__ import annotations

import pytest
from comfyui_astria.nodes.prompt import Diagnostic, LoraTag, PromptRequest, Segment, parse

INFOTEXT = """\
a photo of a woman, (red dress:1.2),
sitting in a caf\N{LATIN SMALL LETTER E WITH ACUTE} <lora:epi_noiseoffset2:0.5>
Negative prompt: blurry, (worst quality:1.4),
bad hands, <easynegative>
Steps: 30, Sampler: DPM++ 2M Karras, CFG scale: 7, Seed: 1, Size: 512x768, Model hash: abc, \
Model: dreamshaper, Lora hashes: "a: b, c: d", Version: v1.9.3"""


def noted(text: str) -> Diagnostic:
    return next(one for one in parse(text).diagnostics if one.code == "foreign-settings")


def left_out(text: str) -> list[tuple[str, str]]:
    return [
        (one.span.of(text), one.hint)
        for one in parse(text).diagnostics
        if one.code == "foreign-left-out"
    ]


def test_an_infotext_is_read_into_the_requests_own_fields() -> None:
    assert PromptRequest.require(INFOTEXT) == PromptRequest.require(
        "a photo of a woman, (red dress:1.2), sitting in a caf\xe9 <lora:epi_noiseoffset2:0.5>\n"
        "negative_prompt=blurry, (worst quality:1.4), bad hands, <easynegative>\n"
        "steps=30\nscheduler=dpm++2m_karras\ncfg_scale=7\nseed=1\nw=512\nh=768"
    )
    found = noted(INFOTEXT)
    assert (found.severity, found.line, found.column) == ("info", 3, 1)
    assert found.message == (
        "settings of another program are read: Negative prompt as negative_prompt=, Steps as"
        " steps=30, Seed as seed=1, CFG scale as cfg_scale=7, Size as w=512 and h=768, Sampler as"
        " scheduler=dpm++2m_karras; left out: `Model hash`, `Model`, `Lora hashes`, `Version`"
    )


# What other programs write below a prompt -> the parameters it becomes.
BECOMES = {
    "Steps: 20, Sampler: Euler a, CFG scale: 5.5, Seed: 7": (
        "steps=20\nscheduler=euler_a\ncfg_scale=5.5\nseed=7"
    ),
    # Forge, with Flux: the distilled guidance is the one that counts.
    "Steps: 20, Sampler: Euler, Schedule type: Normal, CFG scale: 1, Distilled CFG Scale: 3.5": (
        "steps=20\nscheduler=euler\ncfg_scale=3.5"
    ),
    "Steps: 20, Sampler: DPM++ 2M, Schedule type: Karras, Seed: 1": (
        "steps=20\nscheduler=dpm++2m_karras\nseed=1"
    ),
    "Steps: 20, Sampler: DPM++ SDE, Schedule type: Automatic, Seed: 1": (
        "steps=20\nscheduler=dpm++sde_karras\nseed=1"
    ),
    # SD.Next
    "Steps: 20, Size: 1024x1024, Sampler: Euler a, Seed: 1, App: SD.Next, Version: 2025": (
        "steps=20\nw=1024\nh=1024\nscheduler=euler_a\nseed=1"
    ),
    "Parameters: Steps: 20, Seed: 1, and so on": "steps=20\nseed=1",
    # Fooocus
    "Steps: 30, Sampler: dpmpp_2m, Scheduler: karras, Seed: 1, Size: 896x1152, Guidance Scale: 4,"
    " Base Model: x": "steps=30\nscheduler=dpm++2m_karras\nseed=1\nw=896\nh=1152\ncfg_scale=4",
    # one a line
    "Width: 512\nHeight: 768\nSeed: 5\nSteps: 25\nGuidance Scale: 7.5": (
        "w=512\nh=768\nseed=5\nsteps=25\ncfg_scale=7.5"
    ),
    "Width: 512\n\nHeight: 768\n\n \nSeed: 5\n\n": "w=512\nh=768\nseed=5",
    "Steps: 20, Seed: -1, Size: 512x512": "steps=20\nw=512\nh=512",
    "Steps: 20, Seed: 3, Denoising strength: 0.6": "steps=20\nseed=3\ndenoising_strength=0.6",
    'Steps: 20, Civitai resources: [{"a":1,"b":"Seed: 9, x"},{"c":2}], Seed: 3': (
        "steps=20\nseed=3"
    ),
    'Steps: 20, Lora hashes: "a: 1, Seed: 9", Seed: 3': "steps=20\nseed=3",
    "Steps: 20, Seed: 3, Unclosed: [{, CFG scale: 7": "steps=20\nseed=3\ncfg_scale=7",
}


@pytest.mark.parametrize("settings", BECOMES)
def test_settings_become_parameters(settings: str) -> None:
    expected = PromptRequest.require(f"a cat\n{BECOMES[settings]}")
    assert PromptRequest.require(f"a cat\n{settings}") == expected
    assert PromptRequest.require(f"a cat\r\n\r\n{settings}\r\n") == expected


@pytest.mark.parametrize("settings", [*BECOMES, INFOTEXT])
def test_the_rewritten_text_means_the_same_and_is_of_this_language(settings: str) -> None:
    text = f"a cat,\non a mat --multi\n{settings}\nnum_images=2"
    rewrite = noted(text).rewrite
    assert rewrite is not None
    assert (rewrite.span.start, rewrite.span.end) == (0, len(text))
    assert PromptRequest.require(rewrite.text) == PromptRequest.require(text)
    assert not {one.code for one in parse(rewrite.text).diagnostics} & {
        "foreign-settings",
        "foreign-left-out",
    }


# What has no counterpart -> what its warning offers.
OFFERS = {
    "Clip skip: 2": "stop_at_clip_layer -2",
    "Sampler: UniPC": "scheduler= takes euler",
    "Sampler: [Forge] Flux Realistic": "scheduler= takes euler",
    "Sampler: DPM++ 3M SDE Exponential": "scheduler= takes euler",
    "Hires upscale: 2": "hires_fix=true",
    "Hires steps: 10": "hires_fix=true",
    "Face restoration: CodeFormer": "face_correct=true",
    "ADetailer model: face_yolov8n.pt": "No parameter here has it.",
    "Variation seed: 5": "No parameter here has it.",
    "Style: anime": "style= with one of Cinematic",
    "Steps: 60": "from 1 to 50",
    "Size: 500x500": "The nearest one is 496",
    "CFG scale: 30": "from 0 to 15",
    "Schedule type: Exponential": "scheduler= with one of",
}


@pytest.mark.parametrize("setting", OFFERS)
def test_what_cannot_be_taken_is_told_where_it_stands(setting: str) -> None:
    text = f"a cat\nWidth: 64, Height: 64, {setting}"
    if setting.startswith("Size"):
        text = f"a cat\nSeed: 1, CFG scale: 7, {setting}"
    [(place, hint)] = left_out(text)
    assert place == setting
    assert OFFERS[setting] in hint
    assert PromptRequest.require(text).base.text == "a cat"


def test_a_second_pass_is_told_with_its_strength() -> None:
    text = "a cat\nSteps: 20, Seed: 1, Denoising strength: 0.4, Hires upscale: 2"
    assert PromptRequest.require(text).denoising_strength is None
    [(_, hint)] = left_out(text)
    assert "--hires_denoising_strength 0.4" in hint


def test_a_schedule_without_counterpart_leaves_the_sampler() -> None:
    text = "a cat\nSteps: 20, Sampler: Euler a, Schedule type: Exponential, Seed: 1"
    assert PromptRequest.require(text).scheduler == "euler_a"
    assert left_out(text) == [
        (
            "Schedule type: Exponential",
            "scheduler=euler_a runs on its own noise schedule, on Flux on simple.",
        )
    ]


def test_what_the_language_says_itself_wins() -> None:
    foreign = "Negative prompt: dog\nSteps: 30, Seed: 1, Size: 512x768"
    text = f"a cat\n{foreign}\nsteps=20\nnegative_prompt=fox\nar=1:1"
    request = PromptRequest.require(text)
    assert (request.steps, request.seed, request.w, request.ar) == (20, 1, None, "1:1")
    assert request.negative[0].text == "fox"
    assert [place for place, _ in left_out(text)] == [
        "Negative prompt: dog",
        "Steps: 30",
        "Size: 512x768",
    ]


def test_of_two_sizes_one_counts() -> None:
    text = "a cat\nSteps: 20, Size: 64x128, Width: 256, Height: 256"
    request = PromptRequest.require(text)
    assert (request.w, request.h) == (64, 128)
    assert [place for place, _ in left_out(text)] == ["Width: 256"]


def test_one_side_alone_is_left_out() -> None:
    text = "a cat\nSteps: 20, Seed: 1, Width: 256"
    assert PromptRequest.require(text).w is None
    assert left_out(text) == [("Width: 256", "It is one side of two: write w= and h=.")]


def test_of_two_negative_prompts_the_first_counts() -> None:
    text = "a cat\nNegative prompt: dog\nSteps: 30, Seed: 1\na hat\nNegative prompt: fox"
    request = PromptRequest.require(text)
    assert (request.base.text, request.negative[0].text) == ("a cat a hat", "dog")
    assert [place for place, _ in left_out(text)] == ["Negative prompt: fox"]


@pytest.mark.parametrize("word", ["undefined", "", "undefined <lora:x:1>"])
def test_a_foreign_negative_prompt_that_says_unset_is_not_set(word: str) -> None:
    text = f"a cat\nNegative prompt: {word}\nSteps: 30, Seed: 1"
    own = f"a cat {word.partition(' ')[2]}\nsteps=30\nseed=1"
    assert PromptRequest.require(text) == PromptRequest.require(own)
    assert PromptRequest.from_fields({"text": text})[0] == PromptRequest.require(own)
    assert PromptRequest.require(noted(text).rewrite.text) == PromptRequest.require(own)
    assert left_out(text) == []


@pytest.mark.parametrize(
    ("settings", "own"),
    [
        ("Steps: 20", "steps=20"),
        ("Sampler: Euler a", "scheduler=euler_a"),
        ("\nseed: 4\nw: 512\nh: 768", "seed=4\nw=512\nh=768"),
        ("fog\nSteps: 20, Model: x", "steps=20"),
    ],
)
def test_below_a_negative_prompt_one_sure_setting_is_enough(settings: str, own: str) -> None:
    more = ", fog" if settings.startswith("fog") else ","
    text = f"a cat\nNegative prompt: ugly,\n{settings}"
    expected = f"a cat\nnegative_prompt=ugly{more}\n{own}"
    assert PromptRequest.require(text) == PromptRequest.require(expected)
    assert [one.code for one in parse(text).diagnostics] == ["foreign-settings"]


def test_prose_below_a_negative_prompt_is_of_it() -> None:
    text = "a cat\nNegative prompt: ugly\nSteps: up to the door"
    assert PromptRequest.require(text).negative[0].text == "ugly Steps: up to the door"


@pytest.mark.parametrize(
    ("text", "is_told"),
    [
        ("a cat\nNegative prompt: ugly\nBREAK\na man", True),
        ("a cat\nNegative prompt: ugly\n  BREAK a man\nSteps: 20", True),
        ("a cat\nNegative prompt: ugly BREAK fog\nSteps: 20", False),
    ],
)
def test_a_break_that_begins_a_line_of_a_negative_prompt_is_told(text: str, is_told: bool) -> None:
    told = [one for one in parse(text).diagnostics if one.code == "undivided-break"]
    assert [one.span.of(text) for one in told] == (["BREAK"] if is_told else [])


def test_settings_below_the_block_are_one_error_and_no_more() -> None:
    text = "a cat\nw=64\nh=64\nSteps: 30, Seed: 1"
    assert [one.code for one in parse(text).diagnostics if one.line == 4] == ["stray-line"]


def test_fields_win_over_the_settings_of_a_pasted_text() -> None:
    request, diagnostics = PromptRequest.from_fields(
        {"prompt[text]": INFOTEXT, "prompt[steps]": 20}
    )
    assert request is not None
    assert (request.steps, request.cfg_scale) == (20, 7.0)
    assert any("`Steps: 30` is left out" in one.message for one in diagnostics)


def test_flags_and_tags_in_a_foreign_negative_prompt_speak_of_the_request() -> None:
    text = "a cat\nNegative prompt: dog <lora:x:0.5>, fox --mask_invert"
    request = PromptRequest.require(text)
    assert request.base.loras == (LoraTag("x", 0.5),)
    assert request.mask_invert
    assert request.negative[0].text == "dog, fox"
    assert noted(text).rewrite.text == "a cat <lora:x:0.5> --mask_invert\nnegative_prompt=dog, fox"


def test_text_and_flags_may_follow_the_settings() -> None:
    text = "a cat\nSteps: 20, Seed: 1\n--outpaint center --outpaint_width 64 --outpaint_height 64"
    request = PromptRequest.require(text)
    assert (request.base.text, request.steps, request.outpaint) == ("a cat", 20, "center")


@pytest.mark.parametrize(
    "text",
    [
        "a cat\nSteps: from the door to the sea, Seed: of doubt",
        "a cat\nModel: a tall woman\nStyle: soft\nSize: large",
        "a cat\nMood: dark, Steps: 20, Seed: 1",  # no line of settings begins so
        "a cat, Steps: up, Seed: of doubt",
    ],
)
def test_prose_with_colons_stays_text(text: str) -> None:
    assert PromptRequest.require(text).base.text == " ".join(text.split())
    assert PromptRequest.require(text).steps is None


@pytest.mark.parametrize("blanks", ["", "\n \n", "\ufeff "])
@pytest.mark.parametrize("head", ["Negative prompt:", "negative prompt :", "NEGATIVE PROMPT:"])
def test_a_text_may_begin_with_the_negative_prompt(blanks: str, head: str) -> None:
    """Of a picture that was made without words."""
    text = f"{blanks}{head} dog <lora:x:0.5>,\nfox\nSteps: 20, Seed: 1\nw=64\nh=64"
    own = "<lora:x:0.5>\nnegative_prompt=dog, fox\nsteps=20\nseed=1\nw=64\nh=64"
    request = PromptRequest.require(text)
    assert request == PromptRequest.require(own)
    assert PromptRequest.from_fields({"prompt[text]": text})[0] == request
    assert [one.code for one in parse(text).diagnostics] == ["foreign-settings"]
    assert noted(text).message.endswith("; the prompt itself has no words")
    assert noted(text).severity == "warning"
    assert PromptRequest.require(noted(text).rewrite.text) == request


@pytest.mark.parametrize("head", ["Prompt:", "positive prompt:"])
def test_a_line_of_the_prompt_itself_ends_the_negative_prompt(head: str) -> None:
    text = f"Negative prompt: dog,\nfox\n{head} a cat\nSteps: 20, Seed: 1"
    request = PromptRequest.require(text)
    assert (request.base.text, request.steps) == (f"{head} a cat", 20)
    assert request.negative[0].text == "dog, fox"
    codes = {one.code for one in parse(text).diagnostics}
    assert codes == {"foreign-settings", "parameter-look-alike"}
    assert PromptRequest.require(noted(text).rewrite.text) == request


def test_a_text_of_ones_own_that_begins_like_a_negative_prompt_is_printed_as_text() -> None:
    for text in ("Negative prompt: dog", "negative prompt :", "Negative prompt: seed=5, a BREAK b"):
        words, *more = text.split(" BREAK ")
        request = PromptRequest(prompt=tuple(Segment((one,)) for one in (words, *more)))
        assert PromptRequest.require(request.to_text()) == request


@pytest.mark.parametrize("text", ["Steps: 20, Seed: 1", "negative_prompt: dog", "Negative: dog"])
def test_other_settings_on_the_first_line_are_text_and_told(text: str) -> None:
    assert PromptRequest.require(text).base.text == text
    assert parse(text).diagnostics[0].code == "parameter-look-alike"


@pytest.mark.parametrize(
    ("text", "is_told"),
    [
        ("masterpiece, best quality, 8k", True),
        ("Masterpiece, Best Quality, Sharp Focus", True),
        ("highly detailed, sharp focus", True),
        ("masterpiece", True),
        ("masterpiece, best quality, 8k, soft light", True),
        ("(best_quality:1.4), ultra-detailed, 85mm lens, f/1.8, score_8_up", True),
        ("in the black and white style", True),
        ("...", True),
        ("green trees, city background", False),
        ("(red dress:1.2), white shoes", False),
        ("Maria in a red dress", False),
        ("John, 45, in a suit", False),
        ("TOK in a suit", False),
        ("a blonde in jeans", False),
        ("a model in a bikini", False),
        ("une femme", False),
        ("ein alter Mann", False),
        ("una mujer, best quality", False),
        ("\U0001f469, 8k", False),
        ("ohwx woman", False),
        ("a tall knight in armour", False),
        ("1girl, red hair", False),
        ("businesspeople, smiling", False),
        ("Emma Watson, red hair", False),
        ("Ann", False),
        ("her, laughing", False),
        ("masterpiece <lora:ann:1>, best quality", False),
        ("<faceid:7:1> sharp focus, smile", False),
        ("<ann> sharp focus, smile", False),
        ("eine Frau, gr\xfcne B\xe4ume", False),
    ],
)
def test_a_person_whom_no_word_names_is_warned_of(text: str, is_told: bool) -> None:
    told = [one for one in parse(f"a street BREAK noir BREAK {text}").diagnostics]
    assert [one.code for one in told] == (["nobody"] if is_told else [])
    assert all((one.severity, one.column) == ("warning", 21) for one in told)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("BREAK <lora:a:1> ohwx woman BREAK <lora:b:1> ohwx man", "warning"),
        ("BREAK <lora:a:1> ohwx woman BREAK <lora:b:1> ohwx woman", "warning"),
        ("BREAK woman in red BREAK man in blue", "warning"),
        ("BREAK <faceid:1> woman BREAK <faceid:2> man", "warning"),
        ("BREAK <lora:a:1> ohwx woman BREAK <lora:b:1> ohwx man BREAK a child", "warning"),
        ("BREAK a man, laughing BREAK a woman BREAK a child", "warning"),
        ("BREAK eine alte Frau BREAK ein alter Mann", "warning"),
        ("BREAK <lora:a:1> Alice BREAK <lora:b:1> Bob BREAK <lora:c:1> Carol", "info"),
        ("BREAK Alice in red BREAK Bob in blue", "info"),
        ("BREAK <faceid:1> BREAK <faceid:2> BREAK Bob", "info"),
        ("<lora:a:1> ohwx woman BREAK BREAK <lora:b:1> ohwx man", "warning"),
        ("<lora:a:1> ohwx woman BREAK <lora:b:1> ohwx man", "warning"),
        ("<lora:a:1> Alice BREAK <lora:b:1> Bob", "info"),
        ("BREAK BREAK <lora:a:1> ohwx woman BREAK <lora:b:1> ohwx man", None),
        ("BREAK 35mm photo BREAK <lora:a:1> ohwx woman BREAK <lora:b:1> ohwx man", None),
        ("BREAK <lora:film:0.5> 35mm photo BREAK <lora:a:1> ohwx woman", None),
        ("BREAK <lora:film:0.5> at dusk BREAK <lora:a:1> ohwx woman BREAK a man", None),
        ("BREAK laughing, in love BREAK a woman BREAK a man", None),
        ("BREAK woman, smiling BREAK <lora:a:1> woman BREAK <lora:b:1> woman", None),
        ("BREAK <lora:a:1> ohwx woman BREAK red dress BREAK blue dress", None),
        ("BREAK <faceid:1> BREAK woman in a red dress", None),
        ("a woman and a man <lora:noir:0.5> BREAK BREAK a woman BREAK a man", None),
        ("a woman and a man BREAK BREAK a child", None),
        ("<lora:a:1> ohwx woman BREAK <lora:detail:0.3> best quality, 8k", None),
        ("a woman in a park BREAK a man", None),
    ],
)
def test_a_person_before_the_persons_is_told(text: str, told: str | None) -> None:
    found = [one for one in parse(f"a park {text}").diagnostics if one.code == "missing-break"]
    assert [one.severity for one in found] == ([told] if told else [])
    assert all(one.column == f"a park {text}".index("BREAK") + 1 for one in found)


def test_who_wears_a_lora_before_the_persons_is_said() -> None:
    (told,) = parse("a park BREAK <lora:a:1> ohwx woman BREAK <lora:b:1> ohwx man").diagnostics
    assert told.message == (
        "`ohwx woman` is the common prompt: it is said of the scene and of the only person, and"
        " <lora:a:1.0> acts on everybody"
    )
    assert "what all persons share or nothing, BREAK, the first person" in (told.hint or "")
