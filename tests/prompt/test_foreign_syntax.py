"""Syntax of other programs inside the text: exactly what is said of it, and what can be mended."""

from __future__ import annotations

import pytest
from comfyui_astria.nodes.prompt import PromptRequest, parse
from comfyui_astria.tests.prompt.test_malformed import CANVAS

# text of other programs -> each warning, as (place, the whole message); the text stays text
FOREIGN: dict[str, list[tuple[str, str]]] = {
    "a [cat:dog:0.5]": [
        (
            "[cat:dog:0.5]",
            "`[cat:dog:0.5]` is no change during the steps here: it is read as text in brackets",
        )
    ],
    "[<lora:x:1>:10] a": [
        (
            "[<lora:x:1>:10]",
            "`[<lora:x:1>:10]` is no change during the steps here: it is read as text in brackets",
        )
    ],
    "[cat|dog]": [
        ("[cat|dog]", "`[cat|dog]` is no alternation here: it is read as text in brackets")
    ],
    "{cat|dog} {{red}}": [
        (
            "{cat|dog}",
            "`{cat|dog}` is neither a choice nor a weight here: the braces are read as text",
        ),
        (
            "{red}",
            "`{red}` is neither a choice nor a weight here: the braces are read as text",
        ),
    ],
    "a __hair/long_hair__ cat": [
        (
            "__hair/long_hair__",
            "`__hair/long_hair__` is no list of words here: it is read as text",
        )
    ],
    "a cat AND a dog": [
        ("AND", "`AND` is read as a word: here it does not draw two prompts and mix them")
    ],
    "a cat ADDCOL a dog": [("ADDCOL", "`ADDCOL` is read as text: it divides nothing here")],
    "a ADDCOMM b ADDBASE c ADDROW d": [
        (word, f"`{word}` is read as text: it divides nothing here")
        for word in ("ADDCOMM", "ADDBASE", "ADDROW")
    ],
    "(cat:1,2)": [("(cat:1,2)", "`1,2` is no number, and stays in the text of `(cat:1,2)`")],
    "(cat)1.3": [(")1.3", "`)1.3` is no weight here: it is read as text")],
    "(cat)++": [(")++", "`)++` is no weight here: it is read as text")],
    "cat::2 dog": [("::2", "`::2` is no weight here: it is read as text")],
    "a /* old */ cat": [("/* old */", "`/* old */` is no comment here: it is read as text")],
    "a cat -s 30 -W512": [
        ("-s 30", "`-s 30` is read as text, and sets nothing"),
        ("-W512", "`-W512` is read as text, and sets nothing"),
    ],
    "a cat Negative prompt: dog Steps: 30, Sampler: Euler a, Size: 64x64": [
        (key, f"`{key}:` inside a line is read as text")
        for key in ("Negative prompt", "Steps", "Sampler", "Size")
    ],
    'a\n**Steps:** 20, "seed": 5': [
        (key, f"`{key}:` inside a line is read as text") for key in ("Steps", "seed")
    ],
    '{"positive_prompt": "a cat", "steps": 30}': [
        ("{", "JSON of another program is read as text, all of it")
    ],
    "MASK(0 0.5) cat": [("MASK(", "`MASK(` is read as text: it gives nothing a place here")],
    "\uff08cat\uff1a1.2\uff09": [
        (
            "\uff08",
            "`\uff08\uff1a\uff09`: wide characters are read as text; they make no bracket, tag,"
            " flag or parameter",
        )
    ],
    "\uff1clora:x:1\uff1e a\uff0c b": [
        (
            "\uff1clora:x:1\uff1e",
            "`\uff1c\uff1e`: wide characters are read as text; they make no bracket, tag,"
            " flag or parameter",
        )
    ],
    "\uff1c\uff4c\uff4f\uff52\uff41\uff1a\uff58\uff1a\uff11\uff1e a": [
        (
            "\uff1c\uff4c\uff4f\uff52\uff41\uff1a\uff58\uff1a\uff11\uff1e",
            "`\uff1c\uff4c\uff4f\uff52\uff41\uff1a\uff58\uff11\uff1e`: wide characters are read as"
            " text; they make no bracket, tag, flag or parameter",
        )
    ],
    "&lt;lora:x:1&gt; a": [
        ("&lt;", "`&lt;` is read as these characters, not as the one it stands for")
    ],
    "a cat\\nBREAK\\na dog": [("\\n", "`\\n` is read as a backslash and what follows it")],
    "a \\u003clora:x:1\\u003e": [
        ("\\u003c", "`\\u003c` is read as a backslash and what follows it")
    ],
    "a\u200bBREAK b": [
        (
            "\u200bBREAK",
            "BREAK in `\\u200bBREAK` is glued to what it touches, and divides nothing",
        )
    ],
    "a /BREAK/ b": [
        ("/BREAK/", "BREAK in `/BREAK/` is glued to what it touches, and divides nothing")
    ],
    "(a)BREAK(b)": [
        (")BREAK(", "BREAK in `)BREAK(` is glued to what it touches, and divides nothing")
    ],
    "soft lightBREAK a man": [
        ("tBREAK", "BREAK in `tBREAK` is glued to what it touches, and divides nothing")
    ],
    "soft light BREAKa man": [
        ("BREAKa", "BREAK in `BREAKa` is glued to what it touches, and divides nothing")
    ],
    "a -BREAK- b": [
        ("-BREAK-", "BREAK in `-BREAK-` is glued to what it touches, and divides nothing")
    ],
    "a man BREAKwoman BREAK2 BREAK!": [
        ("BREAKw", "BREAK in `BREAKw` is glued to what it touches, and divides nothing"),
        ("BREAK2", "BREAK in `BREAK2` is glued to what it touches, and divides nothing"),
        ("BREAK!", "BREAK in `BREAK!` is glued to what it touches, and divides nothing"),
    ],
    "a houseBREAK 4KBREAK BREAKThe man": [
        ("eBREAK", "BREAK in `eBREAK` is glued to what it touches, and divides nothing"),
        ("KBREAK", "BREAK in `KBREAK` is glued to what it touches, and divides nothing"),
        ("BREAKT", "BREAK in `BREAKT` is glued to what it touches, and divides nothing"),
    ],
    "a BREAKBREAK b": [
        ("BREAKBREAK", "BREAK in `BREAKBREAK` is glued to what it touches, and divides nothing")
    ],
    "a cat \u2014ar 16:9 \u2013no dog": [
        ("\u2014ar", "`\u2014ar` is read as text, and no flag"),
        ("\u2013no", "`\u2013no` is read as text, and no flag"),
    ],
    "\uff1c\uff2c\uff2f\uff32\uff21\uff1ax\uff1e": [
        (
            "\uff1c\uff2c\uff2f\uff32\uff21\uff1ax\uff1e",
            "`\uff1c\uff2c\uff2f\uff32\uff21\uff1a\uff1e`: wide characters are read as text; they"
            " make no bracket, tag, flag or parameter",
        )
    ],
    "lora:x:0.8 a (faceid:7) <lora y;1> <lora=z>": [
        (tag, f"`{tag}` is no tag: it is read as text")
        for tag in ("lora:x:0.8", "faceid:7", "<lora y;1>", "<lora=z>")
    ],
    "a cat -ar 16:9": [("-ar", "`-ar` is read as text, and no flag")],
    "cat AND_SALT dog": [
        ("AND_SALT", "`AND_SALT` is read as a word: here it does not draw two prompts and mix them")
    ],
    "/imagine prompt: a cat": [("/imagine prompt:", "`/imagine prompt:` is read as text")],
    "(a:\uff11\uff0e2)": [
        (
            "(a:\uff11\uff0e2)",
            "`\uff11\uff0e2` is no number, and stays in the text of `(a:\uff11\uff0e2)`",
        )
    ],
    "a cat\\BREAK\\b": [
        (
            "\\BREAK\\",
            "BREAK in `\\BREAK\\` is glued to what it touches, and divides nothing",
        )
    ],
    "a\nnegative prompt = bad\nneg: bad\ncfg scale=7": [
        ("negative prompt =", "`negative prompt=` is read as text"),
        ("neg:", "`neg:` is read as text"),
        ("cfg scale=", "`cfg scale=` is read as text"),
    ],
    "a <embedding:ink>": [("<embedding:ink>", "`<embedding:ink>` is read as text")],
    "Prompt: a cat": [("Prompt:", "`Prompt:` is read as text")],
    "a BREAK_2 b": [
        ("BREAK_", "BREAK in `BREAK_` is glued to what it touches, and divides nothing")
    ],
    "Embedding:ink a": [
        ("Embedding:ink", "`Embedding:ink` names no embedding here: it is read as text")
    ],
    "embedding: ink a": [
        ("embedding: ink", "`embedding: ink` names no embedding here: it is read as text")
    ],
    "emb:ink a": [("emb:ink", "`emb:ink` names no embedding here: it is read as text")],
    "a <hypernet:x:1>": [("<hypernet:x:1>", "`<hypernet:x:1>` is read as text")],
    "--mask_prompt \u201cred car\u201d": [
        (
            "\u201c",
            "`\u201c` is no quote here: it is part of the text, which goes to the next blank",
        )
    ],
    f"--outpaint center{CANVAS} --outpaint_prompt \u201ca field\u201d": [
        (
            "\u201c",
            "`\u201c` is no quote here: it is part of the text, which goes to the end of the value",
        )
    ],
    f'--outpaint center{CANVAS} --outpaint_prompt "a {{red|blue}} field"': [
        (
            "{red|blue}",
            "`{red|blue}` is neither a choice nor a weight here: the braces are read as text",
        )
    ],
    "a\nnegative_prompt=[bad:0.5]": [
        (
            "[bad:0.5]",
            "`[bad:0.5]` is no change during the steps here: it is read as text in brackets",
        )
    ],
    "<lora:x:0.8:lbw=OUTALL> a": [
        (
            "lbw=OUTALL",
            "`lbw=OUTALL` is left out: the LoRA `x` acts on all its layers, at every step",
        )
    ],
    "a\nseed=1\nnegative_prompt=bad\nSteps: 30, Sampler: Euler": [
        ("Steps:", "`Steps:` is read as text"),
        ("Sampler", "`Sampler:` inside a line is read as text"),
    ],
}


