"""The plan of a prompt expanded inside ComfyUI: all of it, or the encoding of its text."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from comfy_api.latest import io, ui
from comfy_execution.graph_utils import GraphBuilder

from ..errors import PlanError
from ..families.family import Family
from ..graph.check import check_graph
from ..graph.graph import Link, Socket, expansion
from ..graph.sockets import MODEL_SOCKETS
from ..host.models import family_of, file_of, lcm_of, live_definitions, variant_of_model
from ..host.state import fingerprint
from ..host.types import ModelsType, RegionsType, RequestType, seed_input, warnings_ui
from ..prompt import PromptRequest
from ..tunes.bindings import ModelBundle
from ..tunes.host.state import bindings_text, files_text, make_resolver, named_stamps
from .build.sources import Options, Sources
from .build.tags import check_regions
from .build.text import Models
from .host.files import absent_inputs, check_input_files
from .host.inputs import (
    PICTURE_INPUTS,
    drawn_mask_input,
    model_inputs,
    policy_inputs,
    read_request,
    text_errors,
    text_input,
    text_notes,
)
from .host.run_pictures import run_pictures
from .mask_graph import drawn_told
from .notes import JOINER, with_notes
from .people_told import people_lines
from .pictures import as_files, named_files, pictures_to_load, with_files, without_pictures
from .plan import Plan, encode_request, plan
from .precheck import check_before_models, check_text
from .text_encoder import check_text_encoder

# Sockets of Generate itself; Astria Models gathers all kinds.
OWN_MODELS = ("upscale_model", "pose_controlnet")


def _own_link(node: type[io.ComfyNode], name: str) -> list:
    """Return the link at one of the node's own inputs.

    Passing the link on, not the object, keeps inner nodes cacheable.
    """
    return node.hidden.dynprompt.get_node(node.hidden.unique_id)["inputs"][name]


def _is_connected(node: type[io.ComfyNode], name: str) -> bool:
    return isinstance(
        node.hidden.dynprompt.get_node(node.hidden.unique_id)["inputs"].get(name), list
    )


def _gathered_links(node: type[io.ComfyNode], bundle: ModelBundle) -> dict[str, list]:
    """Return the links of the models that AstriaModels gathers, read from this run's graph.

    Its result may be a cached one, of a graph with other node ids.
    """
    if not bundle.sockets:
        return {}
    giver = node.hidden.dynprompt.get_node(_own_link(node, "models")[0])
    if giver["class_type"] != "AstriaModels":
        text = (
            f"The input 'models' comes from a {giver['class_type']}, behind which the connected"
            " models cannot be found."
        )
        raise PlanError(text, code="models-not-direct", hint="Connect Astria Models itself.")
    return {name: giver["inputs"][name] for name in bundle.sockets}


class AstriaGenerate(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AstriaGenerate",
            display_name="Astria Generate",
            category="astria",
            description=(
                "From prompt to picture in one node: people with their own words and faces, masks"
                " by words, a wider canvas, sharp faces, four times the size."
            ),
            search_aliases=["astria", "generate", "prompt", "outpaint", "text to image", "txt2img"],
            enable_expand=True,
            hidden=[io.Hidden.unique_id, io.Hidden.dynprompt],
            inputs=[
                text_input(),
                seed_input(),
                *model_inputs(),
                RequestType.Input(
                    "request",
                    optional=True,
                    tooltip="A request in place of the text; leave the text box empty then.",
                ),
                io.Image.Input(
                    "image",
                    optional=True,
                    lazy=True,
                    raw_link=True,
                    tooltip="The input image; stands for input_image_url.",
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    lazy=True,
                    raw_link=True,
                    tooltip="1 = repaint; stands for mask_image_url.",
                ),
                io.Mask.Input(
                    "person_masks",
                    optional=True,
                    lazy=True,
                    raw_link=True,
                    tooltip="Where each BREAK person is: a batch, in order.",
                ),
                io.Image.Input(
                    "control_image",
                    optional=True,
                    lazy=True,
                    raw_link=True,
                    tooltip="A prepared map for controlnet=, such as a pose.",
                ),
                io.UpscaleModel.Input(
                    "upscale_model",
                    optional=True,
                    lazy=True,
                    raw_link=True,
                    tooltip="For super_resolution.",
                ),
                io.ControlNet.Input(
                    "pose_controlnet",
                    optional=True,
                    lazy=True,
                    raw_link=True,
                    tooltip="For people without an input image.",
                ),
                io.Model.Input(
                    "outpaint_model",
                    optional=True,
                    lazy=True,
                    tooltip="Paints the outpaint stage, for example Flux Fill.",
                ),
                ModelsType.Input(
                    "models",
                    optional=True,
                    tooltip="From Astria Models: more bindings and connected models.",
                ),
                *policy_inputs(),
                drawn_mask_input(),
            ],
            outputs=[
                io.Image.Output(display_name="image"),
                io.String.Output(
                    display_name="report",
                    tooltip="What was done: stages, settings, seed, anything skipped.",
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, text: str | None = None) -> bool | str:
        return text_errors(text) or True

    @classmethod
    def fingerprint_inputs(cls, text=None, missing_models="error", **inputs) -> str:
        # A missing file ends the run, and an ended run is not cached; only where it is skipped may
        # a later one find it.
        return fingerprint(
            bindings_text(),
            named_stamps(text, more_bindings="models" in inputs),
            files_text() if missing_models == "skip" else "",
        )

    @classmethod
    def check_lazy_status(
        cls, text=None, request=None, models=None, missing_models="error", **inputs
    ) -> list[str]:
        """Ask for the models once the text holds no error, and the files that it names are there.

        CLIP, VAE and pictures stay links throughout.
        """
        asked = read_request(text, request)
        bundle = models or ModelBundle()
        _check_before_models(
            asked, _links(cls, bundle), bundle, Options(missing_models=missing_models)
        )
        paints_apart = asked.outpaint is not None and _is_connected(cls, "outpaint_model")
        return ["model", "outpaint_model"] if paints_apart else ["model"]

    @classmethod
    def execute(
        cls,
        text,
        seed,
        model,
        missing_models="error",
        smaller_canvas="crop",
        keep_unmasked=False,
        drawn_mask="",
        **inputs,
    ) -> io.NodeOutput:
        bundle = inputs.get("models") or ModelBundle()
        links = _links(cls, bundle)
        asked = with_files(read_request(text, inputs.get("request")), links, run_pictures())
        resolver = make_resolver(bundle.bindings)
        family, why = variant_of_model(model, resolver.variant_of)
        check_text_encoder(cls.hidden.dynprompt.get_node, links["clip"], family)
        known = {"model_file": file_of(model), "lcm": lcm_of(model), "family_why": why}
        sources = replace(_sources(links, family), **known)
        if asked.outpaint is not None:
            sources = _with_outpaint_model(sources, inputs.get("outpaint_model"))
        options = Options(seed, missing_models, smaller_canvas, keep_unmasked, drawn_mask.strip())
        planned = plan(asked, sources, resolver, options)
        people = people_lines(asked, planned.graph)
        drawn = drawn_told(drawn_mask, planned.graph)
        told = "\n".join(filter(None, (report(planned), drawn, *people, text_notes(text))))
        definitions = live_definitions(
            {JOINER, *(call.class_type for call in planned.graph.nodes.values())}
        )
        whole = with_notes(planned.graph, definitions, told)
        check_graph(planned.graph, definitions)
        check_input_files(planned.graph)
        prefix = GraphBuilder.alloc_prefix()
        links, batches = _as_batches(links, prefix)
        nodes = {**batches, **expansion(planned.graph, prefix, links)}
        return io.NodeOutput(
            [prefix + planned.output.node, planned.output.slot],
            [prefix + whole.node, whole.slot] if isinstance(whole, Link) else whole,
            expand=nodes,
            ui={**ui.PreviewText(told).as_dict(), "astria_family": [planned.family.name]},
        )


def _as_batches(links: dict[str, list], prefix: str) -> tuple[dict[str, list], dict[str, dict]]:
    """Return the links with those of pictures led through nodes that make one batch of a list, and
    these nodes.

    Else each inner node would run once for every picture of a list, and the host takes the first
    result only from an expansion.
    """
    names = {name: f"{prefix}batch.{name}" for name in PICTURE_INPUTS if name in links}
    nodes = {
        names[name]: {"class_type": "AstriaOneBatch", "inputs": {"pictures": links[name]}}
        for name in names
    }
    return {**links, **{name: [id, 0] for name, id in names.items()}}, nodes


def _links(node: type[io.ComfyNode], bundle: ModelBundle) -> dict[str, list]:
    """Return the links at the node's sockets, and those of the models that AstriaModels gathers."""
    names = ("model", "clip", "vae", *PICTURE_INPUTS, *OWN_MODELS, "outpaint_model")
    return {
        **_gathered_links(node, bundle),
        **{name: _own_link(node, name) for name in names if _is_connected(node, name)},
    }


