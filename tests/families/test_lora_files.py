"""The family of a LoRA file by the names and sizes that trainers publish."""

from __future__ import annotations

import pytest
from comfyui_astria.nodes.families.lora_files import (
    embeddings_in,
    is_for,
    is_text_encoders,
    lora_family,
    unread_form,
)

Shapes = dict[str, tuple[int, ...]]

KNOWN = {
    "sd15",
    "sdxl",
    "flux",
    "flux2",
    "flux2_klein_4b",
    "flux2_klein_9b",
    "zimage",
    "krea2",
}


def pair(layer: str, outputs: int, inputs: int, rank: int = 16) -> Shapes:
    """kohya's names of a pair of matrices."""
    return {
        f"{layer}.lora_up.weight": (outputs, rank),
        f"{layer}.lora_down.weight": (rank, inputs),
        f"{layer}.alpha": (),
    }


def peft(layer: str, outputs: int, inputs: int, rank: int = 16) -> Shapes:
    return {f"{layer}.lora_B.weight": (outputs, rank), f"{layer}.lora_A.weight": (rank, inputs)}


# Names as published files have them, with the sizes of the models that they were trained on.
FILES: dict[str, tuple[str, Shapes]] = {
    "kohya SD1.5": (
        "SD1.5",
        pair("lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k", 640, 768)
        | pair("lora_te_text_model_encoder_layers_0_mlp_fc1", 3072, 768),
    ),
    "kohya SD1.5 without cross-attention": (
        "SD1.5",
        pair("lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q", 320, 320),
    ),
    "kohya SD2": (
        "SD2",
        pair("lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k", 640, 1024),
    ),
    "kohya SDXL": (
        "SDXL",
        pair("lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k", 640, 2048)
        | pair("lora_te2_text_model_encoder_layers_0_mlp_fc1", 5120, 1280),
    ),
    "kohya SDXL without cross-attention": (
        "SDXL",
        pair("lora_unet_input_blocks_7_1_transformer_blocks_1_attn1_to_q", 1280, 1280),
    ),
    "diffusers SDXL": (
        "SDXL",
        peft("unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k", 640, 2048),
    ),
    "diffusers SD1.5, old": (
        "SD1.5",
        {
            "mid_block.attentions.0.transformer_blocks.0.attn2.processor.to_k_lora.down.weight": (
                4,
                768,
            ),
        },
    ),
    "SDXL, one block of the way up": (
        "SDXL",
        peft("unet.up_blocks.0.attentions.0.transformer_blocks.9.attn1.to_q", 1280, 1280),
    ),
    "SD1.5, one block of the way up": (
        "SD1.5",
        peft("unet.up_blocks.3.attentions.0.transformer_blocks.0.attn1.to_q", 320, 320),
    ),
    "SDXL's second text encoder alone": (
        "SDXL",
        pair("lora_te2_text_model_encoder_layers_0_mlp_fc1", 5120, 1280),
    ),
    "a text encoder T5 alone": (
        "",
        pair("lora_te2_encoder_block_0_layer_0_SelfAttention_q", 4096, 4096),
    ),
    "diffusers' second text encoder T5 alone": (
        "",
        peft("text_encoder_2.encoder.block.0.layer.0.SelfAttention.q", 4096, 4096),
    ),
    "PEFT of SDXL's second text encoder": (
        "SDXL",
        peft("text_encoder_2.base_model.model.text_model.encoder.layers.0.mlp.fc1", 5120, 1280),
    ),
    "SDXL as LoKr of factor 2": (
        "SDXL",
        {
            "lora_unet_input_blocks_4_1_transformer_blocks_1_attn2_to_k.lokr_w1": (2, 2),
            "lora_unet_input_blocks_4_1_transformer_blocks_1_attn2_to_k.lokr_w2": (320, 1024),
        },
    ),
    "SD1.5 of rank 1024": (
        "SD1.5",
        {
            "lora_unet_input_blocks_1_1_transformer_blocks_0_attn2_to_k.lora_up.weight": (
                320,
                1024,
            ),
            "lora_unet_input_blocks_1_1_transformer_blocks_0_attn2_to_k.lora_down.weight": (
                1024,
                768,
            ),
        },
    ),
    "SDXL of rank 768 as LoHa": (
        "SDXL",
        {
            "lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k.hada_w1_a": (640, 768),
            "lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k.hada_w1_b": (768, 2048),
        },
    ),
    "SD1.5 of rank 2048": (
        "SD1.5",
        peft("unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_k", 1280, 768, 2048),
    ),
    "kohya SD3 with its text encoders": (
        "SD3",
        pair("lora_unet_joint_blocks_0_x_block_attn_qkv", 4608, 1536)
        | pair("lora_te2_text_model_encoder_layers_0_mlp_fc1", 5120, 1280),
    ),
    "kohya Flux": (
        "Flux.1",
        pair("lora_unet_double_blocks_0_img_attn_qkv", 9216, 3072)
        | pair("lora_unet_double_blocks_0_img_mlp_0", 12288, 3072),
    ),
    "Flux's attention in all its blocks": (
        "Flux.1",
        pair("lora_unet_double_blocks_0_img_attn_qkv", 9216, 3072)
        | pair("lora_unet_double_blocks_18_img_attn_qkv", 9216, 3072),
    ),
    "attention of a block that Flux.1 and Flux.2 have": (
        "Flux.1 or Flux.2 klein 4B",
        pair("lora_unet_double_blocks_0_img_attn_qkv", 9216, 3072),
    ),
    "diffusers Flux": (
        "Flux.1",
        peft("transformer.single_transformer_blocks.0.attn.to_q", 3072, 3072)
        | peft("transformer.transformer_blocks.0.attn.add_k_proj", 3072, 3072),
    ),
    "ComfyUI Flux": (
        "Flux.1",
        peft("diffusion_model.single_blocks.37.linear1", 21504, 3072),
    ),
    "Flux.2 dev": ("Flux.2 dev", peft("diffusion_model.double_blocks.0.img_attn.qkv", 18432, 6144)),
    "Flux.2 klein 9B": (
        "Flux.2 klein 9B",
        pair("lora_unet_single_blocks_0_linear1", 36864, 4096)
        | pair("lora_unet_double_blocks_0_img_attn_qkv", 12288, 4096),
    ),
    "Flux.2 klein 9B as LoKr": (
        "Flux.2 klein 9B",
        {
            "double_blocks.0.img_attn.qkv.lokr_w1": (16, 16),
            "double_blocks.0.img_attn.qkv.lokr_w2_b": (64, 256),
            "double_blocks.0.img_mlp.2.lokr_w1": (16, 16),
            "double_blocks.0.img_mlp.2.lokr_w2": (256, 768),
        },
    ),
    "Flux.2 klein 4B": (
        "Flux.2 klein 4B",
        peft("diffusion_model.double_blocks.0.img_attn.qkv", 9216, 3072)
        | peft("diffusion_model.double_blocks.0.img_mlp.2", 3072, 9216),
    ),
    "diffusers Flux.2 klein 4B": (
        "Flux.2 klein 4B",
        peft("transformer.single_transformer_blocks.0.attn.to_qkv_mlp_proj", 27648, 3072),
    ),
    "diffusers Flux.2 dev": (
        "Flux.2 dev",
        peft("transformer.single_transformer_blocks.0.attn.to_qkv_mlp_proj", 55296, 6144),
    ),
    "modulation of a Flux.2": ("Flux.2", pair("lora_unet_single_stream_modulation_lin", 3, 3)),
    "Flux.2 dev, a block that Hunyuan Video has": (
        "Flux.2 dev",
        pair("lora_unet_single_blocks_38_linear1", 55296, 6144)
        | pair("lora_unet_single_blocks_38_linear2", 6144, 24576),
    ),
    "Flux.2 dev as LoKr": (
        "Flux.2 dev",
        {"lycoris_single_transformer_blocks_47_attn_to_out.lokr_w1": (2, 2)},
    ),
    "OneTrainer Flux.2": (
        "Flux.2",
        pair("transformer.transformer_blocks.0.ff.linear_in", 18432, 3072),
    ),
    "Flux.2 klein 4B, musubi-tuner": (
        "Flux.2 klein 4B",
        pair("lora_unet_double_blocks_0_img_attn_qkv", 9216, 3072)
        | pair("lora_unet_single_blocks_0_linear2", 3072, 12288),
    ),
    "Flux.2 klein 9B, converted by musubi-tuner": (
        "Flux.2 klein 9B",
        peft("diffusion_model.double_blocks.0.img_attn_qkv", 12288, 4096),
    ),
    "Krea 2, musubi-tuner": ("Krea 2", pair("lora_unet_blocks_0_attn_wq", 6144, 6144)),
    "Krea 2, ai-toolkit": ("Krea 2", peft("diffusion_model.blocks.0.mlp.gate", 16384, 6144)),
    "Krea 2, OneTrainer": (
        "Krea 2",
        pair("transformer.transformer_blocks.0.attn.to_gate", 6144, 6144),
    ),
    "Krea 2, the text's layers": (
        "Krea 2",
        {"lycoris_text_fusion_refiner_blocks_0_attn_to_qkv.lokr_w1": (16, 16)},
    ),
    "Krea 2, diffusers' attention alone": (
        "Krea 2",
        peft("transformer.transformer_blocks.27.attn.to_q", 6144, 6144),
    ),
    "Flux's last layer of a single block": (
        "Flux.1",
        pair("lora_unet_single_blocks_0_linear2", 3072, 15360),
    ),
    "Z-Image, musubi-tuner": (
        "Z-Image",
        pair("lora_unet_layers_0_attention_to_q", 3840, 3840),
    ),
    "Z-Image as LoKr": (
        "Z-Image",
        {"lycoris_layers_0_attention_to_qkv.lokr_w1": (16, 16)},
    ),
    "Hunyuan Video": (
        "Hunyuan Video",
        peft("transformer.double_blocks.0.img_attn_qkv", 9216, 3072),
    ),
    "DiffSynth Flux": ("Flux.1", peft("blocks.0.attn.a_to_qkv", 9216, 3072)),
    "XLabs Flux": ("Flux.1", peft("double_blocks.0.processor.qkv_lora1", 9216, 3072)),
    "SD3": ("SD3", pair("lora_unet_joint_blocks_0_x_block_attn_qkv", 4608, 1536)),
    "diffusers SD3": ("SD3", peft("transformer.transformer_blocks.0.attn.add_k_proj", 1536, 1536)),
    "Wan": ("Wan", peft("diffusion_model.blocks.0.self_attn.q", 5120, 5120)),
    "kohya Wan": ("Wan", pair("lora_unet_blocks_0_cross_attn_k", 1536, 1536)),
    "Qwen-Image": (
        "Qwen-Image",
        peft("transformer_blocks.0.img_mlp.net.0.proj", 12288, 3072)
        | peft("transformer_blocks.0.attn.to_q", 3072, 3072),
    ),
    "Qwen-Image, attention alone": (
        "Qwen-Image",
        peft("transformer.transformer_blocks.0.attn.add_q_proj", 3072, 3072),
    ),
    "Z-Image": ("Z-Image", peft("diffusion_model.layers.0.attention.to_q", 3840, 3840)),
    "Lumina 2": (
        "Lumina 2 or Z-Image",
        peft("diffusion_model.layers.0.attention.qkv", 3840 + 2, 2304),
    ),
    "Chroma": (
        "Chroma",
        peft("diffusion_model.distilled_guidance_layer.in_proj", 5120, 64)
        | peft("diffusion_model.double_blocks.0.img_attn.qkv", 9216, 3072),
    ),
    "LTX-Video": (
        "LTX-Video or PixArt",
        peft("transformer.transformer_blocks.0.attn1.to_q", 2048, 2048),
    ),
    "Stable Cascade": ("Stable Cascade", pair("lora_prior_unet_down_blocks_0_1_attn", 2048, 2048)),
    "nothing known": ("", pair("lora_of_something_else", 8, 8)),
    "no tensor": ("", {}),
}


