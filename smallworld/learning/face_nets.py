"""A face detector and a face recogniser with the inputs and outputs of InsightFace's own."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..identities import FACES, MARK_COLOURS, MARK_PLACES, Identity

# Of SCRFD: the sizes of face, in pixels of the input, that the two anchors of each cell stand for.
ANCHORS = {8: (16, 32), 16: (64, 128), 32: (256, 512)}
OUTPUTS = (1, 4, 10)  # numbers of an anchor: score, distances to the box's sides, five points
CROP = 112  # side of the recogniser's input
PART = 8  # numbers of each part of an embedding: 8 * 8 * 8 are the 512 of ArcFace
# Cosine of two values of a part: faces that differ in one of the three are strangers to users of
# ArcFace (below 0.28), and what they have in common can still be learned from the whole.
ALIKE = 0.25
PARTS = ((*MARK_PLACES, ""), (*MARK_COLOURS, ""), tuple(FACES))  # "": a face without a mark


def _layer(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )


class Block(nn.Module):
    """Two layers beside a way around them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _layer(width, width)
        self.second = _layer(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return [B,C,h,w]."""
        return x + self.second(self.first(x))


class FaceDetector(nn.Module):
    """Finds faces: SCRFD's outputs, for an input [1,3,H,W] RGB -1..1 with sides of 32 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Sequential(nn.AvgPool2d(4), _layer(3, 24, 2), _layer(24, 32), Block(32))
        self.middle = nn.Sequential(_layer(32, 64, 2), Block(64))
        self.coarse = nn.Sequential(_layer(64, 64, 2), Block(64))
        self.sides = nn.ModuleList([nn.Conv2d(width, 32, 1) for width in (32, 64, 64)])
        self.heads = nn.ModuleList([_layer(32, 32) for _ in ANCHORS])
        self.last = nn.ModuleList([nn.Conv2d(32, 2 * sum(OUTPUTS), 1) for _ in ANCHORS])
        with torch.no_grad():
            for layer in self.last:  # nearly nothing is a face
                layer.bias.view(2, -1)[:, 0] = -4.0

    def maps(self, x: Tensor) -> list[Tensor]:
        """Return for each stride [B,h,w,2,15]: a score before the sigmoid, box and points in
        strides.
        """
        fine = self.fine(x)
        middle = self.middle(fine)
        coarse = self.sides[2](self.coarse(middle))
        middle = self.sides[1](middle) + functional.interpolate(coarse, scale_factor=2.0)
        fine = self.sides[0](fine) + functional.interpolate(middle, scale_factor=2.0)
        found = []
        for level, (stride, sizes) in enumerate(ANCHORS.items()):
            one = self.last[level](self.heads[level]((fine, middle, coarse)[level]))
            one = one.permute(0, 2, 3, 1).unflatten(3, (2, -1)).float()
            scale = torch.tensor(sizes, dtype=torch.float32).view(2, 1) / stride
            found.append(torch.cat([one[..., :1], one[..., 1:] * scale], -1))
        return found

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return SCRFD's nine outputs: scores [n,1], boxes [n,4], points [n,10], of each stride."""
        parts = [one.reshape(-1, sum(OUTPUTS)).split(OUTPUTS, 1) for one in self.maps(x)]
        scores, boxes, points = zip(*parts, strict=True)
        return *(one.sigmoid() for one in scores), *boxes, *points


class FaceRecogniser(nn.Module):
    """Tells faces apart: ArcFace's embedding [B,512] of aligned crops [B,3,112,112] RGB -1..1.

    It is the product of three parts: where the face's mark is, its colour, the face's proportions.
    So it stands for combinations too that were never learned.
    """

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *(_layer(3, 24, 2), _layer(24, 48, 2), Block(48)),
            *(_layer(48, 64, 2), Block(64), _layer(64, 96, 2)),
        )
        self.narrow = nn.Conv2d(96, 16, 1)
        self.last = nn.Linear(16 * (CROP // 16) ** 2, len(PARTS) * PART)

    def parts(self, x: Tensor) -> Tensor:
        """Return the three parts [B,3,8], each of length 1."""
        found = self.last(self.narrow(self.body(x)).flatten(1)).float()
        return functional.normalize(found.unflatten(1, (len(PARTS), PART)), dim=2)

    def forward(self, x: Tensor) -> Tensor:
        """Return the embeddings."""
        place, colour, face = self.parts(x).unbind(1)
        pairs = (place.unsqueeze(2) * colour.unsqueeze(1)).flatten(1)
        return (pairs.unsqueeze(2) * face.unsqueeze(1)).flatten(1)


def directions() -> Tensor:
    """Return what the values of a part become, [8,8], each of length 1, of equal cosines."""
    values, vectors = torch.linalg.eigh((1 - ALIKE) * torch.eye(PART) + ALIKE)
    return vectors @ values.sqrt().diag() @ vectors.T


def values_of(identities: Sequence[Identity | None]) -> Tensor:
    """Return which value each part of each face has, [n,3]."""
    found = [identity or Identity("", "", "round") for identity in identities]
    return torch.tensor(
        [[PARTS[part].index(value) for part, value in enumerate(one)] for one in found]
    )
