"""docs/examples.md lists every example workflow, and the documentation's own prompts are those of
the workflows that it names.
"""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest
from comfyui_astria.devtools import workflows
from comfyui_astria.devtools.examples import FLUX, PUBLISHED, SD15, SDXL, base_of
from comfyui_astria.nodes.prompt import FaceIdTag, PromptRequest
from comfyui_astria.tests.prompt.seed_prompts import (
    FIELDS_TEXT,
    FILM_NOIR,
    KEPT_BACKGROUND,
    MASKED,
    OUTPAINT_ONLY,
    OUTPAINT_TEXT,
    TEXT_BLOCK,
    TRUMP_TEXT,
)

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "examples.md").read_text(encoding="utf-8")
BASES = {FLUX: "Flux", SD15: "SD1.5", SDXL: "SDXL", **{one.name: one.title for one in PUBLISHED}}

# Example of the documentation, as docs/examples.md calls it -> its text.
TEXTS = {
    "Without an input image": FILM_NOIR,
    "Input image as a background": KEPT_BACKGROUND,
    "Example prompt": MASKED,
    "Outpaint only": OUTPAINT_ONLY,
    "txt2img + outpainting": f"{FIELDS_TEXT}\n{TEXT_BLOCK}",
    "txt2img + multi-person outpainting": f"{TRUMP_TEXT}\n{TEXT_BLOCK}",
}
FIELDS = {
    "Example request": json.loads(
        (ROOT / "tests/seeds/face_inpainting.json").read_text(encoding="utf-8")
    ),
    "POST /tunes/690204/prompts": json.loads(
        (ROOT / "tests/seeds/faceid.json").read_text(encoding="utf-8")
    ),
    "the same request on Flux": json.loads(
        (ROOT / "tests/seeds/faceid.json").read_text(encoding="utf-8")
    ),
    "Outpaint only, over the API": {
        "prompt[text]": OUTPAINT_TEXT,
        "prompt[denoising_strength]": 0,
        "prompt[input_image_url]": (
            "https://sdbooth2-production.s3.amazonaws.com/qg202t8sqfn1olewuzdujgaq29si"
        ),
    },
    "txt2img + outpainting, over the API": {
        "prompt[text]": FIELDS_TEXT,
        "prompt[w]": 1024,
        "prompt[h]": 1024,
    },
}
WITHOUT_PROMPT = {
    "Input image and `controlnet=pose` (described, without a prompt)",
    "POST /tunes: create a fine-tune from photos",
}


def table_of(heading: str) -> list[list[str]]:
    """The rows of the first table below a heading."""
    lines = PAGE[PAGE.index(heading) :].splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("|"))
    found = []
    for line in lines[first + 2 :]:
        if not line.startswith("|"):
            break
        found.append([cell.strip() for cell in line.strip("|").split("|")])
    return found


DOCUMENTED = {row[1]: row for row in table_of("## Where the documentation's own prompts are")}


def named(cell: str) -> list[str]:
    return re.findall(r"`(\w+)`", cell)


def test_every_workflow_is_listed_once_with_its_base() -> None:
    listed = {name: row[1] for row in table_of("# The example workflows") for name in named(row[0])}
    assert sorted(listed) == workflows.names()
    for name in workflows.prompt_names():
        assert BASES[base_of(name)] in listed[name], name


def test_every_example_of_the_documentation_is_in_the_table() -> None:
    assert set(DOCUMENTED) == {*TEXTS, *FIELDS, *WITHOUT_PROMPT}
    assert [
        row[2] for row in DOCUMENTED.values() if set(named(row[2])) - set(workflows.names())
    ] == []


@pytest.mark.parametrize("example", [*TEXTS, *FIELDS])
def test_a_workflow_is_made_of_the_documentation_s_prompt(example: str) -> None:
    [name] = named(DOCUMENTED[example][2])
    made = workflows.request_of(name)
    shown = (
        PromptRequest.require(TEXTS[example])
        if example in TEXTS
        else PromptRequest.from_fields(FIELDS[example])[0]
    )
    differs = DOCUMENTED[example][3]
    fields = {
        field.name
        for field in dataclasses.fields(PromptRequest)
        if getattr(made, field.name) != getattr(shown, field.name)
    }
    if differs.startswith("all that the request leaves out"):
        fields = {field for field in fields if getattr(shown, field) is not None}
    elif differs:
        assert fields <= {"prompt", *named(differs)}
        assert dataclasses.replace(made.prompt[0], faceids=()) == dataclasses.replace(
            shown.prompt[0], faceids=()
        )
        assert [
            dataclasses.replace(tag, id=made.prompt[0].faceids[0].id)
            for tag in shown.prompt[0].faceids
        ] == list(made.prompt[0].faceids)
        assert all(isinstance(tag, FaceIdTag) for tag in made.prompt[0].faceids)
        fields = set()
    assert fields == set()
