"""Finishing nodes: super-resolution, tiles, colour grading, film grain, cutting out."""

from __future__ import annotations

from functools import partial

import torch
from comfy_api.latest import io
from comfy_extras.nodes_upscale_model import ImageUpscaleWithModel

from ..host.state import fingerprint
from ..host.tensors import as_pictures
from ..host.types import MAX_SEED
from .cube import apply_cube
from .cutout import cut_out
from .grading import regraded
from .grain import Grain, film_grain
from .host.luts import load_lut, lut_names, lut_stamp
from .host.tiled import apply_tiles
from .looks import LOOKS, graded
from .upscale import enlarge


class AstriaSuperResolution(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AstriaSuperResolution",
            display_name="Astria Super-Resolution",
            category="astria/finish",
            description=(
                "Enlarges by an exact factor with a connected upscale model, in tiles, whatever the"
                " model's own factor."
            ),
            search_aliases=["upscale", "4x", "esrgan"],
            inputs=[
                io.Image.Input(
                    "image",
                    tooltip="The picture, or a batch of pictures.",
                ),
                io.UpscaleModel.Input(
                    "upscale_model",
                    tooltip="A super-resolution model, of any factor.",
                ),
                io.Float.Input(
                    "factor",
                    default=4.0,
                    min=1.0,
                    max=16.0,
                    step=0.5,
                    tooltip="How many times as wide and as high the picture becomes.",
                ),
            ],
            outputs=[io.Image.Output()],
        )

    @classmethod
    def execute(cls, image, upscale_model, factor: float) -> io.NodeOutput:
        def once(picture):
            return ImageUpscaleWithModel.execute(upscale_model, picture).result[0]

        return io.NodeOutput(enlarge(as_pictures(image), factor, upscale_model.scale, once))


class AstriaTiledDiffusion(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AstriaTiledDiffusion",
            display_name="Astria Tiled Diffusion",
            category="astria/finish",
            description=(
                "A model that draws a large picture in overlapping tiles of the size it was trained"
                " on, blended at every step."
            ),
            search_aliases=["multidiffusion", "tiled upscale", "tiled sampling", "large picture"],
            inputs=[
                io.Model.Input(
                    "model",
                    tooltip="The model that draws the tiles.",
                ),
                io.Int.Input(
                    "tile_size",
                    default=1024,
                    min=64,
                    max=4096,
                    step=64,
                    tooltip="Pixels: 1024 suits SDXL and Flux, 512 SD1.5.",
                ),
                io.Int.Input(
                    "overlap",
                    default=128,
                    min=0,
                    max=2048,
                    step=8,
                    tooltip="Pixels that neighbours share at least; up to half a tile.",
                ),
            ],
            outputs=[io.Model.Output()],
        )

    @classmethod
    def execute(cls, model, tile_size: int, overlap: int) -> io.NodeOutput:
        return io.NodeOutput(apply_tiles(model, tile_size, overlap))


class AstriaColorGrading(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AstriaColorGrading",
            display_name="Astria Color Grading",
            category="astria/finish",
            description="The colours of a film, or of a .cube file in models/luts.",
            search_aliases=["lut", "cube", "film look", "velvia", "portra", "ektar", "colour"],
            inputs=[
                io.Image.Input(
                    "image",
                    tooltip="The picture, or a batch of pictures.",
                ),
                io.Combo.Input(
                    "look",
                    options=[*LOOKS, *lut_names()],
                    tooltip="A film, or the name of a .cube file in models/luts.",
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="0 leaves the picture as it is.",
                ),
            ],
            outputs=[io.Image.Output()],
        )

    @classmethod
    def fingerprint_inputs(cls, look=None, **inputs) -> str:
        return fingerprint(lut_stamp(look))

    @classmethod
    def execute(cls, image, look: str, strength: float) -> io.NodeOutput:
        grade = (
            partial(graded, look=LOOKS[look])
            if look in LOOKS
            else partial(apply_cube, cube=load_lut(look, tuple(LOOKS)))
        )
        return io.NodeOutput(regraded(as_pictures(image), grade, strength))


class AstriaFilmGrain(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AstriaFilmGrain",
            display_name="Astria Film Grain",
            category="astria/finish",
            description=(
                "Grain as of photographic film: strongest in the midtones, the same at every"
                " resolution, without a change of brightness."
            ),
            search_aliases=["noise", "analog", "iso", "texture"],
            inputs=[
                io.Image.Input(
                    "image",
                    tooltip="The picture, or a batch of pictures.",
                ),
                io.Float.Input(
                    "strength",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="0.5 looks like ISO 400 film, 0 does nothing.",
                ),
                io.Float.Input(
                    "size",
                    default=1.0,
                    min=0.25,
                    max=8.0,
                    step=0.25,
                    tooltip="Of the grains, relative to the picture.",
                ),
                io.Float.Input(
                    "color",
                    default=0.3,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="0: grey grain; 1: each of the three layers has its own.",
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=MAX_SEED,
                    control_after_generate=True,
                    tooltip="Picture i of a batch uses seed + i.",
                ),
            ],
            outputs=[io.Image.Output()],
        )

    @classmethod
    def execute(cls, image, strength: float, size: float, color: float, seed: int) -> io.NodeOutput:
        return io.NodeOutput(film_grain(as_pictures(image), Grain(strength, size, color), seed))


class AstriaRemoveBackground(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AstriaRemoveBackground",
            display_name="Astria Remove Background",
            category="astria/finish",
            description=(
                "The subject on a transparent ground, without a rim of the old background's colour."
            ),
            search_aliases=["cutout", "matting", "transparent", "birefnet", "product photo"],
            inputs=[
                io.Image.Input(
                    "image",
                    tooltip="The picture, or a batch of pictures.",
                ),
                io.BackgroundRemoval.Input(
                    "background_model", tooltip="From Load Background Removal Model."
                ),
            ],
            outputs=[
                io.Image.Output(display_name="image", tooltip="With alpha."),
                io.Mask.Output(
                    display_name="mask",
                    tooltip="1 = foreground, as the alpha. Invert it to repaint the background.",
                ),
            ],
        )

    @classmethod
    def execute(cls, image, background_model) -> io.NodeOutput:
        image = as_pictures(image)
        # One by one: together, pictures of 4096 pixels and more would fill the GPU.
        cover = torch.cat(
            [background_model.encode_image(picture) for picture in image[..., :3].split(1)]
        )
        return io.NodeOutput(cut_out(image, cover), cover)


NODES = [
    AstriaSuperResolution,
    AstriaTiledDiffusion,
    AstriaColorGrading,
    AstriaFilmGrain,
    AstriaRemoveBackground,
]
