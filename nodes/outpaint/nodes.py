"""Outpainting nodes: the canvas a model paints on, and the composite that keeps the source."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from comfy_api.latest import io

from ..host.tensors import as_masks, as_pictures, ratio_note
from ..host.types import MAX_SIDE, notes_ui, warnings_ui
from .composite import heal_and_paste
from .fill import FILL_BLUR_PX, canvas_mask, edge_extended, fit_source, neutral, place_masks
from .geometry import ANCHORS, SMALLER_POLICIES, Canvas, place, smaller_note

CanvasType = io.Custom("ASTRIA_CANVAS")


@dataclass(frozen=True)
class PlacedSource:
    """A canvas with the source that stands on it: [B, window height, window width, C]."""

    canvas: Canvas
    source: torch.Tensor


class AstriaOutpaintCanvas(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AstriaOutpaintCanvas",
            display_name="Astria Outpaint Canvas",
            category="astria/outpaint",
            description=(
                "Places an image on a larger canvas by one of nine anchors, fills the new area and"
                " masks it for painting."
            ),
            search_aliases=["pad image for outpainting", "extend image", "uncrop"],
            inputs=[
                io.Image.Input(
                    "image",
                    tooltip="The picture, or a batch of pictures.",
                ),
                io.Combo.Input(
                    "anchor",
                    options=list(ANCHORS),
                    default="center",
                    tooltip="Where the source image sits on the new canvas.",
                ),
                io.Int.Input(
                    "width",
                    default=1024,
                    min=1,
                    max=MAX_SIDE,
                    tooltip="The finished picture's width, exactly.",
                ),
                io.Int.Input(
                    "height",
                    default=1024,
                    min=1,
                    max=MAX_SIDE,
                    tooltip="Height in pixels.",
                ),
                io.Combo.Input(
                    "smaller",
                    options=list(SMALLER_POLICIES),
                    tooltip="What to do where the canvas is smaller than the image.",
                ),
                io.Combo.Input(
                    "fill",
                    options=["neutral", "edge"],
                    tooltip=(
                        "neutral grey for inpaint models and Flux Fill, edge for ordinary ones."
                    ),
                ),
                io.Int.Input(
                    "overlap_px",
                    default=16,
                    min=0,
                    max=512,
                    tooltip="How far, at most, repainting reaches into the source.",
                ),
                io.Int.Input(
                    "multiple",
                    default=8,
                    min=1,
                    max=256,
                    tooltip="8 for SD1.5 and SDXL, 16 for Flux.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    display_name="image", tooltip="The padded canvas, for the sampler."
                ),
                io.Mask.Output(display_name="mask", tooltip="1 = paint."),
                CanvasType.Output(display_name="canvas", tooltip="For Astria Outpaint Composite."),
                io.String.Output(
                    display_name="info", tooltip="What there is to tell, empty without anything."
                ),
            ],
            has_intermediate_output=True,
        )

    @classmethod
    def execute(
        cls, image, anchor, width, height, smaller, fill, overlap_px, multiple
    ) -> io.NodeOutput:
        image = as_pictures(image)
        canvas = place(
            image.shape[2],
            image.shape[1],
            width,
            height,
            anchor,
            multiple=multiple,
            smaller=smaller,
        )
        source = fit_source(image[..., :3], canvas)  # without alpha: models paint colours only
        filled = (
            neutral(source, canvas)
            if fill == "neutral"
            else edge_extended(source, canvas, blur_px=FILL_BLUR_PX)
        )
        # A source too small for the overlap between two open sides keeps at least half of itself.
        overlap_px = min(overlap_px, canvas.window.width // 4, canvas.window.height // 4)
        mask = canvas_mask(canvas, len(source), overlap_px=overlap_px).to(source.device)
        note = smaller_note(canvas, image.shape[2], image.shape[1])
        warnings = [note] if note and smaller == "crop" else []
        # The editor draws the canvas to scale: what no node before this one shows is not known
        # there until it has run.
        shown = {"astria_source": [[image.shape[2], image.shape[1]]]}
        return io.NodeOutput(
            filled,
            mask,
            PlacedSource(canvas, source),
            note,
            ui={**shown, **(notes_ui(note, warnings=warnings) or {})},
        )


class AstriaOutpaintComposite(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AstriaOutpaintComposite",
            display_name="Astria Outpaint Composite",
            category="astria/outpaint",
            description=(
                "Puts the source back bit for bit and heals the colour seam outside it. Nothing is"
                " painted when nothing is new."
            ),
            inputs=[
                CanvasType.Input(
                    "canvas",
                    tooltip="From Astria Outpaint Canvas: where the source stands and what is new.",
                ),
                io.Image.Input(
                    "painted",
                    lazy=True,
                    tooltip=(
                        "The painted canvas. Not asked for when the source already covers the"
                        " canvas."
                    ),
                ),
                io.Boolean.Input(
                    "heal_seam",
                    default=True,
                    tooltip="Let the colours of the new area drift into those of the source.",
                ),
            ],
            outputs=[io.Image.Output()],
        )

    @classmethod
    def check_lazy_status(cls, canvas: PlacedSource, heal_seam: bool, painted=None) -> list[str]:
        return [] if canvas.canvas.is_empty_mask else ["painted"]

    @classmethod
    def execute(cls, canvas: PlacedSource, heal_seam: bool, painted=None) -> io.NodeOutput:
        if canvas.canvas.is_empty_mask:
            return io.NodeOutput(canvas.source)
        painted = as_pictures(painted)[..., :3]  # as the source stands on the canvas
        pasted = heal_and_paste(painted, canvas.source, canvas.canvas, heal=heal_seam)
        # Half precision rounds: only in the source's own precision is a picture saved from it the
        # same to the bit.
        return io.NodeOutput(pasted.to(canvas.source.dtype))


class AstriaOutpaintMasks(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AstriaOutpaintMasks",
            display_name="Astria Outpaint Masks",
            category="astria/outpaint",
            description=(
                "Moves masks of the source onto the canvas, such as one mask for each person; the"
                " new area is 0."
            ),
            inputs=[
                CanvasType.Input(
                    "canvas",
                    tooltip="From Astria Outpaint Canvas: where the source stands and what is new.",
                ),
                io.Mask.Input("masks", tooltip="Any number, of the source's size or scaled to it."),
            ],
            outputs=[
                io.Mask.Output(display_name="masks", tooltip="Of the finished picture's size."),
                io.String.Output(
                    display_name="info", tooltip="What there is to tell, empty without anything."
                ),
            ],
            has_intermediate_output=True,
        )

    @classmethod
    def execute(cls, canvas: PlacedSource, masks) -> io.NodeOutput:
        masks = as_masks(masks)
        size = canvas.canvas.source_width, canvas.canvas.source_height
        note = ratio_note(masks, *size)
        return io.NodeOutput(place_masks(masks, canvas.canvas), note, ui=warnings_ui(note))


NODES = [AstriaOutpaintCanvas, AstriaOutpaintComposite, AstriaOutpaintMasks]
