"""Stage 2, the picture on a larger canvas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ...base.sizes import size_note
from ...errors import ImageError
from ...families.family import Family
from ...graph.outputs import OutpaintCanvasNode, add_node
from ...outpaint.geometry import place, smaller_note
from ...prompt import PromptRequest, Segment
from ..build.plan_builder import PictureContext, PlanBuilder, StagePicture
from ..build.settings import Settings, default_cfg, default_steps
from ..build.stage_list import Problem, Stage
from ..build.text import negative_segments, prompt_segments
from .inpaint_patch import ShownPicture, add_shown_picture, inpaint_patch
from .people import PeopleGround, add_regions, are_drawn_again
from .sampling import Painting, add_masked_latent, add_sampling
from .scene import add_scene

# Ordinary models do not see the source through extra channels. Starting them a little below pure
# noise lets the colours of the edge-extended fill through, so that the new area continues the
# picture instead of starting another one.
ORDINARY_OUTPAINT_DENOISE = 0.95
# How far repainting reaches softly into the source, so that texture meets without a cut; the
# composite restores every source pixel. Models that see the source are shown grey where the mask
# rounds to 1, so they get less.
OVERLAP_PX = {True: 8, False: 16}  # by whether the source is seen


def add_outpaint(builder: PlanBuilder, stage: Stage, picture: StagePicture) -> StagePicture:
    """Add the stage and return the picture at exactly the size of the canvas."""
    request, settings, graph = builder.request, builder.settings, builder.graph
    family = builder.sources.outpaint_family or builder.family
    segments = _segments(request)
    settings = _own_settings(request, family, settings, segments)
    encoded = add_scene(
        builder,
        "outpaint",
        builder.sources.outpaint_models or builder.sources.models,
        builder.resolve_text(segments, negative_segments(request)),
        settings,
        family,
        "the new area of the outpainting",
    )
    patch = inpaint_patch(builder, family)
    sees_source = family.inpaint or patch is not None
    _tell_of_the_text(builder, family, segments, sees_source=sees_source)
    canvas = _add_canvas(builder, picture, family, sees_source=sees_source)
    if patch is not None:
        shown = ShownPicture(patch, canvas.image, canvas.mask)
        encoded = add_shown_picture(builder, "outpaint.inpaint", encoded, shown)
    context = _moved_people(builder, canvas, picture.context)
    encoded, latent = add_masked_latent(
        graph, "outpaint", encoded, canvas.image, canvas.mask, family
    )
    denoise = 1.0 if sees_source else ORDINARY_OUTPAINT_DENOISE
    painting = Painting(encoded, latent, denoise, canvas.image)
    decoded = add_sampling(graph, "outpaint", painting, family, settings)
    extended = graph.add(
        "outpaint.composite",
        "AstriaOutpaintComposite",
        canvas=canvas.canvas,
        painted=decoded,
        heal_seam=True,
    )
    return StagePicture(extended, context)


def _add_canvas(
    builder: PlanBuilder, picture: StagePicture, family: Family, *, sees_source: bool
) -> OutpaintCanvasNode:
    """Add the canvas, and tell what it does to a picture whose size is known by now."""
    request = builder.request
    if picture.context is not None and builder.settings.width:
        _tell_of_a_small_canvas(builder)
    _tell_of_a_large_canvas(builder, family)
    return add_node(
        builder.graph,
        OutpaintCanvasNode,
        "outpaint.canvas",
        image=picture.image,
        anchor=request.outpaint,
        width=request.outpaint_width,
        height=request.outpaint_height,
        smaller=builder.options.smaller_canvas,
        fill="neutral" if sees_source else "edge",
        overlap_px=builder.family.scaled_px(OVERLAP_PX[sees_source]),
        multiple=family.multiple,
    )


def _tell_of_a_small_canvas(builder: PlanBuilder) -> None:
    """Tell what a canvas no larger than the picture that was painted does to it."""
    request, smaller = builder.request, builder.options.smaller_canvas
    source = builder.settings.width or 0, builder.settings.height or 0
    size = request.outpaint_width or 0, request.outpaint_height or 0
    try:
        canvas = place(*source, *size, request.outpaint or "", smaller=smaller)
    except ImageError as error:
        builder.tell(Problem(error.code, "error", error.message, error.hint))
        return
    if note := smaller_note(canvas, *source):
        severity = "info" if smaller == "shrink" else "warning"
        builder.tell(Problem("outpaint-canvas", severity, note, is_nodes=True))


def _tell_of_a_large_canvas(builder: PlanBuilder, family: Family) -> None:
    """Tell that the canvas, all of which is sampled, is larger than the model paints well."""
    size = builder.request.outpaint_width or 0, builder.request.outpaint_height or 0
    sides = "--outpaint_width and --outpaint_height"
    if note := size_note(*size, family.most_px, sides):
        builder.tell(Problem("size", "warning", note))


def _tell_of_the_text(
    builder: PlanBuilder, family: Family, segments: Sequence[Segment], *, sees_source: bool
) -> None:
    """Tell what the text of the new area may paint twice, or leave out."""
    if builder.request.outpaint_prompt is not None:
        if family.text.in_sequence and not sees_source:
            _tell_of_the_whole_picture(builder, family)
    elif any(segment.pieces for segment in segments):
        _tell_of_the_prompts_own_words(builder)


def _tell_of_the_prompts_own_words(builder: PlanBuilder) -> None:
    """Tell that the words of the picture paint the new area as well."""
    text = (
        "The prompt's own words paint the new area: what they name and the picture shows already,"
        " such as a person, may be painted there once more, or in part."
    )
    hint = (
        'Where only the place is to go on, say it alone: --outpaint_prompt "fields". Where a person'
        " is to go on, such as from the waist down, the prompt's words are right."
    )
    builder.tell(Problem("outpaint-prompt-own", "info", text, hint))


def _tell_of_the_whole_picture(builder: PlanBuilder, family: Family) -> None:
    """Tell that the text of the new area is read as that of the source too."""
    text = (
        f"{family.title} reads outpaint_prompt as the text of the whole picture, its source"
        " included. Where it leaves out who is in the source, those whom it names for the new area"
        " may be missing, or be cut off at the seam."
    )
    hint = (
        "Where it names somebody, say in outpaint_prompt all that the new picture shows, such as"
        " two people, and both of them; where it names a place alone, nothing is to do. Or bind an"
        " inpainting model, which sees the source."
    )
    builder.tell(Problem("outpaint-prompt-whole", "info", text, hint))


def _segments(request: PromptRequest) -> Sequence[Segment]:
    """Return the text of the new area: its own, else the prompt's."""
    if request.outpaint_prompt is None:
        return prompt_segments(request)
    return (request.outpaint_prompt,)


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


def _moved_people(
    builder: PlanBuilder, canvas: OutpaintCanvasNode, context: PictureContext | None
) -> PictureContext | None:
    """Return the context with the persons' regions on the canvas, where a stage behind this one
    draws people once more.
    """
    request = builder.request
    if context is None or context.regions is None or not are_drawn_again(request):
        return context
    masks = builder.graph.add(
        "outpaint.people",
        "AstriaOutpaintMasks",
        canvas=canvas.canvas,
        masks=context.regions.masks,
    )
    ground = PeopleGround(request.outpaint_width or 0, request.outpaint_height or 0, masks=masks)
    return replace(context, regions=add_regions(builder, "outpaint", ground))
