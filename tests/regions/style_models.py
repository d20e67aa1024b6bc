"""Tiny models of the families whose LoRAs come under many names, and the names that diffusers has
for their layers.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from .comfy_inprocess import load

HIDDEN = 64
_FLUX = {
    "context_in_dim": 48,
    "hidden_size": HIDDEN,
    "depth": 2,
    "depth_single_blocks": 2,
    "vec_in_dim": None,
}
CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "flux2": (
        "Flux2",
        {
            **_FLUX,
            "image_model": "flux2",
            "axes_dim": [8, 8, 8, 8],
            "num_heads": 2,
            "mlp_ratio": 3.0,
            "theta": 2000,
            "in_channels": 8,
            "out_channels": 8,
            "patch_size": 1,
            "global_modulation": True,
            "mlp_silu_act": True,
            "qkv_bias": False,
            "ops_bias": False,
            "txt_ids_dims": [3],
            "guidance_embed": True,
        },
    ),
    "zimage": (
        "ZImage",
        {
            "image_model": "lumina2",
            "patch_size": 2,
            "in_channels": 16,
            "dim": HIDDEN,
            "cap_feat_dim": 48,
            "n_layers": 2,
            "qk_norm": True,
            "n_heads": 2,
            "n_kv_heads": 2,
            "axes_dims": [8, 12, 12],
            "axes_lens": [1536, 512, 512],
            "ffn_dim_multiplier": 8 / 3,
            "z_image_modulation": True,
            "time_scale": 1000.0,
            "pad_tokens_multiple": 32,
        },
    ),
    "qwen": (
        "QwenImage",
        {
            "image_model": "qwen_image",
            "in_channels": 64,
            "num_layers": 2,
            "attention_head_dim": 32,
            "num_attention_heads": 2,
            "joint_attention_dim": 48,
            "axes_dims_rope": [8, 12, 12],
        },
    ),
    "chroma": (
        "Chroma",
        {
            **_FLUX,
            "image_model": "chroma",
            "in_channels": 64,
            "out_channels": 64,
            "in_dim": 64,
            "out_dim": HIDDEN,
            "hidden_dim": 96,
            "n_layers": 2,
            "mlp_ratio": 4.0,
            "num_heads": 1,
            "axes_dim": [16, 24, 24],
            "theta": 10000,
            "patch_size": 2,
            "qkv_bias": True,
            "txt_ids_dims": [],
        },
    ),
    "krea2": (
        "Krea2",
        {
            "image_model": "krea2",
            "features": HIDDEN,
            "tdim": 32,
            "txtdim": 32,
            "heads": 4,
            "kvheads": 2,  # keys and values have fewer rows than queries, as in the real one
            "multiplier": 4,
            "layers": 2,
            "patch": 2,
            "channels": 16,
            "txtlayers": 3,
            "txtheads": 2,
            "txtkvheads": 2,
        },
    ),
}


class Place(NamedTuple):
    """The host's weight under "diffusion_model.", and the part of its rows; 0 rows: all."""

    weight: str
    start: int = 0
    rows: int = 0


def style_model(family: str) -> Any:
    """Return a MODEL of random weights."""
    name, config = CONFIGS[family]
    made = getattr(load("comfy.supported_models"), name)(dict(config))
    made.set_inference_dtype(torch.float32, None)
    cpu = torch.device("cpu")
    model = made.get_model({}, "", device=cpu)
    load("comfyui_astria.tests.testpack.weights").fill(model.diffusion_model, seed=0)
    return load("comfy.model_patcher").CoreModelPatcher(model, load_device=cpu, offload_device=cpu)


def hosts_layers(model: Any) -> dict[str, Place]:
    """Return every linear layer by the host's name."""
    return {
        name.removeprefix("diffusion_model."): Place(name.removeprefix("diffusion_model."))
        for name, module in model.model.named_modules()
        if name.startswith("diffusion_model.") and isinstance(module, torch.nn.Linear)
    }


def _thirds(front: str, names: tuple[str, ...], weight: str) -> dict[str, Place]:
    return {
        f"{front}.{name}": Place(weight, number * HIDDEN, HIDDEN)
        for number, name in enumerate(names)
    }


def _flux2() -> dict[str, Place]:
    # huggingface/diffusers, scripts/convert_flux2_to_diffusers.py
    places = {
        "x_embedder": Place("img_in"),
        "context_embedder": Place("txt_in"),
        "double_stream_modulation_img.linear": Place("double_stream_modulation_img.lin"),
        "double_stream_modulation_txt.linear": Place("double_stream_modulation_txt.lin"),
        "single_stream_modulation.linear": Place("single_stream_modulation.lin"),
        "time_guidance_embed.timestep_embedder.linear_1": Place("time_in.in_layer"),
        "time_guidance_embed.timestep_embedder.linear_2": Place("time_in.out_layer"),
        "time_guidance_embed.guidance_embedder.linear_1": Place("guidance_in.in_layer"),
        "time_guidance_embed.guidance_embedder.linear_2": Place("guidance_in.out_layer"),
        "proj_out": Place("final_layer.linear"),
    }
    for number in range(2):
        front, hosts = f"transformer_blocks.{number}", f"double_blocks.{number}"
        queries = ("to_q", "to_k", "to_v")
        added = ("add_q_proj", "add_k_proj", "add_v_proj")
        places |= _thirds(f"{front}.attn", queries, f"{hosts}.img_attn.qkv")
        places |= _thirds(f"{front}.attn", added, f"{hosts}.txt_attn.qkv")
        places |= {
            f"{front}.attn.to_out.0": Place(f"{hosts}.img_attn.proj"),
            f"{front}.attn.to_add_out": Place(f"{hosts}.txt_attn.proj"),
            f"{front}.ff.linear_in": Place(f"{hosts}.img_mlp.0"),
            f"{front}.ff.linear_out": Place(f"{hosts}.img_mlp.2"),
            f"{front}.ff_context.linear_in": Place(f"{hosts}.txt_mlp.0"),
            f"{front}.ff_context.linear_out": Place(f"{hosts}.txt_mlp.2"),
            f"single_transformer_blocks.{number}.attn.to_qkv_mlp_proj": Place(
                f"single_blocks.{number}.linear1"
            ),
            f"single_transformer_blocks.{number}.attn.to_out": Place(
                f"single_blocks.{number}.linear2"
            ),
        }
    return places


