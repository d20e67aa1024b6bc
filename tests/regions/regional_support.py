"""Short runs of tiny models with regions, and masks and texts to run them with."""

from __future__ import annotations

import atexit
import functools
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from ...nodes.families.family import FAMILIES
from ...nodes.regions.run import RegionRun, normalised
from .comfy_inprocess import latent_sides, load, text, tiny_model

model_of = functools.cache(tiny_model)
# A MODEL of the host cleans up after itself, which it cannot once the interpreter is being torn
# down.
atexit.register(model_of.cache_clear)


def base_of(family: str) -> str:
    return FAMILIES[family].branch


def halves(height: int = 8, width: int = 12) -> Tensor:
    """Return masks [3,H,W]: no scene, person 1 on the left, person 2 on the right."""
    left = (torch.arange(width) < width // 2).float().expand(1, height, width)
    return normalised(torch.cat([left, 1 - left]))


def soft_people() -> Tensor:
    """Return masks [3,48,64] of a scene and two persons who touch each other, with edges several
    pixels wide.
    """
    people = torch.zeros(2, 48, 64)
    people[0, 8:, 6:30] = 1
    people[1, 12:, 26:54] = 1
    return normalised(torch.nn.functional.avg_pool2d(people[None], 7, 1, 3)[0])


def on_blocks(masks: Tensor, height: int, width: int) -> Tensor:
    """Return masks [R,H,W] on a model's grid by a plain loop.

    Each cell the mean of the 2x2, 4x4, 8x8 ... pixels under it that exist.
    """
    side = next(
        side
        for side in (1, 2, 4, 8, 16)
        if [-(-pixels // side) for pixels in masks.shape[1:]] == [height, width]
    )
    cells = [
        [
            masks[:, row * side : (row + 1) * side, column * side : (column + 1) * side].mean(
                (1, 2)
            )
            for column in range(width)
        ]
        for row in range(height)
    ]
    return torch.stack([torch.stack(row, 1) for row in cells], 1)


def with_regions(
    model: Any,
    masks: Tensor,
    positive: list,
    negative: list,
    run: RegionRun | None = None,
    **options: Any,
) -> Any:
    regional = load("comfyui_astria.nodes.regions.host.regional")
    return regional.apply_regions(
        model, masks, positive, negative, run or RegionRun(), regional.RegionalOptions(**options)
    )


def with_people(
    model: Any, masks: Tensor, people: list[Any], scene: tuple[list, list] | None = None
) -> Any:
    """Return the model that the node makes of `model`."""
    regional_people = load("comfyui_astria.nodes.people.host.draw")
    branch = load("comfyui_astria.nodes.host.models").family_of(model).branch
    texts = regional_people.Scene(*(scene or (text(branch, 1), text(branch, 2))))
    return regional_people.draw_people(
        model, masks, people, texts, regional_people.RegionalOptions()
    )


def person_everywhere() -> Tensor:
    """Return masks [2,H,W] of a scene without a pixel and one person everywhere."""
    return normalised(torch.ones(1, 8, 12))


def in_picture(person: list, scene: list) -> list:
    """Return a person's text with the pooled text of the picture that they stand in."""
    [[words, about]] = person
    return [[words, {**about, "pooled_output": scene[0][1]["pooled_output"]}]]


def noise_of(family: str, batch: int = 1) -> Tensor:
    return torch.randn(
        batch, *latent_sides(base_of(family)), 8, 12, generator=torch.Generator().manual_seed(4)
    )


def sampled(
    model: Any,
    family: str,
    positive: list,
    negative: list,
    *,
    sampler: str = "euler",
    steps: int = 3,
    **named: Any,
) -> Tensor:
    """Return the latent after some steps at guidance 4, by the host's own sampling."""
    noise = noise_of(family)
    return load("comfy.sample").sample(
        model,
        noise,
        steps,
        4.0,
        sampler,
        "simple",
        positive,
        negative,
        torch.zeros_like(noise),
        disable_pbar=True,
        seed=0,
        **named,
    )


def denoised(
    model: Any,
    family: str,
    positive: list,
    negative: list | None = None,
    *,
    size: tuple[int, int] = (8, 12),
    cfg: float = 1.0,
    noise: Tensor | None = None,
) -> Tensor:
    """Return what the model makes of noise in one step, [B,C,H,W].

    Cfg above 1 runs positive and negative rows in one batch.
    """
    if noise is None:
        noise = torch.randn(
            1, *latent_sides(base_of(family)), *size, generator=torch.Generator().manual_seed(3)
        )
    negative = negative or text(base_of(family), 2)
    latent = torch.zeros_like(noise)
    with one_thread():
        return load("comfy.sample").sample(
            model,
            noise,
            1,
            cfg,
            "euler",
            "simple",
            positive,
            negative,
            latent,
            disable_pbar=True,
            seed=0,
        )


@contextmanager
def one_thread() -> Iterator[None]:
    """Layers this small take many times as long when threads share them, more so on a busy
    machine.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def difference(one: Tensor, other: Tensor) -> float:
    """Return the greatest difference, relative to the greatest value."""
    return ((one - other).abs().max() / other.abs().max()).item()


def with_control_patch(model: Any) -> Any:
    """Return a clone with the host's ControlNet of Z-Image, which is a patch of the model."""
    network, cpu = torch.nn.Linear(1, 1), torch.device("cpu")
    network.additional_in_dim = 0
    own = load("comfy.model_patcher").CoreModelPatcher(network, cpu, cpu)
    vae = SimpleNamespace(encode=lambda image: torch.zeros(1, 16, 8, 12))
    patch = load("comfy_extras.nodes_model_patch").ZImageControlPatch(
        own, vae, torch.zeros(1, 64, 96, 3), 1.0
    )
    steered = model.clone()
    steered.set_model_double_block_patch(patch)
    return steered
