"""Image i of a batch gets the noise of seed + i, whatever batch it is cut from."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from comfyui_astria.nodes.base.noise import (
    SEED_SPACE,
    ImageSeeds,
    image_seeds,
    seeds_of,
    start_noise,
    step_noise,
)
from comfyui_astria.nodes.errors import ImageError
from hypothesis import given
from hypothesis import strategies as st

LATENT = torch.zeros(4, 4, 6, 5)


def test_a_batch_is_its_images_alone() -> None:
    batch = start_noise(LATENT, image_seeds(43, 4).per_image)
    for index in range(4):
        assert torch.equal(
            batch[index : index + 1], start_noise(LATENT[:1], image_seeds(43 + index, 1).per_image)
        )
    assert len({tuple(image.flatten().tolist()) for image in batch}) == 4


def test_the_first_image_equals_the_hosts_own_noise() -> None:
    expected = torch.randn(LATENT[:1].shape, generator=torch.Generator().manual_seed(43))
    assert torch.equal(start_noise(LATENT[:1], image_seeds(43, 1).per_image), expected)


def test_step_noise_goes_on_per_image_and_repeats_no_start_noise() -> None:
    seeds = image_seeds(7, 3).per_image
    x = LATENT[:3]
    batch, second = step_noise(x, seeds), step_noise(x[1:2], seeds[1:2])
    drawn = []
    for _ in range(3):
        noise = batch(None, None)
        assert torch.equal(noise[1:2], second(None, None))
        drawn += [*noise]
    drawn += [*start_noise(LATENT, image_seeds(7, 4).per_image)]
    assert len({tuple(image.flatten().tolist()) for image in drawn}) == len(drawn)


def test_parts_of_a_batch_keep_their_seeds() -> None:
    whole = image_seeds(100, 8)
    part = image_seeds(100, 3, [5, 6, 7])
    assert part.per_image == whole.per_image[5:]
    assert seeds_of(part, 3) == (105, 106, 107)
    assert seeds_of(100, 2) == (100, 101)


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, copy.copy, lambda value: pickle.loads(pickle.dumps(value))]
)
def test_a_copy_keeps_every_images_seed(copied) -> None:
    assert seeds_of(copied(image_seeds(100, 3, [5, 6, 7])), 3) == (105, 106, 107)


def test_a_batch_index_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(ImageError, match="2 images and a batch_index of 3 entries"):
        image_seeds(1, 2, [0, 1, 2])


@given(st.integers(0, SEED_SPACE - 1), st.integers(1, 8))
def test_the_host_sees_one_int(seed: int, batch: int) -> None:
    seeds = image_seeds(seed, batch)
    assert isinstance(seeds, ImageSeeds)
    assert seeds == seed
    assert all(0 <= one < SEED_SPACE for one in seeds.per_image)
    start_noise(torch.zeros(batch, 1), seeds.per_image)
