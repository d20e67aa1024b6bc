"""How strictly a picture follows its text: what `cfg_scale` and its like say, and what they do."""

from __future__ import annotations

from ...families.facts import LEAST_CFG, Family
from ...prompt import PromptRequest
from .stage_list import Problem


def numbers_of(request: PromptRequest) -> dict[str, float]:
    """Return the numbers of guidance that a prompt sets and that count, as they are written."""
    numbers = {"cfg_scale": request.cfg_scale}
    if request.tiled_upscale_v2:  # without it another note says that it does nothing
        numbers["--hires_cfg_scale"] = request.hires_cfg_scale
    return {name: number for name, number in numbers.items() if number is not None}


def guidance_problems(
    request: PromptRequest, family: Family, cfg: float, hires_cfg: float
) -> list[Problem]:
    """Return notes of guidance, and of a negative prompt, that have no effect or another one than
    ComfyUI's own; `hires_cfg` is that of hires fix in tiles.
    """
    found = []
    if not family.takes_guidance:
        for name in numbers_of(request):
            text = f"{name} has no effect on {family.title}: it takes no guidance."
            found.append(Problem("no-effect", "info", text))
    if not family.takes_negative:
        if request.negative:
            text = f"negative_prompt has no effect on {family.title}: its true CFG is 1."
            hint = "Describe what you want instead."
            found.append(Problem("negative-without-effect", "info", text, hint))
        return found
    for name, number in numbers_of(request).items():
        if number < LEAST_CFG:
            text = (
                f"{name} {number:g} is painted as 1, without guidance, as in diffusers: below 1"
                " ComfyUI turns away from the text."
            )
            found.append(Problem("without-guidance", "info", text))
    used = [cfg, *([hires_cfg] if request.tiled_upscale_v2 else [])]
    if request.negative and max(used) <= LEAST_CFG:
        text = "negative_prompt has no effect at cfg_scale=1: without guidance nothing reads it."
        hint = "Set cfg_scale above 1, as far as the model bears it, or leave the words out."
        found.append(Problem("negative-without-effect", "info", text, hint))
    return found
