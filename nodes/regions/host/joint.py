"""Models of one joint sequence, with regions: the texts of all regions stand in it, and each pixel
sees its own region's.

What families have in common; each has a file of its own for what differs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from enum import Enum, auto
from functools import partial
from typing import Any, ClassVar

import torch
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrappersMP
from torch import Tensor, nn

from ...errors import PlanError
from ...families.family import Family
from ...rounding import ceil_div
from ..attention import Joint, Shares
from ..run import RegionRun
from .hooks import REGIONS_KEY, ModelHooks
from .state import JointCall, Regions

OVERRIDE = "optimized_attention_override"
OPTIONS = "transformer_options"
_NO_MASK = "Encode the text without an attention mask."
_NO_NODE = "Take the node that adds it out of this model's chain."


class Attended(Enum):
    """What an attention of the model works on."""

    JOINT = auto()  # the texts of all regions, then the image
    TEXT = auto()  # the texts of all regions alone: each is to see itself
    OTHER = auto()  # something that knows no regions, such as the layers of one text's token


class JointModel(ModelHooks):
    """The hooks of a model whose text and image stand in one sequence, text first.

    `arguments` are the names of what the host hands its `_forward`, as far as by position.
    `has_image_layers`: some of its layers attend over the image alone. `places_texts`: the places
    of a text begin anew, and `run.is_placed` says that they did. `takes_references`: pictures
    beside the one that is drawn stand behind it in the sequence.
    """

    arguments: ClassVar[tuple[str, ...]] = ()
    has_image_layers: ClassVar[bool] = False
    places_texts: ClassVar[bool] = False
    takes_references: ClassVar[bool] = True

    def __init__(self, family: Family) -> None:
        self.patch = family.latent.patch
        self.title = family.title

    def attach(self, patched: ModelPatcher, regions: Regions) -> None:
        patched.add_wrapper_with_key(
            WrappersMP.DIFFUSION_MODEL, REGIONS_KEY, partial(self.run, regions)
        )

    def tokens(self, length: int) -> int:
        """Return how many tokens of the sequence a text of that length takes."""
        return length

    def image_padding(self, tokens: int) -> int:
        """Return how many tokens of padding stand behind so many of the image."""
        return 0

    def first_attentions(self, network: nn.Module) -> tuple[Attended, ...]:
        """Return what the first attentions of a pass work on, in the order in which they run; after
        them come joint ones, and those of the image alone.
        """
        return ()

    def options(self, options: dict, call: JointCall, run: RegionRun) -> dict:
        """Return the options of a pass whose texts are those of `call`."""
        return options

    def grid(self, latent: Tensor) -> tuple[int, int]:
        """Return the rows and columns of the image's tokens for a latent [B,C,..,H,W].

        Odd sides are padded.
        """
        height, width = latent.shape[-2:]
        return ceil_div(height, self.patch), ceil_div(width, self.patch)

    def run(self, regions: Regions, executor: Any, *given: Any, **named: Any) -> Tensor:
        """Run the host's model, chunks of equal text lengths together.

        The joint sequence has no room for padding by repetition.
        """
        passed = Passed(self.arguments, given, named)
        x, options = passed["x"], passed[OPTIONS]
        self.check(passed, executor.class_obj)
        kinds = options["cond_or_uncond"]
        grid = self.grid(x)
        pixels = math.prod(grid)
        others = self.image_padding(pixels) + self._reference_tokens(passed)
        shares = regions.shares(x, grid, regions.scene_strength_at(options["sigmas"]), others)
        texts = _texts_in_use(regions.chunk_texts(passed["context"], kinds), shares.used)
        results: dict[int, Tensor] = {}
        for group in _of_equal_lengths(texts):
            call = self._call(texts[group[0]], shares, pixels + others)
            joint = Joint(call.text_lengths, shares, regions.options.isolation)
            attention = _RegionAttention(
                self,
                regions,
                joint,
                self.first_attentions(executor.class_obj),
                options.get(OVERRIDE),
            )
            changes = {
                "context": torch.cat([torch.cat(texts[chunk], 1) for chunk in group]),
                OPTIONS: {
                    **self.options(_options_of(options, group), call, regions.run),
                    OVERRIDE: attention,
                },
            }
            with regions.joint_forward(x, call, self.patch):
                result = passed.of_chunks(group, len(kinds), x.shape[0]).run(executor, changes)
            results |= zip(group, result.chunk(len(group)), strict=True)
        return torch.cat([results[chunk] for chunk in range(len(kinds))])

    def _call(self, texts: Sequence[Tensor], shares: Shares, image_tokens: int) -> JointCall:
        lengths = {region: text.shape[1] for region, text in zip(shares.used, texts, strict=True)}
        in_sequence = tuple(
            self.tokens(lengths[region]) if region in lengths else 0
            for region in range(len(shares.parts))
        )
        return JointCall(shares.used, tuple(lengths.values()), in_sequence, image_tokens)

    def _reference_tokens(self, passed: Passed) -> int:
        references = passed.get("ref_latents") or ()
        return sum(math.prod(self.grid(reference)) for reference in references)

    def check(self, passed: Passed, network: nn.Module) -> None:
        """Return where what the model is given goes with regions. Raises: PlanError."""
        if passed.get("attention_mask") is not None and "attention_mask" not in self.ignored:
            raise PlanError(
                "A conditioning with an attention mask cannot be combined with regions.",
                code="regions-attention-mask",
                hint=_NO_MASK,
            )
        if passed.get("ref_latents") and not self.takes_references:
            raise PlanError(
                f"Reference pictures of {self.title} cannot be combined with regions.",
                code="regions-references",
                hint="Take ReferenceLatent out of the scene's conditioning.",
            )


class Passed:
    """What the host hands a model's forward, by name, whether by position or not."""

    def __init__(self, names: Sequence[str], given: Sequence[Any], named: Mapping) -> None:
        self._names = names
        self._given = tuple(given)
        self._named = dict(named)

    def __getitem__(self, name: str) -> Any:
        if name in self._named:
            return self._named[name]
        return self._given[self._names.index(name)]

    def get(self, name: str) -> Any:
        if name in self._named:
            return self._named[name]
        place = self._names.index(name) if name in self._names else len(self._given)
        return self._given[place] if place < len(self._given) else None

    def of_chunks(self, chunks: Sequence[int], count: int, rows: int) -> Passed:
        """Return what of it these chunks of the batch get."""
        one = partial(_pick, chunks=chunks, count=count, rows=rows)
        kept = {OPTIONS}  # which are made for each group anew
        given = [
            value if name in kept else one(value)
            for name, value in zip(self._names, self._given, strict=False)
        ]
        named = {name: value if name in kept else one(value) for name, value in self._named.items()}
        return Passed(self._names, given, named)

    def run(self, executor: Any, changes: Mapping[str, Any]) -> Tensor:
        """Run the model with `changes` in place of what it was given under these names."""
        given = [
            changes.get(name, value) for name, value in zip(self._names, self._given, strict=False)
        ]
        named = {name: changes.get(name, value) for name, value in self._named.items()}
        return executor(*given, **named)