@pytest.mark.parametrize("text", FOREIGN)
def test_text_of_another_program_is_told_and_stays_text(text: str) -> None:
    request, diagnostics = PromptRequest.from_text(text)
    assert request is not None
    assert [(found.span.of(text), found.message) for found in diagnostics] == FOREIGN[text]
    assert all(found.severity == "warning" and found.hint for found in diagnostics)


@pytest.mark.parametrize(
    "text",
    [
        "ROCK AND ROLL poster, cats and dogs",
        "a LUNCH-BREAK sign 'BREAK' BREAKFAST",
        "BREAKing news, a BREAKdancer, Tie-BREAK, BREAK-in, DAYBREAK, coffeeBREAKs",
        "BREAKING NEWS, an OUTBREAK, OUTBREAKS, BREAKdown, HEARTBREAKERS, a BREAKFAST TABLE",
        "a sign that says 'TAKE A BREAK!' or \"COFFEE BREAK\", the BREAK's end, unBREAKable",
        "a (cat:1.2) at 16:9, [dog] (10:1.5)",
        "snake_case_name, __init, a :: b, C++",
        "\u4e00\u53ea\u732b\uff01\u4e00\u53ea\u72d7\uff1f",
        # Chinese, Japanese and others in their own punctuation
        "\u4e00\u4f4d\u5973\u58eb\u7684\u8096\u50cf\uff0c\u67d4\u5149",
        "\uff11\u4eba\u306e\u5973\u6027\u3001\u30dd\u30fc\u30c8\u30ec\u30fc\u30c8",
        "Frau\uff1aein Portr\xe4t\uff08schwarz\uff09",
        "\u732b\uff08\uff12\uff1a\uff13\uff09\u300a\u96ea\u300b\uff1d\u96ea",
        "style: moody noir, image: blurred",
        "steps: up to the door",
        "embedding:ink a, (embedding:ink:1.2), embedding:ink:1.2",  # the plan knows the files
        "a planner\nScheduler: calendar of the week, desk",
        "a man\nHeight: 170",
        "a poster\nSize: 24x36",
        " seed=5",
        "a photo of lora: a girl, color:lora:x, https://a.example/lora:x",
        "a poster, size: 24x36 inches, or size: 100x200 cm",
        "a city (population: 1,000,000)",
        "100% cotton, Tom & Jerry, a\\(b\\)",
        "it costs 5,000: a lot (really: yes)",
    ],
)
def test_ordinary_words_are_not_told(text: str) -> None:
    assert parse(text).diagnostics == ()


