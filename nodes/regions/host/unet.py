"""UNets with regions: in every cross-attention each pixel sees its own region's text."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, NamedTuple

import comfy.ldm.modules.attention as host_attention
import torch
from comfy.ldm.modules.attention import SpatialTransformer
from comfy.ldm.modules.diffusionmodules.openaimodel import ResBlock
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import CallbacksMP, WrappersMP
from comfy_api.torch_helpers.torch_compile import COMPILE_KEY
from torch import Tensor, nn

from ..attention import Shares, coupled, stacked
from ..lora_gates import BlockSizes, Rows
from ..lora_hooks import Hooks as LoraHooks
from ..run import Forward
from .hooks import REGIONS_KEY, ModelHooks
from .state import Regions

# Options of a model by which other packs may change the texts from step to step.
_HAND_ON_TEXTS = ("model_function_wrapper", "sampler_calc_cond_batch_function")
# Keys and values of a text, as one cross-attention's own layers make them.
Projected = tuple[Tensor, Tensor]


class ModelArguments(NamedTuple):
    """The host's arguments of BaseModel.apply_model behind x."""

    sigmas: Tensor
    c_concat: Tensor | None
    c_crossattn: Tensor
    control: dict | None
    transformer_options: dict


class UnetArguments(NamedTuple):
    """The host's arguments of UNetModel.forward behind x, timesteps and context."""

    y: Tensor | None
    control: dict | None
    transformer_options: dict


class Unet(ModelHooks):
    """The hooks of UNets. A block's time embedding is a vector that it adds to every pixel."""

    spots: ClassVar = (
        (".attn2.to_k", Rows.ONE_TEXT, False),
        (".attn2.to_v", Rows.ONE_TEXT, False),
        (".emb_layers.", Rows.TOKENS, True),
        (".transformer_blocks.", Rows.TOKENS, False),
        (".proj_", Rows.TOKENS, False),
    )

    def attach(self, patched: ModelPatcher, regions: Regions) -> None:
        kept = Kept()
        patched.add_callback_with_key(CallbacksMP.ON_PRE_RUN, REGIONS_KEY, kept.begin)
        patched.add_callback_with_key(CallbacksMP.ON_CLEANUP, REGIONS_KEY, kept.end)
        patched.add_wrapper_with_key(
            WrappersMP.APPLY_MODEL, REGIONS_KEY, partial(kept.apply, regions)
        )
        patched.add_wrapper_with_key(
            WrappersMP.DIFFUSION_MODEL, REGIONS_KEY, partial(run_unet, regions, kept)
        )

    def watch(self, hooks: LoraHooks, network: nn.Module, sizes: BlockSizes) -> None:
        for module in network.modules():
            if isinstance(module, SpatialTransformer | ResBlock):
                hooks.watch(module, partial(_see_block, sizes))


def _see_block(sizes: BlockSizes, x: Tensor, *_args: object, **_kwargs: object) -> None:
    sizes.grid = (x.shape[-2], x.shape[-1])


def run_unet(
    regions: Regions,
    kept: Kept,
    executor: Any,
    x: Tensor,
    timesteps: Tensor,
    context: Tensor,
    *rest: Any,
    **named: Any,
) -> Tensor:
    """Run the host's UNet with the regions' attention."""
    y, control, options = UnetArguments(*rest)
    found = kept.found or kept.find(regions, context, options)
    others = options.get("patches", {}).get("attn2_patch", [])
    with regions.forward(x, text_region=0) as forward:
        call = _UnetCall(regions, forward, x, others, *found)
        options = call.options(executor.class_obj, options)
        return executor(x, timesteps, context, y, control, options, **named)


@dataclass(eq=False)
class Chunk:
    """A chunk of the batch whose text is `context` [rows,T,C].

    Every region's text, and the keys and values made of it by attention and region.

    Texts have one row where all rows are equal, else `rows`.
    """

    context: Tensor
    texts: Sequence[Tensor]
    projected: dict[tuple[Any, int], Projected] = field(default_factory=dict)

    def on_rows(self, tensor: Tensor) -> Tensor:
        """Return a tensor made of a text of this chunk with an entry for each row."""
        return tensor.expand(self.context.shape[0], -1, -1)


class CallTexts(NamedTuple):
    """What one call of a UNet needs of texts and steps.

    `keeps`: whether keys and values made now are good for the next step.
    """

    chunks: list[Chunk]
    keeps: bool
    scene_strength: float