@pytest.mark.parametrize("name", FILES)
def test_the_family_is_read_from_names_and_sizes(name: str) -> None:
    title, shapes = FILES[name]
    assert lora_family(shapes) == title


@pytest.mark.parametrize(
    ("title", "branches"),
    [
        ("SD1.5", {"sd15"}),
        ("SDXL", {"sdxl"}),
        ("Flux.1", {"flux"}),
        ("Flux.2", {"flux2", "flux2_klein_4b", "flux2_klein_9b"}),
        ("Flux.2 klein 9B", {"flux2_klein_9b"}),
        ("Z-Image", {"zimage"}),
        ("Lumina 2 or Z-Image", {"zimage"}),
        ("Krea 2", {"krea2"}),
        ("Wan", set()),
        ("SD2", set()),
        ("a UNet (SD1.5, SD2 or SDXL)", {"sd15", "sdxl"}),
        ("Flux.1, Flux.2 klein 4B, SD3 or Qwen-Image", {"flux", "flux2_klein_4b"}),
        ("Flux.1 or Flux.2 klein 4B", {"flux", "flux2_klein_4b"}),
        ("", KNOWN),
    ],
)
def test_a_file_may_go_on_the_family_that_it_seems_made_for(title: str, branches: set[str]) -> None:
    assert {branch for branch in KNOWN if is_for(title, branch)} == branches


