"""Stages 3 and 4.

The second sampling at twice the size, whole or tile by tile, and super-resolution.
"""

from __future__ import annotations

from dataclasses import replace

from ...families.family import Family
from ...graph.graph import Link, Value, slot
from ...tunes.resolve import Missing
from ..build.plan_builder import Desk
from ..build.settings import LCM_CFG, Settings
from ..build.stage_list import HIRES_FACTOR, UPSCALE_FACTOR, Problem, Stage, keeps_background
from ..build.text import Encoded, add_encoding, negative_segments, prompt_segments
from .control import steered
from .people import Ground, add_regional, fitted_masks, found_people, in_regions
from .sampling import Painting, add_sampling, add_whole_latent
from .scene import say

DEFAULT_HIRES_DENOISE = 0.4
DEFAULT_HIRES_CFG = 5.5
DEFAULT_RESEMBLANCE = 0.65
TILE_OVERLAP = 8  # the tile's side is this many overlaps


def add_hires(desk: Desk, stage: Stage, image: Value) -> Value:
    """Add the stage: the picture enlarged twice by the upscale model, then sampled again.

    Return it at exactly twice its size.
    """
    upscaler = desk.for_stage(desk.kit.model("upscaler"), stage)
    if upscaler is None:
        return image
    graph, request = desk.graph, desk.request
    big = graph.add(
        "hires_fix.upscale",
        "AstriaSuperResolution",
        image=image,
        upscale_model=upscaler,
        factor=float(HIRES_FACTOR),
    )
    if request.hires_denoising_strength == 0:  # nothing of it is to be drawn anew
        return big
    fit = graph.add(
        "hires_fix.fit",
        "AstriaFitImage",
        image=big,
        width=0,
        height=0,
        multiple=desk.family.multiple,
    )
    encoded, settings = _said(desk, big), desk.settings
    if request.tiled_upscale or request.tiled_upscale_v2:
        encoded, settings = _tiled(desk, encoded, fit)
    encoded, latent = add_whole_latent(graph, "hires_fix", encoded, fit, desk.family)
    strength = request.hires_denoising_strength
    painting = Painting(encoded, latent, DEFAULT_HIRES_DENOISE if strength is None else strength)
    drawn = add_sampling(graph, "hires_fix", painting, desk.family, settings)
    result = graph.add("hires_fix.restore_size", "AstriaRestoreSize", image=drawn, fit=slot(fit, 2))
    return _unmasked_kept(desk, result, big)


def add_super_resolution(desk: Desk, stage: Stage, image: Value) -> Value:
    """Add the stage: four times the size of the picture before the second sampling, whatever that
    already gave.
    """
    model = desk.for_stage(_upscaler(desk), stage)
    if model is None:
        _tell_of_small_faces(desk)
        return image
    was_enlarged = "hires_fix.upscale" in desk.graph.nodes
    factor = UPSCALE_FACTOR / (HIRES_FACTOR if was_enlarged else 1)
    return desk.graph.add(
        "super_resolution.upscale",
        "AstriaSuperResolution",
        image=image,
        upscale_model=model,
        factor=factor,
    )


def _upscaler(desk: Desk) -> Value | Missing:
    """Return the model that enlarges four times; where none is there, its absence says that faces
    can do without.
    """
    found = desk.kit.model("upscaler")
    if not isinstance(found, Missing) or not desk.request.inpaint_faces:
        return found
    way_out = "Or set missing_models to skip: faces are then drawn in the picture as it is."
    return replace(found, hint=f"{found.hint} {way_out}")


def _tell_of_small_faces(desk: Desk) -> None:
    if desk.request.inpaint_faces and desk.options.missing_models == "skip":
        text = (
            "inpaint_faces draws the faces in the picture as it is, which no super-resolution has"
            " enlarged four times: small faces get less detail."
        )
        desk.tell(Problem("faces-not-enlarged", "warning", text))


