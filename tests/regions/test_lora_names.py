"""Names of layers as trainers and other programs write them, found in the host's own key map."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from comfyui_astria.nodes.regions.lora_names import HostNames
from comfyui_astria.tests.regions.comfy_inprocess import load
from comfyui_astria.tests.regions.regional_support import model_of

Keys = Mapping[str, str | tuple]


@pytest.fixture(scope="module")
def flux() -> Keys:
    return load("comfy.lora").model_lora_keys_unet(model_of("flux").model, {})


@pytest.fixture(scope="module")
def flux2() -> Keys:
    return load("comfy.lora").model_lora_keys_unet(model_of("flux2").model, {})


@pytest.fixture(scope="module")
def sd15() -> Keys:
    return load("comfy.lora").model_lora_keys_unet(model_of("sd15").model, {})


QUERY = "double_blocks.0.img_attn.qkv.weight", (0, 0, 128)
# The name of a layer with its ending in a file -> the host's weight, or part of it.
FLUX: dict[str, object] = {
    "transformer.transformer_blocks.0.attn.to_q.lora_A.weight": QUERY,
    "lora_unet_transformer_blocks_0_attn_to_q.lora_down.weight": QUERY,
    "lora_transformer_transformer_blocks_0_attn_to_q.lora_down.weight": QUERY,
    "lycoris__transformer_blocks_0_attn_to_q.lokr_w1": QUERY,
    "diffusion_model.transformer_blocks.0.attn.to_q.lora_A.weight": QUERY,
    "base_model.model.transformer.transformer_blocks.0.attn.to_q.lora_A.weight": QUERY,
    "transformer._orig_mod.transformer_blocks.0.attn.to_q.lora_A.weight": QUERY,
    "module.base_model.model.transformer_blocks.0.attn.to_q.lora_A.weight": QUERY,
    "transformer.transformer_blocks.0.attn.processor.to_q.lora_A.weight": QUERY,
    "single_transformer_blocks.0.proj_mlp.lora_A.weight": (
        "single_blocks.0.linear1.weight",
        (0, 384, 512),
    ),
    "lora_unet_double_blocks_0_img_attn_qkv.alpha": "double_blocks.0.img_attn.qkv.weight",
    "lora_transformer_double_blocks_0_img_attn_qkv.alpha": "double_blocks.0.img_attn.qkv.weight",
    "lycoris_double_blocks_0_img_attn_qkv.lokr_w1": "double_blocks.0.img_attn.qkv.weight",
    "transformer.double_blocks.0.img_mlp.0.lora_A.weight": "double_blocks.0.img_mlp.0.weight",
    "model.diffusion_model.single_blocks.0.linear2.diff": "single_blocks.0.linear2.weight",
    "lora_unet_x_embedder.lokr_w1": "img_in.weight",
    "double_blocks.0.processor.qkv_lora1.down.weight": "double_blocks.0.img_attn.qkv.weight",
    "double_blocks.0.processor.proj_lora2.up.weight": "double_blocks.0.txt_attn.proj.weight",
    "single_blocks.0.processor.qkv_lora.down.weight": (
        "single_blocks.0.linear1.weight",
        (0, 0, 384),
    ),
    "single_blocks.0.processor.proj_lora.up.weight": "single_blocks.0.linear2.weight",
    "blocks.0.attn.a_to_qkv.lora_A.default.weight": "double_blocks.0.img_attn.qkv.weight",
    "blocks.0.attn.b_to_out.lora_A.default.weight": "double_blocks.0.txt_attn.proj.weight",
    "blocks.0.ff_b.2.lora_A.default.weight": "double_blocks.0.txt_mlp.2.weight",
    "blocks.0.norm1_a.linear.lora_A.default.weight": "double_blocks.0.img_mod.lin.weight",
    "single_blocks.0.to_qkv_mlp.lora_A.default.weight": "single_blocks.0.linear1.weight",
    "single_blocks.0.norm.linear.lora_A.default.weight": "single_blocks.0.modulation.lin.weight",
}
FLUX2: dict[str, object] = {
    "base_model.model.transformer_blocks.0.attn.to_q.lora_A.weight": (
        "double_blocks.0.img_attn.qkv.weight",
        (0, 0, 64),
    ),
    "base_model.model.double_blocks.0.img_attn.qkv.lora_A.weight": (
        "double_blocks.0.img_attn.qkv.weight"
    ),
    "lora_unet_transformer_blocks_0_attn_to_out_0.lora_down.weight": (
        "double_blocks.0.img_attn.proj.weight"
    ),
    "double_blocks.0.txt_mlp.2.lora_A.weight": "double_blocks.0.txt_mlp.2.weight",
    "double_blocks.0.img_attn_qkv.lora_A.weight": "double_blocks.0.img_attn.qkv.weight",
    "lycoris_single_blocks_0_linear2.lokr_w1": "single_blocks.0.linear2.weight",
    "transformer.single_transformer_blocks.0.attn.to_qkv_mlp_proj.lora_A.weight": (
        "single_blocks.0.linear1.weight"
    ),
    "lora_transformer_single_transformer_blocks_0_attn_to_out.lora_down.weight": (
        "single_blocks.0.linear2.weight"
    ),
    "transformer.transformer_blocks.0.ff_context.linear_out.lora_A.weight": (
        "double_blocks.0.txt_mlp.2.weight"
    ),
    "double_stream_modulation_img.linear.lora_A.weight": "double_stream_modulation_img.lin.weight",
    "transformer.double_stream_modulation_txt.linear.lora_A.weight": (
        "double_stream_modulation_txt.lin.weight"
    ),
    "lora_unet_single_stream_modulation_linear.lora_down.weight": (
        "single_stream_modulation.lin.weight"
    ),
    "transformer.time_guidance_embed.timestep_embedder.linear_1.lora_A.weight": (
        "time_in.in_layer.weight"
    ),
    "lora_transformer_time_guidance_embed_guidance_embedder_linear_2.alpha": (
        "guidance_in.out_layer.weight"
    ),
}


def found(keys: Keys, name: str) -> object:
    """Return what the host's name of the tensor's layer stands for, without its prefix."""
    renamed = HostNames(keys).renamed(name)
    (target,) = {
        str(keys[stem]): keys[stem] for stem in keys if renamed.startswith(f"{stem}.")
    }.values()
    if isinstance(target, str):
        return target.removeprefix("diffusion_model.")
    return target[0].removeprefix("diffusion_model."), *target[1:]


@pytest.mark.parametrize("name", FLUX)
def test_a_name_that_only_renames_stands_for_its_layer_of_flux(flux: Keys, name: str) -> None:
    assert found(flux, name) == FLUX[name]


@pytest.mark.parametrize("name", FLUX2)
def test_a_name_that_only_renames_stands_for_its_layer_of_flux2(flux2: Keys, name: str) -> None:
    assert found(flux2, name) == FLUX2[name]


@pytest.mark.parametrize(
    ("name", "hosts"),
    [
        ("double_blocks.0.processor.qkv_lora1.down.weight", ".lora_down.weight"),
        ("single_blocks.0.processor.proj_lora.up.weight", ".lora_up.weight"),
        ("lora_unet_transformer_blocks_0_attn_to_q.lora_down.weight", ".lora_down.weight"),
        ("blocks.0.ff_a.0.lora_A.default.weight", ".lora_A.default.weight"),
    ],
)
def test_the_ending_stays_one_that_the_host_reads(flux: Keys, name: str, hosts: str) -> None:
    assert HostNames(flux).renamed(name).endswith(hosts)


@pytest.mark.parametrize(
    "name",
    [
        "lora_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q.alpha",
        "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.lora.down.weight",
        "unet._orig_mod.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.lora_A.weight",
        "lora_unet_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q.alpha",
        "base_model.model.input_blocks.1.1.transformer_blocks.0.attn1.to_q.lora_A.weight",
        "lycoris_input_blocks_1_1_transformer_blocks_0_attn1_to_q.lokr_w1",
    ],
)
def test_a_name_that_only_renames_stands_for_its_layer_of_a_unet(sd15: Keys, name: str) -> None:
    assert found(sd15, name) == "input_blocks.1.1.transformer_blocks.0.attn1.to_q.weight"


def test_a_name_of_no_layer_stays_one(flux: Keys) -> None:
    for name in (
        "lora_unet_nowhere.alpha",
        "transformer.alpha",
        "blocks.0.attn.lora_A.weight",
        "a",
    ):
        assert HostNames(flux).renamed(name) == ""


ENCODERS = {
    "lora_te1_text_model_encoder_layers_0_mlp_fc1": "clip_l.fc1",
    "text_encoder.text_model.encoder.layers.0.mlp.fc1": "clip_l.fc1",
    "text_encoders.clip_l.transformer.text_model.encoder.layers.0.mlp.fc1": "clip_l.fc1",
    "lora_te2_text_model_encoder_layers_0_mlp_fc1": "clip_g.fc1",
    "lora_te2_text_model_encoder_layers_0_mlp_fc2": "clip_g.fc2",
    "lora_te3_encoder_block_0_layer_0_SelfAttention_q": "t5xxl.q",
}


@pytest.mark.parametrize(
    "name",
    [
        "lora_te_layers_0_self_attn_q_proj.alpha",
        "lora_te1_model_layers_0_self_attn_q_proj.alpha",
        "text_encoder.model.layers.0.self_attn.q_proj.lora_A.weight",
        "text_encoder.model.language_model.layers.0.self_attn.q_proj.lora_down.weight",
        "text_encoder.language_model.model.layers.0.self_attn.q_proj.lora_down.weight",
    ],
)
def test_a_language_models_layers_are_found_under_every_wrapper(name: str) -> None:
    """The host's names of a text encoder of one model, as those of Flux.2 and Z-Image."""
    hosts = "qwen3_4b.transformer.model.layers.0.self_attn.q_proj"
    keys = {
        f"text_encoders.{hosts}": f"{hosts}.weight",
        "lora_te_layers_0_self_attn_q_proj": f"{hosts}.weight",
    }
    assert found(keys, name) == f"{hosts}.weight"


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("te1.text_model.encoder.layers.0.mlp.fc1.lora_A.weight", "clip_l.fc1"),
        ("text_encoder.base_model.model.text_model.encoder.layers.0.mlp.fc1.alpha", "clip_l.fc1"),
        ("text_encoder_2.base_model.model.text_model.encoder.layers.0.mlp.fc1.alpha", "clip_g.fc1"),
        ("text_encoder_3.encoder.block.0.layer.0.SelfAttention.q.lora_A.weight", "t5xxl.q"),
        ("clip_l.transformer.text_model.encoder.layers.0.mlp.fc1.diff", "clip_l.fc1"),
        ("base_model.model.encoder.block.0.layer.0.SelfAttention.q.lora_A.weight", "t5xxl.q"),
        ("base_model.model.text_model.encoder.layers.0.mlp.fc2.lora_A.weight", "clip_g.fc2"),
        ("base_model.model.text_model.encoder.layers.0.mlp.fc1.lora_A.weight", ""),  # of which?
    ],
)
def test_names_of_text_encoders_are_found_where_they_say_which_one(name: str, target: str) -> None:
    names = HostNames(ENCODERS)
    renamed = names.renamed(name)
    assert ENCODERS.get(renamed.rpartition(".")[0].removesuffix(".lora_A"), "") == target
    assert names.is_of_either(name) == (not target)