def test_tensors_of_text_encoders_and_embeddings_are_told_apart() -> None:
    assert is_text_encoders("lora_te1_text_model_encoder_layers_0_mlp_fc1.alpha")
    assert is_text_encoders("text_encoder_2.base_model.model.text_model.lora_A.weight")
    assert is_text_encoders("base_model.model.text_model.encoder.layers.0.mlp.fc1.lora_A.weight")
    assert not is_text_encoders("lora_unet_out_2.alpha")
    assert not is_text_encoders("base_model.model.transformer_blocks.0.attn.to_q.lora_A.weight")
    names = ["bundle_emb.anna.string_to_param.*", "bundle_emb.anna.clip_l", "clip_g", "a.alpha"]
    assert embeddings_in(names) == ["anna", ""]
    assert unread_form(names[:3]) == "an embedding (textual inversion)"
    assert unread_form(names) == ""


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("lora_unet_a_to_k.on_input", "IA3"),
        ("base_model.model.a.ia3_l", "IA3"),
        ("base_model.model.a.vera_lambda_d", "VeRA"),
        ("base_model.model.a.oft_r.default", "OFT as PEFT writes it"),
        ("base_model.model.a.boft_R", "BOFT as PEFT writes it"),
        ("base_model.model.a.lora_E", "AdaLoRA"),
        ("base_model.model.a.fourierft_spectrum", "FourierFT"),
        ("control_model.input_blocks.0.0.weight", "a ControlNet"),
        ("ip_adapter.1.to_k_ip.weight", "an IP-Adapter"),
        ("first_stage_model.decoder.conv_in.weight", "a whole checkpoint or diffusion model"),
        ("double_blocks.0.img_attn.qkv.weight", "a whole checkpoint or diffusion model"),
        ("lora_unet_a.lora_up.weight", ""),
        ("lora_unet_a.hada_w1_a", ""),
        ("diffusion_model.out.0.w_norm", ""),
        ("diffusion_model.out.0.diff_b", ""),
    ],
)
def test_forms_that_nobody_reads_have_a_name(name: str, form: str) -> None:
    assert unread_form([name]) == form
