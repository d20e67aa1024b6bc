"""The plan of a prompt in words, and as a workflow file."""

from __future__ import annotations

import json

from comfy_api.latest import io, ui

from ..errors import PlanError
from ..families.family import FAMILIES
from ..graph.check import check_graph
from ..graph.graph import Socket
from ..graph.sockets import MODEL_SOCKETS
from ..host.models import live_definitions
from ..host.state import fingerprint
from ..host.types import ModelsType, RequestType, seed_input
from ..tunes.bindings import ModelBundle
from ..tunes.host.state import bindings_text, files_text, make_resolver, named_stamps
from .build.sources import Options
from .compiling import CompileOptions, compile_request, workflow_of
from .explain import explain
from .host.files import save_workflow
from .host.inputs import (
    PICTURE_INPUTS,
    policy_inputs,
    read_request,
    text_errors,
    text_input,
    text_notes,
)
from .host.run_pictures import run_pictures
from .pictures import picture_origins, pictures_to_load, with_files, without_pictures

FROM_BINDINGS = "from the bindings"


class AstriaExplain(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        families = [FROM_BINDINGS, *FAMILIES]
        return io.Schema(
            node_id="AstriaExplain",
            display_name="Astria Explain",
            category="astria",
            description=(
                "The plan of a prompt without running it: settings and why, stages, sizes, files"
                " found and missing. Loads no model."
            ),
            is_output_node=True,
            inputs=[
                text_input(),
                io.Combo.Input(
                    "family",
                    options=families,
                    tooltip=(
                        "Plan for connected models of this family, or for a base tune of the"
                        " bindings."
                    ),
                ),
                io.String.Input(
                    "base", default="", tooltip="Id of the base tune, empty for the default one."
                ),
                RequestType.Input(
                    "request",
                    optional=True,
                    tooltip="In place of the text, from Astria Prompt; leave the text box empty.",
                ),
                io.Image.Input(
                    "image",
                    optional=True,
                    lazy=True,
                    raw_link=True,
                    tooltip="Connect what Generate will get; it is not loaded.",
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    lazy=True,
                    raw_link=True,
                    tooltip="Connect what the run will have: 1 = repaint.",
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
                    tooltip="Enlarges the picture, for super_resolution.",
                ),
                io.ControlNet.Input(
                    "pose_controlnet",
                    optional=True,
                    lazy=True,
                    raw_link=True,
                    tooltip="Holds the pose of several people, where no input image does.",
                ),
                ModelsType.Input(
                    "models",
                    optional=True,
                    tooltip="From Astria Models: more bindings, and connected models.",
                ),
                *policy_inputs(),
            ],
            outputs=[io.String.Output(display_name="report")],
        )

    @classmethod
    def validate_inputs(cls, text: str | None = None) -> bool | str:
        return text_errors(text) or True

    @classmethod
    def fingerprint_inputs(cls, text=None, **inputs) -> str:
        return fingerprint(
            bindings_text(), files_text(), named_stamps(text, more_bindings="models" in inputs)
        )

    @classmethod
    def execute(
        cls,
        text,
        family,
        base,
        missing_models="error",
        smaller_canvas="crop",
        keep_unmasked=False,
        **inputs,
    ) -> io.NodeOutput:
        asked = read_request(text, inputs.get("request"))
        bundle = inputs.get("models") or ModelBundle()
        given = [name for name in PICTURE_INPUTS if inputs.get(name) is not None]
        # As if connected: nothing is fetched to tell the plan.
        to_be_had = pictures_to_load(asked, given, run_pictures().settings_file)
        asked = without_pictures(asked, to_be_had)
        pictures = {name: Socket(name) for name in (*given, *to_be_had)}
        connected = {
            name: Socket(name)
            for name in MODEL_SOCKETS
            if name in bundle.sockets or inputs.get(name) is not None
        }
        policies = Options(0, missing_models, smaller_canvas, keep_unmasked)
        options = CompileOptions(base or None, **pictures, connected=connected, options=policies)
        chosen = None if family == FROM_BINDINGS else FAMILIES[family]
        if chosen is not None and base:
            text = (
                f"Family {family} is chosen, which plans for connected models, and base {base} as"
                " well."
            )
            raise PlanError(
                text,
                code="family-and-base",
                hint=f"Empty base, or set family to '{FROM_BINDINGS}'.",
            )
        explained = explain(asked, make_resolver(bundle.bindings), options, chosen).text
        shown = "\n".join(filter(None, (explained, picture_origins(to_be_had), text_notes(text))))
        return io.NodeOutput(shown, ui=ui.PreviewText(shown))


class AstriaCompile(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AstriaCompile",
            display_name="Astria Compile",
            category="astria",
            description=(
                "Writes the whole workflow of a prompt as a file to share, open and rewire: host"
                " and Astria nodes, models by file name."
            ),
            search_aliases=["export workflow", "share"],
            is_output_node=True,
            inputs=[
                text_input(),
                seed_input(),
                io.Combo.Input(
                    "form",
                    options=["ui", "api"],
                    tooltip="ui opens in the editor; api is for POST /prompt.",
                ),
                io.String.Input(
                    "base",
                    default="",
                    tooltip="Id of the base tune in the bindings, empty for the default one.",
                ),
                io.String.Input(
                    "image",
                    default="",
                    tooltip="A file in ComfyUI's input folder, for prompts with an input image.",
                ),
                io.String.Input("mask", default="", tooltip="A file in ComfyUI's input folder."),
                io.String.Input(
                    "filename_prefix",
                    default="workflows/astria",
                    tooltip="The file that is written, below the output folder; a number is added.",
                ),
                io.String.Input(
                    "person_masks",
                    default="",
                    optional=True,
                    tooltip="A mask file for each person, in order, separated by commas.",
                ),
                io.String.Input(
                    "control_image",
                    default="",
                    optional=True,
                    tooltip="A prepared map for controlnet=, a file in the input folder.",
                ),
                RequestType.Input(
                    "request",
                    optional=True,
                    tooltip="In place of the text, from Astria Prompt; leave the text box empty.",
                ),
                ModelsType.Input(
                    "models",
                    optional=True,
                    tooltip="From Astria Models: more bindings, and connected models.",
                ),
                *policy_inputs(),
            ],
            outputs=[io.String.Output(display_name="workflow")],
        )

    @classmethod
    def validate_inputs(cls, text: str | None = None) -> bool | str:
        return text_errors(text) or True

    @classmethod
    def fingerprint_inputs(cls, text=None, missing_models="error", **inputs) -> str:
        return fingerprint(
            bindings_text(),
            named_stamps(text, more_bindings="models" in inputs),
            files_text() if missing_models == "skip" else "",
        )

    @classmethod
    def execute(
        cls,
        text,
        seed,
        form,
        base,
        filename_prefix,
        missing_models="error",
        smaller_canvas="crop",
        keep_unmasked=False,
        **inputs,
    ) -> io.NodeOutput:
        bundle = inputs.get("models") or ModelBundle()
        files = {name: inputs.get(name) or None for name in ("image", "mask", "control_image")}
        given = [name for name, file in files.items() if file]
        asked = with_files(read_request(text, inputs.get("request")), given, run_pictures())
        masks = tuple(
            filter(None, (name.strip() for name in inputs.get("person_masks", "").split(",")))
        )
        policies = Options(seed, missing_models, smaller_canvas, keep_unmasked)
        options = CompileOptions(base or None, **files, person_masks=masks, options=policies)
        compiled = compile_request(asked, make_resolver(bundle.bindings), options)
        definitions = live_definitions({call.class_type for call in compiled.graph.nodes.values()})
        check_graph(compiled.graph, definitions)
        written = json.dumps(
            workflow_of(asked, compiled, definitions, form), indent=1, ensure_ascii=False
        )
        path = save_workflow(written, filename_prefix)
        told = "\n".join(filter(None, (f"Saved as {path} in the output folder.", text_notes(text))))
        return io.NodeOutput(written, ui=ui.PreviewText(told))


NODES = [AstriaExplain, AstriaCompile]
