"""LoRAs on a MODEL, each inside its own region: never merged, but added to the layers' outputs
while the model runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from uuid import uuid4

import comfy.utils
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import CallbacksMP, PatcherInjection
from torch import nn

from ..lora import RegionLora
from ..lora_fit import OnFit, log_partial_fit
from ..lora_forms import Form
from ..lora_gates import BlockSizes, Rows, Spot
from ..lora_hooks import Hooks
from ..lora_layer import GatedChange, LayerChange
from ..run import RegionRun
from .hooks import ModelHooks
from .lora.files import read_lora
from .lora.loading import load_lora_file
from .table import hooks_of

Loras = tuple[tuple[str, float], ...]  # (file, strength) each

GATED_LORA_KEY = "astria_gated_lora"


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
    Raises: LoraError naming the LoRA of which nothing fits the model; PlanError for a kind of model
    that this pack does not plan for.
    """
    patched = model.clone()
    members: dict[str, list[tuple[int, Form]]] = {}
    spots: dict[str, Spot] = {}
    hooks = hooks_of(model)
    for lora in loras:
        if lora.strength != 0:
            forms, fit = read_lora(model, lora, hooks.unread)
            own = {path: _spot(hooks, model, path) for path, _ in forms}
            shared = sum(spot.rows is Rows.WHOLE for spot in own.values())
            on_fit(fit if items else replace(fit, shared=shared))
            spots |= own
            for path, form in forms:
                members.setdefault(path, []).append((lora.region, form))
    if not members:
        return patched
    changes = [LayerChange(path, spots[path], forms) for path, forms in members.items()]
    # In the dtype of the activations, and in a patcher of its own: the host then loads, moves and
    # unloads it like any model.
    changes_model = nn.ModuleList(changes).to(model.model.get_dtype_inference())
    key = f"{GATED_LORA_KEY}_{uuid4().hex}"  # the host takes clones with equal keys for equal
    devices = {"load_device": model.load_device, "offload_device": model.offload_device}
    patched.set_additional_models(key, [ModelPatcher(changes_model, **devices)])
    injection = _Injection(key, run, hooks)
    patched.set_injections(key, [PatcherInjection(inject=injection.inject, eject=injection.eject)])
    # Others may have put their stand-ins above ours; theirs are gone by now.
    patched.add_callback_with_key(CallbacksMP.ON_EJECT_MODEL, key, injection.eject)
    return patched


def _spot(hooks: ModelHooks, model: ModelPatcher, path: str) -> Spot:
    return hooks.spot(path, comfy.utils.get_attr(model.model, path))


class _Injection:
    """Puts the changes into a model's modules when the host injects, and removes them when it
    ejects.
    """

    def __init__(self, key: str, run: RegionRun, hooks: ModelHooks) -> None:
        self._key = key
        self._run = run
        self._model = hooks
        self._hooks = Hooks()
        self._sizes = BlockSizes()

    def inject(self, patcher: ModelPatcher) -> None:
        self._hooks.remove()
        self._model.watch(self._hooks, patcher.model.diffusion_model, self._sizes)
        (changes,) = patcher.get_additional_models_with_key(self._key)
        for change in changes.model:
            self._hooks.add(
                comfy.utils.get_attr(patcher.model, change.path),
                GatedChange(change, self._run, self._sizes),
            )

    def eject(self, patcher: ModelPatcher) -> None:
        self._hooks.remove()


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
