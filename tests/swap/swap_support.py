"""Pictures, faces and people for the tests of swapping and restoring."""

from __future__ import annotations

import math

import numpy as np
import torch
from comfyui_astria.nodes.faces.align import ARCFACE_112
from comfyui_astria.nodes.faces.face import Face
from comfyui_astria.nodes.faces.identity import Identity, PhotoFace
from torch import Tensor


def face_at(
    x: float, y: float, side: float, turn: float = 0.0, embedding: np.ndarray | None = None
) -> Face:
    """Return a face whose aligned crop of `side` px has its middle at (x, y), turned by `turn`
    radians.
    """
    middle = np.array([56.0, 56.0])
    rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    points = (ARCFACE_112 - middle) * (side / 112) @ rotation.T + np.array([x, y])
    reach = side * 0.35
    return Face(
        (x - reach, y - reach, x + reach, y + reach), points.astype(np.float32), 0.9, embedding
    )


def identity(seed: int, photos: int = 1, recogniser: str = "buffalo_l") -> Identity:
    """Return somebody with embeddings of any length; nobody looks like another."""
    draw = np.random.default_rng(seed)
    pixels = np.zeros((8, 8, 3), np.uint8)
    faces = [
        face_at(4, 4, 8, embedding=(draw.standard_normal(512) * 20).astype(np.float32))
        for _ in range(photos)
    ]
    return Identity(tuple(PhotoFace(pixels, face) for face in faces), recogniser, f"person {seed}")


def smooth_picture(width: int, height: int, batch: int = 1, channels: int = 3) -> Tensor:
    """Return waves between 0.2 and 0.8, another picture for each of the batch."""
    across, down = torch.meshgrid(torch.arange(width), torch.arange(height), indexing="xy")
    waves = [
        0.5 + 0.3 * torch.sin(across / (19 + 3 * layer) + image) * torch.cos(down / (23 + layer))
        for image in range(batch)
        for layer in range(channels)
    ]
    return torch.stack(waves).reshape(batch, channels, height, width).movedim(1, -1)  # BCHW -> BHWC


def blob(width: int, height: int, x: float, y: float, radius: float = 6.0) -> Tensor:
    """Return a picture [1,H,W,3] that is 0 but for a soft spot."""
    across, down = torch.meshgrid(torch.arange(width), torch.arange(height), indexing="xy")
    spot = torch.exp(-((across - x) ** 2 + (down - y) ** 2) / (2 * radius**2))
    return spot[None, :, :, None].repeat(1, 1, 1, 3)


def middle_of(image: Tensor) -> tuple[float, float]:
    """Return the centre of mass (x, y) of one picture [H,W,C]."""
    light = image.double().sum(-1)
    columns, rows = torch.arange(light.shape[1]), torch.arange(light.shape[0])
    return float((light.sum(0) * columns).sum() / light.sum()), float(
        (light.sum(1) * rows).sum() / light.sum()
    )


def unchanged_outside(before: Tensor, after: Tensor, masks: Tensor) -> bool:
    """Return whether every pixel [B,H,W,C] outside the masks [B,H,W] is the same to the bit, NaN
    included.
    """
    outside = masks == 0
    return bool((before[outside] == after[outside]).all()) and bool(outside.any())