# A setting of another program on a line of its own -> the first words of what to do.
TO_WRITE = {
    "sampler: Euler a": "Write scheduler=euler_a on a line",
    "Sampler: DPM++ 2M Karras": "Write scheduler=dpm++2m_karras on a line",
    "Sampler: DDIM": "Write scheduler= with one of euler, ",
    "scheduler: karras": "Write scheduler= with one of euler, ",
    "Upscale: 2": "Write super_resolution= with true or false on",
    "Steps: 80": "Write steps= with a whole number from 1 to 50 on",
    "Steps: 30": "Write steps=30 on",
    "CFG: 20": "Write cfg_scale= with a number from 0 to 15 on",
    "width: 830": "Write w= with a whole number from 8 to 16384, a multiple of 8, and h= with it",
    "width: 832": "Write w=832, and h= with it, each on",
    "Size: 832x1216": "Write w=832 and h=1216, each on",
    "Size: 830x1216": "Write w= and h= with a whole number from 8 to 16384, a multiple of 8, each",
}


@pytest.mark.parametrize("line", TO_WRITE)
def test_what_is_told_to_write_is_taken_when_it_is_written(line: str) -> None:
    [found] = parse(f"a cat\n{line}").diagnostics
    assert found.hint.startswith(TO_WRITE[line])