def _check_before_models(
    asked: PromptRequest, links: dict[str, list], bundle: ModelBundle, options: Options
) -> None:
    """Return when nothing but the family of the model can still keep the request from running.

    Raises PlanError or MissingModelError otherwise.

    Pictures that the prompt gives by address or as base64 are fetched here, so that one that
    cannot be fetched is an error before a model loads.
    """
    store = run_pictures()
    pictures = pictures_to_load(asked, links, store.settings_file)
    filed, found = as_files(asked, pictures, store)
    sockets = {*links, *pictures}
    reasons = found, absent_inputs(named_files(filed, sockets))
    check_before_models(
        without_pictures(filed, pictures),
        lambda family: _sources(sockets, family),
        make_resolver(bundle.bindings),
        options,
        reasons,
    )


def _sources(names: Collection[str], family: Family) -> Sources:
    """Return the plan's starting points for a node that expands.

    Every connected socket, and the family of its model.
    """
    given: dict = {name: Socket(name) for name in PICTURE_INPUTS if name in names}
    given["connected"] = {name: Socket(name) for name in MODEL_SOCKETS if name in names}
    return Sources(Models(Socket("model"), Socket("clip"), Socket("vae")), family, **given)


def _with_outpaint_model(sources: Sources, outpaint_model) -> Sources:
    """Return the starting points with the connected model that paints the new area, None for none.

    Raises PlanError where the two models do not go together.
    """
    if outpaint_model is None:
        return sources
    painter = family_of(outpaint_model)
    if painter.branch != sources.family.branch:
        text = (
            f"The connected outpaint_model is {painter.title}, and the model is"
            f" {sources.family.title}: both use the same CLIP and VAE."
        )
        hint = (
            f"Connect an outpaint_model that goes with {sources.family.title}, or none: the model"
            " then outpaints as well."
        )
        raise PlanError(text, code="outpaint-family", hint=hint)
    models = replace(sources.models, model=Socket("outpaint_model"))
    return replace(sources, outpaint_models=models, outpaint_family=painter)


