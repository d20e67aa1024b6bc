"""`explain` and `compile` on the command line.

A prompt file against the bindings and the model files, without ComfyUI running.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import AstriaError
from ..families.family import FAMILIES
from ..graph.check import check_graph
from ..graph.definitions import snapshot
from ..graph.graph import Socket
from ..net.pictures import PictureStore
from ..net.settings import SETTINGS_FILE
from ..prompt import PromptRequest
from ..tunes.local_files import LocalFiles
from ..tunes.resolve import Resolver
from ..tunes.state import resolver_of
from .build.sources import Options
from .compiling import CompileOptions, compile_request, workflow_of
from .explain import explain
from .pictures import picture_origins, pictures_to_load, with_files, without_pictures


def main(
    argv: Sequence[str],
    *,
    folder: Path,
    models: Sequence[Path],
    bind: str,
    write: Callable[[str], None],
    beside: Path | None = None,
) -> int:
    """Run `explain` or `compile` and return the exit code.

    0, or 1 when the prompt cannot run as it is.

    `folder` is the pack's private folder, `<ComfyUI>/user/__astria`, with the bindings, the tunes
    and the API's settings; `beside` is that of another ComfyUI, for what the first does not bind;
    `models` are the model folders, `<ComfyUI>/models`; `bind` is the command that hints name for
    binding a file in `folder`.
    """
    arguments = _parser().parse_args(argv)
    try:
        text = (
            sys.stdin.read()
            if arguments.prompt == "-"
            else Path(arguments.prompt).read_text(encoding="utf-8")
        )
        resolver = resolver_of(folder, beside, LocalFiles(*models), bind)
        task = _Task(arguments, text, resolver, _pictures(folder))
        return _COMMANDS[arguments.command](task, write)
    except OSError as error:
        write(
            f"{arguments.prompt}: {error.strerror}. Give the file that holds the prompt, or - for"
            " standard input."
        )
    except AstriaError as error:
        write(str(error))
    return 1


@dataclass(frozen=True)
class _Task:
    """A prompt, the command to run on it, and the pictures and bindings to run it with."""

    arguments: argparse.Namespace
    text: str
    resolver: Resolver
    pictures: PictureStore

    @property
    def given(self) -> list[str]:
        """The pictures that the command line names."""
        return [name for name in ("image", "mask") if getattr(self.arguments, name)]


def _pictures(folder: Path) -> PictureStore:
    return PictureStore(folder.parent.parent / "input", folder / SETTINGS_FILE)


_WITHOUT_BASE = "  Or see the plan for a model that you connect: add --family sdxl, or another.\n"


def _explain(task: _Task, write: Callable[[str], None]) -> int:
    request = _request_of(task.text, write)
    family = FAMILIES[task.arguments.family] if task.arguments.family else None
    to_be_had = pictures_to_load(request, task.given, task.pictures.settings_file)
    # Nothing is fetched to tell the plan.
    options = replace(_options(task.arguments), **{name: Socket(name) for name in to_be_had})
    explained = explain(without_pictures(request, to_be_had), task.resolver, options, family)
    without_base = _WITHOUT_BASE if explained.base_is_missing else ""
    write(explained.text + without_base + picture_origins(to_be_had))
    _write_notes(task.text, write)
    return 0 if explained.runs else 1


def _request_of(text: str, write: Callable[[str], None]) -> PromptRequest:
    """Return the request of a text.

    Raises: PromptError for its errors, behind the warnings, which often tell why: below `width=832`
    `h=` stands alone.
    """
    request, diagnostics = PromptRequest.from_text(text)
    if request is None:
        for one in diagnostics:
            if one.severity != "error":
                write(one.render(text))
    return PromptRequest.require(text)


def _write_notes(text: str, write: Callable[[str], None]) -> None:
    """Write the warnings and notes about the text.

    Look-alikes, unknown keys, values without effect.
    """
    _, diagnostics = PromptRequest.from_text(text)
    for one in diagnostics:
        write(one.render(text))


def _compile(task: _Task, write: Callable[[str], None]) -> int:
    arguments = task.arguments
    request = with_files(_request_of(task.text, write), task.given, task.pictures)
    compiled = compile_request(request, task.resolver, _options(arguments))
    definitions = snapshot()
    check_graph(compiled.graph, definitions)
    written = json.dumps(
        workflow_of(request, compiled, definitions, arguments.form), indent=1, ensure_ascii=False
    )
    if arguments.output is None:
        write(written)
    else:
        Path(arguments.output).write_text(written + "\n", encoding="utf-8")
        write(
            f"{arguments.output}: {len(compiled.graph.nodes)} nodes; it needs"
            f" {', '.join('/'.join(one) for one in compiled.files)}"
        )
        _write_notes(task.text, write)
    return 0


def _options(arguments: argparse.Namespace) -> CompileOptions:
    options = Options(
        arguments.seed, arguments.missing_models, arguments.smaller_canvas, arguments.keep_unmasked
    )
    pictures = {
        "image": arguments.image,
        "mask": arguments.mask,
        "control_image": arguments.control_image,
    }
    return CompileOptions(
        arguments.base, **pictures, person_masks=tuple(arguments.person_mask), options=options
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dev.py")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, about in (
        ("explain", "show what a prompt would do, without running it"),
        ("compile", "turn a prompt into a workflow file"),
    ):
        command = commands.add_parser(name, help=about)
        command.add_argument(
            "prompt", help="the file that holds the prompt, or - for standard input"
        )
        command.add_argument(
            "--base", help="id of the base tune in the bindings; without it the default one"
        )
        command.add_argument(
            "--image", help="input image: the name of a file in ComfyUI's input folder"
        )
        command.add_argument("--mask", help="mask: the name of a file in ComfyUI's input folder")
        command.add_argument(
            "--person-mask",
            action="append",
            default=[],
            help="mask of one person; give one for each, in order",
        )
        command.add_argument(
            "--control-image", help="prepared map for controlnet=, in the input folder"
        )
        command.add_argument(
            "--keep-unmasked", action="store_true", help="hires fix leaves what the mask left alone"
        )
        command.add_argument(
            "--seed", type=int, default=0, help="used where the prompt sets no seed"
        )
        command.add_argument("--missing-models", choices=("error", "skip"), default="error")
        command.add_argument(
            "--smaller-canvas", choices=("crop", "shrink", "error"), default="crop"
        )
        if name == "explain":
            command.add_argument(
                "--family",
                choices=tuple(FAMILIES),
                help="plan for a connected model of this family, without bindings",
            )
        else:
            command.add_argument("--form", choices=("ui", "api"), default="ui")
            command.add_argument("--output", "-o", help="write here instead of to the screen")
    return parser


_COMMANDS = {"explain": _explain, "compile": _compile}
