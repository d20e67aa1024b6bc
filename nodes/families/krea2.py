"""Krea 2, Turbo and RAW, by Krea."""

from __future__ import annotations

from dataclasses import replace

from .facts import Family, Guidance, HostModel, Latent, Published, TextEncoder

_REPOSITORY = "Comfy-Org/Krea-2"
# Free for individuals and firms of up to 50 people, by the terms that lie in the repository.
_LICENCE = "Krea 2 Community License"
_OF_QWEN = "Apache-2.0"


def _published(folder: str, name: str, licence: str = _LICENCE) -> Published:
    return Published(folder, name, _REPOSITORY, f"{folder}/{name}", licence)


_SHARED = (
    _published("text_encoders", "qwen3vl_4b_fp8_scaled.safetensors", _OF_QWEN),
    _published("vae", "qwen_image_vae.safetensors", _OF_QWEN),
)

# Tokens are 2x2 latent cells. The shift of the noise levels is 1.15, by the model itself.
_TURBO = Family(
    "krea2_turbo",
    "Krea 2 Turbo",
    HostModel("Krea2", {"image_model": "krea2"}),
    Latent(16, patch=2, empty="EmptySD3LatentImage", is_video=True),
    TextEncoder(
        "CLIPLoader",
        "krea2",
        ("text_encoder",),
        2560,
        weights=False,
        in_sequence=True,
        types="krea2",
    ),
    native_size=1024,
    multiple=16,
    steps=8,
    cfg=1.0,
    scheduler="euler",
    schedule="simple",
    guidance=Guidance.NONE,
    source="ComfyUI's template image_krea2_turbo_t2i",
    variant_of="krea2",
    also_named=r"turbo|distill",
    files=(_published("diffusion_models", "krea2_turbo_fp8_scaled.safetensors"), *_SHARED),
)

FAMILIES = (
    _TURBO,
    # Krea counts what guidance adds, 3.5; the host's cfg counts the text itself as 1 more.
    replace(
        _TURBO,
        name="krea2",
        title="Krea 2 RAW",
        steps=52,
        cfg=4.5,
        guidance=Guidance.CFG,
        source="Krea's model card of Krea 2 RAW",
        variant_of="",
        named=r"^(?!.*turbo).*(?<![a-z])(?:raw|base|midtrain)(?![a-z])|(?:un|de[-_. ]?)distill",
        also_named="",
        files=(_published("diffusion_models", "krea2_raw_fp8_scaled.safetensors"), *_SHARED),
    ),
)
