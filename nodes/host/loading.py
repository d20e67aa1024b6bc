"""Models of other libraries on the GPU."""

from __future__ import annotations

import comfy.model_management as management
from comfy.model_patcher import ModelPatcher


def load_whole(patcher: ModelPatcher, memory_required: int = 0) -> None:
    """Load all of a model's weights to its device, however short the memory is.

    Where it is, the host leaves weights on the CPU, for its own layers to cast. Layers of other
    libraries do not: their weights would meet activations on another device. `memory_required`: of
    activations, in bytes.
    """
    management.load_models_gpu([patcher], memory_required=memory_required, force_full_load=True)
    # With --novram the host asks for nothing to be loaded all the same.
    if not patcher.is_dynamic() and patcher.loaded_size() < patcher.model_size():
        patcher.load(patcher.load_device, full_load=True)
