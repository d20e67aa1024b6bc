"""FaceID on UNets: every cross-attention also attends to the persons' tokens, each in its own part
of the picture.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import uuid4

import comfy.ldm.modules.attention as host_attention
import comfy.lora
import comfy.utils
import torch
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrappersMP
from torch import Tensor, nn

from ...errors import PlanError
from ...host.models import family_of
from ...regions.host.sampling_cache import SamplingCache
from ...regions.host.unet import UnetArguments
from ...regions.run import Forward, RegionRun, averaged
from ..errors import FaceIDError
from ..ipadapter import Adapter

FACEID_KEY = "astria_faceid"
LORA = "astria_faceid_lora"  # names of the adapters whose LoRA the model has
# Where a diffusers UNet counts its attentions: the middle comes last.
ORDER = {"down_blocks": 0, "up_blocks": 1, "mid_block": 2}
SIDES = {"input_blocks": "input", "middle_block": "middle", "output_blocks": "output"}
HINT = "Load an adapter of the model's family."

Block = tuple[str, int, int]
Size = tuple[int, int]  # height, width


@dataclass(frozen=True, eq=False)
class FacePlace:
    """When and where a person's face acts.

    `steps`: from and to which part 0..1 of the steps. `gate`: a region by its number, masks [n,H,W]
    float32 on the CPU, or None for the whole picture.
    """

    steps: tuple[float, float]
    gate: int | Tensor | None


@dataclass(frozen=True, eq=False)
class UnetUse:
    """One person on a UNet.

    `keys_values` [2,T,h] of each cross-attention: the person's and the unconditional ones.
    """

    adapter: Adapter
    keys_values: Sequence[tuple[Tensor, Tensor]]
    strength: float
    place: FacePlace


@dataclass(frozen=True)
class Site:
    """A transformer block: diffusers' name of its cross-attention, the host's key for it, and its
    path in the model.
    """

    name: str
    block: Block
    path: str


class _Tokens(nn.Module):
    """The keys and values of one use; the host loads and unloads them like any model."""

    def __init__(self, use: UnetUse, dtype: torch.dtype) -> None:
        super().__init__()
        self.keys = _frozen([keys.to(dtype) for keys, _ in use.keys_values])
        self.values = _frozen([(values * use.strength).to(dtype) for _, values in use.keys_values])


def _frozen(tensors: Sequence[Tensor]) -> nn.ParameterList:
    return nn.ParameterList([nn.Parameter(tensor, requires_grad=False) for tensor in tensors])


def apply_ip_adapters(
    model: ModelPatcher, uses: Sequence[UnetUse], run: RegionRun | None
) -> ModelPatcher:
    """Return a clone of the UNet `model` with these persons, and with each adapter's LoRA once, at
    its full weight, for the whole picture.

    Raises: FaceIDError for an adapter whose layers are not the model's.
    """
    sites = cross_attentions(model)
    for use in uses:
        _check_fit(model, sites, use.adapter)
    patched = model.clone()
    for use in uses:
        _add_lora(patched, sites, use.adapter)
    # In the dtype of the activations, and in a patcher of its own: the host then loads, moves and
    # unloads it.
    tokens = nn.ModuleList(_Tokens(use, model.model.get_dtype_inference()) for use in uses)
    key = f"{FACEID_KEY}_{uuid4().hex}"  # the host takes clones with equal keys for equal
    patched.set_additional_models(
        key,
        [ModelPatcher(tokens, load_device=model.load_device, offload_device=model.offload_device)],
    )
    faces = _Faces(
        tuple(use.place for use in uses),
        tokens,
        tuple(site.block for site in sites),
        run,
        model.get_model_object("model_sampling"),
    )
    faces.kept.attach(patched, FACEID_KEY)
    patched.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, FACEID_KEY, faces.sample)
    patched.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, FACEID_KEY, partial(_run, faces))
    return patched


def cross_attentions(model: ModelPatcher) -> list[Site]:
    """Return the UNet's cross-attentions in the order in which adapters count them."""
    ending = ".attn2.to_q.weight"
    found = comfy.utils.unet_to_diffusers(model.model.model_config.unet_config)
    named = sorted(
        (_position(name), name.removesuffix(ending), path.removesuffix(ending))
        for name, path in found.items()
        if name.endswith(ending)
    )
    return [
        Site(f"{name}.attn2", _block(path), f"diffusion_model.{path}.attn2")
        for _, name, path in named
    ]


def _position(name: str) -> tuple[int, ...]:
    parts = name.split(".")
    return (ORDER[parts[0]], *(int(part) for part in parts if part.isdigit()))


def _block(path: str) -> Block:
    """Return the host's key of the block at, say, input_blocks.4.1.transformer_blocks.0; the number
    of the middle block is 0.
    """
    parts = path.split(".")
    side = SIDES[parts[0]]
    return side, 0 if side == "middle" else int(parts[1]), int(parts[-1])


