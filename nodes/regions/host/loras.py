"""LoRAs on a MODEL, each inside its own region: never merged, but added to the layers' outputs
while the model runs.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from uuid import uuid4

import comfy.utils
import torch
from comfy.ldm.flux.layers import DoubleStreamBlock
from comfy.ldm.flux.model import Flux
from comfy.ldm.modules.attention import SpatialTransformer
from comfy.ldm.modules.diffusionmodules.openaimodel import ResBlock, UNetModel
from comfy.model_base import BaseModel
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import CallbacksMP, PatcherInjection
from torch import nn

from ..lora import LoraError, RegionLora
from ..lora_fit import OnFit, log_partial_fit
from ..lora_forms import Form
from ..lora_gates import BlockSizes, Rows, Spot
from ..lora_hooks import Hooks
from ..lora_layer import GatedChange, LayerChange
from ..run import RegionRun
from .lora_files import read_lora
from .lora_loading import load_lora_file

Loras = tuple[tuple[str, float], ...]  # (file, strength) each

GATED_LORA_KEY = "astria_gated_lora"
# First match counts. Flux' modulation and a UNet block's time embedding are vectors that the block
# adds to every row.
FLUX_SPOTS = (
    ("img_mod.", Rows.FLUX_IMAGE, True),
    ("txt_mod.", Rows.FLUX_TEXT, True),
    (".modulation.", Rows.FLUX_JOINT, True),
    ("final_layer.adaLN_modulation.", Rows.FLUX_IMAGE, True),
    ("single_blocks.", Rows.FLUX_JOINT, False),
    (".img_", Rows.FLUX_IMAGE, False),
    (".txt_", Rows.FLUX_TEXT, False),
    ("final_layer.", Rows.FLUX_IMAGE, False),
)
UNET_SPOTS = (
    (".attn2.to_k", Rows.CROSS_TEXT, False),
    (".attn2.to_v", Rows.CROSS_TEXT, False),
    (".emb_layers.", Rows.TOKENS, True),
    (".transformer_blocks.", Rows.TOKENS, False),
    (".proj_", Rows.TOKENS, False),
)


def apply_gated_loras(
    model: ModelPatcher,
    loras: Sequence[RegionLora],
    run: RegionRun,
    *,
    items: bool = False,
    on_fit: OnFit = log_partial_fit,
) -> ModelPatcher:
    """Return a clone of `model` on which each LoRA acts in its region's rows while `run.forward` is
    set, and nowhere otherwise.

    `items` says that the run's regions will be items of the batch, which every layer can tell
    apart, and not areas of one picture. Applied twice, both act. Text-encoder weights of the files
    are left to the CLIP. Of each file what fits is applied, and `on_fit` gets how much that is.
    Raises: LoraError naming the LoRA of which nothing fits the model.
    """
    patched = model.clone()
    members: dict[str, list[tuple[int, Form]]] = {}
    for lora in loras:
        if lora.strength != 0:
            forms, fit = read_lora(model, lora)
            on_fit(fit)
            for path, form in forms:
                members.setdefault(path, []).append((lora.region, form))
    if not members:
        return patched
    changes = [
        LayerChange(path, spot_of(model.model, path), forms) for path, forms in members.items()
    ]
    if not items:
        _report_whole(changes)
    # In the dtype of the activations, and in a patcher of its own: the host then loads, moves and
    # unloads it like any model.
    changes_model = nn.ModuleList(changes).to(model.model.get_dtype_inference())
    key = f"{GATED_LORA_KEY}_{uuid4().hex}"  # the host takes clones with equal keys for equal
    patched.set_additional_models(
        key,
        [
            ModelPatcher(
                changes_model, load_device=model.load_device, offload_device=model.offload_device
            )
        ],
    )
    injection = _Injection(key, run)
    patched.set_injections(key, [PatcherInjection(inject=injection.inject, eject=injection.eject)])
    # Others may have put their stand-ins above ours; theirs are gone by now.
    patched.add_callback_with_key(CallbacksMP.ON_EJECT_MODEL, key, injection.eject)
    return patched


def spot_of(model: BaseModel, path: str) -> Spot:
    """Return the model's layer at `path`, with the meaning of its rows.

    Raises LoraError for a model that is neither a UNet nor Flux.
    """
    network = model.diffusion_model
    if not isinstance(network, UNetModel | Flux):
        raise LoraError(
            f"The connected MODEL is a {type(network).__name__}; LoRAs inside regions are built for"
            " the UNet and for Flux.",
            code="lora-family",
            hint="Connect an SD1.5, SDXL or Flux model.",
        )
    module = comfy.utils.get_attr(model, path)
    if hasattr(module, "kernel_size") or isinstance(module, nn.GroupNorm):
        return Spot(path, Rows.CONVOLUTION)
    for part, rows, vector in FLUX_SPOTS if isinstance(network, Flux) else UNET_SPOTS:
        if part in path:
            return Spot(path, rows, vector)
    return Spot(path, Rows.WHOLE)


def _report_whole(changes: Sequence[LayerChange]) -> None:
    whole = [change.path for change in changes if change.spot.rows is Rows.WHOLE]
    if whole:
        logging.info(
            "Astria: %d layers act on the whole picture at once; there each person's LoRA counts by"
            " the share of its region: %s",
            len(whole),
            ", ".join(whole),
        )


class _Injection:
    """Puts the changes into a model's modules when the host injects, and removes them when it
    ejects.
    """

    def __init__(self, key: str, run: RegionRun) -> None:
        self._key = key
        self._run = run
        self._hooks = Hooks()

    def inject(self, patcher: ModelPatcher) -> None:
        self._hooks.remove()
        sizes = BlockSizes()
        for module in patcher.model.modules():
            if isinstance(module, SpatialTransformer | ResBlock):
                self._hooks.watch(module, partial(_see_unet_block, sizes))
            elif isinstance(module, DoubleStreamBlock):
                self._hooks.watch(module, partial(_see_flux_block, sizes))
        (changes,) = patcher.get_additional_models_with_key(self._key)
        for change in changes.model:
            self._hooks.add(
                comfy.utils.get_attr(patcher.model, change.path),
                GatedChange(change, self._run, sizes),
            )

    def eject(self, patcher: ModelPatcher) -> None:
        self._hooks.remove()


def _see_unet_block(sizes: BlockSizes, x: torch.Tensor, *_args: object, **_kwargs: object) -> None:
    sizes.grid = (x.shape[-2], x.shape[-1])


def _see_flux_block(
    sizes: BlockSizes, img: torch.Tensor, txt: torch.Tensor, *_args: object, **_kwargs: object
) -> None:
    sizes.image_tokens = img.shape[1]
    sizes.text_tokens = txt.shape[1]


def load_region_loras(regions: Sequence[Loras]) -> list[RegionLora]:
    """Return the LoRAs of each region with their weights: the scene's, then the persons'.

    Raises: LoraError for a file that cannot be read; FileNotFoundError of the host for a name that
    it does not list.
    """
    loaded = []
    for region, loras in enumerate(regions):
        for name, strength in loras:
            tensors, _ = load_lora_file(name)
            loaded.append(RegionLora(region, tensors, strength, name))
    return loaded
