"""The published layouts of PuLID-FLUX, EVA02-CLIP-L-336 and parsing_bisenet, from their reference
code; the same tiny, with random weights.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...nodes.faceid.pulid_weights import NetworkWeights
from ...nodes.faces.face import Face
from ...nodes.faces.identity import Identity, PhotoFace

Shapes = dict[str, list[int]]


class PulidSize(NamedTuple):
    """The sizes of the published adapter, for a Flux of the given width."""

    attentions: int = 20
    width: int = 3072
    inner: int = 2048
    out: int = 2048
    dim: int = 1024
    encoder_inner: int = 1024
    queries: int = 32
    depth: int = 10
    face: int = 1280
    face_hidden: int = 1024
    face_tokens: int = 5
    vision: int = 1024


class EvaSize(NamedTuple):
    """The sizes of the published visual tower."""

    width: int = 1024
    hidden: int = 2730
    depth: int = 24
    patch: int = 14
    grid: int = 24
    out: int = 768


TINY_EVA = EvaSize(width=128, hidden=40, depth=22, patch=4, grid=5, out=24)
TINY = PulidSize(
    attentions=2,
    width=128,
    inner=256,
    out=48,
    dim=64,
    encoder_inner=128,
    queries=6,
    depth=10,
    face=512 + 24,
    face_hidden=32,
    face_tokens=3,
    vision=128,
)


def affine(name: str, *size: int, bias: bool = True) -> Shapes:
    return {f"{name}.weight": list(size), **({f"{name}.bias": [size[0]]} if bias else {})}


def pulid_shapes(size: PulidSize) -> Shapes:
    shapes: Shapes = {}
    for number in range(size.attentions):
        name = f"pulid_ca.{number}"
        shapes |= affine(f"{name}.norm1", size.out) | affine(f"{name}.norm2", size.width)
        shapes |= affine(f"{name}.to_q", size.inner, size.width, bias=False) | affine(
            f"{name}.to_kv", 2 * size.inner, size.out, bias=False
        )
        shapes |= affine(f"{name}.to_out", size.width, size.inner, bias=False)
    shapes |= {
        "pulid_encoder.latents": [1, size.queries, size.dim],
        "pulid_encoder.proj_out": [size.dim, size.out],
    }
    shapes |= mapping_shapes(
        "pulid_encoder.id_embedding_mapping",
        size.face,
        size.face_hidden,
        size.dim * size.face_tokens,
    )
    for scale in range(5):
        shapes |= mapping_shapes(
            f"pulid_encoder.mapping_{scale}", size.vision, size.vision, size.dim
        )
    for layer in range(size.depth):
        name = f"pulid_encoder.layers.{layer}"
        shapes |= affine(f"{name}.0.norm1", size.dim) | affine(f"{name}.0.norm2", size.dim)
        shapes |= affine(f"{name}.0.to_q", size.encoder_inner, size.dim, bias=False)
        shapes |= affine(f"{name}.0.to_kv", 2 * size.encoder_inner, size.dim, bias=False)
        shapes |= affine(f"{name}.0.to_out", size.dim, size.encoder_inner, bias=False)
        shapes |= affine(f"{name}.1.0", size.dim) | affine(
            f"{name}.1.1", 4 * size.dim, size.dim, bias=False
        )
        shapes |= affine(f"{name}.1.3", size.dim, 4 * size.dim, bias=False)
    return shapes


def mapping_shapes(name: str, width: int, hidden: int, out: int) -> Shapes:
    return (
        affine(f"{name}.0", hidden, width)
        | affine(f"{name}.1", hidden)
        | affine(f"{name}.3", hidden, hidden)
        | affine(f"{name}.4", hidden)
        | affine(f"{name}.6", out, hidden)
    )


def eva_shapes(size: EvaSize) -> Shapes:
    width, hidden, tokens = size.width, size.hidden, size.grid**2
    shapes: Shapes = {
        "cls_token": [1, 1, width],
        "pos_embed": [1, tokens + 1, width],
        "rope.freqs_cos": [tokens, 64],
        "rope.freqs_sin": [tokens, 64],
    }
    shapes |= (
        affine("patch_embed.proj", width, 3, size.patch, size.patch)
        | affine("norm", width)
        | affine("head", size.out, width)
    )
    for number in range(size.depth):
        name = f"blocks.{number}"
        shapes |= affine(f"{name}.norm1", width) | affine(f"{name}.norm2", width)
        shapes |= {f"{name}.attn.q_bias": [width], f"{name}.attn.v_bias": [width]}
        shapes |= {f"{name}.attn.{kind}_proj.weight": [width, width] for kind in "qkv"}
        shapes |= {f"{name}.attn.rope.freqs_{kind}": [tokens, 64] for kind in ("cos", "sin")}
        shapes |= affine(f"{name}.attn.inner_attn_ln", width) | affine(
            f"{name}.attn.proj", width, width
        )
        shapes |= affine(f"{name}.mlp.w1", hidden, width) | affine(f"{name}.mlp.w2", hidden, width)
        shapes |= affine(f"{name}.mlp.ffn_ln", hidden) | affine(f"{name}.mlp.w3", width, hidden)
    return shapes


def bisenet_shapes() -> Shapes:
    shapes = convolution("cp.resnet.conv1", 64, 3, 7) | batch_norm("cp.resnet.bn1", 64)
    for layer, (width, out) in enumerate(((64, 64), (64, 128), (128, 256), (256, 512)), 1):
        for block in range(2):
            name = f"cp.resnet.layer{layer}.{block}"
            shapes |= convolution(
                f"{name}.conv1", out, width if block == 0 else out, 3
            ) | batch_norm(f"{name}.bn1", out)
            shapes |= convolution(f"{name}.conv2", out, out, 3) | batch_norm(f"{name}.bn2", out)
        if width != out:
            shapes |= convolution(
                f"cp.resnet.layer{layer}.0.downsample.0", out, width, 1
            ) | batch_norm(f"cp.resnet.layer{layer}.0.downsample.1", out)
    for name, width in (("cp.arm16", 256), ("cp.arm32", 512)):
        shapes |= (
            conv_block(f"{name}.conv", 128, width, 3)
            | convolution(f"{name}.conv_atten", 128, 128, 1)
            | batch_norm(f"{name}.bn_atten", 128)
        )
    shapes |= (
        conv_block("cp.conv_head32", 128, 128, 3)
        | conv_block("cp.conv_head16", 128, 128, 3)
        | conv_block("cp.conv_avg", 128, 512, 1)
    )
    shapes |= (
        conv_block("ffm.convblk", 256, 256, 1)
        | convolution("ffm.conv1", 64, 256, 1)
        | convolution("ffm.conv2", 256, 64, 1)
    )
    for name, width, middle in (
        ("conv_out", 256, 256),
        ("conv_out16", 128, 64),
        ("conv_out32", 128, 64),
    ):
        shapes |= conv_block(f"{name}.conv", middle, width, 3) | convolution(
            f"{name}.conv_out", 19, middle, 1
        )
    return shapes


def convolution(name: str, out: int, width: int, kernel: int) -> Shapes:
    return affine(name, out, width, kernel, kernel, bias=False)


def batch_norm(name: str, width: int) -> Shapes:
    return affine(name, width) | {
        f"{name}.running_mean": [width],
        f"{name}.running_var": [width],
        f"{name}.num_batches_tracked": [],
    }


def conv_block(name: str, out: int, width: int, kernel: int) -> Shapes:
    return convolution(f"{name}.conv", out, width, kernel) | batch_norm(f"{name}.bn", out)


def random_weights(
    shapes: Mapping[str, Sequence[int]], seed: int = 0, gain: float = 1.0
) -> dict[str, Tensor]:
    return {key: _random(key, shape, seed, gain) for key, shape in shapes.items()}


def _random(key: str, shape: Sequence[int], seed: int, gain: float) -> Tensor:
    if not shape:
        return torch.tensor(7)
    noise = torch.randn(
        *shape, generator=torch.Generator().manual_seed(zlib.crc32(f"{seed}:{key}".encode()))
    )
    if len(shape) >= 2:
        return noise * gain / math.sqrt(math.prod(shape[1:]))
    if key.endswith("running_var"):
        return noise.abs() + 0.5
    return noise * 0.2 + (1 if key.endswith("weight") else 0)


def empty_weights(shapes: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """Return tensors of these shapes that take no memory."""
    return {
        key: torch.empty(shape, device="meta", dtype=torch.bfloat16)
        for key, shape in shapes.items()
    }


def weights(tensors: Mapping[str, Tensor]) -> NetworkWeights:
    return NetworkWeights(tensors, "the model", "folder/file.safetensors")


def make_identity(photos: int = 1, seed: int = 0, recogniser: str = "antelopev2") -> Identity:
    """Return a person with noise for photos, the face of each in another place."""
    random = np.random.default_rng(seed)
    faces = []
    for number in range(photos):
        points = (
            np.array([[60, 70], [100, 72], [80, 95], [65, 115], [98, 116]], dtype=np.float32)
            + 5 * number
        )
        face = Face(
            (40.0, 40.0, 120.0, 140.0), points, 0.9, random.normal(size=512).astype(np.float32) * 2
        )
        faces.append(PhotoFace(random.integers(0, 256, (180, 160, 3), dtype=np.uint8), face))
    return Identity(tuple(faces), recogniser, f"person {seed}")


def worst(actual: Tensor, expected: Tensor) -> float:
    """Return the greatest difference, relative to the greatest value."""
    return (
        (actual.double() - expected.double()).abs().max() / expected.double().abs().max()
    ).item()
