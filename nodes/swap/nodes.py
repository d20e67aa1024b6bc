"""Nodes that swap faces and restore them."""

from __future__ import annotations

import logging

import torch
from comfy.model_management import get_torch_device
from comfy_api.latest import io

from ..faceid.host.files import PARSING, model_names
from ..faces.face import scale_notes
from ..faces.paste_face import FEATHER
from ..graph.sockets import NO_FILE
from ..host.state import fingerprint
from ..host.tensors import as_masks, as_pictures, empty_note
from ..host.types import FacesType, IdentityType, RegionsType, SwapperType, notes_ui
from .faces import UNMATCHED, known_people, report, sources, swap
from .host.models import (
    each_face,
    face_parser,
    make_room,
    painter,
    swapper_folder,
    swapper_names,
    swapper_path,
)
from .inswapper import Swapper, gpu_provider, load_swapper, missing_swapper
from .keep import Keep, mask_of
from .restore import DEFAULT_FIDELITY, check_restorer, notes, restore

IdentitiesType = io.Custom("ASTRIA_IDENTITIES")

MOST_FEATHER = 0.5


class AstriaLoadFaceSwapper(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        tooltip = (
            "An .onnx file of models/insightface: inswapper_128.onnx or a model like it."
            " Non-commercial."
        )
        return io.Schema(
            node_id="AstriaLoadFaceSwapper",
            display_name="Astria Load Face Swapper",
            category="astria/faces",
            description=(
                "A face swap model of the inswapper kind. Those of InsightFace are for"
                " non-commercial research only."
            ),
            search_aliases=["inswapper", "reactor", "face swap model"],
            inputs=[io.Combo.Input("swapper_name", options=swapper_names(), tooltip=tooltip)],
            outputs=[SwapperType.Output(display_name="swapper")],
        )

    @classmethod
    def validate_inputs(cls, swapper_name: str | None) -> bool | str:
        if swapper_name is None or swapper_name in swapper_names():
            return True
        return str(missing_swapper(swapper_name, swapper_folder()))

    @classmethod
    def fingerprint_inputs(cls, swapper_name: str | None) -> str:
        path = swapper_path(swapper_name)
        state = "" if path is None else f"{path.stat().st_size} {path.stat().st_mtime_ns}"
        return fingerprint(state)

    @classmethod
    def execute(cls, swapper_name) -> io.NodeOutput:
        path = swapper_path(swapper_name)
        if path is None:
            raise missing_swapper(swapper_name, swapper_folder())
        return io.NodeOutput(load_swapper(path))


class AstriaIdentities(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AstriaIdentities",
            display_name="Astria Identities",
            category="astria/faces",
            description=(
                "Whose photos faces are swapped to, person by person from left to right. Chain one"
                " node for each person."
            ),
            search_aliases=["several identities", "face swap people"],
            inputs=[
                IdentityType.Input(
                    "identity",
                    optional=True,
                    tooltip="This person. Without one the person keeps the face that was painted.",
                ),
                IdentitiesType.Input(
                    "identities", optional=True, tooltip="The persons to the left of this one."
                ),
            ],
            outputs=[IdentitiesType.Output(display_name="identities")],
        )

    @classmethod
    def execute(cls, identity=None, identities=()) -> io.NodeOutput:
        return io.NodeOutput((*identities, identity))


def _keep_inputs() -> list[io.Input]:
    """Return the inputs of both nodes that keep parts of faces as they are."""
    return [
        io.Mask.Input(
            "mask",
            optional=True,
            tooltip="1 where faces may be painted; everything else stays. Without: everywhere.",
        ),
        io.Combo.Input(
            "face_parsing",
            options=[NO_FILE, *model_names(PARSING)],
            default=NO_FILE,
            optional=True,
            tooltip="BiSeNet: hair, glasses and a hand before the face stay as they are.",
        ),
    ]


class AstriaSwapFaces(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AstriaSwapFaces",
            display_name="Astria Swap Faces",
            category="astria/faces",
            description=(
                "Each person's face in the picture becomes the one of their photos. Everything"
                " outside the faces stays, bit for bit."
            ),
            search_aliases=["face swap", "inswapper", "reactor", "roop"],
            inputs=[
                io.Image.Input(
                    "image",
                    tooltip="The picture in which faces are swapped.",
                ),
                FacesType.Input("faces", tooltip="Of the same image."),
                SwapperType.Input(
                    "swapper",
                    tooltip="From Astria Load Face Swapper.",
                ),
                io.MultiType.Input(
                    "identities",
                    types=[IdentitiesType, IdentityType],
                    tooltip="Several persons, or the identity of the only one.",
                ),
                io.Float.Input(
                    "feather",
                    default=FEATHER,
                    min=0.0,
                    max=MOST_FEATHER,
                    step=0.01,
                    tooltip=(
                        "The share of the crop's side over which the new face fades into the"
                        " picture."
                    ),
                ),
                io.Combo.Input(
                    "unmatched",
                    options=list(UNMATCHED),
                    default=UNMATCHED[0],
                    tooltip=(
                        "A face that is nobody's: leave it, or give it the face of the first"
                        " person."
                    ),
                ),
                RegionsType.Input(
                    "regions",
                    optional=True,
                    tooltip=(
                        "Where each person stands; without it likeness counts, then left to right."
                    ),
                ),
                *_keep_inputs(),
            ],
            outputs=[
                io.Image.Output(display_name="image"),
                io.Mask.Output(display_name="mask", tooltip="1 = painted."),
                io.String.Output(display_name="info", tooltip="Who became whom."),
            ],
            has_intermediate_output=True,
        )

    @classmethod
    def execute(
        cls,
        image,
        faces,
        swapper: Swapper,
        identities,
        feather,
        unmatched,
        regions=None,
        mask=None,
        face_parsing=NO_FILE,
    ) -> io.NodeOutput:
        image = as_pictures(image)
        mask = None if mask is None else as_masks(mask)
        people = known_people(identities)
        chosen = sources(image, faces, people, regions, unmatched)
        wanted = [one.identity for found in chosen for one in found if one.identity is not None]
        scaled = scale_notes(faces, image.shape[2], image.shape[1])
        if not wanted:
            text = "\n".join([report(chosen), *scaled])
            untouched = torch.zeros(image.shape[:3], device=image.device)
            return io.NodeOutput(image, untouched, text, ui=notes_ui(text))
        keep = Keep(mask_of(mask, image), face_parser(face_parsing))
        latents = {id(person): swapper.latent(person) for person in wanted}
        gpu = gpu_provider(get_torch_device())
        if gpu:
            make_room(swapper.path.stat().st_size)
        with swapper.opened(gpu) as network:
            painted_as = [[latents.get(id(one.identity)) for one in found] for found in chosen]
            result = swap(image, faces, painted_as, network, feather, each_face(len(wanted)), keep)
        text = "\n".join([report(chosen, result.left), *scaled, *_empty(mask)])
        return io.NodeOutput(result.images, result.masks, text, ui=notes_ui(text))


class AstriaRestoreFaces(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AstriaRestoreFaces",
            display_name="Astria Restore Faces",
            category="astria/faces",
            description=(
                "Faces drawn anew in detail by GFPGAN, RestoreFormer or CodeFormer. Everything"
                " outside the faces stays, bit for bit."
            ),
            search_aliases=["face restore", "face correct", "gfpgan", "codeformer", "face enhance"],
            inputs=[
                io.Image.Input(
                    "image",
                    tooltip="The picture whose faces are restored.",
                ),
                FacesType.Input("faces", tooltip="Of the same image."),
                io.UpscaleModel.Input("restorer", tooltip="From Load Upscale Model."),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="How much of the restored face; 0 leaves the picture.",
                ),
                io.Float.Input(
                    "fidelity",
                    default=DEFAULT_FIDELITY,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="CodeFormer only: lower for more beauty, higher for more likeness.",
                ),
                io.Int.Input(
                    "size",
                    default=512,
                    min=128,
                    max=2048,
                    step=32,
                    tooltip="Pixels of an upright face as the model sees it; mostly 512.",
                ),
                *_keep_inputs(),
            ],
            outputs=[
                io.Image.Output(display_name="image"),
                io.Mask.Output(display_name="mask", tooltip="1 = painted."),
                io.String.Output(
                    display_name="info",
                    tooltip="How many faces were restored, and what to know of the model.",
                ),
            ],
            has_intermediate_output=True,
        )

    @classmethod
    def execute(
        cls, image, faces, restorer, strength, fidelity, size, mask=None, face_parsing=NO_FILE
    ) -> io.NodeOutput:
        image = as_pictures(image)
        mask = None if mask is None else as_masks(mask)
        check_restorer(restorer, size)
        warnings = notes(restorer, fidelity)
        for note in warnings:
            logging.warning("Astria Restore Faces: %s", note)
        keep = Keep(mask_of(mask, image), face_parser(face_parsing))
        result = restore(image, faces, painter(restorer, fidelity), size, strength, keep)
        scaled = scale_notes(faces, image.shape[2], image.shape[1])
        text = "\n".join([result.report, *scaled, *warnings, *_empty(mask)])
        return io.NodeOutput(result.images, result.masks, text, ui=notes_ui(text))


def _empty(mask: torch.Tensor | None) -> list[str]:
    """Return the note on a mask that covers nothing of a picture."""
    note = "" if mask is None else empty_note(mask)
    return [note] if note else []


NODES = [AstriaLoadFaceSwapper, AstriaIdentities, AstriaSwapFaces, AstriaRestoreFaces]
