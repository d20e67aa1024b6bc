"""Generate, Encode, Compile and Explain: the planner's forms as nodes."""

from __future__ import annotations

import json

from comfy_api.latest import io, ui
from comfy_execution.graph_utils import GraphBuilder

from ..errors import PlanError
from ..host.models import (
    bindings_text,
    check_input_files,
    family_of,
    files_text,
    live_definitions,
    make_resolver,
    picture_stamps,
    save_workflow,
)
from ..host.types import ModelBundle, ModelsType, RegionsType, RequestType, read_request, seed_input, text_errors, text_input, text_notes
from ..outpaint.geometry import SMALLER_POLICIES
from ..prompt import PromptRequest
from .check import check_graph
from .compiling import CompileOptions, compile_request, workflow_of
from .encode import Models, add_encoding
from .explain import explain
from .family import FAMILIES
from .forms import expansion
from .graph import Graph, Socket
from .people import add_people
from .plan import Options, Plan, Sources, plan
from .settings import Inputs, settle
from .wording import check_regions, resolve_wording

PICTURES = ("image", "mask", "person_masks")
GATHERED = ("upscale_model", "pose_controlnet")  # models beside MODEL, CLIP and VAE, each a socket of its own
FROM_BINDINGS = "from the bindings"


def _own_link(node: type[io.ComfyNode], name: str) -> list:
    """Return the link at one of the node's own inputs: passing the link on, not the object, keeps inner nodes cacheable."""
    return node.hidden.dynprompt.get_node(node.hidden.unique_id)["inputs"][name]


def _is_connected(node: type[io.ComfyNode], name: str) -> bool:
    return isinstance(node.hidden.dynprompt.get_node(node.hidden.unique_id)["inputs"].get(name), list)


def _gathered_links(node: type[io.ComfyNode], bundle: ModelBundle) -> dict[str, list]:
    """Return the links of the models that AstriaModels gathers, read from this run's graph: its result may be a cached one, of
    a graph with other node ids.
    """
    if not bundle.sockets:
        return {}
    giver = node.hidden.dynprompt.get_node(_own_link(node, "models")[0])
    if giver["class_type"] != "AstriaModels":
        text = f"The input 'models' comes from a {giver['class_type']}, behind which the connected models cannot be found."
        raise PlanError(text, code="models-not-direct", hint="Connect Astria Models itself.")
    return {name: giver["inputs"][name] for name in bundle.sockets}


def _policy_inputs() -> list[io.Combo.Input]:
    missing = "A stage whose model is neither connected nor bound: stop with an error, or leave the stage out and report it."
    smaller = "What to do where the outpaint canvas is smaller than the image."
    return [
        io.Combo.Input("missing_models", options=["error", "skip"], optional=True, default="error", tooltip=missing),
        io.Combo.Input("smaller_canvas", options=list(SMALLER_POLICIES), optional=True, default="crop", tooltip=smaller),
    ]


class AstriaGenerate(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AstriaGenerate",
            display_name="Astria Generate",
            category="astria",
            description="Paste a prompt of the service, connect a model, get the picture: every stage the prompt asks for, in one node.",
            search_aliases=["astria", "generate", "prompt", "outpaint", "text to image"],
            enable_expand=True,
            hidden=[io.Hidden.unique_id, io.Hidden.dynprompt],
            inputs=[
                text_input(),
                seed_input(),
                io.Model.Input("model", lazy=True),
                io.Clip.Input("clip", lazy=True, raw_link=True),
                io.Vae.Input("vae", lazy=True, raw_link=True),
                RequestType.Input("request", optional=True, tooltip="A request in place of the text; leave the text box empty then."),
                io.Image.Input("image", optional=True, lazy=True, raw_link=True, tooltip="The input image; stands for input_image_url."),
                io.Mask.Input("mask", optional=True, lazy=True, raw_link=True, tooltip="1 = repaint; stands for mask_image_url."),
                io.Mask.Input("person_masks", optional=True, lazy=True, raw_link=True, tooltip="Where each BREAK person is: a batch, in order."),
                io.UpscaleModel.Input("upscale_model", optional=True, lazy=True, raw_link=True, tooltip="For super_resolution."),
                io.ControlNet.Input("pose_controlnet", optional=True, lazy=True, raw_link=True, tooltip="For people without an input image."),
                io.Model.Input("outpaint_model", optional=True, lazy=True, tooltip="Paints the outpaint stage, for example Flux Fill."),
                ModelsType.Input("models", optional=True, tooltip="From Astria Models: more bindings and connected models."),
                *_policy_inputs(),
            ],
            outputs=[
                io.Image.Output(display_name="image"),
                io.String.Output(display_name="report", tooltip="What was done: stages, settings, seed, anything skipped."),
            ],
        )

    @classmethod
    def validate_inputs(cls, text: str | None = None) -> bool | str:
        return text_errors(text) or True

    @classmethod
    def fingerprint_inputs(cls, text=None, missing_models="error", **inputs) -> str:
        # A missing file ends the run, and an ended run is not cached; only where it is skipped may a later one find it.
        return bindings_text() + picture_stamps(text) + (files_text() if missing_models == "skip" else "")

    @classmethod
    def check_lazy_status(cls, text=None, request=None, **inputs) -> list[str]:
        """Ask for the models only once the text holds no error; CLIP, VAE and pictures stay links throughout."""
        asked = read_request(text, request)
        paints_apart = asked.outpaint is not None and _is_connected(cls, "outpaint_model")
        return ["model", "outpaint_model"] if paints_apart else ["model"]

    @classmethod
    def execute(cls, text, seed, model, missing_models="error", smaller_canvas="crop", **inputs) -> io.NodeOutput:
        asked = read_request(text, inputs.get("request"))
        bundle = inputs.get("models") or ModelBundle()
        names = ("model", "clip", "vae", *PICTURES, *GATHERED, "outpaint_model")
        links = {**_gathered_links(cls, bundle), **{name: _own_link(cls, name) for name in names if _is_connected(cls, name)}}
        sources = _live_sources(links, model, inputs.get("outpaint_model"), asked)
        options = Options(seed, missing_models, smaller_canvas)
        planned = plan(asked, sources, make_resolver(bundle.bindings), options)
        check_graph(planned.graph, live_definitions({call.class_type for call in planned.graph.nodes.values()}))
        check_input_files(planned.graph)
        prefix = GraphBuilder.alloc_prefix()
        nodes = expansion(planned.graph, prefix, links)
        told = "\n".join(filter(None, (report(planned), text_notes(text))))
        return io.NodeOutput([prefix + planned.output.node, planned.output.slot], told, expand=nodes, ui=ui.PreviewText(told))


