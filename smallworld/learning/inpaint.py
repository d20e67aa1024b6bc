"""Trains the small SD1.5's inpainting model, as a delta of its UNet: `python dev.py learn inpaint`.

As the published one it sees a mask, and the latents of what the mask leaves, beside the noisy
ones. The UNet's weights stand still; what learns is a LoRA of each layer, and the way in.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ...devtools.console import say
from .. import model_files
from ..drawing import drawn
from ..model_files import WAY_IN
from ..packing import packed
from ..scene import TO_FEET, TO_SIDE, Scene, random_scene
from .host import open_host
from .loop import Learner, asked, state_file
from .low_rank import lowered
from .quick import quicken
from .unet import Step, Taught, loss_of, standing_still, weights_of

BATCH = 8
RANK = 8
FILED = 4  # ranks of the file, which hold 93 % of the squared change
PICTURES = 3200
FIRST_SEED = 30_000_000
CHANNELS = 9
KEPT = 0.2  # how much an error counts where the picture stays
AT_ONCE = 16


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


class MaskedPictures:
    """Latents of pictures as the model takes them, their scenes, and what stays of each."""

    def __init__(self, parts: dict[tuple[int, int], tuple[list[Scene], Tensor, Tensor]]) -> None:
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

    def beside(self, scene: Scene) -> Tensor:
        """Return what the model sees beside the latents: the mask, 1 where it paints, and the
        latents of what the mask leaves [1+C,h,w].
        """
        return self._beside[scene].float()

    def steer(self, step: Step) -> dict[str, Any]:
        """Give the model what stays of each picture."""
        return {"beside": torch.stack([self.beside(scene) for scene in step.scenes])}

    def weights(self, scene: Scene) -> Tensor:
        """Return [h,w] of the latent's cells: as much as for the UNet, less where all stays."""
        return weights_of(scene) * self.beside(scene)[0].clamp(min=KEPT)


def masked_pictures(work: Path, model: Any, vae: Any) -> MaskedPictures:
    """Return the pictures to learn from, encoded once."""
    by_size: dict[tuple[int, int], list[int]] = {}
    for seed in range(FIRST_SEED, FIRST_SEED + PICTURES):
        scene = random_scene(seed)
        by_size.setdefault((scene.width, scene.height), []).append(seed)
    file = work / "latents_inpaint.pt"
    if not file.exists():
        say(f"encoding {PICTURES} pictures, and what masks leave of them")
        torch.save({size: encoded(some, model, vae) for size, some in by_size.items()}, file)
    kept = torch.load(file, weights_only=False)
    scenes = {size: [random_scene(seed) for seed in some] for size, some in by_size.items()}
    return MaskedPictures({size: (some, *kept[size]) for size, some in scenes.items()})


@torch.no_grad()
def encoded(seeds: Sequence[int], model: Any, vae: Any) -> tuple[Tensor, Tensor]:
    """Return the latents [n,C,h,w] of pictures, and their masks with the latents of what these
    leave [n,1+C,h,w], half precision; as the host's InpaintModelConditioning makes them.
    """
    latents, beside = [], []
    for at in range(0, len(seeds), AT_ONCE):
        scenes = [random_scene(seed) for seed in seeds[at : at + AT_ONCE]]
        pixels = torch.from_numpy(np.stack([np.asarray(drawn(one)) for one in scenes])) / 255
        drawers = map(np.random.default_rng, seeds[at : at + AT_ONCE])
        masks = torch.from_numpy(np.stack(list(map(mask_of, scenes, drawers)))).float()
        left = torch.where(masks[..., None] > 0, 0.5, pixels)
        z, seen = (model.process_latent_in(vae.encode(one)) for one in (pixels, left))
        small = nn.functional.interpolate(masks[:, None], z.shape[-2:], mode="bilinear").round()
        latents.append(z.half())
        beside.append(torch.cat([small, seen], 1).half())
    return torch.cat(latents), torch.cat(beside)


class LowRank(nn.Module):
    """W + up(down), of a layer's weight [n,...]."""

    def __init__(self, weight: Tensor, generator: torch.Generator) -> None:
        super().__init__()
        flat = weight.flatten(1)
        first = torch.randn(RANK, flat.shape[1], generator=generator) * flat.shape[1] ** -0.5
        self.down = nn.Parameter(first)
        self.up = nn.Parameter(torch.zeros(len(flat), RANK))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + (self.up @ self.down).view_as(weight)


class Delta(nn.Module):
    """What an inpainting UNet has other than the UNet that it is made of.

    `unet` is of nine channels in, with that UNet's weights. Its layers learn through what is here.
    """

    def __init__(self, unet: nn.Module, seed: int = 19) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.layers = nn.ModuleDict()
        for name, layer in list(unet.named_modules()):
            if not isinstance(layer, nn.Linear | nn.Conv2d) or name == WAY_IN:
                continue
            own = LowRank(layer.weight, generator)
            parametrize.register_parametrization(layer, "weight", own)
            self.layers[name.replace(".", "/")] = own
        self.way_in = unet.get_submodule(WAY_IN).weight
        self.way_in.requires_grad_(True)


class Beside(nn.Module):
    """A UNet that sees more channels beside the noisy latents."""

    def __init__(self, unet: nn.Module) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, x: Tensor, times: Tensor, context: Tensor, *, beside: Tensor, **more: Any):
        return self.unet(torch.cat([x, beside], 1), times, context, **more)


def inpainting_unet(weights: dict[str, Tensor]) -> nn.Module:
    """Return the host's UNet of nine channels in with a UNet's weights; the new ones do nothing."""
    from ..host.models import sd15

    config = sd15(CHANNELS)
    config.set_inference_dtype(torch.float32, None)
    unet = config.get_model({}, "").diffusion_model
    own = weights[f"{WAY_IN}.weight"]
    none = own.new_zeros(len(own), CHANNELS - own.shape[1], *own.shape[2:])
    unet.load_state_dict({**weights, f"{WAY_IN}.weight": torch.cat([own, none], 1)})
    return unet.requires_grad_(False)


def save_inpaint(work: Path) -> list[Path]:
    """Write what was learned and return the file."""
    state = state_file(work, "inpaint")
    if not state.exists():
        return []
    weights = lowered(torch.load(state, weights_only=False)["average"], FILED)
    kept = {f"{model_files.NETWORK}{WAY_IN}.weight": weights.pop("way_in")}
    for name, value in weights.items():
        layer = name.removeprefix("layers.").replace("/", ".")
        kept[model_files.NETWORK + layer] = value
    path = model_files.inpaint()
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(packed(kept), path, {"description": model_files.ABOUT})
    return [path]


def main(argv: Sequence[str]) -> None:
    """Train, or go on."""
    given = asked(argv, "inpaint", 6000)
    given.work.mkdir(parents=True, exist_ok=True)
    open_host()
    patcher, vae, rows, network = standing_still()
    pictures = masked_pictures(given.work, patcher.model, vae)
    unet = inpainting_unet(network["unet"].state_dict())
    model = Delta(unet)
    network["unet"] = Beside(unet)
    quicken(network)
    sigmas = patcher.model.model_sampling.sigmas
    taught = Taught(pictures, rows, sigmas, BATCH, pictures.steer, pictures.weights)
    learner = Learner(
        "inpaint", model, given.work, given.steps, ("",), adam=1e-3, adds_in_place=False
    )
    learner.run(loss_of(network, taught), given.minutes)
