"""Inputs that the nodes of a prompt share, and what they read from them."""

from __future__ import annotations

from comfy_api.latest import io

from ...errors import PromptError
from ...outpaint.geometry import SMALLER_POLICIES
from ...prompt import PromptRequest

# Sockets of pictures that a prompt needs as connected inputs, in the order of the nodes.
PICTURE_INPUTS = ("image", "mask", "person_masks", "control_image")


def text_input(**options) -> io.String.Input:
    """Return the prompt text widget, which web/js/prompt_editor.js draws.

    Dynamic prompts stay off: braces and slashes are part of the prompt.
    """
    tooltip = (
        "A prompt of the service, with its tags, flags and key=value lines. Paste it as it is."
    )
    return io.String.Input(
        "text",
        multiline=True,
        dynamic_prompts=False,
        tooltip=tooltip,
        extra_dict={"widgetType": "ASTRIA_PROMPT"},
        **options,
    )


def model_inputs() -> list[io.Input]:
    """Return the sockets of a model with its text encoder and VAE. The latter stay links: inner
    nodes take them.
    """
    return [
        io.Model.Input(
            "model",
            lazy=True,
            tooltip="The model that paints: SD1.5, SDXL, Flux or another family of this pack.",
        ),
        io.Clip.Input(
            "clip",
            lazy=True,
            raw_link=True,
            tooltip="The text encoder that belongs to the model.",
        ),
        io.Vae.Input(
            "vae",
            lazy=True,
            raw_link=True,
            tooltip="What turns latents into pixels and back; it belongs to the model.",
        ),
    ]


def policy_inputs() -> list[io.Input]:
    """Return the widgets of what the artist decides beside the prompt, which is rare: the editor
    shows them when asked.
    """
    missing = (
        "A stage whose model is neither connected nor bound: stop with an error, or leave the stage"
        " out and report it."
    )
    smaller = "What to do where the outpaint canvas is smaller than the image."
    keep = (
        "hires_fix redraws the whole picture; on: what a mask left alone stays the enlarged"
        " picture's own, to the bit."
    )
    return [
        io.Combo.Input(
            "missing_models",
            options=["error", "skip"],
            optional=True,
            default="error",
            tooltip=missing,
            advanced=True,
        ),
        io.Combo.Input(
            "smaller_canvas",
            options=list(SMALLER_POLICIES),
            optional=True,
            default="crop",
            tooltip=smaller,
            advanced=True,
        ),
        io.Boolean.Input(
            "keep_unmasked", optional=True, default=False, tooltip=keep, advanced=True
        ),
    ]


def drawn_mask_input() -> io.String.Input:
    """Return the widget of what the editor's *Draw on the mask* has drawn."""
    return io.String.Input(
        "drawn_mask",
        optional=True,
        default="",
        dynamic_prompts=False,
        tooltip=(
            "What Draw on the mask has drawn over the mask of the prompt: + adds, - takes away."
        ),
        advanced=True,
    )


def text_errors(text: str | None) -> str:
    """Return every error in a widget's text, empty when there is none or the text comes over a
    link.
    """
    if text is None:
        return ""
    _, diagnostics = PromptRequest.from_text(text)
    return "\n".join(one.render(text) for one in diagnostics if one.severity == "error")


def text_notes(text: str | None) -> str:
    """Return the warnings and notes about a prompt's text that can run.

    Look-alikes, unknown keys, values without effect.
    """
    _, diagnostics = PromptRequest.from_text(text or "")
    return "\n".join(one.render(text or "") for one in diagnostics)


def read_request(text: str | None, request: PromptRequest | None) -> PromptRequest:
    """Return the connected request, else the one written in `text`.

    Raises PromptError for errors in the text, and when both are given.
    """
    if request is None:
        return PromptRequest.require(text or "")
    if text and text.strip():
        raise PromptError(
            "A request is connected and the text box holds a prompt as well; only one of them can"
            " be meant.",
            code="text-and-request",
            hint="Empty the text box, or disconnect the request.",
        )
    return request
