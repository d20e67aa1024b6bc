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
from comfyui_astria.devtools.examples import BASE_TITLES, base_of
from comfyui_astria.devtools.titles import TITLES
from comfyui_astria.nodes.prompt import PARAMETERS, PromptRequest, Segment
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
NAMES = {title.file: name for name, title in TITLES.items()}

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
    return re.findall(r"`([^`]+)`", cell)


def test_every_workflow_is_listed_once_with_its_base_and_what_it_gives() -> None:
    rows = {NAMES[named(row[0])[0]]: row for row in table_of("# The example workflows")}
    assert sorted(rows) == workflows.names() == sorted(TITLES)
    for name, (_, models, sentence, said) in rows.items():
        assert sentence == TITLES[name].sentence
        assert named(said) == workflows.said_in(name)
        if name in workflows.prompt_names():
            assert models == BASE_TITLES[base_of(name)]
    files = [TITLES[name].file for name in rows]
    assert files == sorted(files), "as the browser sorts them"


def test_starters_come_first_and_titles_are_good_names_of_files() -> None:
    groups = {title.group for title in TITLES.values()}
    assert min(groups) == "Begin"
    begun = {name for name, title in TITLES.items() if title.group == "Begin"}
    assert begun == {name for name in TITLES if name.startswith("start_")}
    files = [title.file for title in TITLES.values()]
    assert len({file.casefold() for file in files}) == len(files)
    # The editor puts them into addresses as they are.
    assert [file for file in files if not re.fullmatch(r"[A-Za-z0-9 ,.-]{8,52}", file)] == []


def test_every_example_of_the_documentation_is_in_the_table() -> None:
    assert set(DOCUMENTED) == {*TEXTS, *FIELDS, *WITHOUT_PROMPT}
    assert {named(row[2])[0] for row in DOCUMENTED.values()} <= set(NAMES)


# What a printed prompt says without effect: of the service's form, a size's format, defaults.
_IDLE = ("backend_version", "ar")
_DEFAULTS = {"num_images": 1, "use_lpw": True}


@pytest.mark.parametrize("example", [*TEXTS, *FIELDS])
def test_a_workflow_is_made_of_the_documentation_s_prompt(example: str) -> None:
    [title] = named(DOCUMENTED[example][2])
    made = workflows.request_of(NAMES[title])
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
        and not (
            getattr(made, field.name) is None
            and getattr(shown, field.name) in (False, _DEFAULTS.get(field.name))
        )
    }
    fields -= {*(PARAMETERS[one].target for one in named(differs) if one in PARAMETERS), *_IDLE}
    if "its words" in differs or "the tune's id" in differs:
        assert [tags_of(segment) for segment in made.prompt] == [
            tags_of(segment) for segment in shown.prompt
        ]
        fields -= {"prompt"}
    if "its words" in differs:
        fields -= {"outpaint_prompt"}
    if "all that the request leaves out" in differs:
        fields = {field for field in fields if getattr(shown, field) is not None}
    assert fields == set()


def tags_of(segment: Segment) -> tuple[object, ...]:
    """What a part of a prompt is made of besides its words and which photos it names."""
    return segment.loras, [tag.strength for tag in segment.faceids]
