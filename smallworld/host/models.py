"""MODEL, CLIP and VAE of the small world: the host's classes, in small.

The host tells SD1.5 and its parts from a file only at the published widths, so these are named by
what they are, and built from their files here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import comfy.model_management
import comfy.model_patcher
import comfy.sd
import comfy.supported_models as supported
import comfy.supported_models_base as supported_base
import folder_paths
import torch
from comfy.text_encoders.flux import FluxTokenizer, flux_clip
from torch import Tensor

TABLES = (".embeddings.token_embedding.weight", ".shared.weight")  # of tokens: CLIP's, T5's
ROWS = ".rows"  # beside a shortened table: the tokens that it has rows for

_SD15 = {
    "use_checkpoint": False,
    "image_size": 32,
    "in_channels": 4,
    "out_channels": 4,
    "use_spatial_transformer": True,
    "legacy": False,
    "model_channels": 64,
    "use_temporal_attention": False,
    "use_temporal_resblock": False,
    "adm_in_channels": None,
    "num_res_blocks": [1, 1, 1],
    "transformer_depth": [1, 1, 1],
    "channel_mult": [1, 2, 2],
    "transformer_depth_middle": 1,
    "use_linear_in_transformer": False,
    "context_dim": 96,
    "num_heads": 8,
    "transformer_depth_output": [1, 1, 1, 1, 1, 1],
}
CLIP_L = {
    "hidden_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 384,
    "projection_dim": 96,
    "hidden_act": "quick_gelu",
    "max_position_embeddings": 77,
    "eos_token_id": 49407,
}
# With one head, a layer gives a patch one mean of all others, and what is small is smeared.
_FLUX = {
    "image_model": "flux",
    "in_channels": 16,
    "out_channels": 16,
    "patch_size": 2,
    "vec_in_dim": 96,
    "context_in_dim": 96,
    "hidden_size": 192,
    "num_heads": 6,
    "depth": 2,
    "depth_single_blocks": 4,
    "axes_dim": [4, 14, 14],
    "mlp_ratio": 4.0,
    "theta": 10000,
    "qkv_bias": True,
    "guidance_embed": True,
    "txt_ids_dims": [],
}
T5 = {
    "d_model": 96,
    "d_ff": 256,
    "d_kv": 24,
    "num_heads": 4,
    "num_layers": 2,
    "dense_act_fn": "gelu_pytorch_tanh",
    "is_gated_act": True,
    "model_type": "t5",
    "vocab_size": 32128,
}

# It learned texts as long as they are; padded to 256 tokens they would say something else.
_NO_PADDING = {"t5xxl_min_length": 1}


def sd15(channels: int = 4) -> supported_base.BASE:
    """Return the host's configuration of the small SD1.5; with 9 channels in, of its inpainting
    model.
    """
    return supported.SD15({**_SD15, "in_channels": channels})


def flux(channels: int = 16) -> supported_base.BASE:
    """Return the host's configuration of the small Flux.1; with 96 channels in, of its inpainting
    model.
    """
    return supported.Flux({**_FLUX, "in_channels": channels})


def autoencoder(channels: int) -> dict[str, Any]:
    """Return the parameters of the host's AutoencoderKL with that many latent channels."""
    encoder = {
        "double_z": True,
        "z_channels": channels,
        "resolution": 128,
        "in_channels": 3,
        "out_ch": 3,
        "ch": 32,
        "ch_mult": [1, 1, 2, 2],
        "num_res_blocks": 1,
        "attn_resolutions": [],
        "dropout": 0.0,
    }
    decoder = {**encoder, "num_res_blocks": 0}  # the decoder counts one more
    return {"ddconfig": encoder, "decoder_ddconfig": decoder, "embed_dim": channels}


def load_model(
    config: supported_base.BASE, weights: Mapping[str, Tensor], *, is_dynamic: bool = True
) -> comfy.model_patcher.ModelPatcher:
    """Return the MODEL of that configuration; `weights` are named as in its diffusion model.

    `is_dynamic` lets the host move parts of it, where it does.
    """
    device, kinds = comfy.model_management.get_torch_device(), config.supported_inference_dtypes
    stored = comfy.model_management.unet_dtype(device, supported_dtypes=kinds)
    config.set_inference_dtype(
        stored, comfy.model_management.unet_manual_cast(stored, device, kinds)
    )
    offload = comfy.model_management.unet_offload_device()
    model = config.get_model({}, "", device=offload)
    model.diffusion_model.load_state_dict(weights)
    held = comfy.model_patcher.CoreModelPatcher if is_dynamic else comfy.model_patcher.ModelPatcher
    return held(model, load_device=device, offload_device=offload)


def load_clip(config: supported_base.BASE, weights: Mapping[str, Tensor]) -> comfy.sd.CLIP:
    """Return the CLIP of that configuration; `weights` are named as in its encoders, their token
    tables shortened as `shortened` does.
    """
    target = config.clip_target()
    if isinstance(config, supported.Flux):  # without weights to look at, T5 would have no type
        target = supported_base.ClipTarget(FluxTokenizer, flux_clip(dtype_t5=torch.float32))
    clip = comfy.sd.CLIP(
        target,
        embedding_directory=folder_paths.get_folder_paths("embeddings"),
        model_options={
            "dtype": torch.float32,
            "clip_l_model_config": CLIP_L,
            "t5xxl_model_config": T5,
        },
        tokenizer_data=_NO_PADDING,
    )
    whole = clip.cond_stage_model.state_dict()
    clip.cond_stage_model.load_state_dict(lengthened(weights, whole), strict=False)
    return clip


def load_vae(weights: Mapping[str, Tensor]) -> comfy.sd.VAE:
    """Return the VAE with those weights, named as in the host's AutoencoderKL."""
    channels = weights["post_quant_conv.weight"].shape[1]
    vae = comfy.sd.VAE(sd=dict(weights), config={"params": autoencoder(channels)})
    vae.latent_channels = channels
    return vae


def shortened(weights: Mapping[str, Tensor], tokens: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of encoders with the tables of tokens that hold only rows for `tokens`,
    named as the tables.
    """
    return {**weights, **{name + ROWS: ids for name, ids in tokens.items()}}


def lengthened(weights: Mapping[str, Tensor], whole: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return what was shortened, as long as the tables of `whole`: other tokens say nothing, 0."""
    found = {}
    for name, value in weights.items():
        if name.endswith(ROWS):
            continue
        found[name] = value.float()
        if (rows := weights.get(name + ROWS)) is not None:
            found[name] = torch.zeros_like(whole[name], dtype=torch.float32)
            found[name][rows] = value.float()
    return found
