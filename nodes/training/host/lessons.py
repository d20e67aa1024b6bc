"""What a person is learned from: pictures with captions, and which of them each step takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..errors import TrainingError
from ..noise import generator_of, is_dropped, picture_order
from ..outcome import TrainingNumbers
from ..photos import CLASS, TunePhotos, latent_weights
from .loss import Conditioning, Denoising, Example
from .state import digest


@dataclass(frozen=True, eq=False)
class Material:
    """What is learned: a latent [1,C,h,w] as the VAE gives it and a caption for each picture."""

    photos: TunePhotos
    latents: Sequence[Tensor]
    captions: Sequence[Conditioning]
    without_caption: Conditioning | None = None

    def __post_init__(self) -> None:
        counts = (len(self.photos.pictures), len(self.latents), len(self.captions))
        if len(set(counts)) != 1:
            raise TrainingError(
                f"{counts[0]} pictures, {counts[1]} latents and {counts[2]} captions came in;"
                " expected as many of each.",
                code="training-material",
                hint="Connect pictures over VAE Encode, and captions over CLIP Text Encode.",
            )

    def digest(self, numbers: TrainingNumbers) -> str:
        """Return what the training depends on, beside the model's weights."""
        texts = [*self.captions, self.without_caption]
        weights = [one.weights for one in self.photos.pictures]
        kinds = [one.kind for one in self.photos.pictures]
        return digest(numbers, kinds, self.latents, texts, weights)


class Lessons:
    """Which picture, noise and caption each step learns from."""

    def __init__(self, denoising: Denoising, material: Material, numbers: TrainingNumbers) -> None:
        self._denoising = denoising
        self._numbers = numbers
        self._captions: dict[tuple[int, tuple[int, ...]], list[dict[str, Any]]] = {}
        self._own: list[Example] = []
        self._class: list[Example] = []
        for picture, latent, caption in zip(
            material.photos.pictures, material.latents, material.captions, strict=True
        ):
            weights = latent_weights(picture.weights, latent.shape[-2:])
            example = denoising.example(latent.cpu(), caption, weights)
            (self._class if picture.kind == CLASS else self._own).append(example)
        self._without = material.without_caption

    def losses(self, step: int) -> Iterator[Tensor]:
        """Yield the losses whose sum the step lessens."""
        numbers = self._numbers
        for number in range(step * numbers.accumulation, (step + 1) * numbers.accumulation):
            generator = generator_of(numbers.seed, "step", number)
            example = self._own[picture_order(len(self._own), number, numbers.seed)]
            dropped = self._without is not None and is_dropped(numbers.caption_dropout, generator)
            caption = self._uncaptioned(example) if dropped else example.caption
            yield self._denoising.loss(example, caption, generator) / numbers.accumulation
            if self._class and numbers.prior_weight:
                yield self._prior_loss(number) * (numbers.prior_weight / numbers.accumulation)

    def _prior_loss(self, number: int) -> Tensor:
        """Return the loss of another person, which keeps the class from becoming this one.

        DreamBooth's prior preservation, https://arxiv.org/abs/2208.12242.
        """
        seed = self._numbers.seed
        example = self._class[picture_order(len(self._class), number, seed + 1)]
        return self._denoising.loss(example, example.caption, generator_of(seed, "class", number))

    def _uncaptioned(self, example: Example) -> list[dict[str, Any]]:
        size = tuple(example.latent.shape)
        key = (id(self._without), size)
        if key not in self._captions:
            self._captions[key] = self._denoising.caption(self._without, example.latent)
        return self._captions[key]
