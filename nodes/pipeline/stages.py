"""Which stages a request asks for, in the pipeline's order, and what speaks against running it."""

from __future__ import annotations

from dataclasses import dataclass

from ..prompt import PromptRequest
from .family import Family
from .settings import Inputs, Settings

UPSCALE_FACTOR = 4
# The host reaches a strength d by working out steps / d noise levels, in Python, and running the last of them.
LEAST_DENOISE = 0.01
MAX_PERSONS = 8


@dataclass(frozen=True)
class Problem:
    """Something that keeps a request from running (`error`), or that its author should know (`info`, `warning`)."""

    code: str
    severity: str
    message: str
    hint: str = ""

    def render(self) -> str:
        return f"{self.message} {self.hint}".strip()


@dataclass(frozen=True)
class Stage:
    """One step of the pipeline: what it does, why it runs, how large its result is and what is checked on it."""

    name: str
    kind: str
    why: str
    size: str
    invariant: str = ""
    built: bool = True


def stages(request: PromptRequest, settings: Settings, inputs: Inputs) -> tuple[Stage, ...]:
    """Return the stages of the request in the order of the pipeline, whether or not they are built yet."""
    found: list[Stage] = []
    size = f"{settings.width}x{settings.height}" if settings.width else "the input image's size"
    base = _base_stage(request, settings, inputs, size)
    if base:
        found.append(base)
    if request.outpaint is not None:
        size = f"{request.outpaint_width}x{request.outpaint_height}"
        found.append(Stage("outpaint", "outpaint", f"--outpaint {request.outpaint}", size, "source window bit-identical"))
    if request.hires_fix:
        found.append(Stage("hires_fix", "hires fix", "hires_fix=true", _times(2, size), built=False))
    if request.super_resolution or request.inpaint_faces or request.hires_fix:
        turned_on_by = "inpaint_faces" if request.inpaint_faces else "hires_fix"
        why = "super_resolution=true" if request.super_resolution else f"{turned_on_by}=true turns it on"
        size = _times(UPSCALE_FACTOR, size)
        found.append(Stage("super_resolution", "upscale model", why, size))
    for name, wanted, why, invariant in _finishing(request):
        if wanted:
            found.append(Stage(name, name.replace("_", " "), why, size, invariant, built=False))
    return tuple(found)


def _base_stage(request: PromptRequest, settings: Settings, inputs: Inputs, size: str) -> Stage | None:
    if request.only_upscale or (inputs.has_image and settings.denoise == 0):
        return None
    if not inputs.has_image:
        return Stage("base", "txt2img", "no input image", size)
    if inputs.has_mask:
        return Stage("base", "inpaint", "an input image and a mask", size, "unmasked pixels bit-identical")
    if keeps_background(request):
        why = "no base and no common prompt: only the people change"
        return Stage("base", "inpaint", why, size, "pixels outside the people bit-identical")
    return Stage("base", "img2img", f"an input image, denoising_strength={settings.denoise:g}", size)


def keeps_background(request: PromptRequest) -> bool:
    """Say whether only the people of an input image are to change: the prompt starts BREAK BREAK."""
    return bool(request.persons) and request.base.is_empty and request.common.is_empty


def _times(factor: int, size: str) -> str:
    """Return `size` enlarged: exactly when it is known now, in words when it is the input image's own."""
    across, _, down = size.partition("x")
    return f"{int(across) * factor}x{int(down) * factor}" if across.isdigit() else f"{factor}x {size}"


def _finishing(request: PromptRequest) -> tuple[tuple[str, bool, str, str], ...]:
    outside = "outside the face masks bit-identical"
    return (
        ("inpaint_faces", bool(request.inpaint_faces), "inpaint_faces=true", outside),
        ("face_swap", bool(request.face_swap), "face_swap=true", outside),
        ("face_correct", bool(request.face_correct), "face_correct=true", outside),
        ("color_grading", request.color_grading is not None, f"color_grading={request.color_grading}", ""),
        ("film_grain", bool(request.film_grain), "film_grain=true", ""),
        ("remove_background", bool(request.remove_background), "--remove_background", ""),
    )


def problems(request: PromptRequest, family: Family, settings: Settings, inputs: Inputs) -> tuple[Problem, ...]:
    """Return everything that speaks against running the request as it is: parts not built, inputs missing, values without effect."""
    found = [_not_built(what) for what in _unbuilt(request, settings, inputs)]
    found += _people_problems(request)
    found += _input_problems(request, settings, inputs)
    found += _without_their_stage(request)
    if family.is_flux and request.negative:
        text = f"negative_prompt has no effect on {family.title}: its true CFG is 1."
        found.append(Problem("negative-without-effect", "info", text, "Describe what you want instead."))
    if family.branch == "sdxl" and inputs.has_mask:
        found.append(Problem("sdxl-inpainting", "warning", "Inpainting with SDXL gives poor results.", "Use an SD1.5 or Flux Fill model."))
    return tuple(found)


