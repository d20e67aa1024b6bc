"""The example workflows: compiled from the prompts in workflows/prompts/, each with its API form
and a thumbnail.
"""

from __future__ import annotations

import json
import re
from collections.abc import Container
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..nodes.graph.check import check_graph
from ..nodes.graph.definitions import snapshot
from ..nodes.graph.graph import Graph, api_workflow
from ..nodes.graph.ui_form import ui_workflow
from ..nodes.pipeline.build.controls import controls_of
from ..nodes.pipeline.build.sources import Options
from ..nodes.pipeline.compiling import Compiled, CompileOptions, compile_request, note_text
from ..nodes.prompt import PromptRequest
from ..nodes.tunes.bindings import Bindings
from ..nodes.tunes.resolve import Resolver
from .console import say
from .examples import BINDINGS, FILES, IMAGE, ExampleTunes, base_of, takes_drawn_map
from .listed_files import ListedFiles
from .paths import ROOT
from .starters import STARTERS
from .titles import TITLES

WORKFLOWS = ROOT / "workflows"
PROMPTS = WORKFLOWS / "prompts"
API_FORMS = ROOT / "tests" / "workflows"
SEED = 43
_USUAL = {"w", "h", "num_images", "seed", "--outpaint_width", "--outpaint_height"}
SUBJECT_WORDS = {"foreground", "subject", "background"}  # the background removal finds them


def names() -> list[str]:
    """Return the names of the example workflows."""
    return sorted([*prompt_names(), *STARTERS])


def prompt_names() -> list[str]:
    """Return the names of those that a prompt is compiled into."""
    return sorted(path.stem for path in PROMPTS.glob("*.txt"))


def ui_file(name: str) -> Path:
    """Return the file of an example that people open, called as the template browser shows it."""
    return WORKFLOWS / f"{TITLES[name].file}.json"


def request_of(name: str) -> PromptRequest:
    """Return the request of an example prompt."""
    return PromptRequest.require((PROMPTS / f"{name}.txt").read_text(encoding="utf-8"))


def said_in(name: str) -> list[str]:
    """Return the tags, flags and parameters of an example's prompt, but for sizes and numbers."""
    if name in STARTERS:
        call = STARTERS[name]().graph.nodes.get("generate.astria")
        text = str(call.inputs["text"]) if call else ""
    else:
        text = (PROMPTS / f"{name}.txt").read_text(encoding="utf-8")
    found = re.findall(r"<\w+:|--\w+|\bBREAK\b|^\w+(?==)", text, re.MULTILINE)
    return [
        f"{one}...>" if one.startswith("<") else one
        for one in dict.fromkeys(found)
        if one not in _USUAL
    ]


def resolver(idle: Container[str] = ()) -> Resolver:
    """Return what stands for the files and tunes of the examples, without the roles in `idle`."""
    bound = Bindings.parse(BINDINGS, "the examples' bindings")
    roles = {role: file for role, file in bound.roles.items() if role not in idle}
    return Resolver(replace(bound, roles=roles), ExampleTunes(), ListedFiles(FILES))


def compiled(name: str, request: PromptRequest | None = None) -> Compiled:
    """Return an example prompt compiled for its base model, with the names under which model files
    are published, and no model that the prompt does without.

    `request` takes the place of the example's own, for what another prompt would give there.
    """
    request = request or request_of(name)
    given = {
        "image": request.input_image,
        "mask": request.mask_image,
        "control_image": takes_drawn_map(request) or None,
    }
    pictures = {what: IMAGE for what, one in given.items() if one is not None}
    options = CompileOptions(base_of(name), **pictures, options=Options(SEED))
    idle = idle_roles(request, compile_request(request, resolver(), options).graph)
    return compile_request(request, resolver(idle), options)


def idle_roles(request: PromptRequest, graph: Graph) -> set[str]:
    """Return the roles that a prompt does without: the pose that people get unasked, and segmenters
    that none of its words goes to.
    """
    words: set[str] = set()
    for call in graph.nodes.values():
        if call.class_type == "AstriaPromptMask":
            said = (call.inputs["mask_prompt"], call.inputs["mask_negative"])
            words |= {word for one in said for word in str(one).split()}
        if call.class_type == "AstriaFindPeople":
            words.add("person")
    idle = set() if controls_of(request) else {"flux.controlnet_union", "sd15.controlnet_pose"}
    if words and not words - SUBJECT_WORDS:
        idle.add("sam3")
    if words and not words & SUBJECT_WORDS and not request.remove_background:
        idle.add("background_removal")
    return idle


def forms(name: str) -> dict[Path, dict[str, Any]]:
    """Return the files of an example.

    Its UI form, which people open, and its API form, which the tests hold the editor against.
    """
    definitions = snapshot()
    paths = {"ui": ui_file(name), "api": API_FORMS / f"{name}.api.json"}
    if name in STARTERS:
        starter = STARTERS[name]()
        graph, note = starter.graph, starter.note
    else:
        made = compiled(name)
        graph, note = made.graph, note_text(request_of(name), made)
    check_graph(graph, definitions)
    told = f"{TITLES[name].sentence}\n\n{note}"
    return {
        paths["ui"]: ui_workflow(graph, definitions, told, is_folded=True),
        paths["api"]: api_workflow(graph),
    }


def text_of(workflow: dict[str, Any]) -> str:
    """Return a workflow as it is written to its file."""
    return json.dumps(workflow, indent=1, ensure_ascii=False) + "\n"


def run() -> int:
    """Write all examples and their thumbnails."""
    from .thumbnails import thumbnail  # needs packages of .venv

    API_FORMS.mkdir(parents=True, exist_ok=True)
    titled = {ui_file(name).stem for name in names()}
    for old in (path for path in WORKFLOWS.iterdir() if path.suffix in (".json", ".jpg")):
        if old.stem not in titled:  # called otherwise by now
            old.unlink()
    for name in names():
        written = forms(name)
        for path, workflow in written.items():
            path.write_text(text_of(workflow), encoding="utf-8")
        drawn = thumbnail(name)
        ui_file(name).with_suffix(".jpg").write_bytes(drawn)
        say(
            f"- {name}: {len(written[API_FORMS / f'{name}.api.json'])} nodes, thumbnail"
            f" {len(drawn) // 1000} KB"
        )
    return 0
