"""Trains the small SD1.5 and its text encoder together: `python dev.py learn unet`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from .data import Pictures, Rows, fitting
from .host import open_host, start
from .loop import Learner, asked
from .quick import ATTENTION, half, keep_inputs, quicken

BATCH = 32
CHUNK = 77  # the host's, start and end with it
SNR = 5.0  # min-SNR weighting, Hang et al. 2023


def clip_tokens() -> Callable[[str], list[int]]:
    """Return what gives the host's CLIP tokens of a text, filled up to whole chunks."""
    from comfy.sd1_clip import SD1Tokenizer

    tokenizer = SD1Tokenizer()

    def tokens(text: str) -> list[int]:
        chunks = tokenizer.tokenize_with_weights(text)["l"]
        return [int(token[0]) for chunk in chunks for token in chunk]

    return tokens


def clip_encoder(rows: int) -> torch.nn.Module:
    """Return the host's CLIP text model with a token table of that many rows."""
    import comfy.ops
    from comfy.clip_model import CLIPTextModel

    from ..host.models import CLIP_L

    bare = comfy.ops.disable_weight_init
    clip = CLIPTextModel(CLIP_L, torch.float32, "cpu", bare)
    clip.text_model.embeddings.token_embedding = bare.Embedding(rows, CLIP_L["hidden_size"])
    return clip


def loss_of(
    model: torch.nn.ModuleDict, pictures: Pictures, rows: Rows, sigmas: Tensor
) -> Callable[[int], Tensor]:
    """Return what a step costs: the error of the noise, weighted by min-SNR."""

    def loss(step: int) -> Tensor:
        rng = np.random.default_rng(step)
        x, scenes = pictures.some(rng, BATCH)
        said = [fitting(scene, rng, lambda text: len(rows.of(text)), CHUNK) for scene in scenes]
        # Stratified: every step sees all noise levels.
        at = ((torch.arange(BATCH) + torch.rand(BATCH)) / BATCH * len(sigmas)).long()
        sigma = sigmas[at].view(-1, 1, 1, 1)
        noise = torch.randn_like(x)
        noisy = (x + sigma * noise) / (sigma**2 + 1) ** 0.5
        tokens = torch.tensor([rows.of(text) for text in said])
        with half():
            context = model["clip"](tokens, num_tokens=[CHUNK] * BATCH)[0]
            found = model["unet"](noisy, at.float(), context, transformer_options=dict(ATTENTION))
        error = (found.float() - noise).square().mean((1, 2, 3))
        return (error * (SNR * sigma.flatten() ** 2).clamp(max=1.0)).mean()

    return loss


def main(argv: Sequence[str]) -> None:
    """Train, or go on."""
    given = asked(argv, "unet", 2200)
    open_host()
    from comfy.model_sampling import ModelSamplingDiscrete

    from ..host.models import sd15

    rows = Rows(clip_tokens())
    pictures = Pictures(given.work, 4)
    config = sd15()
    config.set_inference_dtype(torch.float32, None)
    unet = config.get_model({}, "").diffusion_model
    model = torch.nn.ModuleDict({"unet": unet, "clip": clip_encoder(len(rows.ids))})
    start(model, seed=15, zero=("unet.out.2.",))
    with torch.no_grad():
        model["clip"].text_model.embeddings.position_embedding.weight.mul_(0.2)
    quicken(model)
    keep_inputs(model["clip"])
    plain = ("input_blocks.0.", "unet.out.", "embedding", "time_embed")
    about = {"tokens": rows.ids, "mean": pictures.mean, "spread": pictures.spread}
    learner = Learner(
        "unet", model, given.work, given.steps, plain, adds_in_place=False, about=about
    )
    learner.run(loss_of(model, pictures, rows, ModelSamplingDiscrete(config).sigmas), given.minutes)
