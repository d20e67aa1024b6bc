"""Nodes of FaceID: load an adapter, and apply it to the picture or to one person of it."""

from __future__ import annotations

from comfy_api.latest import io

from ..graph.sockets import NO_FILE
from ..host.tensors import as_masks, empty_note
from ..host.types import FaceIDsType, FaceIDType, IdentityType, warnings_ui
from ..regions.host.shape import on_pictures_of_shape
from .checkpoint import AUTO, PULID
from .host.apply import apply_faceids
from .host.files import (
    PARSING,
    VISION,
    faceid_names,
    load_faceid,
    missing_faceid,
    model_names,
)
from .ipadapter import KINDS
from .use import FaceIDUse


class AstriaLoadFaceID(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AstriaLoadFaceID",
            display_name="Astria Load FaceID",
            category="astria/faceid",
            description=(
                "An adapter that draws a person from photos, without training: IP-Adapter FaceID"
                " for SD1.5 and SDXL, PuLID for Flux. The published IP-Adapter FaceID weights are"
                " for non-commercial use."
            ),
            search_aliases=["ipadapter", "faceid", "pulid", "face reference"],
            inputs=[
                io.Combo.Input(
                    "faceid_name",
                    options=faceid_names(),
                    tooltip="A file of the ipadapter or pulid model folder.",
                ),
                io.Combo.Input(
                    "kind",
                    options=[AUTO, *KINDS, PULID],
                    default=AUTO,
                    tooltip="What the file is, where it does not say so itself.",
                ),
                io.ClipVision.Input(
                    "clip_vision", optional=True, tooltip="CLIP-ViT-H, for FaceID Plus and PlusV2."
                ),
                io.Combo.Input(
                    "eva_clip",
                    options=[NO_FILE, *model_names(VISION)],
                    default=NO_FILE,
                    optional=True,
                    tooltip="EVA02-CLIP-L-336, for PuLID.",
                ),
                io.Combo.Input(
                    "face_parsing",
                    options=[NO_FILE, *model_names(PARSING)],
                    default=NO_FILE,
                    optional=True,
                    tooltip="BiSeNet, for PuLID.",
                ),
            ],
            outputs=[FaceIDType.Output(display_name="faceid")],
        )

    @classmethod
    def validate_inputs(cls, faceid_name: str | None) -> bool | str:
        return (
            True
            if faceid_name is None or faceid_name in faceid_names()
            else str(missing_faceid(faceid_name))
        )

    @classmethod
    def execute(
        cls,
        faceid_name: str,
        kind: str,
        clip_vision=None,
        eva_clip: str = NO_FILE,
        face_parsing: str = NO_FILE,
    ) -> io.NodeOutput:
        return io.NodeOutput(load_faceid(faceid_name, kind, clip_vision, eva_clip, face_parsing))


def _use_inputs() -> list[io.Input]:
    """Return the inputs that both nodes of an adapter's use have."""
    part = {"min": 0.0, "max": 1.0, "step": 0.01}
    return [
        FaceIDType.Input(
            "faceid",
            tooltip="The adapter that knows people by their photos, from Astria Load FaceID.",
        ),
        IdentityType.Input("identity", tooltip="The person, from Astria Identity."),
        io.Float.Input(
            "strength",
            default=1.0,
            min=0.0,
            max=10.0,
            step=0.05,
            tooltip="How much the face counts. 0 leaves the model as it is.",
        ),
        io.Float.Input(
            "start",
            default=0.0,
            **part,
            tooltip=(
                "The part of the steps after which the face begins to count; for PuLID rather 0.14."
            ),
        ),
        io.Float.Input(
            "end",
            default=1.0,
            **part,
            tooltip="The part of the steps after which it no longer does.",
        ),
    ]


class AstriaApplyFaceID(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AstriaApplyFaceID",
            display_name="Astria Apply FaceID",
            category="astria/faceid",
            description=(
                "A model that draws this person: everywhere, or where the mask is white. Chain"
                " several for several people."
            ),
            search_aliases=["ipadapter faceid", "pulid", "face reference", "same face"],
            inputs=[
                io.Model.Input(
                    "model",
                    tooltip="The model that will draw the person.",
                ),
                *_use_inputs(),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="Where the person stands. One for all images, or one each.",
                ),
            ],
            outputs=[
                io.Model.Output(),
                io.String.Output(
                    display_name="info", tooltip="What there is to tell, empty without anything."
                ),
            ],
            has_intermediate_output=True,
        )

    @classmethod
    def execute(
        cls, model, faceid, identity, strength: float, start: float, end: float, mask=None
    ) -> io.NodeOutput:
        mask = None if mask is None else as_masks(mask)
        note = "" if mask is None else empty_note(mask)
        if identity.is_known:
            use = FaceIDUse(faceid, identity, strength, start, end)
            model = apply_faceids(model, [(use, mask)])
            if mask is not None and mask.any():
                model = on_pictures_of_shape(model, mask, "The mask of a FaceID has")
        return io.NodeOutput(model, note, ui=warnings_ui(note))


class AstriaPersonFaceID(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AstriaPersonFaceID",
            display_name="Astria Person FaceID",
            category="astria/faceid",
            description=(
                "The face of one person of a picture with several: it counts inside that person's"
                " region only."
            ),
            search_aliases=["regional faceid", "multi person ipadapter"],
            inputs=[
                *_use_inputs(),
                FaceIDsType.Input(
                    "faceids", optional=True, tooltip="More adapters for the same person."
                ),
            ],
            outputs=[FaceIDsType.Output(display_name="faceids")],
        )

    @classmethod
    def execute(
        cls, faceid, identity, strength: float, start: float, end: float, faceids=()
    ) -> io.NodeOutput:
        if not identity.is_known:
            return io.NodeOutput(faceids)
        return io.NodeOutput((*faceids, FaceIDUse(faceid, identity, strength, start, end)))


NODES = [AstriaLoadFaceID, AstriaApplyFaceID, AstriaPersonFaceID]
