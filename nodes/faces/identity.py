"""Identities: photos of one person with the face found in each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .align import (
    GREY,
    arcface_template,
    ffhq_template,
    robust_similarity,
    similarity,
    warp,
)
from .face import Face


@dataclass(frozen=True, eq=False)
class PhotoFace:
    """A photo, `pixels` uint8 [H,W,3] RGB, and the person's face in it, which has points and an
    embedding.
    """

    pixels: np.ndarray
    face: Face


@dataclass(frozen=True, eq=False)
class Identity:
    """One person by their photos; without any where none could be used, and nodes then leave the
    person out.

    `recogniser` is the pack whose embeddings these are: those of another do not compare.
    """

    photos: tuple[PhotoFace, ...]
    recogniser: str
    title: str

    @property
    def is_known(self) -> bool:
        """Whether there is a photo of the person."""
        return bool(self.photos)

    @property
    def embeddings(self) -> Tensor:
        """The recogniser's own vectors, one a photo: [n,512] float32 on the CPU, not normalised."""
        return torch.from_numpy(
            np.stack([photo.face.embedding for photo in self.photos]).astype(np.float32)
        )

    @property
    def normed(self) -> Tensor:
        """The same at length 1: [n,512]."""
        return torch.nn.functional.normalize(self.embeddings, dim=-1)

    def crop(self, size: int) -> Tensor:
        """Return each photo's face as recognisers want it: [n,size,size,3] float32 0..1, RGB.

        Raises: ImageError for a size that is a multiple of neither 112 nor 128.
        """
        template = arcface_template(size)
        return self._crops([similarity(one.face.points, template) for one in self.photos], size)

    def ffhq(self, size: int) -> Tensor:
        """Return each photo's head as face restorers and PuLID want it, with more around it.

        [n,size,size,3] float32 0..1, RGB.
        """
        template = ffhq_template(size)
        return self._crops(
            [robust_similarity(one.face.points, template) for one in self.photos], size, GREY
        )

    def _crops(
        self, matrices: Sequence[np.ndarray], size: int, outside: Sequence[float] = (0.0,)
    ) -> Tensor:
        levels = [255 * one for one in outside]
        return torch.stack(
            [
                warp(torch.from_numpy(one.pixels), matrix, size, levels) / 255
                for one, matrix in zip(self.photos, matrices, strict=True)
            ]
        )
