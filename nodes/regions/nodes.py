"""Nodes for many people in one picture: where each one stands, who each one is, and the model that draws them in one pass."""

from __future__ import annotations

import folder_paths
from comfy_api.latest import io

from ..errors import ImageError
from ..host.types import MAX_PERSONS, MAX_SIDE, FaceIDsType, FitType, LorasType, PersonsType, RegionsType
from ..people.host.draw import Scene, draw_people
from .host.regional import RegionalOptions
from .layout import Layout, columns, from_boxes, from_masks, from_pose
from .person import Person
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
            description="Where each person stands: by masks you draw, by boxes or a pose picture, else in equal columns from left to right.",
            search_aliases=["regional prompt", "attention couple", "BREAK"],
            inputs=[
                io.Int.Input("persons", default=2, min=1, max=MAX_PERSONS),
                io.Int.Input("width", **side, tooltip="Of the picture; with a connected image its own size counts."),
                io.Int.Input("height", **side),
                io.Int.Input("softness_px", default=32, min=0, max=512, tooltip="How wide regions blend into each other and the scene."),
                io.Image.Input("image", optional=True, tooltip="The picture the regions belong to; also the ground of the preview."),
                io.Mask.Input("masks", optional=True, tooltip="One mask a person, as a batch, in the order of the prompt."),
                io.BoundingBox.Input("boxes", optional=True, force_input=True, tooltip="People or faces from a detector, taken from left to right."),
                io.Image.Input("pose_image", optional=True, tooltip="An OpenPose picture; its people are taken from left to right."),
                FitType.Input("fit", optional=True, tooltip="Of Astria Fit Image: leaves what it padded out of the regions."),
                io.String.Input("names", optional=True, default="", dynamic_prompts=False, tooltip="For the preview: one a person, | between them."),
            ],
            outputs=[
                RegionsType.Output(display_name="regions"),
                io.Mask.Output(display_name="masks", tooltip="One mask a person."),
                io.Mask.Output(display_name="people", tooltip="All persons together, for keeping the background."),
                io.Image.Output(display_name="pose", tooltip="Standing people with crossed arms, for a pose ControlNet."),
                io.Image.Output(display_name="preview"),
            ],
        )

    @classmethod
    def execute(
        cls, persons, width, height, softness_px, image=None, masks=None, boxes=None, pose_image=None, fit=None, names=""
    ) -> io.NodeOutput:
        if image is not None:
            width, height = image.shape[2], image.shape[1]
        layout = _layout(persons, (width, height), softness_px, masks, boxes, pose_image)
        if fit is not None:
            layout, width, height = layout.within(fit.width, fit.height), fit.width, fit.height
            image = None if image is None else image[:, :height, :width]
        if names:
            layout = layout.named([name.strip() for name in names.split("|")])
        people = 1 - normalised(layout.masks)[:1]
        pose = arms_crossed(persons, width, height)
        return io.NodeOutput(layout, layout.masks, people, pose, preview(image, layout), ui={"astria_regions": [_drawn(layout)]})


def _drawn(layout: Layout) -> dict[str, object]:
    """Return what the editor draws of the layout: the picture's size, and each person's name and box (x, y, width, height) in parts of it."""
    labels = normalised(layout.masks).argmax(0)
    height, width = labels.shape
    regions = []
    for person, (name, mask) in enumerate(zip(layout.names, layout.masks, strict=True), 1):
        own = labels == person
        own = own if own.any() else mask > 0  # who shares all pixels with somebody who has more of them
        if own.any():
            down, across = own.any(1).nonzero(), own.any(0).nonzero()
            left, top, right, bottom = across.min(), down.min(), across.max() + 1, down.max() + 1
            box = (left / width, top / height, (right - left) / width, (bottom - top) / height)
            regions.append({"name": name, "box": [float(one) for one in box]})
    return {"size": [width, height], "regions": regions}


def _layout(count: int, size: tuple[int, int], softness_px: int, masks, boxes, pose_image) -> Layout:
    """Return the layout of the one source that is connected, of equal columns when none is."""
    given = [name for name, value in (("masks", masks), ("boxes", boxes), ("pose_image", pose_image)) if value is not None]
    if len(given) > 1:
        raise ImageError(f"Regions are given twice, by {' and '.join(given)}.", code="regions-twice", hint="Connect only one of them.")
    if masks is not None:
        return from_masks(masks, count, *size, softness_px=softness_px)
    if pose_image is not None:
        return from_boxes(from_pose(pose_image, *size), count, *size, softness_px=softness_px)
    if boxes is not None:
        return from_boxes(_flat(boxes), count, *size, softness_px=softness_px)
    return columns(count, *size, softness_px=softness_px)


