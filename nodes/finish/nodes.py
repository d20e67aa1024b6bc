"""Finishing nodes: super-resolution."""

from __future__ import annotations

from comfy_api.latest import io
from comfy_extras.nodes_upscale_model import ImageUpscaleWithModel

from .upscale import enlarge


class AstriaSuperResolution(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AstriaSuperResolution",
            display_name="Astria Super-Resolution",
            category="astria/finish",
            description="Enlarges by an exact factor with a connected upscale model, in tiles, whatever the model's own factor.",
            search_aliases=["upscale", "4x", "esrgan"],
            inputs=[
                io.Image.Input("image"),
                io.UpscaleModel.Input("upscale_model"),
                io.Float.Input("factor", default=4.0, min=1.0, max=16.0, step=0.5),
            ],
            outputs=[io.Image.Output()],
        )

    @classmethod
    def execute(cls, image, upscale_model, factor: float) -> io.NodeOutput:
        def once(picture):
            return ImageUpscaleWithModel.execute(upscale_model, picture).result[0]

        return io.NodeOutput(enlarge(image, factor, upscale_model.scale, once))


NODES = [AstriaSuperResolution]
