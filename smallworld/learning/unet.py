"""Trains the small SD1.5 by what its text encoder says: `python dev.py learn unet`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

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


class Step(NamedTuple):
    """What a UNet sees in a step: noisy latents [n,C,h,w], times [n] and texts' states [n,tokens,C]
    of pictures; their texts and scenes; the step's random numbers. What steers may add `costs`.
    """

    noisy: Tensor
    times: Tensor
    context: Tensor
    said: Sequence[str]
    scenes: Sequence[Scene]
    rng: np.random.Generator
    costs: list[Tensor]


# What a UNet's forward is given beside latents, times and texts.
Steering = Callable[[Step], dict[str, Any]]


class Source(Protocol):
    """Where pictures come from."""

    def some(self, rng: np.random.Generator, count: int) -> tuple[Tensor, list[Scene]]:
        """Return latents [count,C,h,w] of one size and their scenes."""


def weights_of(scene: Scene) -> Tensor:
    """Return [H,W] of the latent's cells: 1, more where people are."""
    x, y = cells(scene)
    found = np.ones((scene.height // CELL, scene.width // CELL), np.float32)
    for one in scene.figures:
        unit = max(one.head_px, CELL / 2)
        beside = abs(x - one.x) < TO_SIDE * unit
        is_person = beside & (y > one.y - 1.6 * unit) & (y < one.y + TO_FEET * unit)
        is_head = beside & (abs(y - one.y) < 1.6 * unit)
        found[is_person] = PERSON
        found[is_head] = HEAD
    return torch.from_numpy(found)


def cells(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """Return the middles of a latent's cells in pixels: columns [1,W] and rows [H,1]."""
    y, x = np.ogrid[: scene.height // CELL, : scene.width // CELL]
    return (x + 0.5) * CELL, (y + 0.5) * CELL


def standing_still() -> tuple[Any, Any, Rows, torch.nn.ModuleDict]:
    """Return MODEL and VAE of the world's SD1.5, the rows of its tokens, and its `unet` and `clip`,
    in full precision, of which nothing learns.
    """
    from ..host.files import load
    from .restore import network_state

    patcher, _, vae = load("sd15")
    rows = Rows(clip_tokens())
    parts = {"unet": patcher.model.diffusion_model, "clip": clip_encoder(len(rows.ids))}
    network = torch.nn.ModuleDict(parts)
    network.load_state_dict(network_state("sd15")["model"])
    return patcher, vae, rows, network.requires_grad_(False)


def no_steering(step: Step) -> dict[str, Any]:
    """Leave a UNet to latents, times and texts."""
    return {}


@dataclass(frozen=True)
class Taught:
    """What a UNet is taught by: pictures, the rows of their texts, and the noise levels; so many
    pictures a step, of whose cells some count more; what steers it. The larger `falls`, the less
    often are high noise levels seen.
    """

    pictures: Source
    rows: Rows
    sigmas: Tensor
    batch: int
    steer: Steering = no_steering
    weights: Callable[[Scene], Tensor] = weights_of
    falls: float = 0.75


def loss_of(model: torch.nn.ModuleDict, taught: Taught) -> Callable[[int], Tensor]:
    """Return what a step costs: the noise's error, weighted by min-SNR and by what is there."""
    rows, sigmas, batch = taught.rows, taught.sigmas, taught.batch
    device = next(model.parameters()).device

    def loss(step: int) -> Tensor:
        rng = np.random.default_rng(step)
        x, scenes = taught.pictures.some(rng, batch)
        said = [fitting(scene, rng, lambda text: len(rows.of(text)), CHUNK) for scene in scenes]
        # Stratified: every step sees all noise levels; the least ones half as often at 0.75.
        part = (torch.arange(batch) + torch.rand(batch)) / batch
        at = (part**taught.falls * len(sigmas)).long()
        sigma = sigmas[at].view(-1, 1, 1, 1).to(device)
        # Drawn on the CPU: the same numbers on every device.
        noise = torch.randn_like(x).to(device)
        x, at = x.to(device), at.to(device)
        noisy = (x + sigma * noise) / (sigma**2 + 1) ** 0.5
        tokens = torch.tensor([rows.of(text) for text in said], device=device)
        with torch.no_grad():
            context = model["clip"](tokens, num_tokens=[CHUNK] * batch)[0]
        with half(device):
            seen = Step(noisy, at.float(), context, said, scenes, rng, [])
            more = {"transformer_options": dict(ATTENTION), **taught.steer(seen)}
            found = model["unet"](noisy, at.float(), context, **more)
        counts = torch.stack([taught.weights(scene) for scene in scenes])[:, None].to(device)
        error = ((found.float() - noise).square() * counts).mean((1, 2, 3))
        cost = (error * (SNR * sigma.flatten() ** 2).clamp(max=1.0)).mean()
        return cost + sum(seen.costs)

    return loss


def main(argv: Sequence[str]) -> None:
    """Train, or go on."""
    given = asked(argv, "unet", 2200, device="cpu")
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
        "unet",
        model,
        given.work,
        given.steps,
        plain,
        adds_in_place=False,
        about=about,
        device=given.device,
    )
    use_encoders(model, given.work, ("clip",))  # a state may hold another
    taught = Taught(pictures, rows, ModelSamplingDiscrete(config).sigmas, BATCH)
    learner.run(loss_of(model, taught), given.minutes)