def _chroma() -> dict[str, Place]:
    places = {
        "x_embedder": Place("img_in"),
        "context_embedder": Place("txt_in"),
        "proj_out": Place("final_layer.linear"),
        "distilled_guidance_layer.in_proj": Place("distilled_guidance_layer.in_proj"),
        "distilled_guidance_layer.out_proj": Place("distilled_guidance_layer.out_proj"),
    }
    for number in range(2):
        front, hosts = f"transformer_blocks.{number}", f"double_blocks.{number}"
        single, joint = f"single_transformer_blocks.{number}", f"single_blocks.{number}"
        guide = f"distilled_guidance_layer.layers.{number}"
        queries = ("to_q", "to_k", "to_v")
        added = ("add_q_proj", "add_k_proj", "add_v_proj")
        places |= _thirds(f"{front}.attn", queries, f"{hosts}.img_attn.qkv")
        places |= _thirds(f"{front}.attn", added, f"{hosts}.txt_attn.qkv")
        places |= _thirds(f"{single}.attn", queries, f"{joint}.linear1")
        places |= {
            f"{front}.attn.to_out.0": Place(f"{hosts}.img_attn.proj"),
            f"{front}.attn.to_add_out": Place(f"{hosts}.txt_attn.proj"),
            f"{front}.ff.net.0.proj": Place(f"{hosts}.img_mlp.0"),
            f"{front}.ff.net.2": Place(f"{hosts}.img_mlp.2"),
            f"{front}.ff_context.net.0.proj": Place(f"{hosts}.txt_mlp.0"),
            f"{front}.ff_context.net.2": Place(f"{hosts}.txt_mlp.2"),
            f"{single}.proj_mlp": Place(f"{joint}.linear1", 3 * HIDDEN, 4 * HIDDEN),
            f"{single}.proj_out": Place(f"{joint}.linear2"),
            f"{guide}.linear_1": Place(f"{guide}.in_layer"),
            f"{guide}.linear_2": Place(f"{guide}.out_layer"),
        }
    return places


def _zimage() -> dict[str, Place]:
    places = {
        "all_x_embedder.2-1": Place("x_embedder"),
        "all_final_layer.2-1.linear": Place("final_layer.linear"),
        "all_final_layer.2-1.adaLN_modulation.1": Place("final_layer.adaLN_modulation.1"),
        "cap_embedder.1": Place("cap_embedder.1"),
        "t_embedder.mlp.0": Place("t_embedder.mlp.0"),
        "t_embedder.mlp.2": Place("t_embedder.mlp.2"),
    }
    for block in ("layers", "noise_refiner", "context_refiner"):
        for number in range(2):
            front = f"{block}.{number}"
            queries = ("to_q", "to_k", "to_v")
            places |= _thirds(f"{front}.attention", queries, f"{front}.attention.qkv")
            places[f"{front}.attention.to_out.0"] = Place(f"{front}.attention.out")
            alike = [f"feed_forward.w{one}" for one in (1, 2, 3)]
            if block != "context_refiner":
                alike.append("adaLN_modulation.0")
            places |= {f"{front}.{one}": Place(f"{front}.{one}") for one in alike}
    return places


def _krea2() -> dict[str, Place]:
    # Nerogar/OneTrainer, modules/model/Krea2Model.py
    places = {
        "img_in": Place("first"),
        "final_layer.linear": Place("last.linear"),
        "time_embed.linear_1": Place("tmlp.0"),
        "time_embed.linear_2": Place("tmlp.2"),
        "time_mod_proj": Place("tproj.1"),
        "txt_in.linear_1": Place("txtmlp.1"),
        "txt_in.linear_2": Place("txtmlp.3"),
        "text_fusion.projector": Place("txtfusion.projector"),
    }
    blocks = {"transformer_blocks": "blocks"} | {
        f"text_fusion.{part}_blocks": f"txtfusion.{part}_blocks"
        for part in ("layerwise", "refiner")
    }
    alike = {"to_q": "wq", "to_k": "wk", "to_v": "wv", "to_gate": "gate", "to_out.0": "wo"}
    for block, hosts in blocks.items():
        for number in range(2):
            for name, one in alike.items():
                places[f"{block}.{number}.attn.{name}"] = Place(f"{hosts}.{number}.attn.{one}")
            for name in ("gate", "up", "down"):
                places[f"{block}.{number}.ff.{name}"] = Place(f"{hosts}.{number}.mlp.{name}")
    return places


def diffusers_layers(family: str, model: Any) -> dict[str, Place]:
    """Return every linear layer by diffusers' name; parts of one by a name each."""
    made = {"flux2": _flux2, "chroma": _chroma, "zimage": _zimage, "krea2": _krea2}
    return made[family]() if family in made else hosts_layers(model)
