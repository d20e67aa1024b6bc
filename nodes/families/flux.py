"""Flux.1 dev, Fill and schnell."""

from __future__ import annotations

from dataclasses import replace

from .facts import Family, Guidance, HostModel, Latent, Published, TextEncoder

_APACHE = "Apache-2.0"
_NON_COMMERCIAL = "FLUX.1 [dev] Non-Commercial License"


def _of_comfy_org(kind: str, path: str, licence: str) -> Published:
    name = path.rpartition("/")[2]
    return Published("diffusion_models", name, f"Comfy-Org/flux1-{kind}", path, licence)


def _encoder(name: str) -> Published:
    return Published("text_encoders", name, "comfyanonymous/flux_text_encoders", name, _APACHE)


# Z-Image has the same one.
AUTOENCODER = Published(
    "vae",
    "ae.safetensors",
    "Comfy-Org/Lumina_Image_2.0_Repackaged",
    "split_files/vae/ae.safetensors",
    _APACHE,
)
_SHARED = (_encoder("clip_l.safetensors"), _encoder("t5xxl_fp16.safetensors"), AUTOENCODER)

# Tokens are 2x2 latent cells, so sizes go by 16. `cfg` is the distilled guidance. It is a flow
# model: its noise levels are shifted by the model itself, and the Karras spacing is defined for the
# noise scale of Stable Diffusion only, so every sampler runs on the `simple` schedule.
_DEV = Family(
    "flux",
    "Flux.1 dev",
    HostModel("Flux", {"in_channels": 16}),
    Latent(16, patch=2, empty="EmptySD3LatentImage"),
    TextEncoder("DualCLIPLoader", "flux", ("clip_l", "t5xxl"), in_sequence=True),
    native_size=1024,
    multiple=16,
    steps=28,
    cfg=3.5,
    scheduler="euler",
    schedule="simple",
    guidance=Guidance.DISTILLED,
    identity="pulid",
    controls="flux",
    files=(_of_comfy_org("dev", "flux1-dev.safetensors", _NON_COMMERCIAL), *_SHARED),
    is_trained=True,
)

FAMILIES = (
    _DEV,
    # Its input: noise, the masked picture's latent, and a mask of 8x8 numbers for each cell.
    replace(
        _DEV,
        name="flux_fill",
        title="Flux.1 Fill",
        host=HostModel("Flux", {"in_channels": 96}),
        variant_of="flux",
        inpaint=True,
        cfg=30.0,
        files=(
            _of_comfy_org(
                "dev", "split_files/diffusion_models/flux1-fill-dev.safetensors", _NON_COMMERCIAL
            ),
            *_SHARED,
        ),
    ),
    replace(
        _DEV,
        name="flux_schnell",
        title="Flux.1 schnell",
        host=HostModel("FluxSchnell", {"in_channels": 16}),
        variant_of="flux",
        steps=4,
        cfg=1.0,
        guidance=Guidance.NONE,
        files=(_of_comfy_org("schnell", "flux1-schnell.safetensors", _APACHE), *_SHARED),
    ),
)
