"""UNets with regions: in every cross-attention each pixel sees its own region's text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import comfy.ldm.modules.attention as host_attention
from torch import Tensor

from ..regions.attention import Share, coupled, on_device, stacked
from ..regions.run import Forward
from .regional_state import Regions


def run_unet(regions: Regions, executor: Any, x: Tensor, timesteps: Tensor, context: Tensor, *rest: Any, **named: Any) -> Tensor:
    y, control, options = rest
    texts = [stacked(chunks) for chunks in zip(*regions.chunk_texts(context, options["cond_or_uncond"]), strict=True)]
    with regions.forward(x, text_region=0) as forward:
        call = _UnetCall(regions, forward, x, texts, options.get("patches", {}).get("attn2_patch", []))
        return executor(x, timesteps, context, y, control, call.options(executor.class_obj, options), **named)


@dataclass(eq=False)
class _UnetCall:
    """One call of a UNet. `others` are other packs' patches of the text: each region's text goes through them as the scene's does."""

    regions: Regions
    forward: Forward
    x: Tensor
    texts: list[Tensor]
    others: list[Callable]
    _normed: Tensor | None = None
    _parts: dict[tuple[int, int], tuple[Share | None, ...]] = field(default_factory=dict)

    def options(self, unet: Any, options: dict) -> dict:
        """Return transformer options with our attention in place of every cross-attention; what stood there is called by it."""
        replaced = options.get("patches_replace", {})
        before = replaced.get("attn2", {})
        ours = {key: partial(self._attention, attn2, before.get(key, before.get(key[:2]))) for key, attn2 in _cross_attentions(unet)}
        patches = options.get("patches", {})
        if self.others:
            patches = {**patches, "attn2_patch": [self._remember, *self.others]}
        return {**options, "patches": patches, "patches_replace": {**replaced, "attn2": {**before, **ours}}}

    def _remember(self, normed: Tensor, keys: Tensor, values: Tensor, extra: dict) -> tuple[Tensor, Tensor, Tensor]:
        self._normed = normed
        return normed, keys, values

    def _attention(self, attn2: Any, before: Callable | None, q: Tensor, k: Tensor, v: Tensor, extra: dict) -> Tensor:
        def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            precision = extra["attn_precision"]
            return host_attention.optimized_attention(q, k, v, extra["n_heads"], attn_precision=precision, transformer_options=extra)

        def text(region: int) -> tuple[Tensor, Tensor]:
            return (k, v) if region == 0 else self._project(attn2, region, extra)

        out = coupled(q, text, self._on_grid(tuple(extra["activations_shape"][2:])), attend)
        return out if before is None else out + before(q, k, v, extra) - attend(q, k, v)

    def _project(self, attn2: Any, region: int, extra: dict) -> tuple[Tensor, Tensor]:
        """Return a person's keys and values, by the block's own layers, which carry what is patched into them."""
        normed, keys, values = self._normed, self.texts[region], self.texts[region]
        for patch in self.others:
            normed, keys, values = patch(normed, keys, values, extra)
        self.forward.text_region = region
        projected = attn2.to_k(keys), attn2.to_v(values)
        self.forward.text_region = 0
        return projected

    def _on_grid(self, grid: tuple[int, int]) -> tuple[Share | None, ...]:
        if grid not in self._parts:
            self._parts[grid] = on_device(self.regions.parts(self.x, grid), self.x.device)
        return self._parts[grid]


def _cross_attentions(unet: Any) -> Iterator[tuple[tuple[str, int, int], Any]]:
    """Yield the host's key of every transformer block, and its cross-attention."""
    groups = [*((("input", number), layers) for number, layers in enumerate(unet.input_blocks)), (("middle", 0), unet.middle_block or ())]
    groups += [(("output", number), layers) for number, layers in enumerate(unet.output_blocks)]
    for name, layers in groups:
        for layer in layers:
            if isinstance(layer, host_attention.SpatialTransformer):
                yield from (((*name, index), block.attn2) for index, block in enumerate(layer.transformer_blocks))
