"""The regions of a patched model: masks and texts, and both as one call of the model needs them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import comfy.utils
import torch
from torch import Tensor

from ...errors import PlanError
from ..attention import Shares, seeing_scene, shares
from ..run import Forward, RegionRun, on_latent
from .sampling_cache import SamplingCache


@dataclass(frozen=True)
class RegionalOptions:
    """`scene_strength` 0..1: how much of their attention persons' pixels give to the scene's text,
    until the part `scene_until` 0..1 of the steps, counted as the end_percent of ControlNets.

    `isolation` (joint sequences): a person's text sees only that person's pixels.
    """

    scene_strength: float = 0.0
    scene_until: float = 1.0
    isolation: bool = False


@dataclass(frozen=True)
class JointCall:
    """The tokens of one call of a model with a joint sequence.

    `regions` are those with a text in it, `given` the lengths of their texts as they come in;
    `text_lengths` are each region's tokens in the sequence, 0 for one without a text, and
    `image_tokens` those behind them, with padding and reference pictures.
    """

    regions: tuple[int, ...]
    given: tuple[int, ...]
    text_lengths: tuple[int, ...]
    image_tokens: int


@dataclass(eq=False)
class Regions:
    """The masks [R,H,W] of a patched model and, for positive and negative rows, each person's text.

    All of it stays on the CPU; `kept` holds what a sampling needs of it on the device. `sampling`
    is the model's conversion of steps to noise levels; a node behind this one may give it another.
    `call` is set while a model with a joint sequence runs.
    """

    masks: Tensor
    texts: tuple[tuple[Tensor | None, ...], tuple[Tensor | None, ...]]
    run: RegionRun
    options: RegionalOptions
    sampling: Any
    kept: SamplingCache = field(default_factory=SamplingCache)
    call: JointCall | None = None
    _latents: dict[tuple[int, int], Forward] = field(default_factory=dict)

    @contextmanager
    def forward(self, x: Tensor, text_region: int | None = None) -> Iterator[Forward]:
        """Set `run.forward` for one call of a UNet on latents x [B,C,H,W]."""
        self.run.forward = self.kept.get(
            ("forward", *x.shape[-2:], x.device), lambda: Forward(self._masks_on(x))
        )
        self.run.forward.text_region = text_region
        try:
            yield self.run.forward
        finally:
            self.run.forward = None

    @contextmanager
    def joint_forward(self, x: Tensor, call: JointCall, patch: int) -> Iterator[None]:
        """Set `run.forward` and `call` for one call of a model with a joint sequence on latents
        x [B,C,..,H,W].
        """
        self.run.forward = self.kept.get(
            ("forward", *x.shape[-2:], x.device, call),
            lambda: Forward(
                self._masks_on(x), call.text_lengths, patch=patch, image_tokens=call.image_tokens
            ),
        )
        self.call = call
        self.run.is_placed = False
        try:
            yield
        finally:
            self.run.forward = self.call = None

    def _masks_on(self, x: Tensor) -> Tensor:
        return self._on_latent(x).masks.to(x.device)

    def sample(self, executor: Any, *args: Any, **named: Any) -> Tensor:
        """Wrap a whole sampling: take the conversion of steps that it goes by."""
        before = self.sampling
        self.run.is_attended = False
        self.sampling = executor.class_obj.model_patcher.get_model_object("model_sampling")
        try:
            return executor(*args, **named)
        finally:
            self.sampling = before

    def apply(self, executor: Any, *args: Any, **named: Any) -> Tensor:
        """Wrap a call of the host's model. Raises PlanError where no attention of the first one in
        a sampling was one of regions: later ones may be answered by a cache.
        """
        result = executor(*args, **named)
        if not self.run.is_attended:
            raise PlanError(
                "Another node runs this model by code of its own, which knows no regions: people"
                " would be drawn without them.",
                code="regions-unseen",
                hint=(
                    "Take the node that speeds the model up or replaces its forward out of this"
                    " model's chain, such as TeaCache, or a loader of another pack."
                ),
            )
        return result

    def scene_strength_at(self, sigmas: Tensor) -> float:
        """Return how much the scene's text counts inside persons at these noise levels [B].

        Where that ends before the last step, Python waits for the GPU to know it, as the host does
        for a ControlNet with such a range.
        """
        options = self.options
        if options.scene_strength == 0 or options.scene_until == 1:
            return options.scene_strength
        is_over = sigmas.max().item() <= self.sampling.percent_to_sigma(options.scene_until)
        return 0.0 if is_over else options.scene_strength

    def shares(
        self, x: Tensor, grid: tuple[int, int], scene_strength: float, others: int = 0
    ) -> Shares:
        """Return the regions' shares of a grid's pixels, on the device of `x`.

        `others` more tokens behind them belong to the scene.
        """

        def made() -> Shares:
            weights = self._on_latent(x).on_grid(*grid)
            scene = torch.zeros(weights.shape[0], others)
            scene[0] = 1
            joined = torch.cat([seeing_scene(weights, scene_strength), scene], 1)
            return shares(joined).to(x.device)

        return self.kept.get(
            ("shares", *x.shape[-2:], *grid, scene_strength, others, x.device), made
        )

    def _on_latent(self, x: Tensor) -> Forward:
        size = (x.shape[-2], x.shape[-1])
        if size not in self._latents:
            self._latents[size] = Forward(on_latent(self.masks, *size))
        return self._latents[size]

    def chunk_texts(self, context: Tensor, kinds: Sequence[int]) -> list[list[Tensor]]:
        """Return, for each chunk of the batch, the text [rows,T,C] of every region.

        Kinds are the host's, 0 positive and 1 negative.
        """
        if any(kind > 1 for kind in kinds):
            text = (
                "The guider runs more than a positive and a negative conditioning; regions know"
                " only these two."
            )
            raise PlanError(
                text, code="region-guider", hint="Use CFGGuider, BasicGuider or KSampler."
            )
        return [
            [self._rows(kind, region, own) for region in range(len(self.texts[kind]))]
            for kind, own in zip(kinds, context.chunk(len(kinds)), strict=True)
        ]

    def _rows(self, kind: int, region: int, own: Tensor) -> Tensor:
        text = self.texts[kind][region]
        if text is None:
            return own
        text = self.kept.get(("text", kind, region, own.device, own.dtype), lambda: text.to(own))
        return comfy.utils.repeat_to_batch_size(text, own.shape[0])