def _check_fit(model: ModelPatcher, sites: Sequence[Site], adapter: Adapter) -> None:
    title = family_of(model).title
    if len(adapter.keys_values) != len(sites):
        text = (
            f"The adapter '{adapter.name}' has {len(adapter.keys_values)} cross-attentions; the"
            f" connected MODEL, {title}, has {len(sites)}."
        )
        raise FaceIDError(text, code="faceid-layers", hint=HINT)
    for site, (to_k, _) in zip(sites, adapter.keys_values, strict=True):
        layer = comfy.utils.get_attr(model.model, f"{site.path}.to_k")
        if tuple(to_k.shape) != (layer.out_features, layer.in_features):
            text = (
                f"The adapter '{adapter.name}' makes {to_k.shape[0]} channels of {to_k.shape[1]}"
                f" for {site.name}; the connected MODEL, {title}, has {layer.out_features} and"
                f" {layer.in_features} there."
            )
            raise FaceIDError(text, code="faceid-layers", hint=HINT)


def _add_lora(patched: ModelPatcher, sites: Sequence[Site], adapter: Adapter) -> None:
    """Patch the adapter's LoRA into the model, unless it is there.

    At its full weight: the adapter's scale does not change it in ip_adapter_faceid.py either.
    """
    there = patched.get_attachment(LORA) or frozenset()
    if not adapter.lora or adapter.name in there:
        return
    names = [name for site in sites for name in (site.name.replace("attn2", "attn1"), site.name)]
    renamed = {}
    for key, value in adapter.lora.items():
        number, _, rest = key.partition(".")
        renamed[f"unet.{names[int(number)]}.processor.{rest}"] = value
    patches = comfy.lora.load_lora(
        renamed, comfy.lora.model_lora_keys_unet(patched.model, {}), log_missing=False
    )
    added = patched.add_patches(patches)
    if len(added) * 2 != len(renamed):
        text = (
            f"The LoRA of the adapter '{adapter.name}' changes {len(renamed) // 2} layers,"
            f" {len(added)} of which the connected MODEL has."
        )
        raise FaceIDError(text, code="faceid-layers", hint=HINT)
    patched.set_attachments(LORA, there | {adapter.name})


@dataclass(eq=False)
class _Faces:
    """The persons on the patched model.

    `sampling` is the model's conversion of steps to noise levels; a node behind this one may give
    it another. `picture` is the size of the latent that is sampled, None where the model runs
    without a sampler of its own.
    """

    places: tuple[FacePlace, ...]
    tokens: nn.ModuleList
    blocks: tuple[Block, ...]
    run: RegionRun | None
    sampling: Any
    picture: tuple[int, int] | None = None
    kept: SamplingCache = field(default_factory=SamplingCache)

    def sample(self, executor: Any, noise: Tensor, *args: Any, **named: Any) -> Tensor:
        """Wrap a whole sampling."""
        before = self.sampling, self.picture
        self.sampling = executor.class_obj.model_patcher.get_model_object("model_sampling")
        self.picture = (noise.shape[-2], noise.shape[-1])
        try:
            return executor(noise, *args, **named)
        finally:
            self.sampling, self.picture = before

    def acting(self, sigmas: Tensor) -> list[int]:
        """Return the numbers of the uses that act at this noise level."""
        if all(place.steps == (0.0, 1.0) for place in self.places):
            return list(range(len(self.places)))
        sigma = sigmas.max().item()
        spans = [
            [self.sampling.percent_to_sigma(part) for part in place.steps] for place in self.places
        ]
        return [number for number, (first, last) in enumerate(spans) if first >= sigma > last]

    def mask(self, number: int, latent: Size, grid: Size, device: torch.device) -> Tensor:
        """Return the use's masks over a grid's tokens, [n,h*w].

        Raises: PlanError where the latent is a cut of the picture.
        """
        if self.picture not in (None, latent):
            sizes = (
                f"{latent[1]} x {latent[0]} of {self.picture[1]} x {self.picture[0]} latent pixels"
            )
            text = (
                f"The model runs on a part of the picture, {sizes}; the mask of a FaceID is that of"
                " the whole."
            )
            hint = (
                "Take areas and tiles out of this model's chain, or give the person a region"
                " instead of a mask."
            )
            raise PlanError(text, code="faceid-part", hint=hint)
        gate = self.places[number].gate
        assert isinstance(gate, Tensor)
        return self.kept.get(
            ("mask", number, *latent, *grid, device),
            lambda: averaged(averaged(gate, *latent), *grid).flatten(1).to(device),
        )


def _run(
    faces: _Faces,
    executor: Any,
    x: Tensor,
    timesteps: Tensor,
    context: Tensor,
    *rest: Any,
    **named: Any,
) -> Tensor:
    """Run the host's UNet with the faces that act now."""
    y, control, options = UnetArguments(*rest)
    numbers = faces.acting(options["sigmas"])
    if numbers:
        options = _FacesCall(faces, numbers, x, options["cond_or_uncond"]).options(options)
    return executor(x, timesteps, context, y, control, options, **named)


