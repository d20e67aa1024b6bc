"""Tiny SAM3 and SAM3.1 of the host's own classes, with random weights.

The host gives every SAM3 a picture of 1008x1008; patches four times as large as the published ones
make that bearable on a CPU.
"""

from __future__ import annotations

import comfy.model_patcher
import comfy.sd
import comfy.supported_models as supported
import torch

from .weights import fill

_SIZES = {
    "embed_dim": 64,
    "depth": 2,
    "num_heads": 4,
    "global_att_blocks": (1,),
    "num_queries": 3,
    "patch_size": 56,
    "window_size": 6,
    "d_model": 64,
}
_TEXT = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "projection_dim": 64,
}


def tiny_sam3(kind: str, seed: int = 0) -> tuple[comfy.model_patcher.ModelPatcher, comfy.sd.CLIP]:
    """Return MODEL and CLIP of `kind`, SAM3 or SAM31, on the CPU."""
    config = getattr(supported, kind)({"image_model": kind, **_SIZES})
    config.set_inference_dtype(torch.float32, None)
    cpu = torch.device("cpu")
    model = config.get_model({}, "", device=cpu)
    fill(model.diffusion_model, seed=seed)
    _enlarge_patches(model.diffusion_model.tracker)
    clip = comfy.sd.CLIP(
        config.clip_target(),
        model_options={"dtype": torch.float32, "sam3_clip_model_config": _TEXT},
    )
    fill(clip.cond_stage_model, seed=seed)
    return comfy.model_patcher.CoreModelPatcher(model, load_device=cpu, offload_device=cpu), clip


def _enlarge_patches(tracker: torch.nn.Module) -> None:
    """Let the decoder that refines masks count in the detector's patches, which the host does not
    tell it of.
    """
    side = tracker.image_size // _SIZES["patch_size"]
    tracker.backbone_stride = _SIZES["patch_size"]
    for part in tracker.modules():
        if hasattr(part, "image_embedding_size"):
            part.image_embedding_size = (side, side)
