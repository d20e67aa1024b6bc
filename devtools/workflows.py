"""The example workflows: compiled from the prompts in workflows/prompts/, each with its API form
and a thumbnail.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..nodes.graph.check import check_graph
from ..nodes.graph.definitions import snapshot
from ..nodes.graph.graph import api_workflow
from ..nodes.graph.ui_form import ui_workflow
from ..nodes.pipeline.build.sources import Options
from ..nodes.pipeline.compiling import Compiled, CompileOptions, compile_request, workflow_of
from ..nodes.prompt import PromptRequest
from ..nodes.tunes.bindings import Bindings
from ..nodes.tunes.resolve import Resolver
from .console import DevError, say
from .examples import BINDINGS, FILES, IMAGE, ExampleTunes, base_of, takes_drawn_map
from .listed_files import ListedFiles
from .paths import ROOT
from .starters import STARTERS

WORKFLOWS = ROOT / "workflows"
PROMPTS = WORKFLOWS / "prompts"
API_FORMS = ROOT / "tests" / "workflows"
SEED = 43


def names() -> list[str]:
    """Return the names of the example workflows."""
    return sorted([*prompt_names(), *STARTERS])


def prompt_names() -> list[str]:
    """Return the names of those that a prompt is compiled into."""
    return sorted(path.stem for path in PROMPTS.glob("*.txt"))


def request_of(name: str) -> PromptRequest:
    """Return the request of an example prompt."""
    return PromptRequest.require((PROMPTS / f"{name}.txt").read_text(encoding="utf-8"))


def resolver() -> Resolver:
    """Return what stands for the files and tunes of the examples."""
    return Resolver(
        Bindings.parse(BINDINGS, "the examples' bindings"), ExampleTunes(), ListedFiles(FILES)
    )


def compiled(name: str, request: PromptRequest | None = None) -> Compiled:
    """Return an example prompt compiled for its base model, with the names under which model files
    are published.

    `request` takes the place of the example's own, for what another prompt would give there.
    """
    request = request or request_of(name)
    given = {
        "image": request.input_image,
        "mask": request.mask_image,
        "control_image": takes_drawn_map(request) or None,
    }
    pictures = {what: IMAGE for what, one in given.items() if one is not None}
    return compile_request(
        request, resolver(), CompileOptions(base_of(name), **pictures, options=Options(SEED))
    )


def forms(name: str) -> dict[Path, dict[str, Any]]:
    """Return the files of an example.

    Its UI form, which people open, and its API form, which the tests hold the editor against.
    """
    definitions = snapshot()
    paths = {"ui": WORKFLOWS / f"{name}.json", "api": API_FORMS / f"{name}.api.json"}
    if name in STARTERS:
        starter = STARTERS[name]()
        check_graph(starter.graph, definitions)
        return {
            paths["ui"]: ui_workflow(starter.graph, definitions, starter.note),
            paths["api"]: api_workflow(starter.graph),
        }
    made = compiled(name)
    check_graph(made.graph, definitions)
    request = request_of(name)
    return {path: workflow_of(request, made, definitions, form) for form, path in paths.items()}


def text_of(workflow: dict[str, Any]) -> str:
    """Return a workflow as it is written to its file."""
    return json.dumps(workflow, indent=1, ensure_ascii=False) + "\n"


def run(argv: Sequence[str]) -> int:
    """Write all examples and their thumbnails."""
    from .thumbnails import starter_thumbnail, thumbnail  # needs packages of .venv

    if argv:
        raise DevError(
            f"workflows takes no arguments, got {' '.join(argv)}.",
            "It compiles every prompt in workflows/prompts/.",
        )
    API_FORMS.mkdir(parents=True, exist_ok=True)
    for name in names():
        written = forms(name)
        for path, workflow in written.items():
            path.write_text(text_of(workflow), encoding="utf-8")
        drawn = (
            starter_thumbnail(STARTERS[name]())
            if name in STARTERS
            else thumbnail(request_of(name), compiled(name).plan.stages)
        )
        picture = WORKFLOWS / f"{name}.jpg"
        picture.write_bytes(drawn)
        say(
            f"- {name}: {len(written[API_FORMS / f'{name}.api.json'])} nodes, thumbnail"
            f" {len(drawn) // 1000} KB"
        )
    return 0