def _flat(boxes: list | dict) -> list[dict]:
    """Return core's BOUNDING_BOX value, one box or lists of lists, as one list."""
    if isinstance(boxes, dict):
        return [boxes]
    return [box for entry in boxes for box in _flat(entry)]


class AstriaPersonLora(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AstriaPersonLora",
            display_name="Astria Person LoRA",
            category="astria/regions",
            description="A LoRA for one person: it acts inside that person's region only. Chain several for one person.",
            inputs=[
                io.Combo.Input("lora_name", options=folder_paths.get_filename_list("loras")),
                io.Float.Input("strength", default=1.0, min=-100.0, max=100.0, step=0.01),
                LorasType.Input("loras", optional=True),
            ],
            outputs=[LorasType.Output(display_name="loras")],
        )

    @classmethod
    def execute(cls, lora_name: str, strength: float, loras=()) -> io.NodeOutput:
        return io.NodeOutput((*loras, (lora_name, strength)))


class AstriaPerson(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AstriaPerson",
            display_name="Astria Person",
            category="astria/regions",
            description="One person of the picture: text, LoRAs, FaceIDs, a checkpoint. Chain persons from left to right.",
            inputs=[
                io.Conditioning.Input("positive"),
                io.Conditioning.Input("negative", optional=True, tooltip="Without one the scene's negative prompt counts here too."),
                LorasType.Input("loras", optional=True),
                io.Model.Input("model", optional=True, tooltip="A checkpoint that draws this person, with texts from its own CLIP."),
                FaceIDsType.Input("faceids", optional=True),
                PersonsType.Input("persons", optional=True, tooltip="The persons to the left of this one."),
            ],
            outputs=[PersonsType.Output(display_name="persons")],
        )

    @classmethod
    def execute(cls, positive, negative=None, loras=(), model=None, faceids=(), persons=()) -> io.NodeOutput:
        return io.NodeOutput((*persons, Person(positive, negative, tuple(loras), model, tuple(faceids))))


class AstriaRegionalPrompt(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AstriaRegionalPrompt",
            display_name="Astria Regional Prompt",
            category="astria/regions",
            description="A model that draws every person in their own region with their own text, LoRAs and FaceIDs, in one pass a step.",
            search_aliases=["regional conditioning", "attention couple", "multi person", "lora mask"],
            inputs=[
                io.Model.Input("model"),
                RegionsType.Input("regions"),
                PersonsType.Input("persons"),
                io.Conditioning.Input("positive", tooltip="The scene."),
                io.Conditioning.Input("negative"),
                io.Float.Input("scene_strength", default=0.0, min=0.0, max=1.0, step=0.05, tooltip="How much the scene counts inside persons."),
                io.Boolean.Input("isolation", default=False, tooltip="Flux: a person's text sees only that person's pixels."),
                LorasType.Input("scene_loras", optional=True, tooltip="LoRAs that act on the scene alone, where no person stands."),
            ],
            outputs=[io.Model.Output(), io.Conditioning.Output(display_name="positive"), io.Conditioning.Output(display_name="negative")],
        )

    @classmethod
    def execute(cls, model, regions: Layout, persons, positive, negative, scene_strength, isolation, scene_loras=()) -> io.NodeOutput:
        if len(persons) != len(regions.masks):
            raise ImageError(
                f"{len(persons)} person(s) are described and {len(regions.masks)} region(s) laid out.",
                code="persons-and-regions",
                hint="Set Astria Regions to the number of persons, or chain as many Astria Person nodes.",
            )
        options = RegionalOptions(scene_strength=scene_strength, isolation=isolation)
        scene = Scene(positive, negative, tuple(scene_loras))
        return io.NodeOutput(draw_people(model, normalised(regions.masks), persons, scene, options), positive, negative)


NODES = [AstriaRegions, AstriaPersonLora, AstriaPerson, AstriaRegionalPrompt]
