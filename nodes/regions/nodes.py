"""The node that says where each person of a picture stands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from comfy_api.latest import io

from ..errors import ImageError
from ..host.tensors import as_masks, as_pictures, ratio_note
from ..host.types import MAX_SIDE, FitType, RegionsType, warnings_ui
from ..prompt.catalog import MAX_PERSONS
from .drawn import from_drawn
from .layout import RegionLayout, columns, from_boxes, from_masks, from_pose
from .pose import arms_crossed
from .preview import preview
from .run import normalised


class AstriaRegions(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        side = {"default": 1024, "min": 0, "max": MAX_SIDE}
        return io.Schema(
            node_id="AstriaRegions",
            display_name="Astria Regions",
            category="astria/regions",
            description=(
                "Where each person stands: by masks you draw, by boxes or a pose picture, else in"
                " equal columns from left to right."
            ),
            search_aliases=["regional prompt", "attention couple", "BREAK"],
            inputs=[
                io.Int.Input(
                    "persons",
                    default=2,
                    min=1,
                    max=MAX_PERSONS,
                    tooltip="How many people stand in the picture.",
                ),
                io.Int.Input(
                    "width",
                    **side,
                    tooltip="Of the picture; with a connected image its own size counts.",
                ),
                io.Int.Input(
                    "height",
                    **side,
                    tooltip="Height in pixels.",
                ),
                io.Int.Input(
                    "softness_px",
                    default=32,
                    min=0,
                    max=512,
                    tooltip="How wide regions blend into each other and the scene.",
                ),
                io.Image.Input(
                    "image",
                    optional=True,
                    tooltip="The picture the regions belong to; also the ground of the preview.",
                ),
                io.Mask.Input(
                    "masks",
                    optional=True,
                    tooltip="One mask a person, as a batch, in the order of the prompt.",
                ),
                io.BoundingBox.Input(
                    "boxes",
                    optional=True,
                    force_input=True,
                    tooltip="People or faces from a detector, taken from left to right.",
                ),
                io.Image.Input(
                    "pose_image",
                    optional=True,
                    tooltip="An OpenPose picture; its people are taken from left to right.",
                ),
                FitType.Input(
                    "fit",
                    optional=True,
                    tooltip="Of Astria Fit Image: leaves what it padded out of the regions.",
                ),
                io.String.Input(
                    "names",
                    optional=True,
                    default="",
                    dynamic_prompts=False,
                    tooltip="For the preview: one a person, | between them.",
                ),
                io.String.Input(
                    "drawn_boxes",
                    optional=True,
                    default="",
                    dynamic_prompts=False,
                    advanced=True,
                    tooltip=(
                        "Drawn in the node: x y width height in parts of the picture, behind it a"
                        " brushed mask, one a person, | between them."
                    ),
                ),
            ],
            outputs=[
                RegionsType.Output(display_name="regions"),
                io.Mask.Output(display_name="masks", tooltip="One mask a person."),
                io.Mask.Output(
                    display_name="people",
                    tooltip="All persons together, for keeping the background.",
                ),
                io.Image.Output(
                    display_name="pose",
                    tooltip="Standing people with crossed arms, for a pose ControlNet.",
                ),
                io.Image.Output(display_name="preview"),
                io.String.Output(
                    display_name="info", tooltip="What there is to tell, empty without anything."
                ),
            ],
            has_intermediate_output=True,
        )

    @classmethod
    def execute(
        cls,
        persons,
        width,
        height,
        softness_px,
        image=None,
        masks=None,
        boxes=None,
        pose_image=None,
        fit=None,
        names="",
        drawn_boxes="",
    ) -> io.NodeOutput:
        note = ""
        if image is not None:
            image = as_pictures(image)
            width, height = image.shape[2], image.shape[1]
        if masks is not None:
            masks = as_masks(masks)
            note = ratio_note(masks, width, height)
        if pose_image is not None:
            pose_image = as_pictures(pose_image)
        given = {"masks": masks, "boxes": boxes, "pose_image": pose_image}
        given["drawn_boxes"] = drawn_boxes.strip() or None
        layout = _layout(persons, (width, height), softness_px, given)
        if fit is not None:
            layout, width, height = layout.within(fit.width, fit.height), fit.width, fit.height
            image = None if image is None else image[:, :height, :width]
        if names:
            layout = layout.named([name.strip() for name in names.split("|")])
        people = 1 - normalised(layout.masks)[:1]
        pose = arms_crossed(persons, width, height)
        return io.NodeOutput(
            layout,
            layout.masks,
            people,
            pose,
            preview(image, layout),
            note,
            ui={"astria_regions": [_drawn(layout)], **(warnings_ui(note) or {})},
        )


def _drawn(layout: RegionLayout) -> dict[str, object]:
    """Return the layout as the editor draws it.

    The picture's size, and each person's name and box (x, y, width, height) in parts of it.
    """
    labels = normalised(layout.masks).argmax(0)
    height, width = labels.shape
    regions = []
    for person, (name, mask) in enumerate(zip(layout.names, layout.masks, strict=True), 1):
        own = labels == person
        # Of a person who has the largest share nowhere, every pixel with a share counts.
        own = own if own.any() else mask > 0
        if own.any():
            down, across = own.any(1).nonzero(), own.any(0).nonzero()
            left, top, right, bottom = across.min(), down.min(), across.max() + 1, down.max() + 1
            box = (left / width, top / height, (right - left) / width, (bottom - top) / height)
            regions.append({"name": name, "box": [float(one) for one in box]})
    return {"size": [width, height], "regions": regions}


def _layout(
    count: int, size: tuple[int, int], softness_px: int, given: Mapping[str, Any]
) -> RegionLayout:
    """Return the layout of the one source that is given, of equal columns when none is."""
    named = [name for name, value in given.items() if value is not None]
    if len(named) > 1:
        raise ImageError(
            f"Regions are given twice, by {' and '.join(named)}.",
            code="regions-twice",
            hint="Connect only one of them, and draw boxes where none is connected.",
        )
    asked = {"softness_px": softness_px}
    match named:
        case ["masks"]:
            return from_masks(given["masks"], count, *size, **asked)
        case ["pose_image"]:
            return from_boxes(from_pose(given["pose_image"], *size), count, *size, **asked)
        case ["boxes"]:
            return from_boxes(_flat(given["boxes"]), count, *size, **asked)
        case ["drawn_boxes"]:
            return from_drawn(given["drawn_boxes"], count, *size, **asked)
    return columns(count, *size, **asked)


def _flat(boxes: list | dict) -> list[dict]:
    """Return core's BOUNDING_BOX value, one box or lists of lists, as one list."""
    if isinstance(boxes, dict):
        return [boxes]
    return [box for entry in boxes for box in _flat(entry)]


NODES = [AstriaRegions]
