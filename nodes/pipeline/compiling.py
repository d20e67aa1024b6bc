"""Request -> a complete workflow.

Loader nodes from the bindings, the plan, and a node that saves the result.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ..errors import MissingModelError
from ..families.family import family, inpaint_model_of, is_one_of_several
from ..graph.definitions import Definitions
from ..graph.dynamic_prompts import words_apart
from ..graph.graph import Graph, Link, Socket, Value, api_workflow
from ..graph.model_files import ModelFile, files_of
from ..graph.outputs import CheckpointNode, add_node
from ..graph.ui_form import ui_workflow
from ..prompt import PromptRequest
from ..tunes.bindings import BaseModel
from ..tunes.choices import OUTPAINT_FOLDERS
from ..tunes.file_search import Located, Missing
from ..tunes.resolve import Resolver
from .build.sources import Options, Sources
from .build.stage_list import Problem
from .build.text import Models
from .plan import Plan, plan


@dataclass(frozen=True)
class CompileOptions:
    """What to compile a request against.

    The base tune's id, the input pictures, and the planner's own options.

    A picture is a file in ComfyUI's input folder, or a socket where the plan is only explained, as
    is `model_file`, the file of a connected model.
    """

    base: str | None = None
    image: str | Socket | None = None
    mask: str | Socket | None = None
    person_masks: tuple[str, ...] | Socket = ()
    control_image: str | Socket | None = None
    connected: Mapping[str, Socket] = field(default_factory=dict)
    model_file: str = ""
    options: Options = field(default_factory=Options)
    save_stages: bool = False


@dataclass(frozen=True)
class Compiled:
    """A workflow without open sockets, the plan inside it, and the files that it needs."""

    graph: Graph
    plan: Plan
    files: tuple[ModelFile, ...]


def compile_request(
    request: PromptRequest, resolver: Resolver, options: CompileOptions
) -> Compiled:
    """Return the complete workflow of `request`.

    Raises PlanError or MissingModelError, listing every reason at once.
    """
    sources = sources_of(request, resolver, options)
    if isinstance(sources, Missing):
        raise MissingModelError(sources.message, code="missing-base", hint=sources.hint)
    planned = plan(request, sources, resolver, options.options)
    graph = planned.graph
    if options.save_stages:
        for stage, output in planned.stage_outputs.items():
            graph.add(
                f"output.save_{stage}",
                "SaveImage",
                images=output,
                filename_prefix=f"astria_{stage}",
            )
    else:
        graph.add("output.save", "SaveImage", images=planned.output, filename_prefix="astria")
    used = words_apart(without_unused(graph))
    return Compiled(used, planned, needed_files(used))


def without_unused(graph: Graph) -> Graph:
    """Return the graph without nodes that lead to no output.

    Flux's negative prompt would ask an artist for text without effect.
    """
    wanted = {name for name, call in graph.nodes.items() if call.stage == "output"}
    for name, call in reversed(graph.nodes.items()):
        if name in wanted:
            wanted |= {value.node for value in call.inputs.values() if isinstance(value, Link)}
    return Graph({name: call for name, call in graph.nodes.items() if name in wanted})


def needed_files(graph: Graph) -> tuple[ModelFile, ...]:
    """Return the files that the graph's loader nodes name, each once."""
    return tuple(dict.fromkeys(file for call in graph.nodes.values() for file in files_of(call)))


def workflow_of(
    request: PromptRequest, compiled: Compiled, definitions: Definitions, form: str
) -> dict:
    """Return the workflow as plain data.

    Form `ui` for the editor, with a note about it, or `api` for the queue.
    """
    if form == "api":
        return api_workflow(compiled.graph)
    return ui_workflow(compiled.graph, definitions, note_text(request, compiled))


def note_text(request: PromptRequest, compiled: Compiled) -> str:
    """Return the Markdown shown in the workflow.

    The prompt it was compiled from, the files it needs, and what was noticed.
    """
    lines = [
        "### Made from this prompt",
        "",
        "```",
        request.to_text().strip(),
        "```",
        "",
        "### Files it needs",
        "",
    ]
    lines += [
        f"- {file.describe()}"
        for file in sorted(compiled.files, key=lambda file: file.folder == "input")
    ]
    tunes = dict.fromkeys(
        str(call.inputs["tune"])
        for call in compiled.graph.nodes.values()
        if call.class_type == "AstriaIdentity"
    )
    lines += [
        f"- tune {tune}: photos of the person. Make it with Astria Create Tune, tune_id {tune}, or"
        " write another id"
        for tune in tunes
    ]
    notes = [_told_to_others(problem) for problem in compiled.plan.problems]
    if notes:
        lines += ["", "### Good to know", "", *(f"- {note}" for note in notes)]
    return "\n".join(lines)


