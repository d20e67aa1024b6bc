"""Socket types and inputs that nodes of several features share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from comfy_api.latest import io

from ..errors import PlanError, PromptError
from ..outpaint.geometry import SMALLER_POLICIES
from ..pipeline.build.model_loaders import MODEL_SOCKETS
from ..prompt import PromptRequest
from ..tunes.bindings import Bindings

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
MAX_PERSONS = 8
MAX_SIDE = 16384  # the host's own bound for sizes


@dataclass(frozen=True)
class ModelBundle:
    """What AstriaModels hands on: bindings of its own, and the names of its sockets that hold a model."""

    bindings: Bindings = field(default_factory=Bindings)
    sockets: tuple[str, ...] = ()


def text_input(**options) -> io.String.Input:
    """Return the prompt text widget, which web/js/prompt_editor.js draws. Dynamic prompts stay off: braces and slashes are part of the prompt."""
    tooltip = "A prompt of the service, with its tags, flags and key=value lines. Paste it as it is."
    return io.String.Input("text", multiline=True, dynamic_prompts=False, tooltip=tooltip, extra_dict={"widgetType": "ASTRIA_PROMPT"}, **options)


def seed_input() -> io.Int.Input:
    """Return the seed widget that counts where the prompt sets no seed."""
    tooltip = "Used where the prompt sets no seed. Image i uses seed + i."
    return io.Int.Input("seed", default=0, min=0, max=MAX_SEED, control_after_generate=True, tooltip=tooltip)


def gathered_inputs() -> list[io.Input]:
    """Return a socket for each kind of model that stages need beside MODEL, CLIP and VAE; they stay links, and what is not used is never run."""
    return [io.Custom(kind).Input(name, optional=True, lazy=True, raw_link=True) for name, kind in MODEL_SOCKETS.items()]


def policy_inputs() -> list[io.Input]:
    """Return the widgets of what the artist decides beside the prompt."""
    missing = "A stage whose model is neither connected nor bound: stop with an error, or leave the stage out and report it."
    smaller = "What to do where the outpaint canvas is smaller than the image."
    keep = "hires_fix redraws the whole picture; on: what a mask left alone stays the enlarged picture's own, to the bit."
    return [
        io.Combo.Input("missing_models", options=["error", "skip"], optional=True, default="error", tooltip=missing),
        io.Combo.Input("smaller_canvas", options=list(SMALLER_POLICIES), optional=True, default="crop", tooltip=smaller),
        io.Boolean.Input("keep_unmasked", optional=True, default=False, tooltip=keep),
    ]


def text_errors(text: str | None) -> str:
    """Return every error in a widget's text, empty when there is none or the text comes over a link."""
    if text is None:
        return ""
    _, diagnostics = PromptRequest.from_text(text)
    return "\n".join(one.render(text) for one in diagnostics if one.severity == "error")


def text_notes(text: str | None) -> str:
    """Return what else there is to say about a prompt's text that can run: look-alikes, unknown keys, values without effect."""
    _, diagnostics = PromptRequest.from_text(text or "")
    return "\n".join(one.render(text or "") for one in diagnostics)


def only_values(inputs: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """Return the one value of each input of a node that takes lists. Raises: PlanError for an input that holds several."""
    for name, values in inputs.items():
        if len(values) > 1:
            text = f"The input '{name}' comes as a list of {len(values)}; expected one value: only photos may be a list here."
            raise PlanError(text, code="list-input", hint="Connect one value, or queue the workflow once for each.")
    return {name: values[0] for name, values in inputs.items()}


def notes_ui(text: str) -> dict[str, list[str]]:
    """Return what a node has to tell as its ui output. In the expansion of AstriaGenerate web/js/report.js adds it to that node's report, which a
    plain text would replace: the host shows both in the one node.
    """
    return {"astria_notes": [text]}


def read_request(text: str | None, request: PromptRequest | None) -> PromptRequest:
    """Return the connected request, else the one written in `text`. Raises PromptError for errors in the text, and when both are given."""
    if request is None:
        return PromptRequest.require(text or "")
    if text and text.strip():
        raise PromptError(
            "A request is connected and the text box holds a prompt as well; only one of them can be meant.",
            code="text-and-request",
            hint="Empty the text box, or disconnect the request.",
        )
    return request
