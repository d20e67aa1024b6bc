"""The tables of the language: its parameters, flags and tags, with the type and meaning of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .images import ImageKind
from .kinds import (
    Anchor,
    Boolean,
    Choice,
    Decimal,
    DilationKind,
    Line,
    ValueKind,
    ValueProblem,
    Whole,
)

MAX_PERSONS = 8  # for whom one picture has room

ANCHORS = (
    "top-left",
    "top-center",
    "top-right",
    "left-center",
    "center",
    "right-center",
    "bottom-left",
    "bottom-center",
    "bottom-right",
)
CONTROLNETS = (
    "composition",
    "reference",
    "segroom",
    "ipadapter",
    "lineart",
    "canny",
    "depth",
    "mlsd",
    "hed",
    "pose",
    "tile",
    "qr",
)
SCHEDULERS = (
    "euler",
    "euler_a",
    "dpm++2m_karras",
    "dpm++sde_karras",
    "dpm++2m",
    "dpm++sde",
    "lcm",
    "res_multistep",
)
STYLES = (
    "Cinematic",
    "Animated",
    "Digital Art",
    "Photographic",
    "Fantasy art",
    "Neonpunk",
    "Enhance",
    "Comic book",
    "Lowpoly",
    "Line art",
)
RATIOS = ("1:1", "16:9", "9:16", "21:9", "9:21", "3:2", "2:3", "5:4", "4:5", "4:3", "3:4")
TAG_KINDS = ("lora", "faceid")
# What other programs write for a LoRA of another kind, which is a LoRA like any other here.
LORA_KINDS = ("lora", "lyco")
TAG_WORDS = (*TAG_KINDS, "lyco")
LORA_WEIGHT = Decimal(-100, 100)
FACEID_STRENGTH = Decimal(0, 10)

_TCD = ValueProblem(
    "unsupported-scheduler",
    "`tcd` is a scheduler of the service that ComfyUI does not have",
    "Use lcm, which is made for the same few steps.",
)
# ComfyUI's own largest side; sizes beyond it could not be typed into its nodes either.
_LARGEST_SIDE = 16384


@dataclass(frozen=True)
class Parameter:
    """A `key=value` of the block.

    What its value looks like, which field of the request it fills, and what it is for.
    """

    kind: ValueKind
    target: str
    help: str
    has_effect: bool = True


@dataclass(frozen=True)
class Flag:
    """A `--name` of the text.

    `takes` is `nothing`, `one` word, `words` (a list) or `text`; `kind` types each word.
    """

    takes: Literal["nothing", "one", "words", "text"]
    kind: ValueKind
    help: str
    has_effect: bool = True


def _parameter(
    name: str, kind: ValueKind, text: str, *, target: str = "", has_effect: bool = True
) -> tuple[str, Parameter]:
    return name, Parameter(kind, target or name, text, has_effect)


def _switch(text: str, *, has_effect: bool = True) -> Flag:
    return Flag("nothing", Boolean(), text, has_effect)


PARAMETERS: dict[str, Parameter] = dict(
    (
        _parameter("num_images", Whole(1, 8), "images per request"),
        _parameter(
            "negative_prompt",
            Line(),
            "what the picture should not show; may hold BREAK and embeddings",
            target="negative",
        ),
        _parameter(
            "seed", Whole(0, 2**32), "start of the noise; image i of a request uses seed + i"
        ),
        _parameter("steps", Whole(1, 50), "sampling steps"),
        _parameter("cfg_scale", Decimal(0, 15), "how strictly the picture follows the prompt"),
        _parameter("controlnet", Choice(CONTROLNETS), "what of the input image to follow"),
        _parameter(
            "controlnet_conditioning_scale", Decimal(0, 1), "how strongly the ControlNet steers"
        ),
        _parameter(
            "controlnet_txt2img", Boolean(), "the input image steers only through the ControlNet"
        ),
        _parameter("input_image_url", ImageKind(), "the input image", target="input_image"),
        _parameter("input_image", ImageKind(), "the input image"),
        _parameter(
            "input_image_base64", ImageKind(is_base64=True), "the input image", target="input_image"
        ),
        _parameter(
            "mask_image_url", ImageKind(), "the mask, white is repainted", target="mask_image"
        ),
        _parameter("mask_image", ImageKind(), "the mask, white is repainted"),
        _parameter(
            "mask_image_base64",
            ImageKind(is_base64=True),
            "the mask, white is repainted",
            target="mask_image",
        ),
        _parameter(
            "denoising_strength",
            Decimal(0, 1),
            "how much of the input image is redrawn; 0 keeps it",
        ),
        _parameter("super_resolution", Boolean(), "four times the size"),
        _parameter("hires_fix", Boolean(), "more detail by a second pass; needs super_resolution"),
        _parameter("inpaint_faces", Boolean(), "redraws faces; turns super_resolution on"),
        _parameter("face_correct", Boolean(), "face restoration"),
        _parameter("face_swap", Boolean(), "swaps in the face of the prompt's tune images"),
        _parameter("film_grain", Boolean(), "film grain"),
        _parameter(
            "color_grading", Choice(("Film Velvia", "Film Portra", "Ektar")), "colour grading"
        ),
        _parameter("scheduler", Choice(SCHEDULERS, {"tcd": _TCD}), "sampler and noise schedule"),
        _parameter(
            "use_lpw",
            Boolean(),
            "true: (word:1.2), ((word)), [word] weigh; false: brackets are plain text",
        ),
        _parameter(
            "ar",
            Choice((*RATIOS, "portrait", "landscape")),
            "legacy aspect ratio, used when w and h are not set",
        ),
        _parameter("aspect_ratio", Choice(RATIOS), "aspect ratio, used when w and h are not set"),
        _parameter("w", Whole(8, _LARGEST_SIDE, 8), "width in pixels"),
        _parameter("h", Whole(8, _LARGEST_SIDE, 8), "height in pixels"),
        _parameter("style", Choice(STYLES), "prompt template"),
        _parameter("backend_version", Line(), "version of the service", has_effect=False),
        _parameter("prompt_expansion", Line(), "the service rewrites the prompt", has_effect=False),
    )
)

FLAGS: dict[str, Flag] = {
    "mask_prompt": Flag("words", Line(), "what to mask; the mask is the union of the words"),
    "mask_negative": Flag("words", Line(), "what to take out of the mask"),
    "mask_invert": _switch("inverts the mask, after the words and before dilation"),
    "mask_dilate": Flag("one", DilationKind(), "grows the mask, or shrinks it when negative"),
    "hires_denoising_strength": Flag("one", Decimal(0, 1), "how much the second pass redraws"),
    "hires_cfg_scale": Flag(
        "one", Decimal(0, 30), "how strictly the tiled upscale follows the prompt"
    ),
    "resemblance": Flag("one", Decimal(0, 3), "how closely the tiled upscale keeps to the picture"),
    "outpaint": Flag("one", Anchor(ANCHORS), "where the source image sits on the new canvas"),
    "outpaint_width": Flag("one", Whole(1, _LARGEST_SIDE), "width of the new canvas in pixels"),
    "outpaint_height": Flag("one", Whole(1, _LARGEST_SIDE), "height of the new canvas in pixels"),
    "outpaint_prompt": Flag("text", Line(), "text for the new area; else the prompt's own"),
    "controlnets": Flag("words", Choice(CONTROLNETS), "several ControlNets"),
    "controlnet_weights": Flag("words", Decimal(0, 2), "their strengths, in the same order"),
    "control_guidance_end": Flag(
        "one", Decimal(0, 1), "the part of the steps after which ControlNets stop"
    ),
    "tiled_upscale": _switch("upscale with detail, tile by tile"),
    "tiled_upscale_v2": _switch("upscale with detail, tile by tile"),
    "only_upscale": _switch("no generation, only the upscale of the input image"),
    "upscale_v4": _switch("upscale"),
    "remove_background": _switch("makes the background transparent"),
    "fix_bindi": _switch("a correction of the service", has_effect=False),
    "faceid_portrait": _switch("FaceID for portraits"),
    "multi": _switch("a mode of the service", has_effect=False),
    "improve_similarity": Flag("one", Decimal(0, 100), "a mode of the service", has_effect=False),
    "video": _switch("makes a video", has_effect=False),
    "video_model": Flag("one", Line(), "model of the video", has_effect=False),
    "video_prompt": Flag("text", Line(), "text of the video", has_effect=False),
    "duration": Flag("one", Decimal(0, 3600), "length of the video in seconds", has_effect=False),
}


# Counts that the service takes from 0 on, which leaves them to it.
UNSET_BY_ZERO = frozenset({"steps"})


def is_unset(value: str, name: str = "") -> bool:
    """Return whether the text of the parameter `name` means "not set".

    Nothing, what a script writes for nothing, or a 0 where that leaves a count open.
    """
    return value in ("", "undefined") or (name in UNSET_BY_ZERO and not value.strip("0"))
