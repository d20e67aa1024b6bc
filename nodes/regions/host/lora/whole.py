"""A LoRA on the whole of a MODEL and its CLIP, merged by the host, and how much of it fits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import comfy.lora
import comfy.sd
import comfy.utils
import folder_paths
from comfy.model_patcher import ModelPatcher
from comfy.weight_adapter import LoRAAdapter, WeightAdapterBase
from torch import nn

from ....errors import PlanError
from ....host.models import family_of
from ...lora_fit import EVERYTHING, MODEL, NO_LAYER, TEXT, LoraFit, ModelKind, fit_of
from ...lora_names import stems_of
from .changes import LoraChange, Unfit, read_changes
from .loading import load_lora_file
from .merged import MERGED, check_merged
from .sizes import check_magnitude, check_matrices, check_numbers, check_shape, check_size


def apply_whole_lora(
    model: ModelPatcher, clip: Any, name: str, strength_model: float, strength_clip: float
) -> tuple[ModelPatcher, Any, LoraFit | None]:
    """Return clones of model and CLIP with the LoRA `name` of ComfyUI's loras folder, patched as
    the host's LoraLoader patches them, and how much of the file fits.

    At a strength of 0 that part of the file is not looked at; at both the fit is None. A file under
    names that the host does not know for a layer that it has is worn as well.
    Raises: LoraError for a file that cannot be read, and where it has something for the model and
    nothing of it fits; FileNotFoundError of the host for a name that it does not list.
    """
    if not strength_model and not strength_clip:
        folder_paths.get_full_path_or_raise("loras", name)
        return model, clip, None
    state_dict, metadata = load_lora_file(name)
    keys: dict = {}
    if strength_model:
        keys = comfy.lora.model_lora_keys_unet(model.model, keys)
    if strength_clip:
        keys = comfy.lora.model_lora_keys_clip(clip.cond_stage_model, keys)
    reading = read_changes(state_dict, keys, model.model)
    reading.sort(lambda change: _check(change, model.model, clip.cond_stage_model))
    looked_at = TEXT if not strength_model else EVERYTHING if strength_clip else MODEL
    fit = fit_of(
        state_dict,
        reading.fitted_own,
        reading.left,
        looked_at=looked_at,
        model=model_kind(model),
    )
    are_two = looked_at == EVERYTHING and strength_clip != strength_model
    fit = replace(
        fit,
        name=name,
        strength=strength_model or strength_clip,
        text_strength=strength_clip if are_two else None,
    )
    if fit.is_refused:
        raise fit.refusal()
    fitting = {name: reading.tensors[name] for name in reading.tensors if name in reading.fitted}
    in_pieces = {name for name in fitting if not reading.pieces.keys().isdisjoint(stems_of([name]))}
    known = {name: one for name, one in fitting.items() if name not in in_pieces}
    patched, encoder = comfy.sd.load_lora_for_models(
        model, clip, known, strength_model, strength_clip, lora_metadata=metadata
    )
    # Under names that only this pack knows.
    pieces = comfy.lora.load_lora(fitting, reading.pieces, log_missing=False)
    patched.add_patches(pieces, strength_model)
    return patched, encoder, fit


def model_kind(model: ModelPatcher) -> ModelKind:
    """Return the kind of a MODEL; one that this pack does not plan for by the host's name."""
    try:
        family = family_of(model)
    except PlanError:
        return ModelKind(type(model.model.model_config).__name__)
    return ModelKind(family.title, family.branch)


def _check(change: LoraChange, model: nn.Module, encoder: nn.Module) -> None:
    """Return where the host merges the change into its weight. Raises: Unfit."""
    shape = _shape(model if change.key.startswith("diffusion_model.") else encoder, change)
    patch = change.patch
    check_numbers(patch)
    if not isinstance(patch, WeightAdapterBase):
        check_shape(tuple(patch[1][0].shape), shape)
        return
    if type(patch) in MERGED:
        check_merged(patch, shape)
        return
    check_matrices(patch)
    if isinstance(patch, LoRAAdapter) and patch.weights[5] is not None:  # grows the weight
        grown = tuple(patch.weights[5])
        if len(grown) != len(shape) or any(map(int.__lt__, grown, shape)):
            check_shape(grown, shape)
        shape = grown
    check_size(patch, shape)
    check_magnitude(patch, shape)


def _shape(root: nn.Module, change: LoraChange) -> tuple[int, ...]:
    """Return the shape of the weight, or of the part of it, that is changed."""
    try:
        module, weight = (comfy.utils.get_attr(root, name) for name in (change.path, change.key))
    except AttributeError:
        module = weight = None
    if weight is None:
        raise Unfit(NO_LAYER)
    shape = list(weight.shape)
    if change.key.endswith(".weight") and hasattr(module, "in_features"):
        shape = [module.out_features, module.in_features]  # also where it is stored packed
    if change.offset is not None:
        shape[change.offset[0]] = change.offset[2]
    return tuple(shape)
