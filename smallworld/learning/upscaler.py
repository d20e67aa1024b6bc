"""Trains an upscaler of four times the size, of Real-ESRGAN's compact architecture: `python dev.py
learn upscaler`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from .. import model_files
from ..drawing import FINE, drawn_fine, smaller
from ..scene import random_scene
from .face_pictures import poorer
from .loop import Learner, asked
from .quick import half

WIDTH, LAYERS = 32, 6
BATCH = 12
PART_PX = 40  # side of what is seen of a picture


def first_model() -> torch.nn.Module:
    """Return spandrel's own network with its first weights."""
    from spandrel.architectures.Compact import Compact

    torch.manual_seed(4)
    return Compact(num_feat=WIDTH, num_conv=LAYERS, upscale=FINE)


def parts(rng: np.random.Generator) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield parts of pictures, uint8 [h,w,3], as poor as painted ones may be, and the same parts of
    the fine pictures; half of them around a head; without end.
    """
    while True:
        scene = random_scene(int(rng.integers(1 << 40)))
        fine = drawn_fine(scene)
        small = poorer(np.asarray(smaller(fine)), rng, light=False)
        middle = rng.uniform(0, (scene.width, scene.height))
        if scene.figures and rng.random() < 0.5:
            figure = scene.figures[rng.integers(len(scene.figures))]
            middle = np.array([figure.x, figure.y])
        most = np.array([scene.width, scene.height]) - PART_PX
        x, y = (middle - PART_PX / 2).clip(0, most).astype(int).tolist()
        box = (x, y, x + PART_PX, y + PART_PX)
        large = fine.crop(tuple(one * FINE for one in box))
        yield small[y : y + PART_PX, x : x + PART_PX], np.asarray(large)


def loss_of(model: torch.nn.Module) -> Callable[[int], Tensor]:
    """Return what a step costs: the difference from the fine picture."""

    def loss(step: int) -> Tensor:
        some = parts(np.random.default_rng(step))
        small, large = zip(*(next(some) for _ in range(BATCH)), strict=True)
        with half():
            found = model(pixels(small))
        return functional.l1_loss(found.float(), pixels(large))

    return loss


def pixels(pictures: Sequence[np.ndarray | Image.Image]) -> Tensor:
    """Return pictures as [n,3,h,w] 0..1."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255


def save_upscaler(work: Path) -> list[Path]:
    """Write what was learned, half precision, and return the file."""
    state = work / "upscaler.state.pt"
    if not state.exists():
        return []
    path = model_files.upscaler()
    path.parent.mkdir(parents=True, exist_ok=True)
    weights = torch.load(state, weights_only=False)["average"]
    halves = {name: value.half().contiguous() for name, value in weights.items()}
    save_file(halves, path, {"description": model_files.ABOUT})
    return [path]


def main(argv: Sequence[str]) -> None:
    """Train, or go on."""
    given = asked(argv, "upscaler", 400)
    model = first_model()
    plain = ("body.0.", f"body.{2 * LAYERS + 2}.")
    learner = Learner("upscaler", model, given.work, given.steps, plain, kept=0.99)
    learner.run(loss_of(model), given.minutes)
