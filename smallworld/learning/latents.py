"""Encodes the pictures that are learned from: `python dev.py learn latents --channels 4`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...devtools.console import say
from ..drawing import drawn
from ..scene import random_scene
from .autoencoder import first_model
from .data import FIRST_SEED
from .host import open_host
from .loop import asked

IN_FILE = 500  # pictures
AT_ONCE = 8


def main(argv: Sequence[str]) -> None:
    """Encode what is not encoded yet."""
    given = asked(argv, "latents", 0, channels=4, count=6000)
    open_host()
    model = first_model(given.channels)
    model.load_state_dict(torch.load(given.work / f"vae{given.channels}.encoder.pt"), strict=False)
    for first in range(0, given.count, IN_FILE):
        file = given.work / f"latents{given.channels}_{first:06}.pt"
        if not file.exists():
            encode(model, range(FIRST_SEED + first, FIRST_SEED + first + IN_FILE), file)
            say(f"latents {first + IN_FILE} of {given.count}")


def encode(model: torch.nn.Module, seeds: Sequence[int], file: Path) -> None:
    """Write for each size of picture its seeds and latents [n,C,h,w], half precision."""
    by_size: dict[tuple[int, int], list[int]] = {}
    for seed in seeds:
        scene = random_scene(seed)
        by_size.setdefault((scene.width, scene.height), []).append(seed)
    found = {size: (some, torch.cat(list(_latents(model, some)))) for size, some in by_size.items()}
    torch.save(found, file)


@torch.inference_mode()
def _latents(model: torch.nn.Module, seeds: Sequence[int]) -> Iterator[Tensor]:
    for at in range(0, len(seeds), AT_ONCE):
        pixels = [np.asarray(drawn(random_scene(seed))) for seed in seeds[at : at + AT_ONCE]]
        x = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float() / 127.5 - 1
        yield model.quant_conv(model.encoder(x)).chunk(2, 1)[0].half()
