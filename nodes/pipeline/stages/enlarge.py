"""Stages 3 and 4.

The second sampling at twice the size, whole or tile by tile, and super-resolution.
"""

from __future__ import annotations

from dataclasses import replace

from ...families.family import Family
from ...graph.graph import Link, Value
from ...graph.outputs import FitImageNode, add_node
from ...prompt import PromptRequest
from ...tunes.file_search import Missing
from ..build.plan_builder import PictureContext, PlanBuilder, StagePicture
from ..build.settings import LCM_CFG, Settings
from ..build.stage_list import HIRES_FACTOR, UPSCALE_FACTOR, Problem, Stage, keeps_background
from ..build.text import Encoded, add_encoding, negative_segments, prompt_segments
from .control import steered
from .people import PeopleGround, add_regional, fitted_masks, found_people, in_regions
from .sampling import Painting, add_sampling, add_whole_latent
from .scene import encode_prompt

DEFAULT_HIRES_DENOISE = 0.4
DEFAULT_HIRES_CFG = 5.5
DEFAULT_RESEMBLANCE = 0.65
TILE_OVERLAP = 8  # the tile's side is this many overlaps
TILE_STEP = 128  # pixels; tiles of every family may be a multiple of it


def add_hires(builder: PlanBuilder, stage: Stage, picture: StagePicture) -> StagePicture:
    """Add the stage: the picture enlarged twice by the upscale model, then sampled again.

    Return it at exactly twice its size.
    """
    upscaler = builder.require_for_stage(builder.loaders.model("upscaler"), stage)
    if upscaler is None:
        return picture
    graph, request = builder.graph, builder.request
    big = graph.add(
        "hires_fix.upscale",
        "AstriaSuperResolution",
        image=picture.image,
        upscale_model=upscaler,
        factor=float(HIRES_FACTOR),
    )
    if request.hires_denoising_strength == 0:  # nothing of it is to be drawn anew
        return picture.with_image(big)
    fit = add_node(
        graph,
        FitImageNode,
        "hires_fix.fit",
        image=big,
        width=0,
        height=0,
        multiple=builder.family.multiple,
        most_px=0,
    )
    encoded, context = _second_conditioning(builder, big, picture.context)
    settings, size = builder.settings, fit.image
    if request.tiled_upscale or request.tiled_upscale_v2:
        encoded, settings = _tiled(builder, encoded, fit.image)
        size = (builder.family.native_size, builder.family.native_size)  # of a tile
    encoded, latent = add_whole_latent(graph, "hires_fix", encoded, fit.image, builder.family)
    strength = request.hires_denoising_strength
    denoise = DEFAULT_HIRES_DENOISE if strength is None else strength
    painting = Painting(encoded, latent, denoise, size)
    drawn = add_sampling(graph, "hires_fix", painting, builder.family, settings)
    result = graph.add("hires_fix.restore_size", "AstriaRestoreSize", image=drawn, fit=fit.fit)
    return StagePicture(_unmasked_kept(builder, result, big, context), context)


def add_super_resolution(builder: PlanBuilder, stage: Stage, picture: StagePicture) -> StagePicture:
    """Add the stage: four times the size of the picture before the second sampling, whatever that
    already gave.
    """
    model = builder.require_for_stage(_upscaler(builder), stage)
    if model is None:
        _tell_of_small_faces(builder)
        return picture
    was_enlarged = "hires_fix.upscale" in builder.graph.nodes
    factor = UPSCALE_FACTOR / (HIRES_FACTOR if was_enlarged else 1)
    enlarged = builder.graph.add(
        "super_resolution.upscale",
        "AstriaSuperResolution",
        image=picture.image,
        upscale_model=model,
        factor=factor,
    )
    return picture.with_image(enlarged)


def _upscaler(builder: PlanBuilder) -> Value | Missing:
    """Return the model that enlarges four times; where none is there, its absence says that faces
    can do without.
    """
    found = builder.loaders.model("upscaler")
    if not isinstance(found, Missing) or not builder.request.inpaint_faces:
        return found
    way_out = "Or set missing_models to skip: faces are then drawn in the picture as it is."
    return replace(found, hint=f"{found.hint} {way_out}")


def _tell_of_small_faces(builder: PlanBuilder) -> None:
    if builder.request.inpaint_faces and builder.options.missing_models == "skip":
        text = (
            "inpaint_faces draws the faces in the picture as it is, which no super-resolution has"
            " enlarged four times: small faces get less detail."
        )
        builder.tell(Problem("faces-not-enlarged", "warning", text))


