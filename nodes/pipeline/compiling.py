"""Request -> a complete workflow: loader nodes from the bindings, the plan, and a node that saves the result."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ..errors import MissingModelError
from ..prompt import PromptRequest
from ..tunes.bindings import BaseModel
from ..tunes.resolve import OUTPAINT_FOLDERS, Located, Missing, Resolver
from .definitions import Definitions
from .encode import Models
from .family import family
from .forms import api_workflow
from .graph import Graph, Link, Socket, Value, slot
from .plan import Options, Plan, Sources, plan
from .ui_form import ui_workflow

# The inputs of host nodes that name a file, and ComfyUI's folder of such files.
FILE_FOLDERS = {
    "ckpt_name": "checkpoints",
    "unet_name": "diffusion_models",
    "clip_name": "text_encoders",
    "clip_name1": "text_encoders",
    "clip_name2": "text_encoders",
    "vae_name": "vae",
    "lora_name": "loras",
    "model_name": "upscale_models",
    "control_net_name": "controlnet",
    "image": "input",
}


@dataclass(frozen=True)
class CompileOptions:
    """What to compile a request against: the base tune's id, the input pictures, and the planner's own options.

    A picture is a file in ComfyUI's input folder, or a socket where the plan is only explained.
    """

    base: str | None = None
    image: str | Socket | None = None
    mask: str | Socket | None = None
    upscale_model: Socket | None = None
    pose_controlnet: Socket | None = None
    options: Options = field(default_factory=Options)
    save_stages: bool = False


@dataclass(frozen=True)
class Compiled:
    """A workflow without open sockets, the plan inside it, and the (folder, file) pairs it needs."""

    graph: Graph
    plan: Plan
    files: tuple[tuple[str, str], ...]


def compile_request(request: PromptRequest, resolver: Resolver, options: CompileOptions) -> Compiled:
    """Return the complete workflow of `request`. Raises PlanError or MissingModelError, listing every reason at once."""
    sources = sources_of(request, resolver, options)
    if isinstance(sources, Missing):
        raise MissingModelError(sources.message, code="missing-base", hint=sources.hint)
    planned = plan(request, sources, resolver, options.options)
    graph = planned.graph
    if options.save_stages:
        for stage, output in planned.stage_outputs.items():
            graph.add(f"output.save_{stage}", "SaveImage", images=output, filename_prefix=f"astria_{stage}")
    else:
        graph.add("output.save", "SaveImage", images=planned.output, filename_prefix="astria")
    used = _without_unused(graph)
    return Compiled(used, planned, needed_files(used))


def _without_unused(graph: Graph) -> Graph:
    """Return the graph without nodes that lead to no output: Flux's negative prompt would ask an artist for text without effect."""
    wanted = {name for name, call in graph.nodes.items() if call.stage == "output"}
    for name, call in reversed(graph.nodes.items()):
        if name in wanted:
            wanted |= {value.node for value in call.inputs.values() if isinstance(value, Link)}
    return Graph({name: call for name, call in graph.nodes.items() if name in wanted})


def needed_files(graph: Graph) -> tuple[tuple[str, str], ...]:
    """Return the (folder, file) pairs that the graph's loader nodes name, each once."""
    found = (
        (FILE_FOLDERS[key], value)
        for call in graph.nodes.values()
        for key, value in call.inputs.items()
        if key in FILE_FOLDERS and isinstance(value, str)
    )
    return tuple(dict.fromkeys(found))


def workflow_of(request: PromptRequest, compiled: Compiled, definitions: Definitions, form: str) -> dict:
    """Return the workflow as plain data: form `ui` for the editor, with a note about it, or `api` for the queue."""
    if form == "api":
        return api_workflow(compiled.graph)
    return ui_workflow(compiled.graph, definitions, note_text(request, compiled))


def note_text(request: PromptRequest, compiled: Compiled) -> str:
    """Return the Markdown shown in the workflow: the prompt it was compiled from, the files it needs, and what was noticed."""
    lines = ["### Made from this prompt", "", "```", request.to_text().strip(), "```", "", "### Files it needs", ""]
    lines += [f"- models/{folder}/{name}" for folder, name in compiled.files if folder != "input"]
    lines += [f"- input/{name}: your own picture, to be chosen in its Load Image node" for folder, name in compiled.files if folder == "input"]
    notes = [problem.render() for problem in compiled.plan.problems]
    if notes:
        lines += ["", "### Good to know", "", *(f"- {note}" for note in notes)]
    return "\n".join(lines)


def sources_of(request: PromptRequest, resolver: Resolver, options: CompileOptions) -> Sources | Missing:
    """Return loader nodes for the base tune and the input images, where the plan starts; or the base that is missing."""
    base = resolver.base(options.base)
    if isinstance(base, Missing):
        return base
    graph = Graph()
    models = _load_base(graph, base)
    given = {"image": options.image, "mask": options.mask, "upscale_model": options.upscale_model, "pose_controlnet": options.pose_controlnet}
    sources = Sources(models, family(base.family), **given, graph=graph)
    if isinstance(options.image, str):
        sources = replace(sources, image=graph.add("input.image", "LoadImage", image=options.image))
    if isinstance(options.mask, str):
        sources = replace(sources, mask=graph.add("input.mask", "LoadImageMask", image=options.mask, channel="red"))
    if request.outpaint is not None and base.outpaint_model:
        sources = _with_outpaint_model(sources, base, resolver)
    return sources


def _load_base(graph: Graph, base: BaseModel) -> Models:
    model: Value
    clip: Value
    vae: Value
    if base.checkpoint:
        model = graph.add("models.checkpoint", "CheckpointLoaderSimple", ckpt_name=base.checkpoint)
        clip, vae = slot(model, 1), slot(model, 2)
    else:
        model = graph.add("models.diffusion_model", "UNETLoader", unet_name=base.diffusion_model, weight_dtype="default")
        clip = _load_text_encoders(graph, base)
        vae = graph.add("models.vae", "VAELoader", vae_name=base.vae)
    return Models(model, clip, vae)


def _load_text_encoders(graph: Graph, base: BaseModel) -> Link:
    if base.t5xxl:
        names = {"clip_name1": base.clip_l, "clip_name2": base.t5xxl}
        return graph.add("models.text_encoders", "DualCLIPLoader", **names, type="flux", device="default")
    return graph.add("models.text_encoders", "CLIPLoader", clip_name=base.clip_l, type="stable_diffusion", device="default")


def _with_outpaint_model(sources: Sources, base: BaseModel, resolver: Resolver) -> Sources:
    """Load the base tune's own inpainting model for the outpaint stage; text encoders and VAE stay those of the base."""
    painter = family("flux_fill" if sources.family.is_flux else f"{sources.family.branch}_inpaint")
    found = resolver.locate("outpaint_model", base.outpaint_model, OUTPAINT_FOLDERS)
    graph = sources.graph
    assert isinstance(found, Located), "the resolver lists a base's files before it returns the base"
    model: Link
    if found.folder == "diffusion_models":
        model = graph.add("models.outpaint_model", "UNETLoader", unet_name=found.file, weight_dtype="default")
    else:
        model = graph.add("models.outpaint_model", "CheckpointLoaderSimple", ckpt_name=found.file)
    return replace(sources, outpaint_models=replace(sources.models, model=model), outpaint_family=painter)

