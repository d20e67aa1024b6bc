"""Stable Diffusion 1.5 and its inpainting model."""

from __future__ import annotations

from dataclasses import replace

from .facts import Family, HostModel, Latent, TextEncoder

_SD15 = Family(
    "sd15",
    "SD1.5",
    HostModel("SD15", {"in_channels": 4}),
    Latent(4),
    TextEncoder("CLIPLoader", "stable_diffusion", ("clip_l",)),
    native_size=512,
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
    _SD15,
    replace(
        _SD15,
        name="sd15_inpaint",
        title="SD1.5 inpaint",
        host=HostModel("SD15", {"in_channels": 9}),
        variant_of="sd15",
        inpaint=True,
    ),
)