def _second_conditioning(
    builder: PlanBuilder, image: Link, context: PictureContext | None
) -> tuple[Encoded, PictureContext]:
    """Return the model and conditionings of the second sampling, and the context from now on.

    They are those of the first sampling, and after an outpainting also speak of the new area.
    `image` is the enlarged picture, in which persons are looked for where no stage before has
    drawn them.
    """
    request = builder.request
    new_area = () if request.outpaint_prompt is None else (request.outpaint_prompt,)
    if context is None:
        context = encode_prompt(builder, "hires_fix", new_area)
        if context.persons is not None:
            ground = PeopleGround(0, 0, image, _people_masks(builder, image))
            context = in_regions(builder, "hires_fix", context, ground)
        return context.drawn, context
    if request.outpaint is None:
        return context.drawn, context
    # The models already hold the LoRAs of the picture; those of the new area stay in it.
    prompt_text = builder.resolve_text(
        (*prompt_segments(request), *new_area), negative_segments(request)
    )
    encoded = add_encoding(
        builder.graph,
        "hires_fix",
        context.scene.models,
        prompt_text,
        builder.family,
        builder.settings.cfg,
    )
    if context.persons is not None and context.regions is not None:
        regions = context.regions.regions
        encoded = add_regional(builder.graph, "hires_fix", encoded, regions, context)
    return encoded, context


def _people_masks(builder: PlanBuilder, picture: Link) -> Value | None:
    """Return a mask for each person of a picture that no stage before has painted.

    The artist's, else of the people found in it.
    """
    if builder.sources.person_masks is not None and builder.request.outpaint is None:
        return fitted_masks(builder, "hires_fix", 1)
    return found_people(builder, "hires_fix", picture)


def _tiled(builder: PlanBuilder, encoded: Encoded, picture: Link) -> tuple[Encoded, Settings]:
    """Return the model that samples in overlapping tiles.

    Version 2 also holds to the picture by a tile ControlNet, at its own cfg.
    """
    request, graph, settings = builder.request, builder.graph, builder.settings
    tile = builder.family.native_size // TILE_STEP * TILE_STEP
    model = graph.add(
        "hires_fix.tiles",
        "AstriaTiledDiffusion",
        model=encoded.models.model,
        tile_size=tile,
        overlap=tile // TILE_OVERLAP,
    )
    encoded = replace(encoded, models=replace(encoded.models, model=model))
    if not request.tiled_upscale_v2:
        return encoded, settings
    resemblance = DEFAULT_RESEMBLANCE if request.resemblance is None else request.resemblance
    controlnet = _tile_controlnet(builder)
    if controlnet is not None:
        encoded = steered(
            builder, "hires_fix.control_tile", encoded, controlnet, picture, resemblance, 1.0
        )
    cfg = hires_cfg_of(request, builder.family, settings.lcm)
    if not builder.family.takes_guidance:
        return encoded, settings
    if builder.family.is_distilled:
        positive = graph.add(
            "hires_fix.tile_guidance", "FluxGuidance", conditioning=encoded.positive, guidance=cfg
        )
        return replace(encoded, positive=positive), settings
    return encoded, replace(settings, cfg=cfg)


def _tile_controlnet(builder: PlanBuilder) -> Value | None:
    part = "The tile ControlNet of --tiled_upscale_v2"
    found = builder.loaders.controlnet("tile")
    if builder.family.controls or not isinstance(found, Missing):
        return builder.require_for_part(found, part)
    also = "" if builder.request.resemblance is None else ", and --resemblance has no effect"
    text = (
        f"{part} is left out{also}: {found.message} Lower hires_denoising_strength holds to the"
        " picture."
    )
    builder.tell(Problem("part-skipped", "info", text))
    return None


def default_hires_cfg(family: Family, lcm: str) -> tuple[float, str]:
    """Return the default of --hires_cfg_scale and its reason; `lcm` as in `Settings`."""
    if lcm and family.has_lcm:
        return LCM_CFG, f"default with an LCM: {lcm}"
    return DEFAULT_HIRES_CFG, "default of --tiled_upscale_v2"


def hires_cfg_of(request: PromptRequest, family: Family, lcm: str) -> float:
    """Return the guidance that tiles are painted with; `lcm` as in `Settings`."""
    if request.hires_cfg_scale is None:
        return default_hires_cfg(family, lcm)[0]
    return request.hires_cfg_scale


def _unmasked_kept(builder: PlanBuilder, drawn: Link, big: Link, context: PictureContext) -> Link:
    """Return the result with the enlarged picture's own pixels wherever the first stage repainted
    nothing, where that is wanted.
    """
    graph = builder.graph
    keeps = builder.options.keep_unmasked or keeps_background(builder.request)
    if not keeps or context.mask is None or builder.request.outpaint is not None:
        return drawn
    picture = graph.add("hires_fix.mask_picture", "MaskToImage", mask=context.mask)
    picture = graph.add("hires_fix.mask_size", "AstriaRestoreSize", image=picture, fit=context.fit)
    mask = graph.add("hires_fix.small_mask", "ImageToMask", image=picture, channel="red")
    mask = graph.add(
        "hires_fix.mask", "AstriaFitMasks", image=big, masks=mask, width=0, height=0, multiple=1
    )
    return graph.add(
        "hires_fix.keep_unmasked", "AstriaMaskedComposite", painted=drawn, original=big, mask=mask
    )
