"""Nodes of ControlNets: the mode of those that know several kinds, the depth map, and the one that
inpaints.
"""

from __future__ import annotations

from comfy_api.latest import io

from ..host.tensors import as_masks, as_pictures
from ..host.types import warnings_ui
from .depth import depth_map
from .host.inpaint_patch import inpainting
from .host.modes import with_mode
from .masked import Masked
from .modes import INPAINT_STRENGTH, KINDS, MapKind


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


class AstriaZImageInpaint(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AstriaZImageInpaint",
            display_name="Astria Z-Image Inpaint",
            category="astria/control",
            description=(
                "Shows a Z-Image model what is kept of its pictures, through its Fun ControlNet, so"
                " that it paints on from there."
            ),
            search_aliases=["z-image fun controlnet", "inpaint model conditioning", "outpaint"],
            inputs=[
                io.Model.Input("model", tooltip="A Z-Image model, turbo or base."),
                io.ModelPatch.Input(
                    "model_patch", tooltip="Z-Image's Fun ControlNet Union, 2.0 or later."
                ),
                io.Vae.Input("vae", tooltip="The VAE that belongs to the model."),
                io.Image.Input("pixels", tooltip="The picture, or a batch of pictures."),
                io.Mask.Input(
                    "mask", tooltip="1 is painted anew. One for all pictures, or one for each."
                ),
                io.Float.Input(
                    "strength",
                    default=INPAINT_STRENGTH,
                    min=0.0,
                    max=10.0,
                    step=0.01,
                    tooltip="How strongly it steers.",
                ),
                io.Image.Input(
                    "control_image",
                    optional=True,
                    tooltip="A map that steers beside it, such as edges, depth or a pose.",
                ),
            ],
            outputs=[io.Model.Output()],
        )

    @classmethod
    def execute(
        cls, model, model_patch, vae, pixels, mask, strength: float, control_image=None
    ) -> io.NodeOutput:
        control = None if control_image is None else as_pictures(control_image)[..., :3]
        masked = Masked(as_pictures(pixels)[..., :3], as_masks(mask), control)
        return io.NodeOutput(inpainting(model, model_patch, vae, masked, strength))


NODES = [AstriaControlNetMode, AstriaDepthMap, AstriaZImageInpaint]