class _FacesCall:
    """One call of a UNet."""

    def __init__(
        self, faces: _Faces, numbers: Sequence[int], x: Tensor, kinds: Sequence[int]
    ) -> None:
        if any(kind > 1 for kind in kinds):
            text = (
                "The guider runs more than a positive and a negative conditioning; FaceID knows"
                " only these two."
            )
            raise PlanError(
                text, code="faceid-guider", hint="Use CFGGuider, BasicGuider or KSampler."
            )
        self._faces = faces
        self._numbers = numbers
        self._rows, self._latent = x.shape[0], (x.shape[2], x.shape[3])
        self._chunks = len(kinds)
        of_rows = [kind for kind in kinds for _ in range(x.shape[0] // len(kinds))]
        self._kinds = faces.kept.get(
            ("kinds", *of_rows, x.device), lambda: torch.tensor(of_rows, device=x.device)
        )
        self._weights: dict[tuple[int, ...], Tensor] = {}

    def options(self, options: dict) -> dict:
        """Return transformer options in which every cross-attention attends to the faces too.

        It calls the patch that it replaces.
        """
        replaced = options.get("patches_replace", {})
        before = replaced.get("attn2", {})
        ours = {
            block: partial(self._attention, layer, before.get(block, before.get(block[:2])))
            for layer, block in enumerate(self._faces.blocks)
        }
        return {**options, "patches_replace": {**replaced, "attn2": {**before, **ours}}}

    def _attention(
        self,
        layer: int,
        before: Callable | None,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        extra: Mapping[str, Any],
    ) -> Tensor:
        attend = partial(
            host_attention.optimized_attention,
            heads=extra["n_heads"],
            attn_precision=extra["attn_precision"],
        )
        out = (
            attend(q, k, v, transformer_options=extra) if before is None else before(q, k, v, extra)
        )
        grid = (extra["activations_shape"][2], extra["activations_shape"][3])
        for number in self._numbers:
            gate = self._faces.places[number].gate
            forward = self._faces.run.forward if self._faces.run is not None else None
            if isinstance(gate, int) and forward is None:
                continue
            if q.shape[0] != self._rows:
                raise _patched_by_others(
                    f"{q.shape[0]} rows, the batch has {self._rows}", "repeats the rows of a batch"
                )
            if isinstance(gate, int) and forward.row_gate is not None:
                out = self._of_items(layer, number, forward, q, out, attend)
                continue
            k, v = self._keys_values(layer, number, self._kinds, q)
            of_face = attend(q, k, v)
            weight = self._weight(number, grid, q)
            out = out + of_face if weight is None else torch.addcmul(out, of_face, weight)
        return out

    def _of_items(
        self, layer: int, number: int, forward: Forward, q: Tensor, out: Tensor, attend: Callable
    ) -> Tensor:
        """Return `out` with the person added on the items of the batch that are theirs.

        The others are not computed.
        """
        gate = self._region(forward.row_gate, number)
        if len(gate) != self._rows:
            raise _patched_by_others(
                f"{self._rows} rows, the faces are {len(gate)}", "splits or joins batches"
            )
        rows = forward.rows_of(self._faces.places[number].gate)
        if len(rows) == 0:
            return out
        k, v = self._keys_values(layer, number, self._kinds[rows], q)
        of_face = attend(q[rows], k, v)
        return out.index_add(0, rows, of_face * gate.to(q)[rows, None, None])

    def _keys_values(
        self, layer: int, number: int, kinds: Tensor, q: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the use's keys and values [rows,T,h], the unconditional ones for negative rows."""
        tokens = self._faces.tokens[number]
        k = tokens.keys[layer].to(q)[kinds]
        v = tokens.values[layer].to(q)[kinds]
        return k, v

    def _weight(self, number: int, grid: tuple[int, int], q: Tensor) -> Tensor | None:
        """Return the use's weights [1 or rows,L,1] of the grid's tokens, None where it acts on all
        of them.
        """
        gate = self._faces.places[number].gate
        if gate is None:
            return None
        if q.shape[1] != grid[0] * grid[1]:
            raise _patched_by_others(
                f"{q.shape[1]} tokens, a grid of {grid[0]} x {grid[1]} has {grid[0] * grid[1]}",
                "merges, tiles or drops tokens",
            )
        key = (number, *grid)
        if key not in self._weights:
            if isinstance(gate, int):
                weight = self._region(self._faces.run.forward.on_grid(*grid), number)[None]
            else:
                mask = self._faces.mask(number, self._latent, grid, q.device)
                weight = comfy.utils.repeat_to_batch_size(mask, self._rows // self._chunks)
                weight = weight.repeat(self._chunks, 1)
            self._weights[key] = weight[:, :, None].to(q)
        return self._weights[key]

    def _region(self, weights: Tensor, number: int) -> Tensor:
        """Return the row of the use's region."""
        region = self._faces.places[number].gate
        if region >= len(weights):
            raise FaceIDError(
                f"A FaceID is meant for person {region}, but the picture has regions for"
                f" {len(weights) - 1}.",
                code="faceid-region",
                hint="Give every person with a FaceID a region.",
            )
        return weights[region]


def _patched_by_others(what: str, does: str) -> FaceIDError:
    return FaceIDError(
        f"A cross-attention works on {what}.",
        code="faceid-tokens",
        hint=f"Remove the patch of this MODEL that {does}.",
    )
