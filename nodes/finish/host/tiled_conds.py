"""What the host's sampler knows of a picture, cut to one tile of it.

Conditionings, ControlNets, regions.
"""

from __future__ import annotations

import copy
from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any
from uuid import uuid5

import comfy.controlnet
import comfy.model_base
import comfy.samplers
import comfy.utils
from comfy.conds import CONDNoiseShape, CONDRegular
from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ...errors import PlanError
from ...regions.host.regional import REGIONS_KEY
from ...regions.host.sampling_cache import SamplingCache
from ...regions.host.state import Regions
from ...regions.run import on_latent
from ..tiles import Tile

PICTURE_SIDES = 4  # of a latent [B,C,H,W]
SDXL_SIZES = 6  # height, width, crop top, crop left, target height, target width

# Entries of a conditioning that name places in the whole picture in a way that cannot be cut to a
# tile.
_WHOLE_ONLY = {
    "gligen": "Say where things stand by ConditioningSetArea, ConditioningSetMask or regions.",
    "attention_mask_img_shape": "Apply the style model without an attention mask.",
}


@dataclass(eq=False)
class TileCuts:
    """What has been cut for the tiles of one sampling, so that it is cut once and not at every
    step.
    """

    _cut: dict[Hashable, Any] = field(default_factory=dict)

    def weight_at(self, tile: Tile, weight: Tensor, x: Tensor) -> Tensor:
        """Return the tile's weight where and as the latent is: the copy waits for the GPU."""
        key = (tile, x.device, x.dtype)
        if key not in self._cut:
            self._cut[key] = weight.to(x)
        return self._cut[key]

    def control_in(
        self, control: comfy.controlnet.ControlBase, tile: Tile, x: Tensor
    ) -> comfy.controlnet.ControlBase:
        """Return a copy of the ControlNet whose hint is that of the tile.

        The ControlNet itself is not changed.

        Raises: PlanError for a class that is not the host's own, whose hints may be more than what
        is cut here.
        """
        if (control, tile) not in self._cut:
            if type(control).__module__ != comfy.controlnet.__name__:
                hint = "Apply the ControlNet with ComfyUI's own Apply ControlNet."
                raise PlanError(
                    f"A ControlNet of class {type(control).__name__} cannot be cut into tiles.",
                    code="tiles-control",
                    hint=hint,
                )
            self._cut[control, tile] = self._new_control(control, tile, x)
        return self._cut[control, tile]

    def _new_control(
        self, control: comfy.controlnet.ControlBase, tile: Tile, x: Tensor
    ) -> comfy.controlnet.ControlBase:
        # A plain copy, unlike the host's own, keeps what the start of the sampling has written:
        # step range, noise levels.
        own = copy.copy(control)
        own.cond_hint = own.extra_concat = None
        pixels = control.compression_ratio * (
            1 if control.vae is None else control.vae.spacial_compression_encode()
        )
        own.cond_hint_original = tile.of(
            self._resized(control, "hint", control.cond_hint_original, (x, pixels)), pixels
        )
        own.extra_concat_orig = [
            tile.of(
                self._resized(control, number, extra, (x, control.compression_ratio)),
                control.compression_ratio,
            )
            for number, extra in enumerate(control.extra_concat_orig)
        ]
        if control.previous_controlnet is not None:
            own.previous_controlnet = self.control_in(control.previous_controlnet, tile, x)
        return own

    def _resized(
        self,
        control: comfy.controlnet.ControlBase,
        name: str | int,
        picture: Tensor,
        grid: tuple[Tensor, int],
    ) -> Tensor:
        """Return the picture at the size that the ControlNet would bring it to for the whole
        latent.
        """
        x, scale = grid
        if (control, name) not in self._cut:
            size = (x.shape[-1] * scale, x.shape[-2] * scale)
            self._cut[control, name] = comfy.utils.common_upscale(
                picture, *size, control.upscale_algorithm, "center"
            )
        return self._cut[control, name]

    def options_in(self, options: dict, tile: Tile, x: Tensor) -> dict:
        """Return the model options with the masks of regions cut to the tile."""
        transformer = options.get("transformer_options", {})
        wrappers = transformer.get("wrappers", {})
        diffusion = wrappers.get(WrappersMP.DIFFUSION_MODEL, {})
        if REGIONS_KEY not in diffusion:
            return options
        cut = [
            partial(wrapper.func, self._regions_in(wrapper.args[0], tile, x), *wrapper.args[1:])
            for wrapper in diffusion[REGIONS_KEY]
        ]
        wrappers = {**wrappers, WrappersMP.DIFFUSION_MODEL: {**diffusion, REGIONS_KEY: cut}}
        return {**options, "transformer_options": {**transformer, "wrappers": wrappers}}

    def _regions_in(self, regions: Regions, tile: Tile, x: Tensor) -> Regions:
        if (regions, tile) not in self._cut:
            masks = tile.of(on_latent(regions.masks, *x.shape[-2:]))
            kept = SamplingCache.of_one_sampling()
            self._cut[regions, tile] = replace(regions, masks=masks, kept=kept, _latents={})
        return self._cut[regions, tile]