def _told_to_others(problem: Problem) -> str:
    """Return what the receiver of a workflow should know.

    Hints, and where a file was searched, are about the sender's machine.
    """
    left_out = problem.code in ("stage-skipped", "part-skipped")
    return (
        f"{problem.message.partition(': ')[0]}: its model was missing when this was compiled."
        if left_out
        else problem.message
    )


def sources_of(
    request: PromptRequest, resolver: Resolver, options: CompileOptions
) -> Sources | Missing:
    """Return loader nodes for the base tune and the input images, where the plan starts.

    Or the base that is missing.
    """
    base = resolver.base(options.base)
    if isinstance(base, Missing):
        return base
    graph, of = Graph(), base.facts()
    models = load_base(graph, base)
    pictures = {
        name: _picture(graph, name, getattr(options, name))
        for name in ("image", "mask", "control_image")
    }
    masks = _person_masks(graph, options.person_masks)
    sources = Sources(
        models,
        of,
        **pictures,
        person_masks=masks,
        connected=options.connected,
        family_why=f"family = {base.family} in the bindings" if is_one_of_several(of) else "",
        model_file=base.checkpoint or base.diffusion_model or "",
        graph=graph,
    )
    if request.outpaint is not None and base.outpaint_model:
        sources = _with_outpaint_model(sources, base, resolver)
    return sources


def _picture(graph: Graph, what: str, given: str | Socket | None) -> Value | None:
    """Return where an input picture comes from.

    A socket, or a node that loads a file of the input folder.
    """
    if not isinstance(given, str):
        return given
    if what == "mask":
        return graph.add("input.mask", "LoadImageMask", image=given, channel="red")
    return graph.add(f"input.{what}", "LoadImage", image=given)


def _person_masks(graph: Graph, given: tuple[str, ...] | Socket) -> Value | None:
    """Return the persons' masks as one batch, from a file each.

    Masks of different sizes are refused when it runs; the host's Image Batch would crop and scale.
    """
    if isinstance(given, Socket):
        return given
    pictures = [
        graph.add(f"input.person_mask_{number}", "LoadImage", image=name)
        for number, name in enumerate(given, start=1)
    ]
    if not pictures:
        return None
    batch = pictures[0]
    for number, picture in enumerate(pictures[1:], start=2):
        batch = graph.add(
            f"input.person_masks_{number}", "AstriaOneBatch", pictures=batch, more=picture
        )
    return graph.add("input.person_masks", "ImageToMask", image=batch, channel="red")


def load_base(graph: Graph, base: BaseModel) -> Models:
    """Write the loader nodes of a base into the graph, and return what they give."""
    model: Value
    clip: Value
    vae: Value
    if base.checkpoint:
        loaded = add_node(graph, CheckpointNode, "models.checkpoint", ckpt_name=base.checkpoint)
        model, clip, vae = loaded.model, loaded.clip, loaded.vae
    else:
        model = graph.add(
            "models.diffusion_model",
            "UNETLoader",
            unet_name=base.diffusion_model,
            weight_dtype="default",
        )
        clip = _load_text_encoders(graph, base)
        vae = graph.add("models.vae", "VAELoader", vae_name=base.vae)
    if base.trim_padding == "yes":
        clip = graph.add(
            "models.trimmed_text", "T5TokenizerOptions", clip=clip, min_padding=0, min_length=0
        )
    return Models(model, clip, vae)


def _load_text_encoders(graph: Graph, base: BaseModel) -> Link:
    text = family(base.family).text
    files = [getattr(base, name) for name in text.files]
    names = {"clip_name": files[0]}
    if len(files) > 1:
        names = {f"clip_name{number}": file for number, file in enumerate(files, start=1)}
    return graph.add("models.text_encoders", text.loader, **names, type=text.type, device="default")


def _with_outpaint_model(sources: Sources, base: BaseModel, resolver: Resolver) -> Sources:
    """Load the base tune's own inpainting model for the outpaint stage.

    Text encoders and VAE stay those of the base.
    """
    painter = inpaint_model_of(sources.family.branch)
    found = resolver.locate("outpaint_model", base.outpaint_model, OUTPAINT_FOLDERS)
    graph = sources.graph
    assert isinstance(found, Located), (
        "the resolver lists a base's files before it returns the base"
    )
    model: Link
    if found.folder == "diffusion_models":
        model = graph.add(
            "models.outpaint_model", "UNETLoader", unet_name=found.file, weight_dtype="default"
        )
    else:
        model = graph.add("models.outpaint_model", "CheckpointLoaderSimple", ckpt_name=found.file)
    return replace(
        sources, outpaint_models=replace(sources.models, model=model), outpaint_family=painter
    )
