"""The node that shows the bindings, adds some for one workflow, and gathers connected models."""

from __future__ import annotations

from comfy_api.latest import io, ui

from ..host.models import bindings_text, files_text, models_overview
from ..host.types import ModelBundle, ModelsType
from .bindings import Bindings

EXAMPLE_BINDINGS = "[tunes]\n1533312 = my_wife.safetensors"


class AstriaModels(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        tooltip = "Lines as in the bindings file, for this workflow only: [tunes] 1533312 = my_wife.safetensors, [roles] upscaler = 4x.pth"
        return io.Schema(
            node_id="AstriaModels",
            display_name="Astria Models",
            category="astria",
            description="Shows what the ids and roles of prompts stand for, adds bindings for this workflow, and gathers connected models.",
            search_aliases=["bindings", "tunes", "lora ids"],
            inputs=[
                io.String.Input("bindings", multiline=True, dynamic_prompts=False, tooltip=tooltip, placeholder=EXAMPLE_BINDINGS),
                io.UpscaleModel.Input("upscale_model", optional=True, lazy=True, raw_link=True),
                io.ControlNet.Input("pose_controlnet", optional=True, lazy=True, raw_link=True),
            ],
            outputs=[ModelsType.Output(display_name="models")],
            is_output_node=True,
        )

    @classmethod
    def validate_inputs(cls, bindings: str | None) -> bool | str:
        try:
            Bindings.parse(bindings or "", "AstriaModels")
        except ValueError as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(cls, **inputs) -> str:
        return bindings_text() + files_text()

    @classmethod
    def execute(cls, bindings: str, **sockets) -> io.NodeOutput:
        own = Bindings.parse(bindings, "AstriaModels")
        connected = tuple(name for name, link in sockets.items() if link is not None)
        return io.NodeOutput(ModelBundle(own, connected), ui=ui.PreviewText(models_overview(own)))


NODES = [AstriaModels]