def _live_sources(links: dict[str, list], model, outpaint_model, asked: PromptRequest) -> Sources:
    """Return the plan's starting points for a node that expands: every connected socket, and the families of the models."""
    models = Models(Socket("model"), Socket("clip"), Socket("vae"))
    given = {name: Socket(name) for name in (*PICTURES, *GATHERED) if name in links}
    if outpaint_model is None or asked.outpaint is None:
        return Sources(models, family_of(model), **given)
    painter = Models(Socket("outpaint_model"), models.clip, models.vae)
    return Sources(models, family_of(model), **given, outpaint_models=painter, outpaint_family=family_of(outpaint_model))


def report(planned: Plan) -> str:
    """Return what a run does in words: seed and settings, stages, anything skipped or without effect."""
    lines = [f"{one.key} = {one.value}  ({one.reason})" for one in planned.settings.explained]
    lines += [f"stage {stage.name}: {stage.kind} -> {stage.size}" for stage in planned.stages]
    return "\n".join([*lines, *(f"{problem.severity}: {problem.render()}" for problem in planned.problems)])


class AstriaEncodeRequest(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AstriaEncodeRequest",
            display_name="Astria Encode Request",
            category="astria",
            description="The request's LoRAs on the model and its text as conditioning, for your own sampler.",
            search_aliases=["clip text encode", "lora tag"],
            enable_expand=True,
            hidden=[io.Hidden.unique_id, io.Hidden.dynprompt],
            inputs=[
                io.Model.Input("model"),
                io.Clip.Input("clip", raw_link=True),
                RequestType.Input("request"),
                RegionsType.Input("regions", optional=True, tooltip="From Astria Regions, for a request with persons."),
                ModelsType.Input("models", optional=True),
            ],
            outputs=[
                io.Model.Output(),
                io.Conditioning.Output(display_name="positive"),
                io.Conditioning.Output(display_name="negative"),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, **inputs) -> str:
        return bindings_text()

    @classmethod
    def execute(cls, model, clip, request: PromptRequest, regions=None, models: ModelBundle | None = None) -> io.NodeOutput:
        family = family_of(model)
        settings = settle(request, family, Inputs())
        check_regions(request, regions is not None)
        wording, people = resolve_wording(request, make_resolver((models or ModelBundle()).bindings), use_lpw=settings.use_lpw)
        graph = Graph()
        # The VAE takes no part in encoding.
        encoded = add_encoding(graph, "encode", Models(Socket("model"), Socket("clip"), Socket("vae")), wording, family, settings.cfg)
        if people:
            encoded = add_people(graph, "encode", encoded, Socket("regions"), people)
        check_graph(graph, live_definitions({call.class_type for call in graph.nodes.values()}))
        prefix = GraphBuilder.alloc_prefix()
        outputs = [[prefix + link.node, link.slot] for link in (encoded.positive, encoded.negative)]
        patched = encoded.models.model
        links = {"model": _own_link(cls, "model"), "clip": clip, **({"regions": _own_link(cls, "regions")} if people else {})}
        first = model if isinstance(patched, Socket) else [prefix + patched.node, patched.slot]
        return io.NodeOutput(first, *outputs, expand=expansion(graph, prefix, links))


class AstriaExplain(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        families = [FROM_BINDINGS, *FAMILIES]
        return io.Schema(
            node_id="AstriaExplain",
            display_name="Astria Explain",
            category="astria",
            description="The plan of a prompt without running it: settings and why, stages, sizes, files found and missing. Loads no model.",
            is_output_node=True,
            inputs=[
                text_input(),
                io.Combo.Input("family", options=families, tooltip="Plan for connected models of this family, or for a base tune of the bindings."),
                io.String.Input("base", default="", tooltip="Id of the base tune, empty for the default one."),
                RequestType.Input("request", optional=True),
                io.Image.Input("image", optional=True, lazy=True, raw_link=True, tooltip="Connect what Generate will get; it is not loaded."),
                io.Mask.Input("mask", optional=True, lazy=True, raw_link=True),
                io.UpscaleModel.Input("upscale_model", optional=True, lazy=True, raw_link=True),
                io.ControlNet.Input("pose_controlnet", optional=True, lazy=True, raw_link=True),
                ModelsType.Input("models", optional=True),
                *_policy_inputs(),
            ],
            outputs=[io.String.Output(display_name="report")],
        )

    @classmethod
    def validate_inputs(cls, text: str | None = None) -> bool | str:
        return text_errors(text) or True

    @classmethod
    def fingerprint_inputs(cls, **inputs) -> str:
        return bindings_text() + files_text()

    @classmethod
    def execute(cls, text, family, base, missing_models="error", smaller_canvas="crop", **inputs) -> io.NodeOutput:
        asked = read_request(text, inputs.get("request"))
        bundle = inputs.get("models") or ModelBundle()
        connected = (name for name in ("image", "mask", *GATHERED) if inputs.get(name) is not None)
        given = {name: Socket(name) for name in (*bundle.sockets, *connected)}
        options = CompileOptions(base or None, **given, options=Options(0, missing_models, smaller_canvas))
        chosen = None if family == FROM_BINDINGS else FAMILIES[family]
        if chosen is not None and base:
            text = f"Family {family} is chosen, which plans for connected models, and base {base} as well."
            raise PlanError(text, code="family-and-base", hint=f"Empty base, or set family to '{FROM_BINDINGS}'.")
        explained = explain(asked, make_resolver(bundle.bindings), options, chosen).text
        shown = "\n".join(filter(None, (explained, text_notes(text))))
        return io.NodeOutput(shown, ui=ui.PreviewText(shown))


class AstriaCompile(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AstriaCompile",
            display_name="Astria Compile",
            category="astria",
            description="Writes the whole workflow of a prompt as a file to share, open and rewire: host and Astria nodes, models by file name.",
            search_aliases=["export workflow", "share"],
            is_output_node=True,
            inputs=[
                text_input(),
                seed_input(),
                io.Combo.Input("form", options=["ui", "api"], tooltip="ui opens in the editor; api is for POST /prompt."),
                io.String.Input("base", default="", tooltip="Id of the base tune in the bindings, empty for the default one."),
                io.String.Input("image", default="", tooltip="A file in ComfyUI's input folder, for prompts with an input image."),
                io.String.Input("mask", default="", tooltip="A file in ComfyUI's input folder."),
                io.String.Input("filename_prefix", default="workflows/astria"),
                RequestType.Input("request", optional=True),
                ModelsType.Input("models", optional=True),
                *_policy_inputs(),
            ],
            outputs=[io.String.Output(display_name="workflow")],
        )

    @classmethod
    def validate_inputs(cls, text: str | None = None) -> bool | str:
        return text_errors(text) or True

    @classmethod
    def fingerprint_inputs(cls, missing_models="error", **inputs) -> str:
        return bindings_text() + (files_text() if missing_models == "skip" else "")

    @classmethod
    def execute(cls, text, seed, form, base, filename_prefix, missing_models="error", smaller_canvas="crop", **inputs) -> io.NodeOutput:
        asked = read_request(text, inputs.get("request"))
        bundle = inputs.get("models") or ModelBundle()
        files = {name: inputs.get(name) or None for name in ("image", "mask")}
        options = CompileOptions(base or None, **files, options=Options(seed, missing_models, smaller_canvas))
        compiled = compile_request(asked, make_resolver(bundle.bindings), options)
        definitions = live_definitions({call.class_type for call in compiled.graph.nodes.values()})
        check_graph(compiled.graph, definitions)
        written = json.dumps(workflow_of(asked, compiled, definitions, form), indent=1, ensure_ascii=False)
        path = save_workflow(written, filename_prefix)
        told = "\n".join(filter(None, (f"Saved as {path} in the output folder.", text_notes(text))))
        return io.NodeOutput(written, ui=ui.PreviewText(told))


NODES = [AstriaGenerate, AstriaEncodeRequest, AstriaExplain, AstriaCompile]