class _RegionAttention:
    """The host's override of the attentions of one pass.

    `before` is another pack's override, which is called for each group.
    """

    def __init__(
        self,
        model: JointModel,
        regions: Regions,
        joint: Joint,
        first: Sequence[Attended],
        before: Callable | None,
    ) -> None:
        self._model = model
        self._regions = regions
        self._joint = joint
        self._first = list(first)
        self._before = before

    def __call__(self, function: Callable, *arguments: Any, **named: Any) -> Tensor:
        """Return an attention.

        `function` is the host's own; `arguments` are q, k, v [B,heads,L,d], the number of heads and
        maybe a mask, as wrap_attn in comfy/ldm/modules/attention.py hands them on.
        """
        q, k, v, heads, *rest = arguments
        whole = function if self._before is None else partial(self._before, function)

        def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            return whole(q, k, v, heads, *rest, **named)

        kind = self._kind(q.shape[2])
        if kind is Attended.OTHER:
            return attend(q, k, v)
        if named.get("mask") is not None or any(isinstance(one, Tensor) for one in rest):
            raise PlanError(
                f"Another node masks the attention of this {self._model.title} model; that cannot"
                " be combined with regions.",
                code="regions-mask",
                hint="Take the other node out of this model's chain.",
            )
        if kind is Attended.TEXT:
            lengths = list(filter(None, self._joint.text_lengths))
            each = (one.split(lengths, 2) for one in (q, k, v))
            return torch.cat([attend(*own) for own in zip(*each, strict=True)], 1)
        run = self._regions.run
        if self._model.places_texts and not run.is_placed:
            raise PlanError(
                f"Another node runs this {self._model.title} model by code of its own, in which the"
                " texts of regions stand at wrong places.",
                code="regions-places",
                hint=_NO_NODE,
            )
        run.is_attended = True
        return self._joint.attention(q, k, v, attend)

    def _kind(self, length: int) -> Attended:
        text, image = self._joint.text_length, self._regions.call.image_tokens
        if self._first:
            kind = self._first.pop(0)
            if kind is Attended.OTHER or length == (
                text if kind is Attended.TEXT else text + image
            ):
                return kind
        elif length == text + image:
            return Attended.JOINT
        elif length == image and self._model.has_image_layers:
            return Attended.OTHER
        raise PlanError(
            f"An attention of this {self._model.title} model works on {length} tokens; expected"
            f" {text + image}: {text} of the regions' texts and {image} of the image. Its regions"
            " are not known.",
            code="regions-attention",
            hint=_NO_NODE,
        )


def _texts_in_use(chunks: Sequence[Sequence[Tensor]], regions: Sequence[int]) -> list[list[Tensor]]:
    """Return the texts of each chunk whose region has a share of the picture."""
    return [[texts[region] for region in regions] for texts in chunks]


def _options_of(transformer_options: dict, chunks: Sequence[int]) -> dict:
    """Return the options with what they hold of each chunk of the batch for these chunks only."""
    options = dict(transformer_options)
    for key in ("cond_or_uncond", "uuids"):
        if key in options:
            options[key] = [options[key][chunk] for chunk in chunks]
    return options


def _of_equal_lengths(chunks: Sequence[Sequence[Tensor]]) -> list[list[int]]:
    groups: dict[tuple[int, ...], list[int]] = {}
    for number, texts in enumerate(chunks):
        groups.setdefault(tuple(text.shape[1] for text in texts), []).append(number)
    return list(groups.values())


def _pick(value: Any, chunks: Sequence[int], count: int, rows: int) -> Any:
    """Return the rows of these chunks from every tensor in `value` that has one row for each of the
    batch's `rows`.
    """
    if isinstance(value, dict):
        return {key: _pick(one, chunks, count, rows) for key, one in value.items()}
    if isinstance(value, list):
        return [_pick(one, chunks, count, rows) for one in value]
    if isinstance(value, Tensor) and value.ndim and value.shape[0] == rows and len(chunks) < count:
        parts = value.chunk(count)
        return torch.cat([parts[chunk] for chunk in chunks])
    return value
