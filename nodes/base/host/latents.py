"""Pictures as latents and back, each by itself also where a VAE is one for videos."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

VIDEO_DIMENSIONS = 3  # of a VAE whose latents are [B,C,T,H,W]


def encoded(vae: Any, pixels: Tensor, mask: Tensor | None = None) -> dict[str, Tensor]:
    """Return a latent of the host, with a noise mask where `mask` says what is repainted.

    A VAE for videos takes the pictures of a batch for frames of one, which it mixes; here each is a
    video of one frame. The host takes masks of several pictures for frames as well, unless they
    have as many sides as such a latent.
    Shapes: pixels [B,H,W,C] float 0..1, mask [B,H,W] or [1,H,W] -> samples [B,C,h,w] or [B,C,1,h,w]
    of a video's VAE.
    """
    is_video = getattr(vae, "latent_dim", 2) == VIDEO_DIMENSIONS
    pictures = pixels[..., :3]
    samples = torch.cat(
        [vae.encode(one) for one in (pictures.split(1) if is_video else [pictures])]
    )
    if mask is None:
        return {"samples": samples}
    sides = (1,) * (samples.ndim - 3)
    return {"samples": samples, "noise_mask": mask.reshape(-1, *sides, *mask.shape[-2:])}


def decoded(vae: Any, samples: Tensor) -> Tensor:
    """Return the pictures [B,H,W,C] of a latent; a video of one frame is a picture."""
    pictures = vae.decode(samples)
    return pictures.flatten(0, -4)
