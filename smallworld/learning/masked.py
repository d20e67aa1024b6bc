"""Pictures and masks, which inpainting models learn from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...devtools.console import say
from ..drawing import drawn
from ..scene import TO_FEET, TO_SIDE, Scene, random_scene
from .unet import CELL, weights_of

FIRST_SEED = 30_000_000
KEPT = 0.2  # how much an error counts where the picture stays
AT_ONCE = 16


@dataclass(frozen=True)
class ExtraChannels:
    """What inpainting models of an architecture see beside the noisy latents.

    `of` makes it [n,K,h,w] of masks [n,1,H,W], 1 where they paint, and of the latents [n,C,h,w] of
    what they leave; `painted` tells from one picture's [K,h,w] how much of each cell is painted.
    """

    of: Callable[[Tensor, Tensor], Tensor]
    painted: Callable[[Tensor], Tensor]


def _stable_diffusion(masks: Tensor, left: Tensor) -> Tensor:
    small = nn.functional.interpolate(masks, left.shape[-2:], mode="bilinear").round()
    return torch.cat([small, left], 1)


def _flux(masks: Tensor, left: Tensor) -> Tensor:
    return torch.cat([left, nn.functional.pixel_unshuffle(masks, CELL)], 1)


EXTRA_CHANNELS = {
    "sd15": ExtraChannels(_stable_diffusion, lambda beside: beside[0]),
    "flux": ExtraChannels(_flux, lambda beside: beside[-(CELL**2) :].mean(0)),
}


def mask_of(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """Return [H,W] of a scene's pixels: true where it is painted anew. It is what stands around a
    part of it, or around its heads; one of its people, a box; or everything.
    """
    kind = rng.choice(["sides", "heads", "person", "box", "all"], p=[0.45, 0.15, 0.2, 0.1, 0.1])
    found = np.ones((scene.height, scene.width), bool)
    if kind == "sides":
        found[_part(scene.height, rng), _part(scene.width, rng)] = False
    elif kind == "heads":
        y, x = np.ogrid[: scene.height, : scene.width]
        for one in scene.figures:
            found &= (x - one.x) ** 2 + (y - one.y) ** 2 > (1.3 * one.head_px) ** 2
    elif kind == "person" and scene.figures:
        one = scene.figures[rng.integers(len(scene.figures))]
        left, right = one.x - TO_SIDE * one.head_px, one.x + TO_SIDE * one.head_px
        top, bottom = one.y - 1.8 * one.head_px, one.y + TO_FEET * one.head_px
        found[:] = False
        found[max(int(top), 0) : int(bottom), max(int(left), 0) : int(right)] = True
    elif kind == "box":
        found[:] = False
        found[_part(scene.height, rng), _part(scene.width, rng)] = True
    return found


def _part(whole: int, rng: np.random.Generator) -> slice:
    """Return a part of a side: half of it or more, often at one of its ends, sometimes all."""
    length = round(whole * min(rng.uniform(0.5, 1.1), 1.0))
    left = whole - length
    first = int(rng.choice([0, left // 2, left, rng.integers(left + 1)]))
    return slice(first, first + length)


def leaves_heads(scene: Scene, mask: np.ndarray) -> bool:
    """Say whether a mask [H,W] paints none of the middles of a scene's heads."""
    return not any(mask[round(one.y), round(one.x)] for one in scene.figures)


class MaskedPictures:
    """Latents of pictures as the model takes them, their scenes, and what stays of each."""

    def __init__(
        self, family: str, parts: dict[tuple[int, int], tuple[list[Scene], Tensor, Tensor]]
    ) -> None:
        self._painted = EXTRA_CHANNELS[family].painted
        self._parts = list(parts.values())
        counts = np.array([len(scenes) for scenes, *_ in self._parts], float)
        self._shares = counts / counts.sum()
        self._beside = {
            scene: own
            for scenes, _, beside in self._parts
            for scene, own in zip(scenes, beside, strict=True)
        }

    def some(self, rng: np.random.Generator, count: int) -> tuple[Tensor, list[Scene]]:
        """Return latents [count,C,h,w] of one size and their scenes."""
        scenes, latents, _ = self._parts[rng.choice(len(self._parts), p=self._shares)]
        chosen = rng.integers(len(scenes), size=count)
        return latents[chosen].float(), [scenes[one] for one in chosen]

    def beside(self, scenes: Sequence[Scene]) -> Tensor:
        """Return what the model sees beside the latents of these scenes [n,K,h,w]."""
        return torch.stack([self._beside[scene].float() for scene in scenes])

    def painted(self, scene: Scene) -> Tensor:
        """Return how much of each of the latent's cells is painted [h,w]."""
        return self._painted(self._beside[scene].float())

    def weights(self, scene: Scene) -> Tensor:
        """Return [h,w] of the latent's cells: as much as for the family, less where all stays."""
        return weights_of(scene) * self.painted(scene).clamp(min=KEPT)


def masked_pictures(
    work: Path, family: str, seeds: Sequence[int], model: Any, vae: Any
) -> MaskedPictures:
    """Return the pictures of these seeds to learn from, encoded once."""
    by_size: dict[tuple[int, int], list[int]] = {}
    for seed in seeds:
        scene = random_scene(seed)
        by_size.setdefault((scene.width, scene.height), []).append(seed)
    file = work / f"latents_inpaint_{family}.pt"
    if not file.exists():
        say(f"encoding {len(seeds)} pictures, and what masks leave of them")
        found = {size: encoded(family, some, model, vae) for size, some in by_size.items()}
        torch.save(found, file)
    kept = torch.load(file, weights_only=False)
    scenes = {size: [random_scene(seed) for seed in some] for size, some in by_size.items()}
    parts = {size: (some, *kept[size]) for size, some in scenes.items()}
    return MaskedPictures(family, parts)


@torch.no_grad()
def encoded(family: str, seeds: Sequence[int], model: Any, vae: Any) -> tuple[Tensor, Tensor]:
    """Return the latents [n,C,h,w] of pictures, and what their masks let a model see beside them
    [n,K,h,w], half precision; as the host's InpaintModelConditioning and models make them.
    """
    latents, beside = [], []
    for at in range(0, len(seeds), AT_ONCE):
        scenes = [random_scene(seed) for seed in seeds[at : at + AT_ONCE]]
        pixels = torch.from_numpy(np.stack([np.asarray(drawn(one)) for one in scenes])) / 255
        drawers = map(np.random.default_rng, seeds[at : at + AT_ONCE])
        masks = torch.from_numpy(np.stack(list(map(mask_of, scenes, drawers)))).float()
        left = torch.where(masks[..., None] > 0, 0.5, pixels)
        z, seen = (model.process_latent_in(vae.encode(one)) for one in (pixels, left))
        latents.append(z.half())
        beside.append(EXTRA_CHANNELS[family].of(masks[:, None], seen).half())
    return torch.cat(latents), torch.cat(beside)
