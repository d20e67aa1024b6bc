"""Tells how a training goes: to the host's progress bar, and to the state that programs read."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path

import comfy.utils
import numpy as np
from PIL import Image
from torch import Tensor

from ...tunes.state import forget_training, training_folder
from ...tunes.store import TuneStore
from ..errors import TrainingError
from ..progress import (
    SAMPLES,
    TRAINING,
    TrainingProgress,
    write_progress,
)
from .state import Judged, smoothed

TOLD_EVERY = 10  # steps
MEAN_OF = 100  # last losses
PREVIEW_PX = 512
JPEG_QUALITY = 88


class Teller:
    """Tells of one training; with tune id 0 to the host alone."""

    def __init__(self, state_folder: Path, tune_id: int, steps: int) -> None:
        self._folder = state_folder
        self._tune_id = tune_id
        self._steps = steps
        self._bar = comfy.utils.ProgressBar(steps)
        self._progress = TrainingProgress(tune_id, TRAINING, steps=steps, started_at=time.time())
        self._first = 0
        self._first_at = time.monotonic()
        self._preview: tuple[str, Image.Image, int] | None = None

    @property
    def progress(self) -> TrainingProgress:
        """What was told last."""
        return self._progress

    def note(self, text: str) -> None:
        """Tell once what the owner should know."""
        logging.info("Astria: %s", text)
        self._change(notes=(*self._progress.notes, text))

    def begin(self, step: int) -> None:
        """Tell where the training begins, or goes on."""
        self._first, self._first_at = step, time.monotonic()
        if step:
            logging.info("Astria: the training of tune %d goes on at step %d", self._tune_id, step)
        self._change(step=step)

    def step(self, step: int, losses: Sequence[float]) -> None:
        """Tell of a step that is done."""
        self._bar.update_absolute(step, self._steps, self._preview)
        if step % TOLD_EVERY and step != self._steps:
            return
        done = step - self._first
        each = (time.monotonic() - self._first_at) / done if done else None
        last = losses[-MEAN_OF:]
        self._change(
            step=step,
            loss=sum(last) / len(last) if last else None,
            losses=smoothed(losses),
            seconds_per_step=each,
            eta_s=each * (self._steps - step) if each and done >= TOLD_EVERY else None,
        )

    def samples(self, step: int, pictures: Sequence[Tensor]) -> list[str]:
        """Show and keep pictures [H,W,3] 0..1 that were drawn at a step; return their names."""
        names = []
        for number, picture in enumerate(pictures, 1):
            pixels = (picture.clamp(0, 1) * 255).round().to("cpu").numpy().astype(np.uint8)
            image = Image.fromarray(pixels)
            if number == 1:
                self._preview = ("JPEG", image, PREVIEW_PX)
            names.append(f"step-{step:05d}-{number}.jpg")
            if self._tune_id:
                folder = training_folder(self._folder, self._tune_id) / SAMPLES
                folder.mkdir(parents=True, exist_ok=True)
                image.save(folder / names[-1], quality=JPEG_QUALITY)
        self._bar.update_absolute(step, self._steps, self._preview)
        return names

    def judged(self, judged: Judged) -> None:
        """Tell what the judge found."""
        self._change(
            likeness=tuple(judged.likeness),
            best_step=judged.best_step,
            samples=tuple(judged.samples),
        )

    def is_wanted(self) -> bool:
        """Say whether the tune is still there; forget its training where it was deleted."""
        is_there = TuneStore(self._folder).get(self._tune_id) is not None
        if not is_there:
            forget_training(self._folder, self._tune_id)
        return is_there

    def _change(self, **changes: object) -> None:
        values = {**vars(self._progress), **changes, "updated_at": time.time()}
        self._progress = TrainingProgress(**values)
        if not self._tune_id:
            return
        if not self.is_wanted():
            raise TrainingError(
                f"Tune {self._tune_id} was deleted: its training is stopped.",
                code="training-deleted",
            )
        write_progress(self._folder, self._progress)
