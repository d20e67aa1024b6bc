"""Nodes that read the prompt language: text -> request -> its parts as native ComfyUI values."""

from __future__ import annotations

from comfy_api.latest import io, ui

from ..errors import PlanError
from ..host.models import lcm_of, variant_of_model
from ..host.state import fingerprint
from ..host.tensors import as_pictures
from ..host.types import RequestType, seed_input
from ..prompt import PromptRequest, Segment
from ..prompt.catalog import MAX_PERSONS
from ..tunes.bindings import Bindings
from ..tunes.host.state import bindings_text, make_resolver, named_stamps
from .build.lcm import lcm_of_picture
from .build.settings import Inputs, settle
from .host.inputs import text_errors, text_input, text_notes

PARTS = (
    "prompt",
    "base",
    "common",
    *(f"person_{number}" for number in range(1, MAX_PERSONS + 1)),
    "negative",
    "outpaint_prompt",
    "document",
)


class AstriaPrompt(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AstriaPrompt",
            display_name="Astria Prompt",
            category="astria",
            description=(
                "Reads a prompt with tags, flags, BREAK and parameters into a request that the"
                " other Astria nodes take."
            ),
            search_aliases=["astria", "prompt", "parse", "BREAK", "lora tag"],
            inputs=[text_input()],
            outputs=[RequestType.Output(display_name="request")],
        )

    @classmethod
    def validate_inputs(cls, text: str | None) -> bool | str:
        return text_errors(text) or True

    @classmethod
    def fingerprint_inputs(cls, text: str | None) -> str:
        return fingerprint(named_stamps(text))

    @classmethod
    def execute(cls, text: str) -> io.NodeOutput:
        request = PromptRequest.require(text)
        return io.NodeOutput(
            request, ui=ui.PreviewText(text_notes(text) or "The prompt is understood.")
        )


class AstriaRequestText(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AstriaRequestText",
            display_name="Astria Request Text",
            category="astria",
            description="One part of a request as plain text, without tags and flags.",
            inputs=[
                RequestType.Input(
                    "request",
                    tooltip="From Astria Prompt.",
                ),
                io.Combo.Input(
                    "part",
                    options=list(PARTS),
                    tooltip="The part of the prompt that is wanted.",
                ),
            ],
            outputs=[io.String.Output()],
        )

    @classmethod
    def execute(cls, request: PromptRequest, part: str) -> io.NodeOutput:
        return io.NodeOutput(part_text(request, part))


def part_text(request: PromptRequest, part: str) -> str:
    """Return one of PARTS as text.

    Raises PlanError when the request has fewer persons than asked for.
    """
    if part == "document":
        return request.to_text()
    if part.startswith("person_"):
        number = int(part.removeprefix("person_"))
        if number > len(request.persons):
            raise PlanError(
                f"The request has {len(request.persons)} person(s), and '{part}' is asked for.",
                code="no-such-person",
                hint="Each BREAK after the second starts a person.",
            )
        return request.persons[number - 1].text
    segments: dict[str, tuple[Segment, ...]] = {
        "prompt": (request.base, request.common),
        "base": (request.base,),
        "common": (request.common,),
        "negative": request.negative[:2],
        "outpaint_prompt": () if request.outpaint_prompt is None else (request.outpaint_prompt,),
    }
    return ", ".join(segment.text for segment in segments[part] if segment.text)


class AstriaRequestSettings(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AstriaRequestSettings",
            display_name="Astria Request Settings",
            category="astria",
            description=(
                "The request's numbers as native values for KSampler and Empty Latent Image;"
                " defaults follow the model's family."
            ),
            inputs=[
                RequestType.Input(
                    "request",
                    tooltip="From Astria Prompt.",
                ),
                io.Model.Input("model", tooltip="Its family decides the defaults."),
                seed_input(),
                io.Image.Input(
                    "image",
                    optional=True,
                    tooltip="The input image: its size counts where the prompt sets none.",
                ),
            ],
            outputs=[
                io.Int.Output(display_name="seed"),
                io.Int.Output(display_name="steps"),
                io.Float.Output(display_name="cfg"),
                # The host's KSampler takes its choices as a bare list, which no V3 COMBO output
                # matches.
                io.AnyType.Output(display_name="sampler_name"),
                io.AnyType.Output(display_name="scheduler"),
                io.Int.Output(display_name="width"),
                io.Int.Output(display_name="height"),
                io.Int.Output(display_name="batch_size"),
                io.Float.Output(display_name="denoise"),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, **inputs) -> str:
        return fingerprint(bindings_text())

    @classmethod
    def execute(cls, request: PromptRequest, model, seed: int, image=None) -> io.NodeOutput:
        resolver = make_resolver(Bindings())
        family, why = variant_of_model(model, resolver.variant_of)
        inputs = Inputs(
            family_why=why,
            has_image=image is not None or request.input_image is not None,
            seed=seed,
            lcm=lcm_of_picture(request, resolver, lcm_of(model)),
        )
        found = settle(request, family, inputs)
        if found.width is None and image is None:
            raise PlanError(
                "The prompt names an input image and sets no w and h, so the picture gets the size"
                " of that image, which is not connected.",
                code="image-not-connected",
                hint="Connect the image, or set w and h in the prompt.",
            )
        own = None if image is None else as_pictures(image).shape
        width = found.width if found.width is not None else own[2]
        height = found.height if found.height is not None else own[1]
        names = found.sampler, found.schedule
        # On Flux cfg_scale is the distilled guidance, which AstriaEncodeRequest writes into the
        # conditioning; true CFG is 1.
        cfg = family.true_cfg(found.cfg)
        return io.NodeOutput(
            found.seed, found.steps, cfg, *names, width, height, found.num_images, found.denoise
        )


NODES = [AstriaPrompt, AstriaRequestText, AstriaRequestSettings]
