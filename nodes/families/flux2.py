"""Flux.2: dev, and klein of 4 and of 9 billion weights, distilled to four steps.

Defaults are those of ComfyUI's own templates for these files.
"""

from __future__ import annotations

from dataclasses import replace

from .facts import Family, Guidance, HostModel, Latent, TextEncoder

# A token is a latent cell of 16x16 pixels, so sizes go by 16. `cfg` of dev is the distilled
# guidance. Nobody has made an inpainting model: a noise mask does. At the host's
# own shift, 2.02, the noise levels are up to 0.05 beside those that the model was made for.
_DEV = Family(
    "flux2",
    "Flux.2 dev",
    HostModel("Flux2", {"in_channels": 128, "guidance_embed": True}),
    Latent(128, cell_px=16, empty="EmptyFlux2LatentImage"),
    TextEncoder("CLIPLoader", "flux2", ("text_encoder",), weights=False, in_sequence=True),
    native_size=1024,
    multiple=16,
    steps=20,
    cfg=4.0,
    scheduler="euler",
    schedule="simple",
    is_shifted_by_size=True,
    guidance=Guidance.DISTILLED,
)
# The width of the text, three layers of its encoder side by side, tells klein's two sizes apart.
_KLEIN_4B = replace(
    _DEV,
    name="flux2_klein_4b",
    title="Flux.2 klein 4B",
    host=HostModel("Flux2", {"in_channels": 128, "guidance_embed": False, "context_in_dim": 7680}),
    steps=4,
    cfg=1.0,
    guidance=Guidance.NONE,
)

FAMILIES = (
    _DEV,
    _KLEIN_4B,
    replace(
        _KLEIN_4B,
        name="flux2_klein_9b",
        title="Flux.2 klein 9B",
        host=HostModel("Flux2", {**_KLEIN_4B.host.unet, "context_in_dim": 12288}),
    ),
)
