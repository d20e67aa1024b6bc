"""A request explained without running it.

Settings with their reasons, stages, sizes, files found and missing, errors.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from textwrap import indent

from ..families.family import Family
from ..graph.graph import Socket
from ..graph.model_files import ModelFile
from ..prompt import PromptRequest
from ..tunes.file_search import Missing
from ..tunes.resolve import Resolver
from .build.sources import Sources
from .build.stage_list import Problem
from .build.tags import resolve_text
from .build.text import Models
from .compiling import CompileOptions, needed_files, sources_of
from .people_told import people_lines
from .plan import Plan, draft

SAMPLING = frozenset({"outpaint", "hires_fix", "inpaint_faces"})  # stages behind the first


@dataclass(frozen=True)
class Explanation:
    """The report as text, and whether the request could run as it is; of a `base_is_missing` there
    is nothing to report but that.
    """

    text: str
    runs: bool
    base_is_missing: bool = False


def explain(
    request: PromptRequest,
    resolver: Resolver,
    options: CompileOptions,
    family: Family | None = None,
) -> Explanation:
    """Return the plan of `request` in words.

    With `family`, models are taken as connected sockets; without, they come from the bindings' base
    tune.
    """
    drafted = drafted_for(request, resolver, options, family)
    if isinstance(drafted, Missing):
        told = f"{drafted.message}\n{indent(drafted.hint, '  ')}\n"
        return Explanation(told, runs=False, base_is_missing=True)
    return Explanation(
        _report(request, drafted, resolver), not drafted.errors and not drafted.missing
    )


def drafted_for(
    request: PromptRequest, resolver: Resolver, options: CompileOptions, family: Family | None
) -> Plan | Missing:
    """Return the plan as far as it goes, of connected models or of the bindings' base tune; or the
    base that is missing.
    """
    sources = sources_of(request, resolver, options) if family is None else None
    if isinstance(sources, Missing):
        return sources
    return draft(request, sources or _sockets(options, family), resolver, options.options)


def _sockets(options: CompileOptions, family: Family) -> Sources:
    pictures = {
        name: Socket(name)
        for name in ("image", "mask", "person_masks", "control_image")
        if getattr(options, name)
    }
    return Sources(
        Models(Socket("model"), Socket("clip"), Socket("vae")),
        family,
        **pictures,
        connected=options.connected,
        model_file=options.model_file,
    )


def _report(request: PromptRequest, drafted: Plan, resolver: Resolver) -> str:
    lines = [f"Model family: {drafted.family.title}", "", "Settings"]
    lines += [f"  {one.key:24} {one.value!s:24} {one.reason}" for one in drafted.settings.explained]
    lines += ["", "Stages"]
    for number, stage in enumerate(drafted.stages, start=1):
        checked = f"; checked: {stage.invariant}" if stage.invariant else ""
        lines.append(
            f"  {number}. {stage.name}: {stage.kind} -> {stage.size} ({stage.why}{checked})"
        )
    if not drafted.stages:
        lines.append("  none: the result is the input image")
    draws_faces = any(stage.name == "inpaint_faces" for stage in drafted.stages)
    more = "; the faces take one each as many as fit the memory" if draws_faces else ""
    least = "" if _samples_as_planned(drafted) else "at least "
    if people := people_lines(request, drafted.graph):
        lines += ["", "People", *(f"  {line}" for line in people)]
    lines += [
        "",
        f"Sampler calls: {least}{drafted.sampler_calls} for {drafted.settings.num_images}"
        f" image(s){more}",
        "",
        "Files",
    ]
    lines += _files(request, drafted, resolver)
    if drafted.loras:
        lines += ["", "LoRAs", *(f"  {worn.describe()}" for worn in drafted.loras)]
    if drafted.problems:
        lines += [
            "",
            "Notes",
            *(_note(problem) for problem in drafted.problems),
        ]
    return "\n".join([*lines, ""])


def _samples_as_planned(drafted: Plan) -> bool:
    """Say whether every stage that samples is in the graph: one whose model is missing hands on
    the picture of the stage before it.
    """
    pairs = pairwise(drafted.stage_outputs.items())
    left_out = (name for (_, before), (name, after) in pairs if before == after)
    return not drafted.errors and SAMPLING.isdisjoint(left_out)


def _note(problem: Problem) -> str:
    first, *others = problem.render().splitlines()
    return "\n".join([f"  {problem.severity}: {first}", *(f"    {line}" for line in others)])


def _files(request: PromptRequest, drafted: Plan, resolver: Resolver) -> list[str]:
    """Return a line for each file, those of segments included that a request with errors does not
    plan.
    """
    segments = [*request.prompt, *([request.outpaint_prompt] if request.outpaint_prompt else [])]
    worded = resolve_text(
        segments, request.negative, resolver, use_lpw=drafted.settings.use_lpw, of_person=True
    )
    found = dict.fromkeys(
        [*needed_files(drafted.graph), *(("loras", lora.file) for lora in worded.prompt_text.loras)]
    )
    missing = dict.fromkeys([*drafted.missing, *worded.missing])
    lines = [
        f"  found    {file.folder}/{file.name}{f' ({file.licence})' if file.licence else ''}"
        for file in map(ModelFile._make, found)
    ]
    lines += [f"  MISSING  {one.message}\n{indent(one.hint, ' ' * 11)}" for one in missing]
    return lines or ["  none beside the connected models"]
