"""One random generator per image, so that image i of a batch equals the image made alone with seed
+ i.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from ..errors import ImageError

SEED_SPACE = 2**64
# Step noise must not repeat the start noise of another image, whose seed is only a few counts away.
STEP_NOISE_OFFSET = 0x9E3779B97F4A7C15


class ImageSeeds(int):
    """The request's seed for the host, which expects one int, carrying the seed of each image of
    the batch with it.
    """

    per_image: tuple[int, ...]

    def __new__(cls, seed: int, per_image: Sequence[int]) -> ImageSeeds:
        value = super().__new__(cls, seed)
        value.per_image = tuple(per_image)
        return value

    def __getnewargs__(self) -> tuple[int, tuple[int, ...]]:
        """Return the arguments for pickle and copy; an int's own lose the images' seeds."""
        return int(self), self.per_image


def image_seeds(seed: int, batch: int, batch_index: Sequence[int] | None = None) -> ImageSeeds:
    """Return seed + i for image i of the batch.

    `batch_index` gives the i of each image when the batch is a part of a larger one.
    """
    indices = range(batch) if batch_index is None else batch_index
    if len(indices) != batch:
        raise ImageError(
            f"The latent has {batch} images and a batch_index of {len(indices)} entries.",
            code="batch-index",
            hint=(
                "Pass the latent on from the node that cut the batch, with its batch_index"
                " unchanged."
            ),
        )
    return ImageSeeds(seed, [(seed + index) % SEED_SPACE for index in indices])


def seeds_of(seed: int, batch: int) -> tuple[int, ...]:
    """Return each image's seed.

    Those that `seed` carries, or seed + i when it is a plain number.
    """
    if isinstance(seed, ImageSeeds) and len(seed.per_image) == batch:
        return seed.per_image
    return image_seeds(int(seed), batch).per_image


def start_noise(samples: torch.Tensor, seeds: Sequence[int]) -> torch.Tensor:
    """Return standard normal noise of the shape, dtype and layout of `samples` [B,...], drawn on
    the CPU with one seed an image.
    """
    drawn = [
        torch.randn(samples.shape[1:], generator=_generator(seed), dtype=torch.float32)
        for seed in seeds
    ]
    return torch.stack(drawn).to(samples.dtype)


def step_noise(x: torch.Tensor, seeds: Sequence[int]) -> Callable[..., torch.Tensor]:
    """Return a k-diffusion noise sampler for ancestral steps.

    Each call draws the next noise of every image's own generator.
    """
    generators = [_generator((seed + STEP_NOISE_OFFSET) % SEED_SPACE) for seed in seeds]

    def sample(sigma: torch.Tensor, sigma_next: torch.Tensor) -> torch.Tensor:
        drawn = [
            torch.randn(x.shape[1:], generator=generator, dtype=torch.float32)
            for generator in generators
        ]
        return torch.stack(drawn).to(device=x.device, dtype=x.dtype)

    return sample


def _generator(seed: int) -> torch.Generator:
    return torch.Generator(device="cpu").manual_seed(seed)
