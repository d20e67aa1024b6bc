"""Tiny MODEL, CLIP and VAE of each family, as the host's own loaders would hand them out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import comfy.model_management
import comfy.model_patcher
import comfy.sd
import comfy.supported_models as supported
import comfy.supported_models_base as supported_base
import folder_paths
import torch
from comfy.text_encoders.flux import FluxTokenizer, flux_clip

from .flux2 import KLEIN_4B_TEXT, KLEIN_9B_TEXT, flux2_clip, flux2_dev, flux2_klein
from .vae import faithful_vae
from .weights import fill

_UNET = {
    "use_checkpoint": False,
    "image_size": 32,
    "out_channels": 4,
    "use_spatial_transformer": True,
    "legacy": False,
    "model_channels": 32,
    "use_temporal_attention": False,
    "use_temporal_resblock": False,
}
_SD15 = {
    **_UNET,
    "adm_in_channels": None,
    "num_res_blocks": [2, 2, 2, 2],
    "transformer_depth": [1, 1, 1, 1, 1, 1, 0, 0],
    "channel_mult": [1, 2, 4, 4],
    "transformer_depth_middle": 1,
    "use_linear_in_transformer": False,
    "context_dim": 64,
    "num_heads": 8,
    "transformer_depth_output": [1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0],
}
_SDXL = {
    **_UNET,
    "num_classes": "sequential",
    "adm_in_channels": 96 + 1536,
    "num_res_blocks": [2, 2, 2],
    "transformer_depth": [0, 0, 1, 1, 2, 2],
    "channel_mult": [1, 2, 4],
    "transformer_depth_middle": 2,
    "use_linear_in_transformer": True,
    "context_dim": 64 + 96,
    "transformer_depth_output": [0, 0, 0, 1, 1, 1, 2, 2, 2],
}
# hidden_size / num_heads must be the sum of axes_dim
_FLUX = {
    "image_model": "flux",
    "out_channels": 16,
    "patch_size": 2,
    "vec_in_dim": 64,
    "context_in_dim": 48,
    "hidden_size": 128,
    "num_heads": 1,
    "depth": 2,
    "depth_single_blocks": 2,
    "axes_dim": [16, 56, 56],
    "mlp_ratio": 4.0,
    "theta": 10000,
    "qkv_bias": True,
    "guidance_embed": True,
    "txt_ids_dims": [],
}
# dim is not below 256, the width of its modulation's input; dim / n_heads is the sum of axes_dims
_ZIMAGE = {
    "image_model": "lumina2",
    "patch_size": 2,
    "in_channels": 16,
    "dim": 256,
    "cap_feat_dim": 32,
    "n_layers": 2,
    "qk_norm": True,
    "n_heads": 4,
    "n_kv_heads": 4,
    "axes_dims": [16, 24, 24],
    "axes_lens": [1536, 512, 512],
    "rope_theta": 256.0,
    "ffn_dim_multiplier": 8.0 / 3.0,
    "z_image_modulation": True,
    "time_scale": 1000.0,
    "pad_tokens_multiple": 32,
}
# features / heads is a multiple of 16
_KREA2 = {
    "image_model": "krea2",
    "features": 64,
    "tdim": 32,
    "txtdim": 32,
    "heads": 4,
    "kvheads": 2,
    "multiplier": 4,
    "layers": 2,
    "patch": 2,
    "channels": 16,
    "txtlayers": 12,
    "txtheads": 2,
    "txtkvheads": 2,
}

_CLIP_L = {
    "hidden_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "projection_dim": 64,
}
_CLIP_G = {
    "hidden_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 192,
    "projection_dim": 96,
}
# Its tokens are those of the real one, so it must have a vector for each.
_QWEN3_4B = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
}
# Krea 2 reads twelve of its layers up to the 35th.
_QWEN3VL_4B = {**_QWEN3_4B, "num_hidden_layers": 36}
_T5 = {"d_model": 48, "d_ff": 96, "d_kv": 12, "num_heads": 4, "num_layers": 2}


def _sd15(in_channels: int) -> supported_base.BASE:
    return supported.SD15({**_SD15, "in_channels": in_channels})


def _sdxl(in_channels: int) -> supported_base.BASE:
    config = supported.SDXL({**_SDXL, "in_channels": in_channels})
    # The constructor sets 64, more than the narrowest layer has.
    config.unet_config["num_head_channels"] = 16
    return config


FAMILIES: dict[str, Callable[[], supported_base.BASE]] = {
    "sd15": lambda: _sd15(4),
    "sd15_inpaint": lambda: _sd15(9),
    "sdxl": lambda: _sdxl(4),
    "sdxl_inpaint": lambda: _sdxl(9),
    "flux": lambda: supported.Flux({**_FLUX, "in_channels": 16}),
    "flux_schnell": lambda: supported.FluxSchnell(
        {**_FLUX, "in_channels": 16, "guidance_embed": False}
    ),
    "flux_fill": lambda: supported.FluxInpaint({**_FLUX, "in_channels": 96}),
    "flux2": flux2_dev,
    "flux2_klein_4b": lambda: flux2_klein(KLEIN_4B_TEXT),
    "flux2_klein_9b": lambda: flux2_klein(KLEIN_9B_TEXT),
    "flux2_klein_4b_base": lambda: flux2_klein(KLEIN_4B_TEXT),
    "flux2_klein_9b_base": lambda: flux2_klein(KLEIN_9B_TEXT),
    "zimage_turbo": lambda: supported.ZImage(dict(_ZIMAGE)),
    "zimage": lambda: supported.ZImage(dict(_ZIMAGE)),
    "krea2_turbo": lambda: supported.Krea2(dict(_KREA2)),
    "krea2": lambda: supported.Krea2(dict(_KREA2)),
}


def load_family(
    family: str, seed: int
) -> tuple[comfy.model_patcher.ModelPatcher, comfy.sd.CLIP, comfy.sd.VAE]:
    """Return MODEL, CLIP and VAE of `family`; equal seeds give equal weights.

    An inpaint model shares CLIP weights with its base.
    """
    config = FAMILIES[family]()
    return _model(config, seed), _clip(config, seed), faithful_vae(config.latent_format)


def _model(config: supported_base.BASE, seed: int) -> comfy.model_patcher.ModelPatcher:
    device, kinds = comfy.model_management.get_torch_device(), config.supported_inference_dtypes
    stored = comfy.model_management.unet_dtype(device, supported_dtypes=kinds)
    config.set_inference_dtype(
        stored, comfy.model_management.unet_manual_cast(stored, device, kinds)
    )
    offload = comfy.model_management.unet_offload_device()
    model = config.get_model({}, "", device=offload)
    fill(model.diffusion_model, seed=seed)
    return comfy.model_patcher.CoreModelPatcher(model, load_device=device, offload_device=offload)


def _clip(config: supported_base.BASE, seed: int) -> comfy.sd.CLIP:
    clip = flux2_clip(config) if isinstance(config, supported.Flux2) else _older_clip(config)
    fill(clip.cond_stage_model, seed=seed)
    return clip


def _older_clip(config: supported_base.BASE) -> comfy.sd.CLIP:
    options: dict[str, Any] = {
        "dtype": torch.float32,
        "clip_l_model_config": _CLIP_L,
        "clip_g_model_config": _CLIP_G,
        "t5xxl_model_config": _T5,
        "qwen3_4b_model_config": _QWEN3_4B,
        "qwen3vl_4b_model_config": _QWEN3VL_4B,
    }
    target = config.clip_target()
    # Without weights to look at, the host's own target has no type for T5.
    if isinstance(config, supported.Flux):
        target = supported_base.ClipTarget(FluxTokenizer, flux_clip(dtype_t5=torch.float32))
    return comfy.sd.CLIP(
        target,
        embedding_directory=folder_paths.get_folder_paths("embeddings"),
        model_options=options,
    )