REWRITTEN = {
    "\uff08cat\uff1a1.2\uff09\uff0c dog": "(cat:1.2)\uff0c dog",
    "\uff08a\uff0cb\uff1a\uff11\uff0e\uff12\uff09\uff1a (c\uff1a1.2) (d:1.3\uff09": (
        "(a\uff0cb:1.2)\uff1a (c:1.2) (d:1.3)"
    ),
    "\u300alora\uff1ax\uff1a\uff11\u300b a\uff0c <lora\uff1ay>": "<lora:x:1> a\uff0c <lora:y>",
    "a\uff1a\nseed\uff1d\uff11\uff12\nw \uff1d 64\nh=64": "a\uff1a\nseed=12\nw = 64\nh=64",
    "a \uff0d\uff0dmask_prompt red": "a --mask_prompt red",
    "a \uff22\uff32\uff25\uff21\uff2b b\uff0c": "a BREAK b\uff0c",
    "\uff1c\uff4c\uff4f\uff52\uff41\uff1a\uff58\uff1a\uff11\uff1e a": "<lora:x:1> a",
    "<\uff46\uff41\uff43\uff45id\uff1a1>\uff1cfaceid:\uff12\uff1e": "<faceid:1><faceid:2>",
    "\uff1c\uff45\uff41\uff53\uff1e\uff1c\u6771\u4eac\uff1e": "<eas>\uff1c\u6771\u4eac\uff1e",
    "a \uff0d\uff0d\uff4d\uff41\uff53\uff4b\uff3finvert": "a --mask_invert",
    "a\n\uff53\uff45\uff45\uff44\uff1d\uff11\uff12": "a\nseed=12",
    "a \uff22REAK b": "a BREAK b",
    "&lt;lora:x:1&gt; a": "<lora:x:1> a",
    "a\\nBREAK\\nb": "a\nBREAK\nb",
    "\\u003clora:x:1\\u003e a": "<lora:x:1> a",
    "a emb:ink, b": "a <ink>, b",
    "a (lora:x:0.8)": "a (<lora:x:0.8>)",
    "a LoRA:x:0.8": "a <lora:x:0.8>",
    "a <faceid 7>": "a <faceid:7>",
    "a (emb:ink:1.2), b": "a (<ink>:1.2), b",
    "a emb:ink:1.2, b": "a (<ink>:1.2), b",
    # InvokeAI, Fooocus
    '{"positive_prompt": "a cat", "negative_prompt": "dog\\nfox", "cfg_scale": 7.5, "steps": 30,'
    ' "seed": 4, "width": 512, "height": 768, "scheduler": "euler_a", "model": {"key": "x"}}': (
        "a cat\nnegative_prompt=dog fox\nseed=4\nsteps=30\ncfg_scale=7.5\nscheduler=euler_a\nw=512"
        "\nh=768"
    ),
    '{"Prompt": "a cat", "Resolution": "(896, 1152)", "Steps": 30, "Sampler": "dpmpp_2m",'
    ' "Scheduler": "karras"}': "a cat\nsteps=30\nscheduler=dpm++2m_karras\nw=896\nh=1152",
    "--mask_prompt \u201cred car\u201d": '--mask_prompt "red car"',
}


@pytest.mark.parametrize("text", REWRITTEN)
def test_what_can_be_mended_without_asking_is_offered(text: str) -> None:
    [rewrite] = [found.rewrite for found in parse(text).diagnostics if found.rewrite]
    mended = text[: rewrite.span.start] + rewrite.text + text[rewrite.span.end :]
    assert mended == REWRITTEN[text]
    assert rewrite.label
    assert parse(mended).diagnostics == ()


def test_a_field_of_the_negative_prompt_is_looked_at_as_well() -> None:
    _, diagnostics = PromptRequest.from_fields({"text": "a cat", "negative_prompt": "[bad:0.5]"})
    assert [(found.code, found.field) for found in diagnostics] == [
        ("foreign-syntax", "negative_prompt")
    ]
