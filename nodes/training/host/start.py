"""What the nodes hand over -> a training, told of from its start to its end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from ...families.family import Family
from ...host.models import family_of, few_steps_sign
from ...host.state import state_folder
from ...net.writing import held_apart
from ...tunes.state import TRAINING_FOLDER, training_folder
from ...tunes.store import DATABASE_FILE, TuneStore
from ...tunes.tune import iso, now
from ..errors import TrainedElsewhere, TrainingError
from ..outcome import TrainingNumbers, TrainingOutcome
from ..photos import TunePhotos
from ..presets import preset_of
from ..progress import (
    PREPARING,
    TrainingProgress,
    require_agreement,
    write_progress,
)
from .ending import told_how_it_ends
from .judge import Judge
from .lessons import Material
from .run import TrainingRun
from .teller import Teller

LOCK_FILE = "training.lock"  # a byte of it for each tune that is trained


@dataclass(frozen=True, eq=False)
class Given:
    """What comes in over the training node's sockets, lists as lists."""

    model: ModelPatcher
    photos: TunePhotos
    latents: Sequence[Mapping[str, Tensor]]
    captions: Sequence[Any]
    without_caption: Any = None
    vae: Any = None
    samples: Sequence[Any] = ()


def numbers_for(given: Given, of: Family, **asked: Any) -> TrainingNumbers:
    """Return the numbers of a training; those asked for as 0 are the preset's.

    Raises: TrainingError for a preset of another family, a base that cannot be trained.
    """
    if of.inpaint or not of.takes_guidance:
        raise TrainingError(
            f"The MODEL is {of.title}; expected SD1.5, SDXL or Flux.1 dev.",
            code="training-model",
            hint="Train on the plain model: what was learned there works on this one, too.",
        )
    if sign := few_steps_sign(given.model):
        raise TrainingError(
            f"The MODEL is distilled to few steps ({sign}); a person learned on it does not hold.",
            code="training-model",
            hint="Train on the full model: what was learned there works on this one, too.",
        )
    preset = preset_of(of.branch, asked.pop("preset"))
    steps = asked.pop("steps") or preset.steps_for(given.photos.photos)
    return TrainingNumbers(
        preset=preset,
        steps=steps,
        learning_rate=asked.pop("learning_rate") or preset.learning_rate,
        rank=asked.pop("rank") or preset.rank,
        caption_dropout=0.0 if given.without_caption is None else preset.caption_dropout,
        **asked,
    )


def train(
    given: Given, numbers: TrainingNumbers, agreed: bool
) -> tuple[dict[str, Tensor], TrainingOutcome]:
    """Train, and return the LoRA by the host's names, and how it went.

    Raises: TrainingError, which the tune's progress tells as well.
    """
    folder, tune_id = state_folder(), numbers.tune_id
    require_agreement(folder, agreed, "Astria Train LoRA", iso(now()) or "")
    if not tune_id:
        return _trained(given, numbers)
    _require_tune(tune_id)
    if given.photos.tune_id not in (0, tune_id):
        raise TrainingError(
            f"The photos are those of tune {given.photos.tune_id}, and tune {tune_id} is to be"
            " trained.",
            code="training-tune",
            hint="Write the same tune into Astria Tune Photos and Astria Train LoRA.",
        )
    with _held(tune_id):
        write_progress(folder, TrainingProgress(tune_id, PREPARING, steps=numbers.steps))
        TuneStore(folder).training_started(tune_id)
        with told_how_it_ends(tune_id):
            return _trained(given, numbers)


@contextmanager
def _held(tune_id: int) -> Iterator[None]:
    """Keep other ComfyUIs from training the tune. Raises: TrainedElsewhere where one does."""
    with held_apart(state_folder() / TRAINING_FOLDER / LOCK_FILE, tune_id) as is_held:
        if not is_held:
            raise TrainedElsewhere(
                f"Another ComfyUI with this folder trains tune {tune_id} now.",
                code="training-elsewhere",
                hint="Wait until it has ended, or stop it there.",
            )
        yield


def _trained(given: Given, numbers: TrainingNumbers) -> tuple[dict[str, Tensor], TrainingOutcome]:
    of = family_of(given.model)
    latents = [one.unsqueeze(0) for latent in given.latents for one in latent["samples"]]
    # Gradients cannot go through what was made in inference mode.
    with torch.inference_mode(False):
        own = [one.clone() for one in latents]
    material = Material(given.photos, own, given.captions, given.without_caption)
    teller = Teller(state_folder(), numbers.tune_id, numbers.steps)
    run = TrainingRun(given.model, of, material, numbers, teller)
    folder = training_folder(state_folder(), numbers.tune_id) if numbers.tune_id else None
    return run.run(_judge(given, of, own), folder)


def _judge(given: Given, of: Family, latents: Sequence[Tensor]) -> Judge | None:
    if given.vae is None or not given.samples:
        return None
    largest = max(latents, key=lambda one: one.shape[-1] * one.shape[-2])
    side = round((largest.shape[-1] * largest.shape[-2]) ** 0.5 / 2) * 2
    square = torch.zeros(1, largest.shape[1], side, side)
    return Judge(of, given.vae, given.samples, given.without_caption, given.photos, square)


def _require_tune(tune_id: int) -> None:
    known = (state_folder() / DATABASE_FILE).exists()
    if not known or TuneStore(state_folder()).get(tune_id) is None:
        raise TrainingError(
            f"There is no tune {tune_id}.",
            code="training-tune",
            hint="Make the tune of the photos first, or set tune_id to 0.",
        )
