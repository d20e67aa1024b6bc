"""What the tests of resolving share."""

from __future__ import annotations

from collections.abc import Callable

from comfyui_astria.nodes.tunes.file_search import Missing

Files = Callable[..., object]
FOLDERS = {
    "loras": [
        "my_wife.safetensors",
        "epi_noiseoffset2.safetensors",
        "SDXLrender_v2.0.safetensors",
        "people/anna.safetensors",
        "x/tom.pt",
        "y/tom.pt",
    ],
    "checkpoints": ["realisticVision.safetensors", "flux/fill.safetensors"],
    "upscale_models": ["4x-UltraSharp.pth"],
    "diffusion_models": ["flux1-dev.safetensors"],
    "text_encoders": ["clip_l.safetensors", "t5xxl_fp16.safetensors"],
    "vae": ["ae.safetensors"],
}


def missing(result: object) -> Missing:
    """Return the result, which must be that something is missing."""
    assert isinstance(result, Missing)
    return result
