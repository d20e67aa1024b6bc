"""Trains the small SD1.5 by what its text encoder says: `python dev.py learn unet`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..scene import TO_FEET, TO_SIDE, Scene
from .data import Pictures, Rows, fitting
from .encoders import use_encoders
from .host import open_host, start
from .loop import Learner, asked
from .quick import ATTENTION, half, quicken

BATCH = 32
CHUNK = 77  # the host's, start and end with it
CELL = 8  # pixels of a latent's cell
# How much more an error counts in a person, and in the head: small, and most words speak of them.
PERSON, HEAD = 4.0, 6.0
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


# What a UNet is given beside noisy latents [n,C,h,w], times [n] and texts [n,tokens,C] of pictures,
# as the host's ControlNets give it.
Steering = Callable[[Tensor, Tensor, Tensor, Sequence[Scene], np.random.Generator], dict]


@dataclass(frozen=True)
class Taught:
    """What a UNet is taught by: pictures, the rows of their texts, and the noise levels; so many
    pictures a step, steered by `control`.
    """

    pictures: Pictures
    rows: Rows
    sigmas: Tensor
    batch: int
    control: Steering | None = None


def loss_of(model: torch.nn.ModuleDict, taught: Taught) -> Callable[[int], Tensor]:
    """Return what a step costs: the noise's error, weighted by min-SNR and by what is there."""
    rows, sigmas, batch = taught.rows, taught.sigmas, taught.batch

    def loss(step: int) -> Tensor:
        rng = np.random.default_rng(step)
        x, scenes = taught.pictures.some(rng, batch)
        said = [fitting(scene, rng, lambda text: len(rows.of(text)), CHUNK) for scene in scenes]
        # Stratified: every step sees all noise levels, the least ones half as often.
        part = (torch.arange(batch) + torch.rand(batch)) / batch
        at = (part**0.75 * len(sigmas)).long()
        sigma = sigmas[at].view(-1, 1, 1, 1)
        noise = torch.randn_like(x)
        noisy = (x + sigma * noise) / (sigma**2 + 1) ** 0.5
        tokens = torch.tensor([rows.of(text) for text in said])
        with torch.no_grad():
            context = model["clip"](tokens, num_tokens=[CHUNK] * batch)[0]
        with half():
            steered = (noisy, at.float(), context)
            control = taught.control and taught.control(*steered, scenes, rng)
            found = model["unet"](*steered, control=control, transformer_options=dict(ATTENTION))
        counts = torch.stack([weights_of(scene) for scene in scenes])[:, None]
        error = ((found.float() - noise).square() * counts).mean((1, 2, 3))
        return (error * (SNR * sigma.flatten() ** 2).clamp(max=1.0)).mean()

    return loss


def weights_of(scene: Scene) -> Tensor:
    """Return [H,W] of the latent's cells: 1, more where people are."""
    y, x = np.ogrid[: scene.height // CELL, : scene.width // CELL]
    x, y = (x + 0.5) * CELL, (y + 0.5) * CELL
    found = np.ones((scene.height // CELL, scene.width // CELL), np.float32)
    for one in scene.figures:
        unit = max(one.head_px, CELL / 2)
        beside = abs(x - one.x) < TO_SIDE * unit
        is_person = beside & (y > one.y - 1.6 * unit) & (y < one.y + TO_FEET * unit)
        is_head = beside & (abs(y - one.y) < 1.6 * unit)
        found[is_person] = PERSON
        found[is_head] = HEAD
    return torch.from_numpy(found)


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
    use_encoders(model, given.work, ("clip",))
    quicken(model)
    plain = ("input_blocks.0.", "unet.out.", "time_embed")
    about = {"tokens": rows.ids, "mean": pictures.mean, "spread": pictures.spread}
    learner = Learner(
        "unet", model, given.work, given.steps, plain, adds_in_place=False, about=about
    )
    use_encoders(model, given.work, ("clip",))  # a state may hold another
    taught = Taught(pictures, rows, ModelSamplingDiscrete(config).sigmas, BATCH)
    learner.run(loss_of(model, taught), given.minutes)
