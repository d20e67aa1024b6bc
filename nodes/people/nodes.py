"""Nodes for the people of a picture: who each one is, and the model that draws them in one pass."""

from __future__ import annotations

from collections.abc import Sequence

import folder_paths
from comfy_api.latest import io

from ..errors import ImageError
from ..host.types import FaceIDsType, LorasType, PersonsType, RegionsType, notes_ui
from ..regions.host.regional import Conditioning, RegionalOptions
from ..regions.host.shape import on_pictures_of_shape
from ..regions.layout import RegionLayout
from ..regions.lora_fit import LoraFit, lines_of
from ..regions.person import Person
from ..regions.run import normalised
from .host.draw import Scene, draw_people, isolation_without_effect, of_another_variant


class AstriaPersonLora(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AstriaPersonLora",
            display_name="Astria Person LoRA",
            category="astria/regions",
            description=(
                "A LoRA for one person: it acts inside that person's region only. Chain several for"
                " one person."
            ),
            inputs=[
                io.Combo.Input(
                    "lora_name",
                    options=folder_paths.get_filename_list("loras"),
                    tooltip="A file of models/loras.",
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=-100.0,
                    max=100.0,
                    step=0.01,
                    tooltip="How strongly it acts; 0 is not at all, 1 as it was made.",
                ),
                LorasType.Input(
                    "loras",
                    optional=True,
                    tooltip="From another Astria Person LoRA: this one is added to them.",
                ),
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
            description=(
                "One person of the picture: text, LoRAs, FaceIDs, a checkpoint. Chain persons from"
                " left to right."
            ),
            inputs=[
                io.Conditioning.Input(
                    "positive",
                    tooltip="The person's own words, as conditioning.",
                ),
                io.Conditioning.Input(
                    "negative",
                    optional=True,
                    tooltip="Without one the scene's negative prompt counts here too.",
                ),
                LorasType.Input(
                    "loras",
                    optional=True,
                    tooltip="From another Astria Person LoRA: this one is added to them.",
                ),
                io.Model.Input(
                    "model",
                    optional=True,
                    tooltip="A checkpoint that draws this person, with texts from its own CLIP.",
                ),
                FaceIDsType.Input(
                    "faceids",
                    optional=True,
                    tooltip="From Astria Person FaceID: whose face it is.",
                ),
                PersonsType.Input(
                    "persons", optional=True, tooltip="The persons to the left of this one."
                ),
            ],
            outputs=[PersonsType.Output(display_name="persons")],
        )

    @classmethod
    def execute(
        cls, positive, negative=None, loras=(), model=None, faceids=(), persons=()
    ) -> io.NodeOutput:
        return io.NodeOutput(
            (*persons, Person(positive, negative, tuple(loras), model, tuple(faceids)))
        )


class AstriaRegionalPrompt(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AstriaRegionalPrompt",
            display_name="Astria Regional Prompt",
            category="astria/regions",
            description=(
                "A model that draws every person in their own region with their own text, LoRAs and"
                " FaceIDs, in one pass a step."
            ),
            search_aliases=[
                "regional conditioning",
                "attention couple",
                "multi person",
                "lora mask",
            ],
            inputs=[
                io.Model.Input(
                    "model",
                    tooltip="The model that draws all people.",
                ),
                RegionsType.Input(
                    "regions",
                    tooltip="From Astria Regions: where each person stands.",
                ),
                PersonsType.Input(
                    "persons",
                    tooltip="From Astria Person, chained from left to right.",
                ),
                io.Conditioning.Input("positive", tooltip="The scene."),
                io.Conditioning.Input(
                    "negative",
                    tooltip="What the picture should not show, as conditioning.",
                ),
                io.Float.Input(
                    "scene_strength",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="How much the scene counts inside persons.",
                ),
                io.Boolean.Input(
                    "isolation",
                    default=False,
                    tooltip=(
                        "Flux, Z-Image, Krea 2: a person's text sees only that person's pixels."
                    ),
                ),
                io.Float.Input(
                    "scene_until",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    optional=True,
                    tooltip="The part of the steps for which scene_strength counts.",
                ),
                LorasType.Input(
                    "scene_loras",
                    optional=True,
                    tooltip="LoRAs that act on the scene alone, where no person stands.",
                ),
            ],
            outputs=[
                io.Model.Output(),
                io.Conditioning.Output(display_name="positive"),
                io.Conditioning.Output(display_name="negative"),
                io.String.Output(display_name="info", tooltip="Who wears which LoRA, and its fit."),
            ],
            has_intermediate_output=True,
        )

    @classmethod
    def execute(
        cls,
        model,
        regions: RegionLayout,
        persons,
        positive,
        negative,
        scene_strength,
        isolation,
        scene_until=1.0,
        scene_loras=(),
    ) -> io.NodeOutput:
        if len(persons) != len(regions.masks):
            raise ImageError(
                f"{len(persons)} person(s) are described and {len(regions.masks)} region(s) laid"
                " out.",
                code="persons-and-regions",
                hint=(
                    "Set Astria Regions to the number of persons, or chain as many Astria Person"
                    " nodes."
                ),
            )
        options = RegionalOptions(scene_strength, scene_until, isolation)
        scene = Scene(positive, negative, tuple(scene_loras))
        fits: list[LoraFit] = []
        masks = normalised(regions.masks)
        drawing = draw_people(model, masks, persons, scene, options, fits.append)
        lines, warnings = lines_of(fits, regions.names)
        without_effect = unused_guidance(persons, regions.names, positive)
        told = [*without_effect, *of_another_variant(model, persons, regions.names)]
        if isolation:
            told += isolation_without_effect(model)
        lines += told
        warnings += told
        text = "\n".join(lines) or f"{len(persons)} person(s) drawn in their regions."
        ui = notes_ui(*lines, warnings=warnings)
        patched = on_pictures_of_shape(drawing, regions.masks, "The regions are laid out for")
        return io.NodeOutput(patched, positive, negative, text, ui=ui)


def unused_guidance(
    persons: Sequence[Person], names: Sequence[str], scene: Conditioning
) -> list[str]:
    """Return a line for each person whose conditioning has a guidance that is not the scene's."""
    [(_, of_scene), *_] = scene
    return [
        f"The guidance {guidance:g} of {name or 'a person'} counts nowhere: one guidance counts for"
        " the whole picture. Put FluxGuidance on the scene's conditioning."
        for person, name in zip(persons, names, strict=True)
        for _, about in person.positive
        if (guidance := about.get("guidance")) not in (None, of_scene.get("guidance"))
    ]


NODES = [AstriaPersonLora, AstriaPerson, AstriaRegionalPrompt]
