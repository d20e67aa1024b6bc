"""LoRA files in the published kohya key formats whose shapes fit the test pack's tiny models."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file

_RANK = 4
_FLUX2 = {
    "lora_unet_double_blocks_0_img_attn_qkv": (192, 64),
    "lora_unet_double_blocks_1_txt_mlp_0": (384, 64),
    "lora_unet_single_blocks_0_linear1": (576, 64),
    "lora_unet_single_stream_modulation_lin": (192, 64),
}
# branch -> kohya key -> (outputs, inputs) of the layer
LAYERS: Mapping[str, Mapping[str, tuple[int, int]]] = {
    "sd15": {
        "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q": (32, 32),
        "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k": (32, 64),
        "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_v": (128, 64),
        "lora_unet_up_blocks_1_attentions_0_transformer_blocks_0_ff_net_2": (128, 512),
        "lora_te_text_model_encoder_layers_0_self_attn_q_proj": (64, 64),
        "lora_te_text_model_encoder_layers_1_mlp_fc1": (128, 64),
    },
    "sdxl": {
        "lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k": (64, 160),
        "lora_unet_middle_block_1_transformer_blocks_0_attn1_to_q": (128, 128),
        "lora_unet_output_blocks_0_1_transformer_blocks_1_attn2_to_v": (128, 160),
        "lora_te1_text_model_encoder_layers_0_self_attn_q_proj": (64, 64),
        "lora_te2_text_model_encoder_layers_0_self_attn_q_proj": (96, 96),
    },
    "flux": {
        "lora_unet_double_blocks_0_img_attn_qkv": (384, 128),
        "lora_unet_double_blocks_1_txt_mlp_0": (512, 128),
        "lora_unet_single_blocks_0_linear1": (896, 128),
        "lora_te1_text_model_encoder_layers_0_self_attn_q_proj": (64, 64),
    },
    "zimage": {
        "diffusion_model.layers.0.attention.qkv": (768, 256),
        "diffusion_model.layers.1.feed_forward.w1": (768, 256),
        "diffusion_model.context_refiner.0.attention.out": (256, 256),
    },
    **dict.fromkeys(("flux2", "flux2_klein_4b", "flux2_klein_9b"), _FLUX2),
    "krea2": {
        "diffusion_model.blocks.0.attn.wq": (64, 64),
        "diffusion_model.blocks.1.mlp.up": (256, 64),
        "diffusion_model.txtfusion.refiner_blocks.0.attn.wo": (32, 32),
    },
}


def write_tiny_lora(
    folder: Path, branch: str, name: str, *, seed: int = 0, strength: float = 1.0
) -> Path:
    """Write `<folder>/<name>` for a branch and return its path.

    At `strength` 1 it changes a picture plainly.
    """
    tensors: dict[str, torch.Tensor] = {}
    generator = torch.Generator().manual_seed(seed)
    for key, (outputs, inputs) in LAYERS[branch].items():
        tensors[f"{key}.lora_down.weight"] = (
            torch.randn(_RANK, inputs, generator=generator) / inputs**0.5
        )
        tensors[f"{key}.lora_up.weight"] = (
            torch.randn(outputs, _RANK, generator=generator) * strength
        )
        tensors[f"{key}.alpha"] = torch.tensor(float(_RANK))
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path)
    return path
