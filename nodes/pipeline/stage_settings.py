"""The numbers that stages have of their own, each with the reason it has that value."""

from __future__ import annotations

from collections.abc import Sequence

from ..control.modes import FLUX_NUMBERS, INPAINT_STRENGTH, SDXL_NUMBERS, flux_advice
from ..families.family import Family
from ..graph.graph import Graph
from ..prompt import PromptRequest
from .build.controls import Control
from .build.settings import Explainer, Setting, Settings, default_cfg, default_steps
from .build.sources import Sources
from .build.stage_list import Stage
from .build.text import prompt_segments
from .stages.control import KINDS, advice_for, is_by_union, steering
from .stages.enlarge import DEFAULT_HIRES_DENOISE, DEFAULT_RESEMBLANCE, default_hires_cfg
from .stages.faces import INPAINT_LIMITS
from .stages.inpaint_patch import INPAINT_NODE
from .stages.outpaint import ORDINARY_OUTPAINT_DENOISE

# Whose numbers union ControlNets know kinds by: their title, and the numbers.
_UNIONS = {"sdxl": ("SDXL", SDXL_NUMBERS), "flux": ("Flux", FLUX_NUMBERS)}


def stage_settings(
    request: PromptRequest, sources: Sources, planned: Sequence[Stage], settings: Settings
) -> tuple[Setting, ...]:
    """Return the settings of the stages that run, beside those of the whole request.

    ControlNets, the new area, the second sampling.
    """
    note = Explainer()
    running = {stage.name for stage in planned}
    if "base" in running:
        _note_controls(request, settings.controls, sources, note)
        _note_patch("base", sources.graph, note)
    if "outpaint" in running:
        painter = sources.outpaint_family or sources.family
        _note_outpainting(request, painter, settings.outpaint_lcm, note)
        _note_outpaint_strength(painter, sources.graph, note)
    if "hires_fix" in running:
        _note_second_sampling(request, sources.family, settings.lcm, note)
    if "inpaint_faces" in running:
        _note_face_limits(note)
    return tuple(note.settings)


def _note_face_limits(note: Explainer) -> None:
    most, least = INPAINT_LIMITS["max_faces"], INPAINT_LIMITS["min_size"]
    note.take(
        "inpaint_faces.max_faces",
        None,
        most,
        "the largest faces, as many as a prompt can name; of a crowd the others stay",
    )
    note.take(
        "inpaint_faces.min_size",
        None,
        least,
        "of the picture's shorter side; smaller faces stay, since most are none",
    )


def _note_controls(
    request: PromptRequest, controls: Sequence[Control], sources: Sources, note: Explainer
) -> None:
    graph, family = sources.graph, sources.family
    kinds = [control.kind for control in controls if control.kind in KINDS]
    if "base.pose" in graph.nodes and "pose" not in kinds:
        kinds.append("pose")  # the constant one of people
    weighed = (request.controlnets or ())[: len(request.controlnet_weights or ())]
    advised = {kind: advice_for(graph, family, kind) for kind in kinds}
    for kind, advice in advised.items():
        weight, _ = steering(request, controls, kind, advice)
        is_set = kind in weighed or request.controlnet_conditioning_scale is not None
        why = _unadvised(kind, family) if advice is None else f"default: {advice.source}"
        note.take(f"{kind}.weight", weight if is_set else None, weight, why)
        if is_by_union(graph, kind):
            note.settings.append(_mode(kind, family))
    if family.patched_controls:
        return  # which has no end
    if request.control_guidance_end is not None or None in advised.values():
        note.take(
            "control_guidance_end",
            request.control_guidance_end,
            1.0,
            "default: ControlNets steer to the end",
        )
    if request.control_guidance_end is None:
        for kind, advice in advised.items():
            if advice is not None:
                why = f"default: {advice.source}"
                note.take(f"{kind}.control_guidance_end", None, advice.end, why)


def _unadvised(kind: str, family: Family) -> str:
    """Return why a ControlNet steers by 1 whose file is not known to be a union."""
    if family.controls != "flux":
        return "default"
    advice = flux_advice(kind)
    return (
        f"default; of a union of Flux its authors advise {advice.strength:g} until"
        f" {advice.end:g}: set controlnet_conditioning_scale and --control_guidance_end"
    )


def _mode(kind: str, family: Family) -> Setting:
    """Return by which number the union ControlNets of a family know a kind."""
    title, numbers = _UNIONS[family.controls]
    if kind in numbers:
        why = f"its number in union ControlNets of {title}; a file without modes needs none"
        return Setting(f"{kind}.mode", numbers[kind], why)
    why = (
        f"union ControlNets of {title} have no mode for it: one with modes steers without;"
        f" controlnet_{kind} is the role of a ControlNet made for it"
    )
    return Setting(f"{kind}.mode", "none", why)


def _note_outpainting(request: PromptRequest, family: Family, lcm: str, note: Explainer) -> None:
    segments = (
        prompt_segments(request) if request.outpaint_prompt is None else (request.outpaint_prompt,)
    )
    has_faceids = any(segment.faceids for segment in segments)
    note.take("outpaint.steps", request.steps, *default_steps(family, lcm))
    note.take(
        "outpaint.cfg_scale", request.cfg_scale, *default_cfg(family, lcm, has_faceids=has_faceids)
    )


def _note_outpaint_strength(family: Family, graph: Graph, note: Explainer) -> None:
    patched = _note_patch("outpaint", graph, note)
    strength, why = 1.0, f"{family.title} is shown the source beside the noise"
    if patched:
        why = "control_patch is shown the source beside the noise"
    elif not family.inpaint:
        strength = ORDINARY_OUTPAINT_DENOISE
        why = "the colours of the filled canvas show through the noise"
    note.take("outpaint.strength", None, strength, why)


def _note_patch(stage: str, graph: Graph, note: Explainer) -> bool:
    """Note how strongly the ControlNet steers that is shown a stage's masked picture without a map,
    and return whether one is.
    """
    shown = graph.nodes.get(f"{stage}.inpaint")
    if shown is None or shown.class_type != INPAINT_NODE:
        return False
    why = "default: that of its authors' examples of inpainting"
    note.take(f"{stage}.control_patch.weight", None, INPAINT_STRENGTH, why)
    return True


def _note_second_sampling(
    request: PromptRequest, family: Family, lcm: str, note: Explainer
) -> None:
    strength = request.hires_denoising_strength
    note.take(
        "hires_denoising_strength",
        strength,
        DEFAULT_HIRES_DENOISE,
        "default of the second sampling",
    )
    if not request.tiled_upscale_v2 or strength == 0:
        return
    if family.controls:
        note.take(
            "resemblance",
            request.resemblance,
            DEFAULT_RESEMBLANCE,
            "default weight of the tile ControlNet",
        )
    if family.takes_guidance:
        note.take(
            "hires_cfg_scale",
            request.hires_cfg_scale,
            *default_hires_cfg(family, lcm),
        )