def _unbuilt(request: PromptRequest, settings: Settings, inputs: Inputs) -> list[str]:
    """Name each set parameter whose stage does not exist in this version of the pack."""
    named = [
        (f"controlnet={request.controlnet}", request.controlnet is not None),
        ("--controlnets", bool(request.controlnets)),
        ("--mask_prompt", bool(request.mask_prompt)),
        ("mask flags on a connected mask", inputs.has_mask and bool(request.mask_invert or request.mask_dilate or request.mask_negative)),
        (f"style={request.style}", request.style is not None),
        ("--tiled_upscale", bool(request.tiled_upscale)),
        ("--tiled_upscale_v2", bool(request.tiled_upscale_v2)),
        ("--only_upscale", bool(request.only_upscale)),
        ("--upscale_v4", bool(request.upscale_v4)),
        ("--faceid_portrait", bool(request.faceid_portrait)),
        ("<faceid:...> in --outpaint_prompt", request.outpaint_prompt is not None and bool(request.outpaint_prompt.faceids)),
    ]
    unbuilt_stages = [stage.why for stage in stages(request, settings, inputs) if not stage.built]
    return _unbuilt_wording(request) + [name for name, is_set in named if is_set] + unbuilt_stages


def wording_problems(request: PromptRequest) -> tuple[Problem, ...]:
    """Return what the request's text and tags ask for that encoding them cannot give yet."""
    return (*(_not_built(what) for what in _unbuilt_wording(request)), *_people_problems(request))


def _unbuilt_wording(request: PromptRequest) -> list[str]:
    return ["<faceid:...>"] if any(segment.faceids for segment in request.prompt) else []


# Parameters that only tune a step that others turn on.
_TUNED_BY = {
    "mask_prompt": ("mask_negative", "mask_invert", "mask_dilate"),
    "controlnet": ("controlnet_conditioning_scale", "controlnet_txt2img", "control_guidance_end"),
    "hires_fix": ("hires_denoising_strength",),
    "tiled_upscale": ("hires_cfg_scale", "resemblance"),
}


def _without_their_stage(request: PromptRequest) -> list[Problem]:
    """Say of parameters that are set, but tune a step the request does not ask for, that they have no effect."""
    found = []
    for switch, names in _TUNED_BY.items():
        if getattr(request, switch) or (switch == "controlnet" and request.controlnets) or (switch == "tiled_upscale" and request.tiled_upscale_v2):
            continue
        idle = [name for name in names if getattr(request, name)]
        found += [Problem("no-effect", "info", f"{name} has no effect without {switch}.") for name in idle]
    return found


def _people_problems(request: PromptRequest) -> list[Problem]:
    found = []
    if len(request.persons) > MAX_PERSONS:
        text = f"The prompt describes {len(request.persons)} persons; at most {MAX_PERSONS} fit one picture."
        found.append(Problem("too-many-persons", "error", text, "Take some BREAK segments out."))
    if len(request.negative) > len(request.prompt) and len(request.negative) > 2:
        text = f"The negative prompt has {len(request.negative)} BREAK segments, and the prompt {len(request.prompt)}."
        found.append(Problem("negative-without-person", "error", text, "Each negative segment belongs to the prompt's segment of the same number."))
    return found


def _not_built(what: str) -> Problem:
    text = f"{what}: this version of the pack cannot do this yet, so the request would not give what it asks for."
    return Problem("not-built", "error", text, "Take it out of the prompt, or wire that step with ComfyUI's own nodes.")


def _input_problems(request: PromptRequest, settings: Settings, inputs: Inputs) -> list[Problem]:
    found = []
    if inputs.has_mask and not inputs.has_image:
        found.append(Problem("mask-without-image", "error", "A mask is given without an input image.", "Connect the image that the mask belongs to."))
    if request.denoising_strength == 0 and not inputs.has_image:
        text = "denoising_strength=0 keeps the input image as it is, and there is no input image."
        found.append(Problem("no-input-image", "error", text, "Connect an image, set input_image, or leave denoising_strength empty."))
    if inputs.has_image and 0 < settings.denoise < LEAST_DENOISE:
        text = f"denoising_strength={settings.denoise:g} is too small: ComfyUI works out {settings.steps}/{settings.denoise:g} noise levels for it."
        hint = f"Set it to {LEAST_DENOISE:g} or more, or to 0 to leave the input image as it is."
        found.append(Problem("denoise-too-small", "error", text, hint))
    if request.denoising_strength and not inputs.has_image:
        found.append(Problem("no-effect", "info", "denoising_strength has no effect without an input image."))
    if inputs.has_image and settings.denoise == 0 and inputs.has_mask:
        text = "denoising_strength=0 changes nothing, so the mask has no effect."
        found.append(Problem("mask-without-effect", "warning", text))
    return found