def placed(entry: dict, x: Tensor, timestep: Tensor) -> dict | None:
    """Return a conditioning of the whole picture, its area and mask as one mask with all its
    strengths; None where it does not count now.

    The host fades an area's edges; made from the whole picture, the fading is the same in every
    tile.
    Raises: PlanError for a conditioning that cannot be cut.
    """
    for key, hint in _WHOLE_ONLY.items():
        if entry.get(key) is not None:
            raise PlanError(
                f"A conditioning carries {key!r}, which cannot be cut into tiles.",
                code="tiles-conditioning",
                hint=hint,
            )
    if "area" not in entry and "mask" not in entry:
        return entry
    if x.ndim > PICTURE_SIDES:
        raise PlanError(
            "A conditioning for a part of the picture cannot be cut into tiles on this model, whose"
            " latents are videos of one frame.",
            code="tiles-conditioning",
            hint="Let Astria Regions say where things stand.",
        )
    found = comfy.samplers.get_area_and_mult(entry, x, timestep)
    if found is None:
        return None
    height, width, y, x_start = found.area or (*x.shape[2:], 0, 0)
    mask = x.new_zeros(x.shape[0], *x.shape[2:])
    mask[:, y : y + height, x_start : x_start + width] = found.mult[:, 0]
    rest = {key: value for key, value in entry.items() if key not in ("strength", "mask_strength")}
    return {**rest, "mask": mask, **({} if found.area is None else {"area": tuple(found.area)})}


def in_tile(
    entry: dict, tile: Tile, x: Tensor, model: comfy.model_base.BaseModel, run: TileCuts
) -> dict | None:
    """Return a conditioning from `placed` as one of the tile.

    None where its area does not reach the tile.
    """
    # Caches of other packs go by this id, and must not take one tile for another.
    own = {
        **entry,
        "uuid": uuid5(entry["uuid"], f"{tile.y},{tile.x}"),
        "model_conds": _model_conds(entry, tile, x, model),
    }
    if entry.get("control") is not None:
        own["control"] = run.control_in(entry["control"], tile, x)
    if "mask" in entry:
        own["mask"] = tile.of(entry["mask"])
    if "area" in entry:
        own["area"] = _area(entry["area"], tile)
        if own["area"] is None:
            return None
    return own


def _area(area: tuple[int, int, int, int], tile: Tile) -> tuple[int, int, int, int] | None:
    """Return the part of an area (height, width, y, x) that lies in the tile, as seen from there.

    None where there is none.
    """
    height, width, y, x = area
    top, left = max(y - tile.y, 0), max(x - tile.x, 0)
    bottom, right = min(y + height - tile.y, tile.height), min(x + width - tile.x, tile.width)
    return (bottom - top, right - left, top, left) if bottom > top and right > left else None


def _model_conds(entry: dict, tile: Tile, x: Tensor, model: comfy.model_base.BaseModel) -> dict:
    window = [tile.height, tile.width, tile.y, tile.x]
    own = {
        key: (
            cond.process_cond(batch_size=x.shape[0], area=window)
            if isinstance(cond, CONDNoiseShape)
            else cond
        )
        for key, cond in entry["model_conds"].items()
    }
    if isinstance(model, comfy.model_base.SDXL) and "width" not in entry:
        own["y"] = CONDRegular(_with_size(own["y"].cond, tile, model))
    return own


def _with_size(y: Tensor, tile: Tile, model: comfy.model_base.SDXL) -> Tensor:
    """Return SDXL's vector [B,C] of pooled text and sizes with the tile's size for that of the
    picture, far from any it was trained on.
    """
    pooled = y[:, : y.shape[1] - SDXL_SIZES * model.embedder.dim]
    cell = model.latent_format.spacial_downscale_ratio
    return model.encode_adm(
        pooled_output=pooled, width=tile.width * cell, height=tile.height * cell
    )