def report(planned: Plan) -> str:
    """Return the report of a run.

    Seed and settings, stages, on whom each LoRA acts, anything skipped or without effect.
    """
    lines = [f"{one.key} = {one.value}  ({one.reason})" for one in planned.settings.explained]
    lines += [f"stage {stage.name}: {stage.kind} -> {stage.size}" for stage in planned.stages]
    lines += [worn.describe() for worn in planned.loras]
    own = (problem for problem in planned.problems if not problem.is_nodes)
    return "\n".join([*lines, *(f"{problem.severity}: {problem.render()}" for problem in own)])


class AstriaEncodeRequest(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AstriaEncodeRequest",
            display_name="Astria Encode Request",
            category="astria",
            description=(
                "The request's LoRAs on the model and its text as conditioning, for your own"
                " sampler."
            ),
            search_aliases=["clip text encode", "lora tag"],
            enable_expand=True,
            hidden=[io.Hidden.unique_id, io.Hidden.dynprompt],
            inputs=[
                *model_inputs()[:2],
                RequestType.Input(
                    "request",
                    tooltip="From Astria Prompt.",
                ),
                RegionsType.Input(
                    "regions",
                    optional=True,
                    lazy=True,
                    raw_link=True,
                    tooltip="From Astria Regions, for a request with persons.",
                ),
                ModelsType.Input(
                    "models",
                    optional=True,
                    tooltip="From Astria Models: more bindings, and connected models.",
                ),
            ],
            outputs=[
                io.Model.Output(),
                io.Conditioning.Output(display_name="positive"),
                io.Conditioning.Output(display_name="negative"),
            ],
            has_intermediate_output=True,
        )

    @classmethod
    def fingerprint_inputs(cls, **inputs) -> str:
        return fingerprint(bindings_text())

    @classmethod
    def check_lazy_status(
        cls, request: PromptRequest, regions=None, models: ModelBundle | None = None, **inputs
    ) -> list[str]:
        """Ask for the model only once the request can be encoded, as far as that does not depend on
        its family.
        """
        check_regions(request, regions is not None)
        check_text(request, make_resolver((models or ModelBundle()).bindings))
        return ["model"]

    @classmethod
    def execute(
        cls, model, clip, request: PromptRequest, regions=None, models: ModelBundle | None = None
    ) -> io.NodeOutput:
        bundle = models or ModelBundle()
        gathered = _gathered_links(cls, bundle)
        # The VAE takes no part in encoding.
        sockets = Models(Socket("model"), Socket("clip"), Socket("vae"))
        resolver = make_resolver(bundle.bindings)
        family, _ = variant_of_model(model, resolver.variant_of)
        check_text_encoder(cls.hidden.dynprompt.get_node, clip, family)
        sources = Sources(sockets, family, connected={name: Socket(name) for name in gathered})
        encoded, problems = encode_request(request, sources, resolver, Socket("regions"))
        graph = sources.graph
        check_graph(graph, live_definitions({call.class_type for call in graph.nodes.values()}))
        prefix = GraphBuilder.alloc_prefix()
        outputs = [[prefix + link.node, link.slot] for link in (encoded.positive, encoded.negative)]
        patched = encoded.models.model
        links = {
            "model": _own_link(cls, "model"),
            "clip": clip,
            **gathered,
            **({"regions": regions} if regions else {}),
        }
        first = model if isinstance(patched, Socket) else [prefix + patched.node, patched.slot]
        told = warnings_ui(*(problem.render() for problem in problems))
        return io.NodeOutput(first, *outputs, expand=expansion(graph, prefix, links), ui=told)


NODES = [AstriaGenerate, AstriaEncodeRequest]
