"""UNets with regions: in every cross-attention each pixel sees its own region's text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import comfy.ldm.modules.attention as host_attention
import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from ..regions.attention import Share, coupled, on_device, stacked
from ..regions.run import Forward
from .regional_state import Regions

# The keys and values of a text, as one cross-attention's own layers make them.
Projected = tuple[Tensor, Tensor]


@dataclass(eq=False)
class UnetRegions:
    """The wrappers of a patched UNet: one stands around a whole sampling, one around each call of the model.

    What does not change while one picture is sampled is made once: the persons' texts on the device, and their keys and values in every layer,
    which at small pictures cost more than all that is gated. The scene's are the host's, made at every step.
    """

    regions: Regions
    _patcher: ModelPatcher | None = None
    _texts: dict[tuple[int, ...], _Texts] = field(default_factory=dict)

    def sample(self, executor: Any, *args: Any, **named: Any) -> Tensor:
        """Keep what is made during this sampling, and nothing of it afterwards."""
        before = self._patcher, self._texts
        self._patcher, self._texts = executor.class_obj.model_patcher, {}
        try:
            return executor(*args, **named)
        finally:
            self._patcher, self._texts = before

    def run(self, executor: Any, x: Tensor, timesteps: Tensor, context: Tensor, *rest: Any, **named: Any) -> Tensor:
        y, control, options = rest
        texts = self._texts_for(context, tuple(options["cond_or_uncond"]))
        others = options.get("patches", {}).get("attn2_patch", [])
        with self.regions.forward(x, text_region=0) as forward:
            call = _UnetCall(self.regions, forward, x, texts, others, {} if others or not self._are_weights_fixed() else texts.projected)
            return executor(x, timesteps, context, y, control, call.options(executor.class_obj, options), **named)

    def _texts_for(self, context: Tensor, kinds: tuple[int, ...]) -> _Texts:
        """Rows of other conditionings may come at other steps: a text that is not a person's own is the one of the row."""
        texts = self._texts.get(kinds)
        if texts is None or not torch.equal(texts.context, context):
            texts = _Texts.of(context, self.regions.chunk_texts(context, kinds))
            if self._patcher is not None:
                self._texts[kinds] = texts
        return texts

    def _are_weights_fixed(self) -> bool:
        """The host's hooks patch the weights anew from step to step."""
        return self._patcher is not None and self._patcher.current_hooks is None


@dataclass(eq=False)
class _Texts:
    """The regions' texts of the calls with one `context`, [rows,T,C] each, or with one row for each chunk of the batch whose rows are all equal."""

    context: Tensor
    regions: tuple[Tensor, ...]
    projected: dict[tuple[Any, int], Projected] = field(default_factory=dict)

    @classmethod
    def of(cls, context: Tensor, chunks: Sequence[Sequence[Tensor]]) -> _Texts:
        return cls(context, tuple(stacked(_without_repeats(texts)) for texts in zip(*chunks, strict=True)))

    def on_rows(self, tensor: Tensor) -> Tensor:
        """Return what belongs to a region's text with one entry for each row of the batch."""
        count = self.context.shape[0] // tensor.shape[0]
        return tensor if count == 1 else tensor.repeat_interleave(count, 0)


def _without_repeats(texts: Sequence[Tensor]) -> Sequence[Tensor]:
    firsts = [text[:1] for text in texts]
    return firsts if all(torch.equal(first.expand_as(text), text) for first, text in zip(firsts, texts, strict=True)) else texts


@dataclass(eq=False)
class _UnetCall:
    """One call of a UNet. `others` are other packs' patches of the text: each region's text goes through them as the scene's does.

    `projected` holds keys and values made before, by attention and region, and takes those made now.
    """

    regions: Regions
    forward: Forward
    x: Tensor
    texts: _Texts
    others: list[Callable]
    projected: dict[tuple[Any, int], Projected]
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

        def text(region: int) -> Projected:
            return (k, v) if region == 0 else self._projected(attn2, region, extra)

        out = coupled(q, text, self._on_grid(tuple(extra["activations_shape"][2:])), attend)
        return out if before is None else out + before(q, k, v, extra) - attend(q, k, v)

    def _projected(self, attn2: Any, region: int, extra: dict) -> Projected:
        """Return a person's keys and values, by the block's own layers, which carry what is patched into them."""
        if self.others:
            texts = self.texts.on_rows(self.texts.regions[region])
            normed, keys, values = self._normed, texts, texts
            for patch in self.others:
                normed, keys, values = patch(normed, keys, values, extra)
            return self._by_layers(attn2, region, keys, values)
        key = (attn2, region)
        if key not in self.projected:
            self.projected[key] = self._by_layers(attn2, region, self.texts.regions[region], self.texts.regions[region])
        keys, values = self.projected[key]
        return self.texts.on_rows(keys), self.texts.on_rows(values)

    def _by_layers(self, attn2: Any, region: int, keys: Tensor, values: Tensor) -> Projected:
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