@dataclass(eq=False)
class Kept:
    """The persons' texts on the device, and their keys and values in every layer: the same in every
    step of one sampling.

    At small pictures, computing these at every step would cost more than all regional attention.
    The scene's are the host's, computed at every step. `found` is set while the host's model runs.
    """

    found: CallTexts | None = None
    _patcher: ModelPatcher | None = None
    _chunks: dict[int, dict[Hashable, Chunk]] = field(default_factory=dict)
    _calls: set[Hashable] = field(default_factory=set)

    def begin(self, patcher: ModelPatcher) -> None:
        """Keep what is made from here on: a sampling of this model begins, or of one for which it
        draws a person.
        """
        self._patcher = patcher

    def end(self, _: ModelPatcher) -> None:
        """Keep nothing of a sampling that has ended."""
        self._patcher = None
        self._chunks.clear()
        self._calls.clear()

    def apply(self, regions: Regions, executor: Any, x: Tensor, *rest: Any, **named: Any) -> Tensor:
        """Wrap a call of the host's model: find here what a compiler of its network could not
        trace, such as a text by its name.

        The first call of its kind in a sampling makes what the others find, and runs uncompiled.
        """
        given = ModelArguments(*rest)
        options = given.transformer_options
        self.found = self._known(regions, given.c_crossattn, options)
        is_compiled = COMPILE_KEY in options["wrappers"][WrappersMP.APPLY_MODEL]
        is_first = is_compiled and self._is_first(regions, x, options)
        try:
            with _uncompiled() if is_first else nullcontext():
                return executor(x, *rest, **named)
        finally:
            self.found = None

    def _known(self, regions: Regions, context: Tensor, options: dict) -> CallTexts | None:
        """Return what a call that has run before found, None where a text is not known by name."""
        names, kinds = self._names(options), options["cond_or_uncond"]
        if names is None:
            return None
        chunks = [
            self._chunks.get(kind, {}).get((name, own.shape))
            for kind, name, own in zip(kinds, names, context.chunk(len(kinds)), strict=True)
        ]
        return None if None in chunks else self._texts(regions, chunks, options)

    def _is_first(self, regions: Regions, x: Tensor, options: dict) -> bool:
        """Return whether no call like this has run in this sampling.

        A tile has masks of its own, and `scene_until` a strength before it and one after. Texts
        that are compared would stop a compiler at every step.
        """
        names = self._names(options)
        if names is None:
            return True
        [run] = options["wrappers"][WrappersMP.DIFFUSION_MODEL][REGIONS_KEY]
        strength = regions.scene_strength_at(options["sigmas"])
        call = (run.args[0], *options["cond_or_uncond"], *names, x.shape, strength)
        is_first = call not in self._calls
        self._calls.add(call)
        return is_first

    def find(self, regions: Regions, context: Tensor, options: dict) -> CallTexts:
        """Return the chunks of a batch, and how they are drawn in this step.

        Rows of other conditionings may come at other steps, and stand for persons without a text of
        their own. The host names each conditioning, whose text stays what it is. Where something of
        other packs stands between, the texts are compared, for which Python waits for the GPU.
        """
        kinds = options["cond_or_uncond"]
        names = self._names(options)
        chunks = []
        for number, (kind, own) in enumerate(zip(kinds, context.chunk(len(kinds)), strict=True)):
            key: Hashable = kinds[:number].count(kind)
            if names is not None:
                key = names[number], own.shape
            kept = self._chunks.setdefault(kind, {})
            if names is None or key not in kept:
                kept[key] = self._equal(kind, own) or self._made(regions, kind, own)
            chunks.append(kept[key])
            if self._patcher is None:
                self._chunks.clear()
        return self._texts(regions, chunks, options)

    def _texts(self, regions: Regions, chunks: list[Chunk], options: dict) -> CallTexts:
        strength = regions.scene_strength_at(options["sigmas"])
        return CallTexts(chunks, self._are_weights_fixed, strength)

    def _equal(self, kind: int, own: Tensor) -> Chunk | None:
        """Return the kept chunk of the same text: tiles of a picture share theirs."""
        for chunk in self._chunks[kind].values():
            if torch.equal(chunk.context, own):
                return chunk
        return None

    @staticmethod
    def _made(regions: Regions, kind: int, own: Tensor) -> Chunk:
        [texts] = regions.chunk_texts(own, [kind])
        return Chunk(own, [_without_repeats(text) for text in texts])

    def _names(self, options: dict) -> Sequence[Hashable] | None:
        """Return the names of a batch's texts, where the host and this pack alone hand texts from
        the sampler to the model.
        """
        return options.get("uuids") if self._is_the_hosts_own(options) else None

    def _is_the_hosts_own(self, options: dict) -> bool:
        if self._patcher is None:
            return False
        given = self._patcher.model_options
        wrapped = options.get("wrappers", {})
        keys = [key for of_kind in wrapped.values() for key, each in of_kind.items() if each]
        return not any(given.get(name) for name in _HAND_ON_TEXTS) and all(
            str(key).startswith("astria") or key == COMPILE_KEY for key in keys
        )

    @property
    def _are_weights_fixed(self) -> bool:
        """Whether keys and values of one step hold in the next.

        They do not where the host's hooks patch the weights anew from step to step, nor outside a
        sampling, where changes of the weights are not seen.
        """
        return self._patcher is not None and self._patcher.current_hooks is None


