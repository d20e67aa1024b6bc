"""Tiny CLIPSeg, GroundingDINO and segment-anything with random weights, written to disk as their
publishers' files are laid out.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
from comfyui_astria.devtools.environment import current

# CLIP's byte-pair vocabulary, which ComfyUI brings along.
CLIP_TOKENIZER = current().comfyui / "comfy" / "sd1_tokenizer"
BERT_WORDS = (
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    ".",
    "hat",
    "coat",
    "red",
    "person",
    "cl",
    "##othes",
)


def write_clipseg(folder: Path) -> Path:
    """Write a CLIPSeg for pictures of 64x64 into `folder`; return it."""
    from transformers import (
        CLIPSegConfig,
        CLIPSegForImageSegmentation,
        CLIPSegProcessor,
        CLIPTokenizerFast,
        ViTImageProcessor,
    )

    torch.manual_seed(0)
    small = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
    }
    config = CLIPSegConfig(
        text_config={
            **small,
            "vocab_size": 49408,
            "max_position_embeddings": 77,
            "projection_dim": 24,
            "bos_token_id": 49406,
            "eos_token_id": 49407,
        },
        vision_config={**small, "image_size": 64, "patch_size": 16},
        projection_dim=24,
        reduce_dim=16,
        extract_layers=[1, 2, 3],
        decoder_intermediate_size=32,
    )
    model = CLIPSegForImageSegmentation(config)
    _spread(model)
    model.save_pretrained(folder)
    tokenizer = CLIPTokenizerFast.from_pretrained(CLIP_TOKENIZER, local_files_only=True)
    CLIPSegProcessor(
        ViTImageProcessor(size={"height": 64, "width": 64}), tokenizer
    ).save_pretrained(folder)
    return folder


def write_grounding_dino(folder: Path) -> Path:
    """Write a GroundingDINO that knows BERT_WORDS into `folder`; return it."""
    from transformers import (
        BertTokenizerFast,
        GroundingDinoConfig,
        GroundingDinoForObjectDetection,
        GroundingDinoImageProcessor,
        GroundingDinoProcessor,
    )

    torch.manual_seed(0)
    swin = {
        "model_type": "swin",
        "image_size": 64,
        "patch_size": 4,
        "embed_dim": 8,
        "depths": [1, 1, 1, 1],
        "num_heads": [1, 1, 2, 2],
        "window_size": 4,
        "out_features": ["stage2", "stage3", "stage4"],
    }
    bert = {
        "model_type": "bert",
        "vocab_size": len(BERT_WORDS),
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
        "max_position_embeddings": 64,
    }
    config = GroundingDinoConfig(
        backbone_config=swin,
        text_config=bert,
        d_model=32,
        encoder_layers=1,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        num_queries=12,
        max_text_len=64,
    )
    model = GroundingDinoForObjectDetection(config)
    _spread(model, 0.04)
    model.save_pretrained(folder)
    tokenizer = BertTokenizerFast(vocab={word: number for number, word in enumerate(BERT_WORDS)})
    pictures = GroundingDinoImageProcessor(size={"shortest_edge": 64, "longest_edge": 96})
    GroundingDinoProcessor(pictures, tokenizer).save_pretrained(folder)
    return folder


def write_sam(path: Path) -> torch.nn.Module:
    """Write a segment-anything for pictures of 128x128 to `path`.

    Return the model that was written.
    """
    from segment_anything.modeling import (
        ImageEncoderViT,
        MaskDecoder,
        PromptEncoder,
        Sam,
        TwoWayTransformer,
    )

    torch.manual_seed(0)
    encoder = ImageEncoderViT(
        img_size=128,
        patch_size=16,
        embed_dim=48,
        depth=3,
        num_heads=4,
        mlp_ratio=2,
        out_chans=32,
        qkv_bias=True,
        norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
        use_rel_pos=True,
        window_size=5,
        global_attn_indexes=[1],
    )
    decoder = MaskDecoder(
        transformer_dim=32,
        num_multimask_outputs=3,
        iou_head_hidden_dim=24,
        transformer=TwoWayTransformer(depth=2, embedding_dim=32, mlp_dim=40, num_heads=8),
    )
    prompts = PromptEncoder(
        embed_dim=32, image_embedding_size=(8, 8), input_image_size=(128, 128), mask_in_chans=8
    )
    model = Sam(
        encoder,
        prompts,
        decoder,
        pixel_mean=[123.675, 116.28, 103.53],
        pixel_std=[58.395, 57.12, 57.375],
    ).eval()
    _spread(model)
    torch.save(model.state_dict(), path)
    return model


def photo(height: int, width: int) -> torch.Tensor:
    """A picture [1,height,width,3] with light, colour and noise."""
    across, down = torch.meshgrid(
        torch.linspace(0, 1, width), torch.linspace(0, 1, height), indexing="xy"
    )
    noise = torch.rand(height, width, 3, generator=torch.Generator().manual_seed(height * width))
    return (torch.stack([across, down, (across - down).abs()], -1) * 0.7 + noise * 0.3)[None]


def _spread(model: torch.nn.Module, by: float = 0.15) -> None:
    """Make the small initial weights larger, so that words and pictures make a difference."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += by * torch.randn(parameter.shape, generator=generator)
