"""The numbers that stages have of their own, each with the reason it has that value."""

from __future__ import annotations

from collections.abc import Sequence

from ..families.family import Family
from ..graph.graph import Graph
from ..prompt import PromptRequest
from .build.settings import Explainer, Setting, default_cfg
from .build.sources import Sources
from .build.stage_list import Stage
from .build.text import prompt_segments
from .stages.control import KINDS, controls_of, steering
from .stages.enlarge import DEFAULT_HIRES_CFG, DEFAULT_HIRES_DENOISE, DEFAULT_RESEMBLANCE
from .stages.faces import INPAINT_LIMITS
from .stages.outpaint import ORDINARY_OUTPAINT_DENOISE


def stage_settings(
    request: PromptRequest, sources: Sources, planned: Sequence[Stage]
) -> tuple[Setting, ...]:
    """Return what the stages that run take beside the request's own settings.

    ControlNets, the new area, the second sampling.
    """
    note = Explainer()
    running = {stage.name for stage in planned}
    if "base" in running:
        _note_controls(request, sources.graph, note)
    if "outpaint" in running:
        _note_outpainting(request, sources.outpaint_family or sources.family, note)
    if "hires_fix" in running:
        _note_second_sampling(request, sources.family, note)
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


def _note_controls(request: PromptRequest, graph: Graph, note: Explainer) -> None:
    kinds = [control.kind for control in controls_of(request) if control.kind in KINDS]
    if "base.pose" in graph.nodes and "pose" not in kinds:
        kinds.append("pose")  # the constant one of people
    weighed = (request.controlnets or ())[: len(request.controlnet_weights or ())]
    for kind in kinds:
        weight, _ = steering(request, kind)
        is_set = kind in weighed or request.controlnet_conditioning_scale is not None
        note.take(f"{kind}.weight", weight if is_set else None, weight, "default")
    if kinds:
        note.take(
            "control_guidance_end",
            request.control_guidance_end,
            1.0,
            "default: ControlNets steer to the end",
        )


def _note_outpainting(request: PromptRequest, family: Family, note: Explainer) -> None:
    segments = (
        prompt_segments(request) if request.outpaint_prompt is None else (request.outpaint_prompt,)
    )
    has_faceids = any(segment.faceids for segment in segments)
    note.take("outpaint.steps", request.steps, family.steps, f"default of {family.title}")
    note.take(
        "outpaint.cfg_scale", request.cfg_scale, *default_cfg(family, has_faceids=has_faceids)
    )
    if family.inpaint:
        note.take(
            "outpaint.strength", None, 1.0, f"{family.title} is shown the source beside the noise"
        )
    else:
        note.take(
            "outpaint.strength",
            None,
            ORDINARY_OUTPAINT_DENOISE,
            "the colours of the filled canvas show through the noise",
        )


def _note_second_sampling(request: PromptRequest, family: Family, note: Explainer) -> None:
    strength = request.hires_denoising_strength
    note.take(
        "hires_denoising_strength",
        strength,
        DEFAULT_HIRES_DENOISE,
        "default of the second sampling",
    )
    if not request.tiled_upscale_v2 or strength == 0:
        return
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
            DEFAULT_HIRES_CFG,
            "default of --tiled_upscale_v2",
        )
