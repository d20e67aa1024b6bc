"""What a training tells of itself, in the pack's private folder: how far it is, how it ended.

training/agreed.json        that the owner confirmed once that people agree
training/ID/progress.json   TrainingProgress of tune ID
training/ID/resume.safetensors, best.safetensors   see state.py
training/ID/samples/*.jpg   what was drawn while it learned
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from ..net.writing import atomic_write
from ..tunes.state import TRAINING_FOLDER, training_folder
from .errors import TrainingError

PROGRESS_FILE = "progress.json"
SAMPLES = "samples"
AGREED_FILE = "agreed.json"

PREPARING, TRAINING, SAVING, DONE = "preparing", "training", "saving", "done"
INTERRUPTED, FAILED = "interrupted", "failed"
STATES = (PREPARING, TRAINING, SAVING, DONE, INTERRUPTED, FAILED)


@dataclass(frozen=True)
class TrainingProgress:
    """How far the training of a tune is.

    Times are seconds since 1970. `loss` is the mean of the last hundred steps. `losses` and
    `likeness` are points (step, value) of the curves; likeness is the mean cosine of face
    embeddings against the photos, less that of the base. `user_error` says plainly what went wrong,
    `code` names it for programs: `training-memory` may do at smaller sizes.
    """

    tune_id: int
    state: str
    step: int = 0
    steps: int = 0
    loss: float | None = None
    eta_s: float | None = None  # None for the first ten steps
    seconds_per_step: float | None = None
    started_at: float | None = None
    updated_at: float | None = None
    losses: tuple[tuple[int, float], ...] = ()
    likeness: tuple[tuple[int, float], ...] = ()
    best_step: int | None = None
    samples: tuple[str, ...] = ()  # names in training/ID/samples, oldest first
    notes: tuple[str, ...] = ()
    file: str | None = None  # below its model folder, once it is done
    user_error: str | None = None
    code: str | None = None

    def to_json(self) -> dict[str, object]:
        """Return the fields as they are written."""
        return asdict(self)


def read_progress(state_folder: Path, tune_id: int) -> TrainingProgress | None:
    """Return how far the training of a tune is, None where none ever began."""
    path = training_folder(state_folder, tune_id) / PROGRESS_FILE
    try:
        written = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:
        raise TrainingError(
            f"The state of the training of tune {tune_id} cannot be read: {error}.",
            code="training-state",
            hint="Delete the tune, and make it anew.",
        ) from error
    known = {item.name for item in fields(TrainingProgress)}
    values = {key: value for key, value in written.items() if key in known}
    for key in ("losses", "likeness"):
        values[key] = tuple((int(step), float(value)) for step, value in values.get(key, ()))
    for key in ("samples", "notes"):
        values[key] = tuple(values.get(key, ()))
    return TrainingProgress(**values)


def write_progress(state_folder: Path, progress: TrainingProgress) -> None:
    """Replace what is written of a tune's training, whole."""
    folder = training_folder(state_folder, progress.tune_id)
    folder.mkdir(parents=True, exist_ok=True)
    atomic_write(folder / PROGRESS_FILE, json.dumps(progress.to_json()).encode())


def change_progress(state_folder: Path, tune_id: int, **changes: object) -> TrainingProgress:
    """Change fields of what is written of a tune's training, and return it."""
    found = read_progress(state_folder, tune_id) or TrainingProgress(tune_id, PREPARING)
    changed = replace(found, **changes)
    write_progress(state_folder, changed)
    return changed


def has_agreed(state_folder: Path, besides: str = "") -> bool:
    """Say whether the owner has confirmed that the people who are trained agreed to it.

    What was confirmed by the means `besides` does not count.
    """
    try:
        written = json.loads((state_folder / TRAINING_FOLDER / AGREED_FILE).read_bytes())
    except (OSError, ValueError):
        return False
    return written.get("by") != besides


def record_agreement(state_folder: Path, at: Mapping[str, object]) -> None:
    """Keep that the owner confirmed it; `at` says when, and by what means."""
    folder = state_folder / TRAINING_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    atomic_write(folder / AGREED_FILE, json.dumps(dict(at)).encode())


def require_agreement(state_folder: Path, agreed: bool, by: str, now: str) -> None:
    """Keep a confirmation that is given, and refuse to train where none was ever given.

    Raises: TrainingError with code `training-agreement`.
    """
    if agreed:
        if not has_agreed(state_folder):
            record_agreement(state_folder, {"at": now, "by": by})
        return
    if not has_agreed(state_folder):
        raise TrainingError(
            "Nobody has confirmed yet that the person agreed to being trained.",
            code="training-agreement",
            hint=(
                "Train only people who agreed, and no minors. Confirm it once: person_agreed in"
                " Astria Train LoRA, or --person-agreed on the command line."
            ),
        )
