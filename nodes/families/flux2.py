"""Flux.2 by Black Forest Labs: dev, and klein of 4 and of 9 billion weights, each distilled to four
steps and as the base of that.
"""

from __future__ import annotations

from dataclasses import replace

from .facts import PRECISION, Family, Guidance, HostModel, Latent, Published, TextEncoder

_APACHE = "Apache-2.0"
_NON_COMMERCIAL = "FLUX Non-Commercial License"


def _of_comfy_org(folder: str, repository: str, name: str, licence: str) -> Published:
    path = f"split_files/{folder}/{name}"
    return Published(folder, name, f"Comfy-Org/{repository}", path, licence)


def _of_the_authors(kind: str) -> Published:
    """Return a file of a repository of its own, which asks for consent to its licence first."""
    name = f"flux-2-{kind}.safetensors"
    repository = f"black-forest-labs/FLUX.2-{kind}"
    return Published("diffusion_models", name, repository, name, _NON_COMMERCIAL, is_gated=True)


_VAE = _of_comfy_org("vae", "flux2-dev", "flux2-vae.safetensors", _APACHE)
_QWEN_4B = _of_comfy_org("text_encoders", "z_image_turbo", "qwen_3_4b.safetensors", _APACHE)
_QWEN_8B = _of_comfy_org(
    "text_encoders", "flux2-klein-9B", "qwen_3_8b_fp8mixed.safetensors", _APACHE
)
_MISTRAL = _of_comfy_org(
    "text_encoders", "flux2-dev", "mistral_3_small_flux2_bf16.safetensors", _APACHE
)

# A token is a latent cell of 16x16 pixels, so sizes go by 16. `cfg` of dev is the distilled
# guidance. Nobody has made an inpainting model: a noise mask does. At the host's own shift, 2.02,
# the noise levels are up to 0.05 beside those that the model was made for.
_DEV = Family(
    "flux2",
    "Flux.2 dev",
    HostModel("Flux2", {"in_channels": 128, "guidance_embed": True}),
    Latent(128, cell_px=16, empty="EmptyFlux2LatentImage"),
    TextEncoder("CLIPLoader", "flux2", ("text_encoder",), 5120, weights=False, in_sequence=True),
    native_size=1024,
    multiple=16,
    steps=20,
    cfg=4.0,
    scheduler="euler",
    schedule="simple",
    is_shifted_by_size=True,
    guidance=Guidance.DISTILLED,
    source="ComfyUI's template image_flux2_text_to_image",
    files=(
        _of_comfy_org(
            "diffusion_models", "flux2-dev", "flux2_dev_fp8mixed.safetensors", _NON_COMMERCIAL
        ),
        _MISTRAL,
        _VAE,
    ),
)
# The width of the text, three layers of its encoder side by side, tells klein's two sizes apart.
_KLEIN_4B = replace(
    _DEV,
    name="flux2_klein_4b",
    title="Flux.2 klein 4B",
    host=HostModel("Flux2", {"in_channels": 128, "guidance_embed": False, "context_in_dim": 7680}),
    text=replace(_DEV.text, width=2560, types="flux2"),
    steps=4,
    cfg=1.0,
    guidance=Guidance.NONE,
    # As published; its base says that it is one.
    also_named=rf"distill|^flux[-_. ]?2[-_. ]?klein[-_. ]?[49]b(?:[-_]kv)?(?:{PRECISION})?\.\w+$",
    source="ComfyUI's template image_flux2_klein_text_to_image",
    files=(
        _of_comfy_org("diffusion_models", "flux2-klein", "flux-2-klein-4b.safetensors", _APACHE),
        _QWEN_4B,
        _VAE,
    ),
)
_KLEIN_9B = replace(
    _KLEIN_4B,
    name="flux2_klein_9b",
    title="Flux.2 klein 9B",
    host=HostModel("Flux2", {**_KLEIN_4B.host.unet, "context_in_dim": 12288}),
    text=replace(_DEV.text, width=4096, types="flux2"),
    source="ComfyUI's template image_flux2_text_to_image_9b",
    files=(_of_the_authors("klein-9b-fp8"), _QWEN_8B, _VAE),
)


def _base_of(distilled: Family, file: Published) -> Family:
    """Return the model that a klein was distilled from; only the names of files tell the two
    apart.
    """
    return replace(
        distilled,
        name=f"{distilled.name}_base",
        title=f"{distilled.title} base",
        variant_of=distilled.name,
        named=r"(?<![a-z])base(?![a-z])|(?:un|de[-_. ]?)distill",
        also_named="",
        steps=20,
        cfg=5.0,
        guidance=Guidance.CFG,
        files=(file, *distilled.files[1:]),
    )


_BASE_4B = "flux-2-klein-base-4b.safetensors"
FAMILIES = (
    _DEV,
    _KLEIN_4B,
    _base_of(_KLEIN_4B, _of_comfy_org("diffusion_models", "flux2-klein", _BASE_4B, _APACHE)),
    _KLEIN_9B,
    _base_of(_KLEIN_9B, _of_the_authors("klein-base-9b-fp8")),
)
