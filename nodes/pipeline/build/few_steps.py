"""What was distilled to few steps, and is to be painted as ordinary models are."""

from __future__ import annotations

from collections.abc import Sequence

from ...families.facts import Family, Guidance
from ...families.few_steps import FewSteps, few_steps_of
from ...prompt import PromptRequest
from ...tunes.file_search import Missing
from ...tunes.resolve import Resolver
from .settings import LCM_CFG, Inputs, Settings
from .stage_list import Problem, paints_base, samples_again
from .text import lora_weights

# Beyond what the pages of such models ask for, which is 1 to 12 steps and a guidance of 0 to 3
# (huggingface.co/ByteDance/SDXL-Lightning, /ByteDance/Hyper-SD, /tianweiy/DMD2,
# /stabilityai/sdxl-turbo; TurboVisionXL and DreamShaper XL Turbo).
MOST_STEPS, MOST_CFG = 15, 3.0


def few_step_files(request: PromptRequest, resolver: Resolver, model: str) -> tuple[str, ...]:
    """Return the files that paint and whose names say that they were made for few steps: the
    `model`, if that is one, persons' checkpoints, and LoRAs.
    """
    found = [model] if model and few_steps_of(model) else []
    said = [request.base, request.common, *request.persons]
    if request.outpaint_prompt is not None:
        said.append(request.outpaint_prompt)
    for name, (weight, _) in lora_weights(said).items():
        tag = resolver.lora(name)
        if weight <= 0 or isinstance(tag, Missing):
            continue
        if few_steps_of(tag.file, is_lora=tag.kind == "lora"):
            found.append(tag.file)
    return tuple(dict.fromkeys(found))


def few_steps_problems(
    request: PromptRequest, settings: Settings, inputs: Inputs, family: Family, hires_cfg: float
) -> tuple[Problem, ...]:
    """Return a warning where what was made for few steps is painted in many, or guided as ordinary
    models are; `hires_cfg` is the guidance of hires fix in tiles.
    """
    files = [(file, few) for file in inputs.few_steps if (few := _few_steps_of(file))]
    draws = (
        paints_base(request, settings, inputs)
        or (samples_again(request) and request.hires_denoising_strength != 0)
        or bool(request.inpaint_faces)
        or request.outpaint is not None
    )
    if not (files and draws) or family.steps <= MOST_STEPS:
        return ()
    known = [few for _, few in files]
    beyond = []
    if settings.steps > MOST_STEPS:
        beyond.append(f"steps={settings.steps}")
    is_guided = family.guidance is not Guidance.CFG or all(few.is_guided for few in known)
    if not is_guided and settings.cfg > MOST_CFG:
        beyond.append(f"cfg_scale={settings.cfg:g}")
    if not is_guided and request.tiled_upscale_v2 and hires_cfg > MOST_CFG:
        beyond.append(f"--hires_cfg_scale {hires_cfg:g}")
    if not beyond:
        return ()
    names = " and ".join(file for file, _ in files)
    was = "was" if len(files) == 1 else "were"
    text = (
        f"By the name, {names} {was} made for few steps, and the picture is painted by"
        f" {' and '.join(beyond)}, as ordinary models are: it comes out burnt or overdone."
    )
    return (Problem("few-steps", "warning", text, _hint(known, is_guided=is_guided)),)


def _few_steps_of(file: str) -> FewSteps | None:
    return few_steps_of(file) or few_steps_of(file, is_lora=True)


def _hint(known: Sequence[FewSteps], *, is_guided: bool) -> str:
    steps = next((few.steps for few in known if few.steps), 0)
    wanted = f"steps={steps}" if steps else "steps=4 to 8"
    if not is_guided:
        wanted += " and cfg_scale=1 to 2"
    hint = f"Set {wanted}, or what the page says where you got it."
    if all(few.is_lcm for few in known):
        return f"{hint} scheduler=lcm brings its own, 8 steps at {LCM_CFG:g}."
    return hint
