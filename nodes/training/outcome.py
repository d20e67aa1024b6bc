"""What a training takes beside tensors, and how it went."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..families.family import FAMILIES
from .presets import Preset

LIKENESS_LOSS = 0.05  # of cosine: below this, two judgements of one LoRA may differ


@dataclass(frozen=True)
class TrainingNumbers:
    """The numbers of a training, none left open."""

    preset: Preset
    steps: int
    learning_rate: float
    rank: int
    seed: int
    accumulation: int = 1
    min_snr_gamma: float = 0.0
    prior_weight: float = 1.0
    caption_dropout: float = 0.0
    checkpointing: str = "auto"
    tune_id: int = 0


@dataclass(frozen=True)
class TrainingOutcome:
    """How a training went.

    `names`: the model's paths -> names of their layers in a file that other programs read.
    `likeness` holds (step, cosine against the photos less that of the base).
    """

    numbers: TrainingNumbers
    family: str
    token: str
    name: str
    names: Mapping[str, str]
    losses: tuple[tuple[int, float], ...]
    likeness: tuple[tuple[int, float], ...] = ()
    best_step: int | None = None
    seconds: float = 0.0
    notes: tuple[str, ...] = ()

    def report(self) -> str:
        """Return in words what was done, and what its owner should know."""
        numbers = self.numbers
        lines = [
            f"{FAMILIES[self.family].title}, preset {numbers.preset.name}: {numbers.steps} steps,"
            f" learning rate {numbers.learning_rate:g}, rank {numbers.rank}, seed {numbers.seed}.",
            f"Took {self.seconds:.0f} s, {self.seconds / max(1, numbers.steps):.2f} s a step.",
        ]
        if self.losses:
            lines.append(
                f"Loss: {self.losses[0][1]:.4f} at first, {self.losses[-1][1]:.4f} at last."
            )
        if self.likeness:
            scores = ", ".join(f"{value:+.2f} at step {step}" for step, value in self.likeness)
            lines.append(f"Likeness above the base's: {scores}. Kept: step {self.best_step}.")
        return "\n".join([*lines, *self.notes])


def likeness_note(likeness: tuple[tuple[int, float], ...]) -> str:
    """Say that the likeness fell towards the end, or never rose; empty text where it did rise."""
    if not likeness:
        return ""
    best_step, best = max(likeness, key=lambda one: one[1])
    last_step, last = likeness[-1]
    if best <= 0:
        return (
            f"The likeness never rose above the base's (best {best:+.2f}): use sharper photos with"
            " larger faces, or more steps."
        )
    if best - last > LIKENESS_LOSS:
        return (
            f"The likeness fell from {best:+.2f} at step {best_step} to {last:+.2f} at step"
            f" {last_step}: the LoRA of step {best_step} is kept. Fewer steps would do."
        )
    return ""
