"""Trains a face detector in InsightFace's layout: `python dev.py learn detector`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from .face_nets import ANCHORS, OUTPUTS, FaceDetector
from .face_pictures import Seen, on_canvas, random_picture
from .loop import Learner, asked
from .quick import half

# Sides of the input, how often each is learned at, and how many pictures are then seen.
SIDES = ((640, 0.6, 8), (320, 0.3, 16), (160, 0.1, 24))
LEAST = 9.0  # size of a face, in pixels of the input, that has to be found
SMALLEST = ANCHORS[8][0]
NEAR, ABOUT = 0.6, 1.2  # log2 of a face's size against an anchor's: is it; may be it
INSIDE, AROUND = 0.75, 1.5  # strides between a cell and a face's middle: is it; may be it
PLACES = 4.0  # how much the places count against the scores


def targets(picture: Seen, side: int) -> list[Tensor]:
    """Return for each stride [h,w,2,16]: 1 a face, 0 none, -1 either; box and points in strides;
    what a stride is against the face's size, 0 without one.
    """
    found = []
    for stride, anchors in ANCHORS.items():
        count = side // stride
        level = np.zeros((count, count, 2, 2 + sum(OUTPUTS[1:])), np.float32)
        for box, points in zip(picture.boxes, picture.points, strict=True):
            size = float(np.prod(box[2:] - box[:2]) ** 0.5)
            middle = (box[:2] + box[2:]) / 2
            first = np.ceil(middle / stride - AROUND).astype(int).clip(0, count)
            end = np.ceil(middle / stride + AROUND).astype(int).clip(0, count)
            here = np.mgrid[first[0] : end[0], first[1] : end[1]].T * float(stride)
            near = abs(here - middle).max(-1) <= INSIDE * stride
            places = [
                here - box[:2],
                box[2:] - here,
                (points - here[..., None, :]).reshape(*near.shape, 10),
            ]
            known = (
                np.concatenate([*places, np.full((*near.shape, 1), stride**2 / size)], -1) / stride
            )
            for number, anchor in enumerate(anchors):
                off = abs(np.log2(max(size, SMALLEST) / anchor))
                if off < ABOUT:
                    cells = level[first[1] : end[1], first[0] : end[0], number]
                    cells[..., 1:] = known
                    is_face = near & (off < NEAR) & (size >= LEAST)
                    cells[..., 0] = np.where(is_face | (cells[..., 0] == 1), 1, -1)
        found.append(torch.from_numpy(level))
    return found


def loss_of(model: FaceDetector) -> Callable[[int], Tensor]:
    """Return what a step costs: the scores' focal loss, and how far off places are."""

    def loss(step: int) -> Tensor:
        rng = np.random.default_rng(step)
        side, _, count = SIDES[rng.choice(len(SIDES), p=[share for _, share, _ in SIDES])]
        pictures = [on_canvas(random_picture(rng), side) for _ in range(count)]
        wanted = [
            torch.stack(one) for one in zip(*(targets(p, side) for p in pictures), strict=True)
        ]
        x = torch.from_numpy(np.stack([one.pixels for one in pictures])).permute(0, 3, 1, 2)
        with half():
            found = model.maps((x.float() - 127.5) / 128)
        every = torch.cat([one.flatten(0, 3) for one in found])
        right = torch.cat([one.flatten(0, 3) for one in wanted])
        return score_loss(every[:, 0], right[:, 0]) + PLACES * place_loss(every, right)

    return loss


def score_loss(found: Tensor, right: Tensor) -> Tensor:
    """Return the focal loss of scores [n] before the sigmoid, for each face's cell (Lin et al.)."""
    known = right >= 0
    found, right = found[known], right[known]
    off = (found.sigmoid() - right).abs()
    costs = functional.binary_cross_entropy_with_logits(found, right, reduction="none")
    return (costs * off**2).sum() / right.sum().clamp(min=1)


def place_loss(found: Tensor, right: Tensor) -> Tensor:
    """Return the mean error of boxes and points [n,15] where there is a face, in its sizes."""
    there = right[:, -1] > 0
    off = (found[there, 1:] - right[there, 1:-1]) * right[there, -1:]
    return functional.smooth_l1_loss(off, torch.zeros_like(off), beta=0.02, reduction="sum") / max(
        off.numel(), 1
    )


def main(argv: Sequence[str]) -> None:
    """Train, or go on."""
    given = asked(argv, "detector", 900)
    torch.manual_seed(5)
    model = FaceDetector()
    learner = Learner(
        "detector", model, given.work, given.steps, plain=("last",), kept=0.99, muon=0.02
    )
    learner.run(loss_of(model), given.minutes)
