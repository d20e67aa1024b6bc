"""Where a drawing has whom, as numbers for each patch of a picture: what a transformer's states are
asked for beside the noise, so that it learns early what stands where (Yu et al. 2024, REPA, whose
numbers are another model's).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from .. import words
from ..scene import TO_FEET, TO_SIDE, Scene

PATCH = 16  # pixels
_OF_PEOPLE: Mapping[str, Sequence[str]] = {
    "kind": words.KINDS,
    "hair": tuple(words.HAIRS),
    "skin": tuple(words.SKINS),
    "clothes": tuple(words.CLOTHES),
    "hat": tuple(words.HATS),
    "pose": words.POSES,
}
_PLACES, _TIMES = tuple(words.PLACES), tuple(words.TIMES)
WIDTH = 8 + sum(map(len, _OF_PEOPLE.values())) + len(_PLACES) + len(_TIMES)


def head(width: int) -> torch.nn.Module:
    """Return what reads a layout off states of that width, before it has learned: nothing."""
    found = torch.nn.Sequential(torch.nn.LayerNorm(width), torch.nn.Linear(width, WIDTH))
    torch.nn.init.zeros_(found[1].weight)
    torch.nn.init.zeros_(found[1].bias)
    return found


def layout_of(scene: Scene) -> Tensor:
    """Return [patches,WIDTH] of a scene, row by row: how much of the nearest person and head is
    there, where that person's head is from there, how large and what is said of it; ground, place,
    time.
    """
    y, x = np.mgrid[: scene.height // PATCH, : scene.width // PATCH]
    x, y = (x.ravel() + 0.5) * PATCH, (y.ravel() + 0.5) * PATCH
    found = np.zeros((len(x), WIDTH), np.float32)
    found[:, 0] = y > scene.horizon
    at = WIDTH - len(_TIMES) - len(_PLACES)
    found[:, at + _PLACES.index(scene.place)] = 1
    found[:, at + len(_PLACES) + _TIMES.index(scene.time)] = 1
    if not scene.figures:
        return torch.from_numpy(found)
    middles = np.array([(one.x, one.y + one.head_px, one.head_px) for one in scene.figures])
    off = np.hypot(x[:, None] - middles[:, 0], y[:, None] - middles[:, 1]) / middles[:, 2]
    nearest = off.argmin(1)
    for number, one in enumerate(scene.figures):
        own = nearest == number
        unit = max(one.head_px, PATCH / 2)
        right, down = (x - one.x) / unit, (y - one.y) / unit
        is_body = (abs(right) < TO_SIDE) & (down > -1.6) & (down < TO_FEET)
        numbers = [
            is_body,
            np.hypot(right, down) < 1.4,
            np.tanh(right / 2),
            np.tanh(down / 2),
            np.full(len(x), np.log(one.head_px / 16)),
            np.full(len(x), float(one.glasses)) * is_body,
            np.full(len(x), 1.0),
        ]
        found[own, 1:8] = np.stack(numbers, 1)[own]
        column = 8
        for name, values in _OF_PEOPLE.items():
            if (said := getattr(one, name)) in values:
                found[own, column + values.index(said)] = np.where(is_body, 1.0, 0.3)[own]
            column += len(values)
    return torch.from_numpy(found)
