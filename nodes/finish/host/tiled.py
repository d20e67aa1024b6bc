"""A MODEL of the host that sees a large latent in overlapping tiles at every step, so that each
call has the size the model was trained on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import comfy.model_management
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ...errors import PlanError
from ...host.model_patches import steering_patch
from ...regions.host.checkpoints import PERSON_MODELS_KEY
from ...rounding import ceil_div
from ..tiles import Tiling, tiling
from .tiled_conds import TileCuts, in_tile, placed

TILES_KEY = "astria_tiles"
# A UNet halves its latent three times; a side that is no multiple would be padded in every tile.
GRID_CELLS = 8

Conds = Sequence[Sequence[dict] | None]


def apply_tiles(model: ModelPatcher, tile_px: int, overlap_px: int) -> ModelPatcher:
    """Return a clone of the model that runs every step in tiles of `tile_px` and blends what it
    predicts.

    A latent of at most one tile runs as on the model itself, to the bit. ControlNet hints, inpaint
    latents, areas, masks and the masks of regions are cut with the tiles; the text, its LoRAs and
    reference pictures count in each tile as a whole; SDXL is told the tile's size as the picture's,
    unless its text was encoded with sizes of its own.
    Raises: PlanError for sizes that do not fit each other, or tiles applied twice.
    Source: Bar-Tal et al. 2023, MultiDiffusion, equation 5, with weights that fade towards a tile's
    edge.
    """
    cell = model.model.latent_format.spacial_downscale_ratio
    if model.get_wrappers(WrappersMP.CALC_COND_BATCH, TILES_KEY):
        hint = "Connect the model from before the first Astria Tiled Diffusion."
        raise PlanError(
            "This model already runs in tiles; they cannot be applied twice.",
            code="tiles-twice",
            hint=hint,
        )
    if tile_px < GRID_CELLS * cell or tile_px % (GRID_CELLS * cell):
        text = f"tile_size is {tile_px}; expected a multiple of {GRID_CELLS * cell}."
        raise PlanError(text, code="tile-size", hint="1024 suits SDXL and Flux, 512 SD1.5.")
    if not 0 <= overlap_px <= tile_px // 2:
        text = (
            f"overlap is {overlap_px} with tiles of {tile_px} px; expected 0 to {tile_px // 2},"
            " half a tile."
        )
        raise PlanError(text, code="tile-overlap", hint="An eighth of tile_size hides the seams.")
    tiles = _Tiles(tile_px // cell, ceil_div(overlap_px, cell))
    patched = model.clone()
    patched.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, TILES_KEY, tiles.sample)
    patched.add_wrapper_with_key(WrappersMP.PREPARE_SAMPLING, TILES_KEY, tiles.prepare)
    patched.add_wrapper_with_key(WrappersMP.CALC_COND_BATCH, TILES_KEY, tiles.predict)
    return patched


@dataclass(eq=False)
class _Tiles:
    """The wrappers.

    Sizes in latent cells; `run` lives as long as one sampling, and with it everything that was cut
    for the tiles.
    """

    size: int
    overlap: int
    run: TileCuts | None = field(default=None)

    def sample(self, executor: Callable, *args: Any, **named: Any) -> Tensor:
        before, self.run = self.run, TileCuts()
        try:
            return executor(*args, **named)
        finally:
            self.run = before

    def prepare(
        self, executor: Callable, model: Any, noise_shape: Sequence[int], *args: Any, **named: Any
    ) -> Any:
        """Let the host make room for one tile, not for the whole picture."""
        tile = (min(side, self.size) for side in noise_shape[-2:])
        return executor(model, [*noise_shape[:-2], *tile], *args, **named)

    def predict(
        self,
        executor: Callable,
        model: Any,
        conds: Conds,
        x: Tensor,
        timestep: Tensor,
        options: dict,
    ) -> list[Tensor]:
        """Return what the conditionings predict for x [B,C,H,W] or [B,C,1,H,W], one alike each.

        The tiles' predictions by their weights.
        """
        if x.ndim != 4 and not (x.ndim == 5 and x.shape[2] == 1):
            text = (
                f"Tiled diffusion got a latent of shape {tuple(x.shape)}; expected pictures,"
                " [batch, channels, height, width]."
            )
            raise PlanError(
                text,
                code="tiles-latent",
                hint=(
                    "Take Astria Tiled Diffusion out of the chain of a video or multi-latent model."
                ),
            )
        grid = tiling(x.shape[-2], x.shape[-1], self.size, self.overlap)
        if len(grid) == 1:
            return executor(model, conds, x, timestep, options)
        if "multigpu_clones" in options:
            hint = "Take the multi-GPU node out of this model's chain."
            raise PlanError(
                "Tiles run on one GPU; this model is split over several.",
                code="tiles-multigpu",
                hint=hint,
            )
        _refuse_steering(options)
        wrappers = list(options["transformer_options"]["wrappers"][WrappersMP.CALC_COND_BATCH])
        if PERSON_MODELS_KEY in wrappers[wrappers.index(TILES_KEY) :]:
            hint = (
                "Connect Astria Tiled Diffusion behind Astria Regional Prompt; such a person is"
                " then drawn whole, the scene in tiles."
            )
            raise PlanError(
                "A person with a model of their own cannot be cut into tiles.",
                code="tiles-person-model",
                hint=hint,
            )
        return self._blend(executor, model, conds, (x, timestep, options), grid)

    def _blend(
        self,
        executor: Callable,
        model: Any,
        conds: Conds,
        call: tuple[Tensor, Tensor, dict],
        grid: Tiling,
    ) -> list[Tensor]:
        x, timestep, options = call
        run = self.run or TileCuts()
        whole = [
            (
                None
                if cond is None
                else [one for entry in cond if (one := placed(entry, x, timestep)) is not None]
            )
            for cond in conds
        ]
        results = [x.new_zeros(x.shape) for _ in conds]
        for tile, weight in grid:
            comfy.model_management.throw_exception_if_processing_interrupted()
            own = [
                (
                    None
                    if cond is None
                    else [
                        one
                        for entry in cond
                        if (one := in_tile(entry, tile, x, model, run)) is not None
                    ]
                )
                for cond in whole
            ]
            parts = executor(model, own, tile.of(x), timestep, run.options_in(options, tile, x))
            weight = run.weight_at(tile, weight, x)
            for result, part in zip(results, parts, strict=True):
                tile.of(result).add_(part * weight)
        return results


def _refuse_steering(options: dict) -> None:
    patch = steering_patch(options["transformer_options"])
    if patch:
        raise PlanError(
            f"A ControlNet that is a patch of the model ({patch}) cannot be cut into tiles; each"
            " would get the whole of its picture.",
            code="tiles-control-patch",
            hint=(
                "Connect the model from before the node that applies it, such as Z-Image Fun"
                " ControlNet."
            ),
        )