def _said(desk: Desk, picture: Link) -> Encoded:
    """Return what the second sampling is told.

    What the first was, and after an outpainting also of the new area.
    """
    request, painted = desk.request, desk.painted
    new_area = () if request.outpaint_prompt is None else (request.outpaint_prompt,)
    if painted is None:
        desk.painted = painted = say(desk, "hires_fix", new_area)
        if painted.persons is not None:
            desk.painted = painted = in_regions(
                desk, "hires_fix", painted, Ground(0, 0, picture, _people_masks(desk, picture))
            )
        return painted.drawn
    if request.outpaint is None:
        return painted.drawn
    # The models already hold the LoRAs of the picture; those of the new area stay in it.
    wording = desk.wording((*prompt_segments(request), *new_area), negative_segments(request))
    encoded = add_encoding(
        desk.graph, "hires_fix", painted.scene.models, wording, desk.family, desk.settings.cfg
    )
    if painted.persons is None or painted.regions is None:
        return encoded
    return add_regional(desk.graph, "hires_fix", encoded, painted.regions, painted)


def _people_masks(desk: Desk, picture: Link) -> Value | None:
    """Return a mask for each person of a picture that no stage before has painted.

    The artist's, else of the people found in it.
    """
    if desk.sources.person_masks is not None and desk.request.outpaint is None:
        return fitted_masks(desk, "hires_fix", 1)
    return found_people(desk, "hires_fix", picture)


def _tiled(desk: Desk, encoded: Encoded, picture: Link) -> tuple[Encoded, Settings]:
    """Return the model that samples in overlapping tiles.

    Version 2 also holds to the picture by a tile ControlNet, at its own cfg.
    """
    request, graph, settings = desk.request, desk.graph, desk.settings
    tile = desk.family.native_size
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
    controlnet = desk.for_part(
        desk.kit.controlnet("tile"), "The tile ControlNet of --tiled_upscale_v2"
    )
    if controlnet is not None:
        encoded = steered(
            desk, "hires_fix.control_tile", encoded, controlnet, picture, resemblance, 1.0
        )
    cfg = request.hires_cfg_scale
    if cfg is None:
        cfg, _ = default_hires_cfg(desk.family, settings.lcm)
    if not desk.family.takes_guidance:
        return encoded, settings
    if desk.family.is_flux:
        positive = graph.add(
            "hires_fix.tile_guidance", "FluxGuidance", conditioning=encoded.positive, guidance=cfg
        )
        return replace(encoded, positive=positive), settings
    return encoded, replace(settings, cfg=cfg)


def default_hires_cfg(family: Family, lcm: str) -> tuple[float, str]:
    """Return the default of --hires_cfg_scale and its reason; `lcm` as in `Settings`."""
    if lcm and not family.is_flux:
        return LCM_CFG, f"default with an LCM: {lcm}"
    return DEFAULT_HIRES_CFG, "default of --tiled_upscale_v2"


def _unmasked_kept(desk: Desk, drawn: Link, big: Link) -> Link:
    """Return the result with the enlarged picture's own pixels wherever the first stage repainted
    nothing, where that is wanted.
    """
    painted, graph = desk.painted, desk.graph
    keeps = desk.options.keep_unmasked or keeps_background(desk.request)
    if not keeps or painted is None or painted.mask is None or desk.request.outpaint is not None:
        return drawn
    picture = graph.add("hires_fix.mask_picture", "MaskToImage", mask=painted.mask)
    picture = graph.add("hires_fix.mask_size", "AstriaRestoreSize", image=picture, fit=painted.fit)
    mask = graph.add("hires_fix.small_mask", "ImageToMask", image=picture, channel="red")
    mask = graph.add(
        "hires_fix.mask", "AstriaFitMasks", image=big, masks=mask, width=0, height=0, multiple=1
    )
    return graph.add(
        "hires_fix.keep_unmasked", "AstriaMaskedComposite", painted=drawn, original=big, mask=mask
    )
