"""Stage 2, the picture on a larger canvas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ...families.family import Family
from ...graph.graph import Link, Value, slot
from ...prompt import PromptRequest, Segment
from ..build.plan_builder import Desk
from ..build.settings import Settings, default_cfg, default_steps
from ..build.stage_list import Stage
from ..build.text import negative_segments, prompt_segments
from .people import Ground, add_regions, are_drawn_again
from .sampling import Painting, add_masked_latent, add_sampling
from .scene import add_scene

# Ordinary models do not see the source through extra channels. Starting them a little below pure
# noise lets the colours of the edge-extended fill through, so that the new area continues the
# picture instead of starting another one.
ORDINARY_OUTPAINT_DENOISE = 0.95
# How far repainting reaches softly into the source, so that texture meets without a cut; the
# composite restores every source pixel. Inpaint models are shown grey where the mask rounds to 1,
# so they get less.
OVERLAP_PX = {True: 8, False: 16}  # by Family.inpaint


def add_outpaint(desk: Desk, stage: Stage, image: Value) -> Link:
    """Add the stage and return the picture at exactly the size of the canvas."""
    request, settings, graph = desk.request, desk.settings, desk.graph
    family = desk.sources.outpaint_family or desk.family
    segments = (
        (request.outpaint_prompt,)
        if request.outpaint_prompt is not None
        else prompt_segments(request)
    )
    settings = _own_settings(request, family, settings, segments)
    models = desk.sources.outpaint_models or desk.sources.models
    encoded = add_scene(
        desk,
        "outpaint",
        models,
        desk.wording(segments, negative_segments(request)),
        settings,
        family,
        "the new area of the outpainting",
    )
    canvas = graph.add(
        "outpaint.canvas",
        "AstriaOutpaintCanvas",
        image=image,
        anchor=request.outpaint,
        width=request.outpaint_width,
        height=request.outpaint_height,
        smaller=desk.options.smaller_canvas,
        fill="neutral" if family.inpaint else "edge",
        overlap_px=OVERLAP_PX[family.inpaint],
        multiple=family.multiple,
    )
    _move_people(desk, canvas)
    encoded, latent = add_masked_latent(graph, "outpaint", encoded, canvas, slot(canvas, 1), family)
    denoise = 1.0 if family.inpaint else ORDINARY_OUTPAINT_DENOISE
    decoded = add_sampling(graph, "outpaint", Painting(encoded, latent, denoise), family, settings)
    return graph.add(
        "outpaint.composite",
        "AstriaOutpaintComposite",
        canvas=slot(canvas, 2),
        painted=decoded,
        heal_seam=True,
    )


def _own_settings(
    request: PromptRequest, family: Family, settings: Settings, segments: Sequence[Segment]
) -> Settings:
    """Return the settings with the stage's own defaults.

    Flux Fill wants another guidance than Flux dev, and more steps than Flux schnell.
    """
    lcm, has_faceids = settings.outpaint_lcm, any(segment.faceids for segment in segments)
    if request.cfg_scale is None:
        settings = replace(settings, cfg=default_cfg(family, lcm, has_faceids=has_faceids)[0])
    if request.steps is None:
        settings = replace(settings, steps=default_steps(family, lcm)[0])
    return settings


def _move_people(desk: Desk, canvas: Link) -> None:
    """Move the persons' regions onto the canvas, for the stages that draw people once more."""
    request, painted = desk.request, desk.painted
    if painted is None or painted.regions is None:
        return
    if not are_drawn_again(request):
        return
    masks = desk.graph.add(
        "outpaint.people",
        "AstriaOutpaintMasks",
        canvas=slot(canvas, 2),
        masks=slot(painted.regions, 1),
    )
    ground = Ground(request.outpaint_width or 0, request.outpaint_height or 0, masks=masks)
    desk.painted = replace(painted, regions=add_regions(desk, "outpaint", ground))
