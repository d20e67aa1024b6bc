"""What speaks against running a request as it is: inputs missing, values without effect, what the host cannot do."""

from __future__ import annotations

from ..prompt import PromptRequest
from .control import control_problems, controls_of
from .family import Family
from .people import people_problems
from .settings import Inputs, Settings
from .stages import Problem, keeps_background, steers_only

# The host reaches a strength d by working out steps / d noise levels, in Python, and running the last of them.
LEAST_DENOISE = 0.01


def problems(request: PromptRequest, family: Family, settings: Settings, inputs: Inputs) -> tuple[Problem, ...]:
    """Return everything that speaks against running the request as it is, and what else its author should know."""
    found = [*people_problems(request), *_input_problems(request, settings, inputs), *_mask_problems(request, family, settings, inputs)]
    found += control_problems(request, inputs)
    found += _without_their_step(request)
    if family.is_flux and request.negative:
        text = f"negative_prompt has no effect on {family.title}: its true CFG is 1."
        found.append(Problem("negative-without-effect", "info", text, "Describe what you want instead."))
    if not family.takes_guidance and request.cfg_scale is not None:
        found.append(Problem("no-effect", "info", f"cfg_scale has no effect on {family.title}: it takes no guidance."))
    if family.is_flux and request.faceid_portrait:
        text = f"--faceid_portrait has no effect on {family.title}: its FaceID adapter has no portrait form."
        found.append(Problem("no-effect", "info", text))
    if request.outpaint_prompt is not None and request.outpaint_prompt.faceids:
        text = "<faceid:...> in --outpaint_prompt: a face is not drawn into the new area by its photos."
        found.append(Problem("outpaint-faceid", "error", text, "Take the tag out, or use a LoRA of that person."))
    return tuple(found)


def _input_problems(request: PromptRequest, settings: Settings, inputs: Inputs) -> list[Problem]:
    found = []
    if inputs.has_image and 0 < settings.denoise < LEAST_DENOISE:
        text = f"denoising_strength={settings.denoise:g} is too small: ComfyUI works out {settings.steps}/{settings.denoise:g} noise levels for it."
        hint = f"Set it to {LEAST_DENOISE:g} or more, or to 0 to leave the input image as it is."
        found.append(Problem("denoise-too-small", "error", text, hint))
    strength = request.hires_denoising_strength
    if strength is not None and strength < LEAST_DENOISE:
        text = f"--hires_denoising_strength {strength:g} is too small: the second pass would change nothing."
        found.append(Problem("denoise-too-small", "error", text, f"Set it to {LEAST_DENOISE:g} or more, or hires_fix=false."))
    if inputs.has_image:
        is_painted_over = inputs.has_mask or request.mask_prompt or keeps_background(request) or not steers_only(request)
        if request.denoising_strength and not is_painted_over:
            text = "denoising_strength has no effect: with controlnet_txt2img=true the input image steers only, and the picture is made from noise."
            found.append(Problem("no-effect", "info", text, "Set controlnet_txt2img=false to paint over the input image."))
        return found
    hint = "Connect an image, or set input_image."
    if request.denoising_strength == 0:
        text = "denoising_strength=0 keeps the input image as it is, and there is no input image."
        found.append(Problem("no-input-image", "error", text, "Connect an image, set input_image, or leave denoising_strength empty."))
    if request.only_upscale:
        found.append(Problem("no-input-image", "error", "--only_upscale enlarges the input image, and there is no input image.", hint))
    if request.denoising_strength:
        found.append(Problem("no-effect", "info", "denoising_strength has no effect without an input image."))
    return found


def _mask_problems(request: PromptRequest, family: Family, settings: Settings, inputs: Inputs) -> list[Problem]:
    found = []
    is_masked = inputs.has_mask or bool(request.mask_prompt)
    if inputs.has_mask and not inputs.has_image:
        found.append(Problem("mask-without-image", "error", "A mask is given without an input image.", "Connect the image that the mask belongs to."))
    elif request.mask_prompt and not inputs.has_image:
        text = f"--mask_prompt {' '.join(request.mask_prompt)} masks an input image, and there is none."
        found.append(Problem("mask-without-image", "error", text, "Connect an image, or set input_image."))
    if inputs.has_mask and request.mask_prompt:
        text = f"The given mask is used in place of --mask_prompt {' '.join(request.mask_prompt)}."
        found.append(Problem("mask-overruled", "info", text))
    if is_masked and inputs.has_image and settings.denoise == 0:
        found.append(Problem("mask-without-effect", "warning", "denoising_strength=0 changes nothing, so the mask has no effect."))
    if is_masked and inputs.has_image and family.branch == "sdxl":
        found.append(Problem("sdxl-inpainting", "warning", "Inpainting with SDXL gives poor results.", "Use an SD1.5 or Flux Fill model."))
    if is_masked and steers_only(request):
        text = "controlnet_txt2img=true makes a new picture, and the mask repaints a part of the input image: the mask is followed."
        found.append(Problem("mask-overrules", "info", text, "Set controlnet_txt2img=false to say the same."))
    return found


# Parameters that only tune a step that others turn on.
_TUNED_BY = {
    "mask_prompt": ("mask_negative", "mask_invert", "mask_dilate"),
    "controlnet": ("controlnet_conditioning_scale", "controlnet_txt2img", "control_guidance_end"),
    "hires_fix": ("hires_denoising_strength",),
    "tiled_upscale_v2": ("hires_cfg_scale", "resemblance"),
}


def _without_their_step(request: PromptRequest) -> list[Problem]:
    """Say of parameters that are set, but tune a step the request does not ask for, that they have no effect."""
    on = {
        "mask_prompt": bool(request.mask_prompt),
        "controlnet": bool(controls_of(request)),
        "hires_fix": bool(request.hires_fix or request.tiled_upscale or request.tiled_upscale_v2),
        "tiled_upscale_v2": bool(request.tiled_upscale_v2),
    }
    idle = [(name, switch) for switch, names in _TUNED_BY.items() if not on[switch] for name in names if getattr(request, name)]
    if request.mask_image is not None:  # mask_invert and mask_dilate also work on a given mask
        idle = [(name, switch) for name, switch in idle if name not in ("mask_invert", "mask_dilate")]
    return [Problem("no-effect", "info", f"{name} has no effect without {switch}.") for name, switch in idle]