def _uncompiled() -> AbstractContextManager[object]:
    """Let a compiled model run as it is; PyTorch before 2.6 cannot, and compiles it in pieces."""
    set_stance = getattr(torch.compiler, "set_stance", None)
    return nullcontext() if set_stance is None else set_stance("force_eager")


def _without_repeats(text: Tensor) -> Tensor:
    first = text[:1]
    return first if torch.equal(first.expand_as(text), text) else text


@dataclass(eq=False)
class _UnetCall:
    """One call of a UNet.

    `others` are other packs' patches of the text: each region's text goes through them as the
    scene's does.
    """

    regions: Regions
    forward: Forward
    x: Tensor
    others: list[Callable]
    chunks: list[Chunk]
    keeps: bool
    scene_strength: float
    _normed: Tensor | None = None
    _shares: dict[tuple[int, int], Shares] = field(default_factory=dict)

    def options(self, unet: Any, options: dict) -> dict:
        """Return transformer options with regional attention in place of every cross-attention.

        It calls the patch that it replaces.
        """
        replaced = options.get("patches_replace", {})
        before = replaced.get("attn2", {})
        ours = {
            key: partial(self._attention, attn2, before.get(key, before.get(key[:2])))
            for key, attn2 in _cross_attentions(unet)
        }
        patches = options.get("patches", {})
        if self.others:
            patches = {**patches, "attn2_patch": [self._remember, *self.others]}
        return {
            **options,
            "patches": patches,
            "patches_replace": {**replaced, "attn2": {**before, **ours}},
        }

    def _remember(
        self, normed: Tensor, keys: Tensor, values: Tensor, extra: dict
    ) -> tuple[Tensor, Tensor, Tensor]:
        self._normed = normed
        return normed, keys, values

    def _attention(
        self, attn2: Any, before: Callable | None, q: Tensor, k: Tensor, v: Tensor, extra: dict
    ) -> Tensor:
        self.regions.run.is_attended = True

        def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            precision = extra["attn_precision"]
            return host_attention.optimized_attention(
                q, k, v, extra["n_heads"], attn_precision=precision, transformer_options=extra
            )

        def text(region: int) -> Projected:
            return (k, v) if region == 0 else self._projected(attn2, region, extra)

        out = coupled(q, text, self._on_grid(tuple(extra["activations_shape"][2:])), attend)
        if before is None:
            return out
        # Another pack's patch, an image prompt for one, returns the plain attention with its own
        # part added: patched - plain is that part, and it is added to the regional attention.
        patched = before(q, k, v, extra)
        plain = attend(q, k, v)
        return out + patched - plain

    def _projected(self, attn2: Any, region: int, extra: dict) -> Projected:
        """Return a person's keys and values, by the block's own layers, which carry what is patched
        into them.
        """
        if self.others:
            texts = stacked([chunk.on_rows(chunk.texts[region]) for chunk in self.chunks])
            normed, keys, values = self._normed, texts, texts
            for patch in self.others:
                normed, keys, values = patch(normed, keys, values, extra)
            return self._by_layers(attn2, region, keys, values)
        projected = [self._of_chunk(chunk, attn2, region) for chunk in self.chunks]
        keys = stacked([keys for keys, _ in projected])
        values = stacked([values for _, values in projected])
        return keys, values

    def _of_chunk(self, chunk: Chunk, attn2: Any, region: int) -> Projected:
        kept = chunk.projected.get((attn2, region)) if self.keeps else None
        if kept is None:
            kept = self._by_layers(attn2, region, chunk.texts[region], chunk.texts[region])
            if self.keeps:
                chunk.projected[attn2, region] = kept
        keys, values = kept
        return chunk.on_rows(keys), chunk.on_rows(values)

    def _by_layers(self, attn2: Any, region: int, keys: Tensor, values: Tensor) -> Projected:
        self.forward.text_region = region
        projected = attn2.to_k(keys), attn2.to_v(values)
        self.forward.text_region = 0
        return projected

    def _on_grid(self, grid: tuple[int, int]) -> Shares:
        if grid not in self._shares:
            self._shares[grid] = self.regions.shares(self.x, grid, self.scene_strength)
        return self._shares[grid]


def _cross_attentions(unet: Any) -> Iterator[tuple[tuple[str, int, int], Any]]:
    """Yield the host's key of every transformer block, and its cross-attention."""
    groups = [("input", number, layers) for number, layers in enumerate(unet.input_blocks)]
    groups += [("middle", 0, unet.middle_block or ())]
    groups += [("output", number, layers) for number, layers in enumerate(unet.output_blocks)]
    for side, number, layers in groups:
        for layer in layers:
            if isinstance(layer, SpatialTransformer):
                for index, block in enumerate(layer.transformer_blocks):
                    yield (side, number, index), block.attn2
