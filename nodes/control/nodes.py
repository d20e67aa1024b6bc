"""Nodes of ControlNets: the mode of those that know several kinds, and the depth map."""

from __future__ import annotations

from comfy_api.latest import io

from ..host.types import warnings_ui
from .depth import depth_map
from .host.modes import with_mode
from .modes import KINDS, MapKind


class AstriaControlNetMode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AstriaControlNetMode",
            display_name="Astria ControlNet Mode",
            category="astria/control",
            description=(
                "Tells a union ControlNet which kind its map is, by the number that this model"
                " knows the kind by. Any other ControlNet passes as it is."
            ),
            search_aliases=["union controlnet type", "control mode", "flux union"],
            inputs=[
                io.ControlNet.Input(
                    "control_net",
                    tooltip="The ControlNet, a union of several kinds or of one.",
                ),
                io.Combo.Input("kind", options=list(KINDS), tooltip="What the map shows."),
            ],
            outputs=[
                io.ControlNet.Output(display_name="control_net"),
                io.String.Output(
                    display_name="info", tooltip="What there is to tell, empty without anything."
                ),
            ],
            has_intermediate_output=True,
        )

    @classmethod
    def execute(cls, control_net, kind: MapKind) -> io.NodeOutput:
        prepared, note = with_mode(control_net, kind)
        return io.NodeOutput(prepared, note, ui=warnings_ui(note))


class AstriaDepthMap(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AstriaDepthMap",
            display_name="Astria Depth Map",
            category="astria/control",
            description=(
                "The map that depth ControlNets were trained on: inverse depth, near white, sky"
                " far."
            ),
            search_aliases=["depth controlnet", "inverse depth", "disparity", "depth anything"],
            inputs=[
                io.Custom("DA3_GEOMETRY").Input("da3_geometry", tooltip="Of Run Depth Anything 3.")
            ],
            outputs=[io.Image.Output(display_name="map")],
        )

    @classmethod
    def execute(cls, da3_geometry) -> io.NodeOutput:
        return io.NodeOutput(depth_map(da3_geometry["depth"], da3_geometry.get("sky")))


NODES = [AstriaControlNetMode, AstriaDepthMap]
