"""Latent consistency models (LCM): which pictures are drawn with one, and with which numbers."""

from __future__ import annotations

from collections.abc import Sequence

from ...families.family import Family
from ...families.few_steps import is_named_lcm
from ...prompt import PromptRequest, Segment
from ...tunes.file_search import Missing
from ...tunes.resolve import Resolver
from .settings import LCM_CFG, LCM_STEPS, Inputs, Settings
from .sources import Sources
from .stage_list import Problem, paints_base, samples_again
from .text import lora_weights, prompt_segments


def lcm_of_picture(request: PromptRequest, resolver: Resolver, model: str) -> str:
    """Return what makes an LCM of the model that draws the whole picture, empty where nothing is
    known to.

    `model` is what shows that the model itself is one. With persons the base prompt's LoRAs draw
    the scene alone.
    """
    segments = (request.common,) if request.persons else prompt_segments(request)
    return model or _lora_of(segments, resolver)


def lcm_of_outpaint(request: PromptRequest, resolver: Resolver, sources: Sources) -> str:
    """Return what makes an LCM of the model that draws the new area, as `lcm_of_picture` does.

    --outpaint_prompt replaces the prompt with its LoRAs there.
    """
    own = request.outpaint_prompt
    segments = prompt_segments(request) if own is None else (own,)
    model = sources.lcm_sign if sources.outpaint_models is None else ""
    return model or _lora_of(segments, resolver)


def _lora_of(segments: Sequence[Segment], resolver: Resolver) -> str:
    for name, (weight, _) in lora_weights(segments).items():
        found = resolver.lora(name)
        file = name if isinstance(found, Missing) else found.file
        if weight > 0 and is_named_lcm(file):
            return file
    return ""


def lcm_problems(
    request: PromptRequest, settings: Settings, inputs: Inputs, family: Family
) -> tuple[Problem, ...]:
    """Return what `scheduler=lcm` lacks: it draws well with an LCM only."""
    draws = (
        paints_base(request, settings, inputs)
        or (samples_again(request) and request.hires_denoising_strength != 0)
        or bool(request.inpaint_faces)
    )
    lacking = [
        where
        for where, is_drawn, lcm in (
            ("the picture", draws, settings.lcm),
            ("the new area", request.outpaint is not None, settings.outpaint_lcm),
        )
        if is_drawn and not lcm
    ]
    if settings.scheduler != "lcm" or not (lacking or not family.has_lcm):
        return ()
    if not family.has_lcm:
        text = (
            f"scheduler=lcm is made for LCMs of Stable Diffusion; {family.title} runs on its"
            " sampler with its own steps and guidance."
        )
        return (Problem("no-lcm", "warning", text, f"Leave scheduler empty for {family.title}."),)
    text = (
        f"scheduler=lcm draws well with an LCM only, and for {' and '.join(lacking)} no model or"
        " LoRA is named as one (lcm in its file's name): steps and cfg_scale stay those of an"
        " ordinary model."
    )
    hint = (
        "Add an LCM-LoRA, such as <lora:lcm-lora-sdv1-5:1>, with persons to the common prompt and"
        " with --outpaint_prompt to that as well, or use an LCM as the model; one under another"
        f" name wants steps={LCM_STEPS} and cfg_scale={LCM_CFG:g}. Or choose another scheduler."
    )
    return (Problem("no-lcm", "warning", text, hint),)
