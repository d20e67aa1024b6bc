"""Trains a KL autoencoder on parts of pictures: `python dev.py learn autoencoder --channels 4`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..drawing import drawn
from ..scene import Scene, random_scene
from .host import open_host, start
from .loop import Learner, asked
from .quick import quicken

PIXELS = 12 * 48 * 48  # in a step
# From which part of the training on, how wide. The last ones are wide because GroupNorm sees the
# whole picture, where a part has other means.
CROPS = ((0.0, 48), (0.6, 96))
WHOLE = 128  # of the decoder alone: it has to know what a picture's edge is
# From here on the decoder learns alone, while latents can be made already; so it does where an
# encoder is there from before.
FROZEN = 0.75
KL = 1e-4
HEAD = 4.0  # how much more an error in a head counts, its hair and hat included
ENCODER = ("encoder.", "quant_conv.")
FEWEST = 4  # channels, of the autoencoder that learns first


def crops(seed: int, size: int) -> tuple[Tensor, Tensor]:
    """Return [n,3,size,size] in -1..1, three of four around a head, and how much each pixel counts,
    [n,1,size,size].
    """
    rng = np.random.default_rng(seed)
    found, counts = [], []
    for number in range(max(PIXELS // size**2, 2)):
        scene = random_scene(int(rng.integers(1 << 40)))
        x, y = rng.uniform(0, scene.width - size), rng.uniform(0, scene.height - size)
        if scene.figures and number % 4:
            figure = scene.figures[rng.integers(len(scene.figures))]
            x = figure.x - size / 2 + rng.uniform(-20, 20)
            y = figure.y - size / 2 + rng.uniform(-16, 30)
        left = int(np.clip(x, 0, scene.width - size))
        top = int(np.clip(y, 0, scene.height - size))
        there = np.s_[top : top + size, left : left + size]
        turn = np.s_[:, :: rng.choice([-1, 1])]
        found.append(np.asarray(drawn(scene))[there][turn])
        counts.append(_heads(scene)[there][turn])
    pictures = torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2).float() / 127.5 - 1
    return pictures, torch.from_numpy(np.stack(counts))[:, None]


def _heads(scene: Scene) -> np.ndarray:
    """Return [H,W]: 1, more in heads."""
    y, x = np.ogrid[: scene.height, : scene.width]
    weight = np.ones((scene.height, scene.width), np.float32)
    for one in scene.figures:
        weight[(x - one.x) ** 2 + (y - one.y) ** 2 < (1.8 * one.head_px) ** 2] = HEAD
    return weight


def first_model(channels: int) -> torch.nn.Module:
    """Return the host's autoencoder with first weights."""
    from comfy.ldm.models.autoencoder import AutoencoderKL

    from ..host.models import autoencoder

    model = AutoencoderKL(**autoencoder(channels))
    start(model, seed=channels)
    with torch.no_grad():
        for layer in (model.quant_conv, model.post_quant_conv):
            layer.weight.copy_(torch.eye(len(layer.weight))[:, :, None, None])
    quicken(model)
    return model


def loss_of(learner: Learner, seed: int) -> Callable[[int], Tensor]:
    """Return what a step costs: the difference of the picture, and a little of the KL term."""
    model = learner.model
    encoder_file = learner.work / f"{learner.name}.encoder.pt"

    def loss(step: int) -> Tensor:
        is_frozen = learner.part >= FROZEN or encoder_file.exists()
        if is_frozen and not encoder_file.exists():
            kept = {
                name: value for name, value in learner.average.items() if name.startswith(ENCODER)
            }
            model.load_state_dict(kept, strict=False)
            torch.save(kept, encoder_file)
        parts = [size for after, size in CROPS if learner.part >= after]
        size = WHOLE if is_frozen else parts[-1]
        x, counts = crops(seed + step, size)
        with torch.set_grad_enabled(not is_frozen):
            middle, log_variance = model.quant_conv(model.encoder(x)).chunk(2, 1)
        log_variance = log_variance.clamp(-30, 20)
        z = middle + (0.5 * log_variance).exp() * torch.randn_like(middle)
        off = (model.decoder(model.post_quant_conv(z)) - x).abs()
        kl = 0.5 * (middle**2 + log_variance.exp() - 1 - log_variance).mean()
        return ((off + 0.5 * off**2) * counts).mean() + KL * kl

    return loss


def begin_with(model: torch.nn.Module, state: Path) -> None:
    """Give a model the layers of its shapes from an autoencoder of fewer channels, if there is one.

    Only what touches the latents is of another shape, so half of the training is saved.
    """
    if not state.exists():
        return
    learned = torch.load(state, weights_only=False)["average"]
    own = model.state_dict()
    fitting = {name: value for name, value in learned.items() if value.shape == own[name].shape}
    model.load_state_dict(fitting, strict=False)


def main(argv: Sequence[str]) -> None:
    """Train, or go on."""
    given = asked(argv, "autoencoder", 4000, channels=4)
    open_host()
    name = f"vae{given.channels}"
    plain = ("conv_in", "conv_out", "quant_conv")
    model = first_model(given.channels)
    if given.channels > FEWEST:
        begin_with(model, given.work / f"vae{FEWEST}.state.pt")
    learner = Learner(name, model, given.work, given.steps, plain, kept=0.995, falls=0.4)
    learner.run(loss_of(learner, given.channels * 1_000_000), given.minutes)
