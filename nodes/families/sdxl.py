"""Stable Diffusion XL and its inpainting model."""

from __future__ import annotations

from dataclasses import replace

from .facts import Family, HostModel, Latent, TextEncoder

_SDXL = Family(
    "sdxl",
    "SDXL",
    HostModel("SDXL", {"in_channels": 4}),
    Latent(4),
    TextEncoder("DualCLIPLoader", "sdxl"),
    native_size=1024,
    multiple=8,
    steps=30,
    cfg=7.0,
    scheduler="euler_a",
    identity="ip-adapter",
    controls="sdxl",
    is_trained=True,
    has_lcm=True,
)

FAMILIES = (
    _SDXL,
    replace(
        _SDXL,
        name="sdxl_inpaint",
        title="SDXL inpaint",
        host=HostModel("SDXL", {"in_channels": 9}),
        variant_of="sdxl",
        inpaint=True,
    ),
)
