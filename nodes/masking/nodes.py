"""Nodes of masking: models that find words, masks of words, drawn masks changed, the persons of a
picture.
"""

from __future__ import annotations

import comfy.model_management
import comfy.utils
from comfy_api.latest import io
from torch import Tensor

from ..base.drawn import written
from ..host.tensors import as_masks, as_pictures, empty_note
from ..host.types import MAX_SIDE, FitType, SegmenterType, notes_ui, warnings_ui
from ..prompt.catalog import MAX_PERSONS
from .adjust import Adjustment
from .drawn import adds, with_drawn
from .host.segmenters import Connected, choices, make_segmenter
from .morphology import SHAPES
from .people import find_people
from .prompt_mask import ON_EMPTY, MaskRequest, prompt_mask

_DILATE = (
    "Grows the mask; negative shrinks it. Pixels such as 20, or per cent of the picture's short"
    " side such as -20%."
)
_FEATHER = "Outside the mask its edge falls off over so many pixels."
_SHAPE = "What a grown corner looks like."
_DRAWN = (
    "Drawn in the node: + adds, - takes away; x y width height in parts of the picture, behind it"
    " a brushed mask, | between them. Counts last."
)


def _drawn_input() -> io.String.Input:
    return io.String.Input(
        "drawn_mask",
        optional=True,
        default="",
        dynamic_prompts=False,
        advanced=True,
        tooltip=_DRAWN,
    )


def _mask_ui(masks: Tensor, size: tuple[int, int] | None = None) -> dict[str, list[dict]]:
    """Return masks [N,H,W] as a node's ui output, coarse, for the picture in the node.

    `size` is the pictures' own (width, height) where they are padded.
    """
    width, height = size or (masks.shape[2], masks.shape[1])
    own = masks[:, :height, :width]
    return {"astria_mask": [{"size": [width, height], "cells": written(one)} for one in own]}


class AstriaLoadSegmenter(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AstriaLoadSegmenter",
            display_name="Astria Load Segmenter",
            category="astria/masking",
            description=(
                "Models that find words in a picture. Each word goes to the best model that is"
                " there; models load when first needed."
            ),
            search_aliases=["SAM3", "BiRefNet", "GroundingDINO", "CLIPSeg", "segment anything"],
            inputs=[
                io.Combo.Input(
                    "background_removal",
                    options=choices("background_removal"),
                    tooltip="For foreground, subject and background.",
                ),
                io.Combo.Input(
                    "sam3", options=choices("sam3"), tooltip="A SAM3 checkpoint, for any word."
                ),
                io.Combo.Input(
                    "grounding_dino",
                    options=choices("grounding_dino"),
                    tooltip="For any word, together with sam.",
                ),
                io.Combo.Input(
                    "sam",
                    options=choices("sam"),
                    tooltip="segment-anything: cuts out what grounding_dino or a detector found.",
                ),
                io.Combo.Input(
                    "clipseg",
                    options=choices("clipseg"),
                    tooltip="For any word, with coarse edges.",
                ),
                io.BackgroundRemoval.Input(
                    "background_model",
                    optional=True,
                    tooltip="For --remove_background, and for the mask word foreground.",
                ),
                io.Model.Input(
                    "sam3_model",
                    optional=True,
                    tooltip="A loaded SAM3 model, in place of a file.",
                ),
                io.Clip.Input(
                    "sam3_clip", optional=True, tooltip="The text encoder of sam3_model."
                ),
                io.Custom("BBOX_DETECTOR").Input(
                    "detector",
                    optional=True,
                    tooltip="Of another pack: asked first for classes it knows.",
                ),
            ],
            outputs=[SegmenterType.Output(display_name="segmenter")],
        )

    @classmethod
    def execute(
        cls, background_removal, sam3, grounding_dino, sam, clipseg, **connected
    ) -> io.NodeOutput:
        chosen = {
            "background_removal": background_removal,
            "sam3": sam3,
            "grounding_dino": grounding_dino,
            "sam": sam,
            "clipseg": clipseg,
        }
        return io.NodeOutput(make_segmenter(chosen, Connected(**connected)))


