"""Z-Image, turbo and base, by Tongyi-MAI."""

from __future__ import annotations

from dataclasses import replace

from .facts import PRECISION, Family, Guidance, HostModel, Latent, Published, TextEncoder
from .flux import AUTOENCODER

_LICENCE = "Apache-2.0"
_TURBO = "Comfy-Org/z_image_turbo"
_SHARED = (
    Published(
        "text_encoders",
        "qwen_3_4b.safetensors",
        _TURBO,
        "split_files/text_encoders/qwen_3_4b.safetensors",
        _LICENCE,
    ),
    AUTOENCODER,
)

# Tokens are 2x2 latent cells. The shift of the noise levels is 3, by the model itself.
_DISTILLED = Family(
    "zimage_turbo",
    "Z-Image Turbo",
    HostModel("ZImage", {"image_model": "lumina2", "in_channels": 16}),
    Latent(16, patch=2, empty="EmptySD3LatentImage", padded=32),
    TextEncoder(
        "CLIPLoader",
        "lumina2",
        ("text_encoder",),
        2560,
        weights=False,
        in_sequence=True,
        types="(?!flux2$).*",  # which makes klein's of the same file
    ),
    native_size=1024,
    multiple=16,
    steps=8,
    cfg=1.0,
    scheduler="res_multistep",
    schedule="simple",
    guidance=Guidance.NONE,
    # Of alibaba-pai's Fun ControlNet Union, by its model card.
    patched_controls=("canny", "hed", "depth", "pose", "mlsd"),
    source="ComfyUI's template image_z_image_turbo",
    variant_of="zimage",
    also_named=r"turbo|(?<![a-z])zit(?![a-z])|distill",
    files=(
        Published(
            "diffusion_models",
            "z_image_turbo_bf16.safetensors",
            _TURBO,
            "split_files/diffusion_models/z_image_turbo_bf16.safetensors",
            _LICENCE,
        ),
        *_SHARED,
    ),
)

FAMILIES = (
    _DISTILLED,
    replace(
        _DISTILLED,
        name="zimage",
        title="Z-Image",
        steps=25,
        cfg=4.0,
        guidance=Guidance.CFG,
        source="ComfyUI's template image_z_image",
        variant_of="",
        # The published file is z_image_bf16; others say that they are not distilled, also any more.
        named=(
            r"de[-_. ]?turbo|(?:un|de[-_. ]?)distill|^(?!.*turbo)"
            rf"(?:.*(?<![a-z])(?:base|zib)(?![a-z])|z[-_. ]?image(?:{PRECISION})?\.\w+$)"
        ),
        also_named="",
        files=(
            Published(
                "diffusion_models",
                "z_image_bf16.safetensors",
                "Comfy-Org/z_image",
                "split_files/diffusion_models/z_image_bf16.safetensors",
                _LICENCE,
            ),
            *_SHARED,
        ),
    ),
)
