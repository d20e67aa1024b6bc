"""Trains a face recogniser in InsightFace's layout: `python dev.py learn recogniser`."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from .face_nets import PARTS, FaceRecogniser, directions, values_of
from .face_pictures import random_faces
from .loop import Learner, asked
from .quick import half

BATCH = 64
SHARP = 16.0  # of the cosines, as in ArcFace's loss
COLOUR = 1  # the part of a mark's colour
UNKNOWN = -100  # cross_entropy's mark for what does not count


def loss_of(model: FaceRecogniser) -> Callable[[int], Tensor]:
    """Return what a step costs: how far parts of embeddings are from what they stand for."""
    known = directions()

    def loss(step: int) -> Tensor:
        faces = list(itertools.islice(random_faces(np.random.default_rng(step)), BATCH))
        pixels = torch.from_numpy(np.stack([one.pixels for one in faces]))
        with half():
            found = model.parts(pixels.permute(0, 3, 1, 2).float() / 127.5 - 1)
        cosines = found @ known.T
        values = values_of([one.identity for one in faces])
        values[[one.is_repainted for one in faces], COLOUR] = UNKNOWN
        costs = [
            functional.cross_entropy(SHARP * cosines[:, part, : len(choices)], values[:, part])
            for part, choices in enumerate(PARTS)
        ]
        there = values != UNKNOWN
        right = cosines.gather(2, values.clamp(min=0)[..., None])[..., 0]
        return sum(costs) + (1 - right[there]).mean()

    return loss


def main(argv: Sequence[str]) -> None:
    """Train, or go on."""
    given = asked(argv, "recogniser", 450)
    torch.manual_seed(112)
    model = FaceRecogniser()
    learner = Learner(
        "recogniser", model, given.work, given.steps, plain=("last",), kept=0.99, muon=0.02
    )
    learner.run(loss_of(model), given.minutes)