class AstriaPromptMask(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        words = "Words separated by blanks; phrases in quotes or between commas."
        return io.Schema(
            node_id="AstriaPromptMask",
            display_name="Astria Prompt Mask",
            category="astria/masking",
            description=(
                "Masks what words name: all of mask_prompt, less mask_negative, then inverted,"
                " dilated and feathered."
            ),
            search_aliases=[
                "text mask",
                "mask_prompt",
                "clipseg",
                "segment by text",
                "grounding dino",
            ],
            inputs=[
                io.Image.Input(
                    "image",
                    tooltip="The picture, or a batch of pictures.",
                ),
                SegmenterType.Input(
                    "segmenter",
                    tooltip="From Astria Load Segmenter: what finds words in a picture.",
                ),
                io.String.Input(
                    "mask_prompt", default="foreground", dynamic_prompts=False, tooltip=words
                ),
                io.String.Input(
                    "mask_negative",
                    default="",
                    dynamic_prompts=False,
                    tooltip=f"Taken out of the mask. {words}",
                ),
                io.Boolean.Input(
                    "mask_invert",
                    default=False,
                    tooltip="Masks everything else instead, before it is dilated.",
                ),
                io.String.Input("mask_dilate", default="0", dynamic_prompts=False, tooltip=_DILATE),
                io.Combo.Input("shape", options=list(SHAPES), default="round", tooltip=_SHAPE),
                io.Int.Input("feather_px", default=0, min=0, max=MAX_SIDE, tooltip=_FEATHER),
                io.Float.Input(
                    "threshold",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="How sure a model must be.",
                ),
                io.Combo.Input(
                    "on_empty",
                    options=list(ON_EMPTY),
                    default="error",
                    tooltip="The mask of a picture with nothing to mask.",
                ),
                FitType.Input(
                    "fit",
                    optional=True,
                    tooltip="Of Astria Fit Image, for its image: the padding is left out.",
                ),
                _drawn_input(),
            ],
            outputs=[
                io.Mask.Output(display_name="mask", tooltip="One mask a picture."),
                io.BoundingBox.Output(
                    display_name="boxes", tooltip="What was found for mask_prompt."
                ),
                io.String.Output(display_name="info"),
            ],
            has_intermediate_output=True,
        )

    @classmethod
    def execute(
        cls,
        image,
        segmenter,
        mask_prompt,
        mask_negative,
        mask_invert,
        mask_dilate,
        shape,
        feather_px,
        threshold,
        on_empty,
        fit=None,
        drawn_mask="",
    ) -> io.NodeOutput:
        image = as_pictures(image)
        if on_empty == "error" and adds(drawn_mask):
            on_empty = "zeros"  # what is drawn is there
        adjustment = Adjustment(mask_invert, mask_dilate, shape, feather_px)
        own_size = () if fit is None else (fit.width, fit.height)
        progress = comfy.utils.ProgressBar(len(image))

        def on_picture() -> None:
            progress.update(1)
            comfy.model_management.throw_exception_if_processing_interrupted()

        result = prompt_mask(
            image,
            segmenter,
            MaskRequest(mask_prompt, mask_negative, threshold, on_empty, adjustment, *own_size),
            on_picture,
        )
        size = own_size or (image.shape[2], image.shape[1])
        mask, info = result.mask, result.info
        if drawn_mask.strip():
            mask = with_drawn(mask, drawn_mask, feather_px, size)
            covered = float(mask[:, : size[1], : size[0]].mean())
            info = f"{info}\ndrawn by hand since: the mask covers {covered:.1%}"
        shown = {**(notes_ui(info) or {}), **_mask_ui(result.mask[:1], size)}
        return io.NodeOutput(mask, result.boxes, info, ui=shown)


class AstriaAdjustMask(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AstriaAdjustMask",
            display_name="Astria Adjust Mask",
            category="astria/masking",
            description=(
                "Inverts, grows or shrinks, and feathers a mask, at a cost that does not depend on"
                " how far."
            ),
            search_aliases=[
                "grow mask",
                "dilate mask",
                "erode mask",
                "feather mask",
                "expand mask",
            ],
            inputs=[
                io.Mask.Input(
                    "mask",
                    tooltip="The mask to change; a batch is changed one by one.",
                ),
                io.Boolean.Input("invert", default=False, tooltip="Comes first."),
                io.String.Input("dilate", default="0", dynamic_prompts=False, tooltip=_DILATE),
                io.Combo.Input("shape", options=list(SHAPES), default="round", tooltip=_SHAPE),
                io.Int.Input("feather_px", default=0, min=0, max=MAX_SIDE, tooltip=_FEATHER),
                FitType.Input(
                    "fit",
                    optional=True,
                    tooltip="Of Astria Fit Image, for its mask: the padding is left out.",
                ),
                _drawn_input(),
            ],
            outputs=[
                io.Mask.Output(display_name="mask"),
                io.String.Output(
                    display_name="info", tooltip="What there is to tell, empty without anything."
                ),
            ],
            has_intermediate_output=True,
        )

    @classmethod
    def execute(
        cls,
        mask,
        invert: bool,
        dilate: str,
        shape: str,
        feather_px: int,
        fit=None,
        drawn_mask="",
    ) -> io.NodeOutput:
        mask = as_masks(mask)
        adjustment = Adjustment(invert, dilate, shape, feather_px)
        if fit is not None:  # Astria Fit Image has told of an empty mask
            size, note = (fit.width, fit.height), ""
            adjusted = adjustment.applied_within(mask, *size)
        else:
            size = (mask.shape[2], mask.shape[1])
            note = "" if invert or adds(drawn_mask) else empty_note(mask)
            adjusted = adjustment.applied(mask)
        drawn = with_drawn(adjusted, drawn_mask, feather_px, size)
        shown = {**(warnings_ui(note) or {}), **_mask_ui(adjusted[:1], size)}
        return io.NodeOutput(drawn, note, ui=shown)


class AstriaFindPeople(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AstriaFindPeople",
            display_name="Astria Find People",
            category="astria/masking",
            description=(
                "One mask a person: the largest ones in the first picture, from left to right, for"
                " Astria Regions."
            ),
            search_aliases=["person masks", "segment people", "instances"],
            inputs=[
                io.Image.Input(
                    "image",
                    tooltip="The picture in which people are looked for.",
                ),
                SegmenterType.Input(
                    "segmenter",
                    tooltip="From Astria Load Segmenter: what finds words in a picture.",
                ),
                io.Int.Input(
                    "persons",
                    default=1,
                    min=1,
                    max=MAX_PERSONS,
                    tooltip="How many people are looked for.",
                ),
                io.String.Input(
                    "word",
                    default="person",
                    dynamic_prompts=False,
                    tooltip="What to look for; one word or phrase.",
                ),
            ],
            outputs=[
                io.Mask.Output(display_name="masks", tooltip="One mask a person, as a batch."),
                io.String.Output(display_name="info"),
            ],
            has_intermediate_output=True,
        )

    @classmethod
    def execute(cls, image, segmenter, persons: int, word: str) -> io.NodeOutput:
        found = find_people(as_pictures(image), segmenter, persons, word)
        count = f"{persons} found by the word '{word}', from left to right."
        told = "\n".join([count, *found.notes])
        # In the editor only what an artist may want to change.
        notes = notes_ui(told) if found.notes else None
        return io.NodeOutput(found.masks, told, ui={**(notes or {}), **_mask_ui(found.masks)})


NODES = [AstriaLoadSegmenter, AstriaPromptMask, AstriaAdjustMask, AstriaFindPeople]
