"""Draws what a LoRA in training draws, and says how much it looks like the person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import comfy.sample
import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor
from torch.nn import functional

from ...faces.detector import rgb_pixels
from ...faces.face import largest
from ...families.family import Family
from ..noise import generator_of
from ..photos import TunePhotos
from .loss import Conditioning

STEPS = 20


@dataclass(frozen=True, eq=False)
class Judge:
    """Draws fixed texts at fixed seeds, all of them where faces can be told apart, else the first.

    `latent` [1,C,h,w] gives the size of the pictures.
    """

    of: Family
    vae: Any
    texts: Sequence[Conditioning]
    negative: Conditioning | None
    photos: TunePhotos
    latent: Tensor

    def pictures(self, model: ModelPatcher, seed: int) -> list[Tensor]:
        """Return the pictures [H,W,3] that the model draws now."""
        texts = self.texts if self.photos.is_judged else self.texts[:1]
        return [self._drawn(model, text, seed + number) for number, text in enumerate(texts)]

    def likeness(self, pictures: Sequence[Tensor]) -> float | None:
        """Return the mean cosine between faces of the pictures and of the photos.

        A picture without a face counts 0. None where faces cannot be told apart.
        """
        if not self.photos.is_judged or not pictures:
            return None
        known = functional.normalize(self.photos.embeddings.float(), dim=-1)
        scores = []
        for picture in pictures:
            face = largest(
                face
                for face in self.photos.analysis.faces(rgb_pixels(picture[None])[0])
                if face.embedding is not None
            )
            if face is None:
                scores.append(0.0)
                continue
            found = functional.normalize(torch.from_numpy(face.embedding).float(), dim=-1)
            scores.append((known @ found).mean().item())
        return sum(scores) / len(scores)

    def _drawn(self, model: ModelPatcher, text: Conditioning, seed: int) -> Tensor:
        latent = torch.zeros_like(self.latent, device="cpu")
        noise = torch.randn(latent.shape, generator=generator_of(seed, "sample"))
        guided = self.of.takes_negative and self.negative is not None
        drawn = comfy.sample.sample(
            model,
            noise,
            STEPS,
            self.of.cfg if guided else 1.0,
            "euler",
            self.of.schedule or "normal",
            text,
            text if self.negative is None else self.negative,
            latent,
            disable_pbar=True,
            seed=seed,
        )
        return self.vae.decode(drawn)[0]
