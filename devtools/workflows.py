"""The example workflows: compiled from the prompts in workflows/prompts/, each with its API form and a thumbnail."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..nodes.pipeline.check import check_graph
from ..nodes.pipeline.compiling import Compiled, CompileOptions, compile_request, workflow_of
from ..nodes.pipeline.definitions import snapshot
from ..nodes.pipeline.sources import Options
from ..nodes.prompt import PromptRequest
from ..nodes.tunes.bindings import Bindings
from ..nodes.tunes.resolve import Resolver
from .console import DevError, say
from .examples import BINDINGS, FILES, IMAGE, ExampleTunes, base_of
from .listed_files import ListedFiles
from .paths import ROOT

WORKFLOWS = ROOT / "workflows"
PROMPTS = WORKFLOWS / "prompts"
API_FORMS = ROOT / "tests" / "workflows"
SEED = 43


def names() -> list[str]:
    """Return the names of the example prompts."""
    return sorted(path.stem for path in PROMPTS.glob("*.txt"))


def request_of(name: str) -> PromptRequest:
    """Return the request of an example prompt."""
    return PromptRequest.require((PROMPTS / f"{name}.txt").read_text(encoding="utf-8"))


def resolver() -> Resolver:
    """Return what stands for the files and tunes of the examples."""
    return Resolver(Bindings.parse(BINDINGS, "the examples' bindings"), ExampleTunes(), ListedFiles(FILES))


def compiled(name: str) -> Compiled:
    """Return an example prompt compiled for its base model, with the names under which model files are published."""
    request = request_of(name)
    image = IMAGE if request.input_image is not None else None
    return compile_request(request, resolver(), CompileOptions(base_of(name), image, options=Options(SEED)))


def forms(name: str) -> dict[Path, dict[str, Any]]:
    """Return the files of an example: its UI form, which people open, and its API form, which the tests hold the editor against."""
    made = compiled(name)
    definitions = snapshot()
    check_graph(made.graph, definitions)
    request = request_of(name)
    paths = {"ui": WORKFLOWS / f"{name}.json", "api": API_FORMS / f"{name}.api.json"}
    return {path: workflow_of(request, made, definitions, form) for form, path in paths.items()}


def text_of(workflow: dict[str, Any]) -> str:
    """Return a workflow as it is written to its file."""
    return json.dumps(workflow, indent=1, ensure_ascii=False) + "\n"


def run(argv: Sequence[str]) -> int:
    """Write all examples and their thumbnails."""
    from .thumbnails import thumbnail  # needs packages of .venv

    if argv:
        raise DevError(f"workflows takes no arguments, got {' '.join(argv)}.", "It compiles every prompt in workflows/prompts/.")
    API_FORMS.mkdir(parents=True, exist_ok=True)
    for name in names():
        for path, workflow in forms(name).items():
            path.write_text(text_of(workflow), encoding="utf-8")
        picture = WORKFLOWS / f"{name}.jpg"
        picture.write_bytes(thumbnail(request_of(name), compiled(name).plan.stages))
        say(f"- {name}: {len(compiled(name).graph.nodes)} nodes, thumbnail {picture.stat().st_size // 1000} KB")
    return 0
