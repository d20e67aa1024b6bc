"""Problems of a request before it runs.

Inputs missing, values without effect, what the host cannot do.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..base.sizes import size_note
from ..families.family import FACES_WITHOUT_ADAPTER, Family
from ..prompt import PromptRequest, Segment, has_weights
from ..prompt.source import quoted
from .build.controls import Control
from .build.few_steps import few_steps_problems
from .build.guidance import guidance_problems
from .build.lcm import lcm_problems
from .build.settings import Inputs, Settings
from .build.stage_list import Problem, keeps_background, paints_base, samples_again, steers_only
from .stages.control import control_problems
from .stages.enlarge import hires_cfg_of
from .stages.people import people_problems

# The host reaches a strength d by working out steps / d noise levels, in Python, and running the
# last of them.
LEAST_DENOISE = 0.01


def problems(
    request: PromptRequest, family: Family, settings: Settings, inputs: Inputs, *, are_skipped: bool
) -> tuple[Problem, ...]:
    """Return the errors that keep the request from running, and the warnings and notes for its
    author.

    `are_skipped`: parts for which there is no model are left out.
    """
    found = [*people_problems(request), *_input_problems(request, settings, inputs)]
    found += _mask_input_problems(request, inputs)
    if paints_base(request, settings, inputs):
        found += _words_problems(request, inputs)
        found += _size_problems(family, settings)
        found += _painting_problems(request, settings, inputs)
        found += control_problems(request, family, settings.controls, inputs, are_skipped)
    else:
        found += _without_base(request, settings.controls, inputs)
    found += _second_sampling_problems(request, settings)
    found += _without_their_step(request, inputs, has_controls=bool(settings.controls))
    found += _family_problems(request, family, settings, inputs)
    found += lcm_problems(request, settings, inputs, family)
    hires_cfg = hires_cfg_of(request, family, settings.lcm)
    found += guidance_problems(request, family, settings.cfg, hires_cfg)
    found += few_steps_problems(request, settings, inputs, family, hires_cfg)
    if request.outpaint_prompt is not None and request.outpaint_prompt.faceids:
        text = (
            "<faceid:...> in --outpaint_prompt: a face is not drawn into the new area by its"
            " photos."
        )
        found.append(
            Problem(
                "outpaint-faceid", "error", text, "Take the tag out, or use a LoRA of that person."
            )
        )
    return tuple(found)


def _input_problems(request: PromptRequest, settings: Settings, inputs: Inputs) -> list[Problem]:
    if inputs.has_image:
        return []
    found = []
    hint = "Connect an image, or set input_image."
    if request.denoising_strength == 0:
        text = "denoising_strength=0 keeps the input image as it is, and there is no input image."
        found.append(
            Problem(
                "no-input-image",
                "error",
                text,
                "Connect an image, set input_image, or leave denoising_strength empty.",
            )
        )
    if request.only_upscale:
        found.append(
            Problem(
                "no-input-image",
                "error",
                "--only_upscale enlarges the input image, and there is no input image.",
                hint,
            )
        )
    if request.denoising_strength:
        found.append(
            Problem("no-effect", "info", "denoising_strength has no effect without an input image.")
        )
    return found


def _mask_input_problems(request: PromptRequest, inputs: Inputs) -> list[Problem]:
    found = []
    words = " ".join(request.mask_prompt or ())
    if inputs.has_mask and not inputs.has_image:
        found.append(
            Problem(
                "mask-without-image",
                "error",
                "A mask is given without an input image.",
                "Connect the image that the mask belongs to.",
            )
        )
    elif words and not inputs.has_image:
        text = f"--mask_prompt {words} masks an input image, and there is none."
        found.append(
            Problem("mask-without-image", "error", text, "Connect an image, or set input_image.")
        )
    if inputs.has_mask and words:
        found.append(
            Problem(
                "mask-overruled",
                "info",
                f"The given mask is used in place of --mask_prompt {words}.",
            )
        )
    return found


def _words_problems(request: PromptRequest, inputs: Inputs) -> list[Problem]:
    spoken = (request.base, request.common, *request.persons)
    is_said = any(segment.pieces for segment in spoken) or request.style is not None
    if inputs.has_image or is_said:
        return []
    text = "The prompt has no words, so the model paints whatever it likes."
    return [Problem("no-words", "warning", text, "Write what the picture is to show.")]


def _size_problems(family: Family, settings: Settings) -> list[Problem]:
    """Return a warning of a size that is known, and that the family paints poorly."""
    if not (settings.width and settings.height):
        return []  # the input image's own: the node that fits it tells
    note = size_note(settings.width, settings.height, family.most_px)
    return [Problem("size", "warning", note)] if note else []


def _painting_problems(request: PromptRequest, settings: Settings, inputs: Inputs) -> list[Problem]:
    """Return the problems of painting over an input image."""
    if not inputs.has_image:
        return []
    found = []
    if settings.denoise < LEAST_DENOISE:
        text = (
            f"denoising_strength={settings.denoise:g} is too small: ComfyUI works out"
            f" {settings.steps}/{settings.denoise:g} noise levels for it."
        )
        hint = f"Set it to {LEAST_DENOISE:g} or more, or to 0 to leave the input image as it is."
        found.append(Problem("denoise-too-small", "error", text, hint))
    if not steers_only(request):
        return [*found, *_background_problems(request, inputs)]
    new = "controlnet_txt2img=true makes a new picture, and"
    hint = "Set controlnet_txt2img=false to say the same."
    if inputs.has_mask or request.mask_prompt:
        text = f"{new} the mask repaints a part of the input image: the mask is followed."
        found.append(Problem("mask-overrules", "info", text, hint))
    elif keeps_background(request):
        text = (
            f"{new} a prompt that starts BREAK BREAK changes only the people of the input image:"
            " the background is kept."
        )
        found.append(Problem("background-overrules", "info", text, hint))
    elif request.denoising_strength:
        text = (
            "denoising_strength has no effect: with controlnet_txt2img=true the input image steers"
            " only, and the picture is made from noise."
        )
        found.append(
            Problem(
                "no-effect",
                "info",
                text,
                "Set controlnet_txt2img=false to paint over the input image.",
            )
        )
    return found


def _without_base(
    request: PromptRequest, controls: Sequence[Control], inputs: Inputs
) -> list[Problem]:
    """Return warnings that name what has no effect without a first sampling, or without any."""
    if not inputs.has_image:
        return []  # an error says that there is nothing to leave as it is
    idle = [control.said for control in controls]
    if inputs.has_control_image:
        idle.append("control_image")
    if inputs.has_mask:
        idle.append("the mask")
    elif request.mask_prompt:
        idle.append(f"--mask_prompt {' '.join(request.mask_prompt)}")
    if request.only_upscale and request.denoising_strength:
        idle.append("denoising_strength")
    is_resampled = samples_again(request) and request.hires_denoising_strength != 0
    if not (request.outpaint is not None or is_resampled or request.inpaint_faces):
        idle += [
            name
            for name in ("steps", "cfg_scale", "scheduler")
            if getattr(request, name) is not None
        ]
    if not idle:
        return []
    why = "--only_upscale" if request.only_upscale else "denoising_strength=0"
    text = f"{why} leaves the input image as it is, so there is no effect of: {', '.join(idle)}."
    return [Problem("without-base", "warning", text)]


def _background_problems(request: PromptRequest, inputs: Inputs) -> list[Problem]:
    """Return a note where a prompt describes nothing but persons, and yet repaints all else."""
    is_masked = inputs.has_mask or bool(request.mask_prompt)
    if is_masked or not request.persons or request.base.pieces or keeps_background(request):
        return []
    said = " ".join(filter(None, map(str, (request.base, request.common))))
    text = (
        f"{quoted(said)} stands before the persons, so the whole picture is drawn anew, its"
        " background as well."
    )
    hint = "To keep the background, begin with BREAK BREAK, and say that with each person."
    return [Problem("background-drawn", "info", text, hint)]


def _second_sampling_problems(request: PromptRequest, settings: Settings) -> list[Problem]:
    strength = request.hires_denoising_strength
    if not samples_again(request) or strength is None or strength == 0 or strength >= LEAST_DENOISE:
        return []
    text = (
        f"--hires_denoising_strength {strength:g} is too small: ComfyUI works out"
        f" {settings.steps}/{strength:g} noise levels for it."
    )
    hint = f"Set it to {LEAST_DENOISE:g} or more, or to 0 to enlarge without a second sampling."
    return [Problem("denoise-too-small", "error", text, hint)]


# Parameters that only tune a step that others turn on.
_TUNED_BY = {
    "mask_prompt": ("mask_negative", "mask_invert", "mask_dilate"),
    "controlnet": ("controlnet_txt2img",),
    "a ControlNet": ("controlnet_conditioning_scale", "control_guidance_end"),
    "hires_fix": ("hires_denoising_strength",),
    "tiled_upscale_v2": ("hires_cfg_scale", "resemblance"),
    "a <faceid:...> tag": ("faceid_portrait",),
}


def _without_their_step(
    request: PromptRequest, inputs: Inputs, *, has_controls: bool
) -> list[Problem]:
    """Return a warning for each parameter that tunes a step which the request does not ask for."""
    has_constant_pose = bool(request.persons) and not inputs.has_image
    on = {
        "mask_prompt": bool(request.mask_prompt),
        "controlnet": has_controls,
        "a ControlNet": has_controls or has_constant_pose,
        "hires_fix": samples_again(request),
        "tiled_upscale_v2": bool(request.tiled_upscale_v2),
        "a <faceid:...> tag": _has_faceids(request),
    }
    idle = [
        (name, switch)
        for switch, names in _TUNED_BY.items()
        if not on[switch]
        for name in names
        if _is_set(getattr(request, name))
    ]
    if inputs.has_mask:  # mask_invert and mask_dilate also work on a given mask
        idle = [
            (name, switch) for name, switch in idle if name not in ("mask_invert", "mask_dilate")
        ]
    return [
        Problem("no-effect", "info", f"{name} has no effect without {switch}.")
        for name, switch in idle
    ]


def _has_faceids(request: PromptRequest) -> bool:
    return any(segment.faceids for segment in request.prompt)


def _is_set(value: object) -> bool:
    """Return whether a parameter counts as set: 0 does, and a flag that is off does not."""
    return value is not None and value is not False


def _said(request: PromptRequest) -> tuple[Segment, ...]:
    outpainted = () if request.outpaint_prompt is None else (request.outpaint_prompt,)
    return (*request.prompt, *request.negative, *outpainted)


def _adapter_problems(request: PromptRequest, family: Family) -> list[Problem]:
    """Return what is wrong with FaceID tags on a family that no adapter draws faces on."""
    if family.identity or not _has_faceids(request):
        return []
    if request.face_swap:
        text = (
            f"No adapter draws <faceid:...> on {family.title}: the face comes by face_swap alone,"
            " after the picture is drawn."
        )
        return [Problem("no-faceid-adapter", "info", text)]
    text = f"No adapter draws <faceid:...> on {family.title}."
    return [Problem("no-faceid-adapter", "error", text, FACES_WITHOUT_ADAPTER)]


def _padding_problems(request: PromptRequest, family: Family, settings: Settings) -> list[Problem]:
    if not request.persons or settings.width is None or settings.height is None:
        return []
    padding = family.latent.padding(settings.width, settings.height)
    if not padding:
        return []
    text = (
        f"At {settings.width}x{settings.height} {family.title} pads the picture with {padding}"
        " tokens, which see every person's text from one place: persons whose texts differ much in"
        " length are drawn a little otherwise than alone."
    )
    hint = "At 1024x1024 and other multiples of 128 nothing is padded."
    return [Problem("padded-size", "info", text, hint)]


def _family_problems(
    request: PromptRequest, family: Family, settings: Settings, inputs: Inputs
) -> list[Problem]:
    """Return the problems that depend on the model family."""
    found = []
    if family.branch == "sdxl":
        is_masked = inputs.has_mask or bool(request.mask_prompt) or keeps_background(request)
        is_inpainted = is_masked and inputs.has_image and paints_base(request, settings, inputs)
        if is_inpainted or request.outpaint is not None:
            what = "Inpainting" if is_inpainted else "Outpainting"
            found.append(
                Problem(
                    "sdxl-inpainting",
                    "warning",
                    f"{what} with SDXL gives poor results.",
                    "Use an SD1.5 or Flux Fill model.",
                )
            )
    found += _adapter_problems(request, family)
    found += _padding_problems(request, family, settings)
    if not family.text.weights and settings.use_lpw and any(map(has_weights, _said(request))):
        text = (
            f"Weights such as (word:1.2) have no effect on {family.title}: its text encoder takes"
            " none, and they are left out of the text."
        )
        found.append(Problem("weights-without-effect", "info", text, "Say it in more words."))
    if family.identity == "pulid" and request.faceid_portrait and _has_faceids(request):
        text = (
            f"--faceid_portrait has no effect on {family.title}: its FaceID adapter has no portrait"
            " form."
        )
        found.append(Problem("no-effect", "info", text))
    return found
