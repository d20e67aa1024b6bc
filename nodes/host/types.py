"""Socket types and inputs that nodes of several features share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from comfy_api.latest import io

from ..errors import PlanError
from ..graph.sockets import MODEL_SOCKETS

RequestType = io.Custom("ASTRIA_REQUEST")
ModelsType = io.Custom("ASTRIA_MODELS")
RegionsType = io.Custom("ASTRIA_REGIONS")
PersonsType = io.Custom("ASTRIA_PERSONS")
LorasType = io.Custom("ASTRIA_LORAS")
FaceIDsType = io.Custom("ASTRIA_FACEIDS")  # the FaceIDs of one person
FaceIDType = io.Custom("ASTRIA_FACEID")  # a loaded adapter
IdentityType = io.Custom("ASTRIA_IDENTITY")
FaceAnalysisType = io.Custom("ASTRIA_FACE_ANALYSIS")
FacesType = io.Custom("ASTRIA_FACES")
FitType = io.Custom("ASTRIA_FIT")
SegmenterType = io.Custom("ASTRIA_SEGMENTER")
SwapperType = io.Custom("ASTRIA_FACE_SWAPPER")

MAX_SEED = 2**64 - 1
MAX_SIDE = 16384  # the host's own bound for sizes


def seed_input() -> io.Int.Input:
    """Return the seed widget that counts where the prompt sets no seed."""
    tooltip = "Used where the prompt sets no seed. Image i uses seed + i."
    return io.Int.Input(
        "seed", default=0, min=0, max=MAX_SEED, control_after_generate=True, tooltip=tooltip
    )


# What the model at each socket is for.
SOCKETS_ARE_FOR = {
    "upscale_model": "Enlarges the picture, for super_resolution and hires_fix.",
    "pose_controlnet": "Holds the poses of several people, where no input image does.",
    "controlnet": "For controlnet=: a ControlNet of the kind that the prompt names.",
    "segmenter": "Finds words in a picture, for --mask_prompt: from Astria Load Segmenter.",
    "background_model": "For --remove_background, and for the mask word foreground.",
    "face_analysis": "Finds faces and tells people apart: from Astria Load Face Analysis.",
    "faceid": "Draws people by their photos, for <faceid:...>: from Astria Load FaceID.",
    "face_restorer": "For face_correct: GFPGAN, RestoreFormer or CodeFormer.",
    "face_swapper": "For face_swap: from Astria Load Face Swapper.",
}


def gathered_inputs() -> list[io.Input]:
    """Return a socket for each kind of model that stages need beside MODEL, CLIP and VAE.

    They stay links, and what is not used is never run.
    """
    return [
        io.Custom(kind).Input(
            name, optional=True, lazy=True, raw_link=True, tooltip=SOCKETS_ARE_FOR[name]
        )
        for name, kind in MODEL_SOCKETS.items()
    ]


def only_values(inputs: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """Return the one value of each input of a node that takes lists.

    Raises: PlanError for an input that holds several.
    """
    for name, values in inputs.items():
        if len(values) > 1:
            text = (
                f"The input '{name}' comes as a list of {len(values)}; expected one value: only"
                " photos may be a list here."
            )
            raise PlanError(
                text,
                code="list-input",
                hint="Connect one value, or queue the workflow once for each.",
            )
    return {name: values[0] for name, values in inputs.items()}


def notes_ui(*texts: str, warnings: Sequence[str] = ()) -> dict[str, list[str]] | None:
    """Return a node's notes as its ui output; None where there are none.

    In the expansion of AstriaGenerate web/js/report.js adds the texts to that node's report, which
    a plain text would replace: the host shows both in the one node. `warnings` are the lines of
    them that a node without a report shows by itself.
    """
    output: dict[str, list[str]] = {"astria_notes": [text for text in texts if text]}
    if warnings:
        output["astria_warnings"] = list(warnings)
    return output if output["astria_notes"] else None


def warnings_ui(*texts: str) -> dict[str, list[str]] | None:
    """Return as a node's ui output what its author should know; None where there is nothing.

    In the expansion of AstriaGenerate it stands in that node's report; a node that stands alone
    shows it as a message of the editor.
    """
    return notes_ui(*texts, warnings=[text for text in texts if text])
