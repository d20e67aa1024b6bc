"""FaceID adapter files of each published layout, of any size, with random weights or none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from comfyui_astria.nodes.faces.face import Face
from comfyui_astria.nodes.faces.identity import Identity, PhotoFace
from torch import Tensor

State = dict[str, dict[str, Tensor]]
Make = Callable[[str, tuple[int, ...]], Tensor]

# Channels of each cross-attention in diffusers' order: down, up, middle. Written out from the two
# models' published configurations.
SD15 = (320, 320, 640, 640, 1280, 1280, *[1280] * 3, *[640] * 3, *[320] * 3, 1280)
SDXL = (*[640] * 4, *[1280] * 20, *[1280] * 30, *[640] * 6, *[1280] * 10)
TINY_SD15 = (32, 32, 64, 64, 128, 128, *[128] * 3, *[64] * 3, *[32] * 3, 128)
TINY_SDXL = (*[64] * 4, *[128] * 20, *[128] * 30, *[64] * 6, *[128] * 10)
# The cross-attentions of the host's tiny SDXL in diffusers' order, down, up, middle: it has fewer
# than the real one.
HOST_SDXL = (*[64] * 2, *[128] * 4, *[128] * 6, *[64] * 3, *[128] * 2)


@dataclass(frozen=True)
class Layout:
    """A published file: name, kind, size of its half-precision weights in bytes where it is
    known.
    """

    file: str
    kind: str
    widths: Sequence[int]
    context: int
    tokens: int
    size: int | None = None


# Sizes as published, less the pickle's own few hundred kilobytes at most.
PUBLISHED = (
    Layout("ip-adapter-faceid_sd15.bin", "faceid", SD15, 768, 4),
    Layout("ip-adapter-faceid-plus_sd15.bin", "plus", SD15, 768, 4, 156_558_509),
    Layout("ip-adapter-faceid-plusv2_sd15.bin", "plusv2", SD15, 768, 4, 156_558_509),
    Layout("ip-adapter-faceid-portrait_sd15.bin", "portrait", SD15, 768, 16, 64_586_623),
    Layout("ip-adapter-faceid_sdxl.bin", "faceid", SDXL, 2048, 4),
    Layout("ip-adapter-faceid-plusv2_sdxl.bin", "plusv2", SDXL, 2048, 4, 1_487_555_181),
    Layout("ip-adapter-faceid-portrait_sdxl.bin", "portrait", SDXL, 2048, 16),
    Layout("ip-adapter-faceid-portrait_sdxl_unnorm.bin", "portrait_unnorm", SDXL, 2048, 16),
)


@dataclass(frozen=True)
class Sizes:
    """What is smaller in a tiny file."""

    context: int
    tokens: int = 4
    rank: int = 128
    seen: int = 1280  # channels of CLIP
    resampler: int = 1280
    make: Make = field(
        default=lambda name, shape: torch.empty(shape, dtype=torch.float16, device="meta")
    )


def adapter_file(kind: str, widths: Sequence[int], sizes: Sizes) -> State:
    """Return a file's contents, its key names written out from the reference code's modules."""
    projection: dict[str, tuple[int, ...]] = {}
    context = sizes.context
    if kind == "portrait_unnorm":
        projection["latents"] = (1, sizes.tokens, sizes.resampler)
        _perceiver(projection, "", sizes.resampler, 512, context)
    else:
        _linear(projection, "proj.0", 512, 1024)
        _linear(projection, "proj.2", 1024, context * sizes.tokens)
        _norm(projection, "norm", context)
        if kind.startswith("plus"):
            _perceiver(projection, "perceiver_resampler.", context, sizes.seen, context)
    layers: dict[str, tuple[int, ...]] = {}
    for pair, width in enumerate(widths):
        for number, seen in ((2 * pair, width), (2 * pair + 1, context)):
            if not kind.startswith("portrait"):
                for name, inputs in (("q", width), ("k", seen), ("v", seen), ("out", width)):
                    layers[f"{number}.to_{name}_lora.down.weight"] = (sizes.rank, inputs)
                    layers[f"{number}.to_{name}_lora.up.weight"] = (width, sizes.rank)
            if number % 2:
                layers[f"{number}.to_k_ip.weight"] = layers[f"{number}.to_v_ip.weight"] = (
                    width,
                    context,
                )
    return {
        part: {name: sizes.make(name, shape) for name, shape in shapes.items()}
        for part, shapes in (("image_proj", projection), ("ip_adapter", layers))
    }


def _linear(
    shapes: dict[str, tuple[int, ...]], name: str, inputs: int, outputs: int, *, bias: bool = True
) -> None:
    shapes[f"{name}.weight"] = (outputs, inputs)
    if bias:
        shapes[f"{name}.bias"] = (outputs,)


def _norm(shapes: dict[str, tuple[int, ...]], name: str, width: int) -> None:
    shapes[f"{name}.weight"] = shapes[f"{name}.bias"] = (width,)


def _perceiver(
    shapes: dict[str, tuple[int, ...]], prefix: str, width: int, seen: int, output: int
) -> None:
    _linear(shapes, f"{prefix}proj_in", seen, width)
    _linear(shapes, f"{prefix}proj_out", width, output)
    _norm(shapes, f"{prefix}norm_out", output)
    for layer in range(4):
        attention, forward = f"{prefix}layers.{layer}.0", f"{prefix}layers.{layer}.1"
        for name in (f"{attention}.norm1", f"{attention}.norm2", f"{forward}.0"):
            _norm(shapes, name, width)
        for name, outputs in (("to_q", width), ("to_kv", 2 * width), ("to_out", width)):
            _linear(shapes, f"{attention}.{name}", width, outputs, bias=False)
        _linear(shapes, f"{forward}.1", width, 4 * width, bias=False)
        _linear(shapes, f"{forward}.3", 4 * width, width, bias=False)


def random_weights(seed: int) -> Make:
    """Return what makes weights of a size that keeps activations near 1, so that a face has a
    visible effect.
    """
    generator = torch.Generator().manual_seed(seed)

    def make(name: str, shape: tuple[int, ...]) -> Tensor:
        value = torch.randn(shape, generator=generator)
        if len(shape) == 1:
            return 1 + value * 0.1 if name.endswith("weight") else value * 0.1
        return value / shape[-1] ** 0.5 * (0.5 if "_lora.up" in name else 1.0)

    return make


def tiny_file(kind: str, family: str, seed: int = 0) -> State:
    """Return an adapter with random weights for the tiny models of `family`."""
    widths, context = (TINY_SD15, 64) if family == "sd15" else (TINY_SDXL, 128)
    tokens = 16 if kind.startswith("portrait") else 4
    return adapter_file(
        kind,
        widths,
        Sizes(context, tokens, rank=4, seen=32, resampler=128, make=random_weights(seed)),
    )


def somebody(seed: int = 0, photos: int = 1, recogniser: str = "buffalo_l") -> Identity:
    """Return a person with a random face; the vectors are as long as a recogniser's, about 20."""
    random = np.random.default_rng(seed)
    points = np.array([[80, 100], [144, 100], [112, 140], [85, 170], [139, 170]], dtype=np.float32)
    return Identity(
        tuple(
            PhotoFace(
                random.integers(0, 255, (224, 224, 3), dtype=np.uint8),
                Face(
                    (50, 50, 174, 200),
                    points + random.normal(0, 3, points.shape).astype(np.float32),
                    0.9,
                    random.normal(0, 1, 512).astype(np.float32),
                ),
            )
            for _ in range(photos)
        ),
        recogniser,
        f"person {seed}",
    )
