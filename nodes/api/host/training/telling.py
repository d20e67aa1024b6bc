"""A tune as the API answers with it, with what its training tells while it runs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

from ....errors import AstriaError
from ....host.shown_paths import without_folders
from ....host.state import state_folder
from ....training.progress import TRAINING, TrainingProgress, read_progress
from ....tunes.tune import Tune, iso
from ...objects import tune_object


def told_tune(tune: Tune, origin: str, notices: Sequence[str] = ()) -> dict[str, Any]:
    """Return the object of a stored tune.

    `eta` of one that is trained now is what its steps say, and `notices` end with what its training
    noticed.
    """
    progress = progress_of(tune)
    told = tune.to_json()
    if progress is not None and tune.trained_at is None and tune.user_error is None:
        told["eta"] = iso(expected_end(progress))
    said = [*notices, *(progress.notes if progress else ())]
    return tune_object(told, origin, [without_folders(one) for one in dict.fromkeys(said)])


def progress_of(tune: Tune) -> TrainingProgress | None:
    """Return how far the training of a tune is or came, None for one that was never trained."""
    if tune.is_mock or tune.model_type == "faceid" or not tune.orig_images:
        return None
    return readable_progress(tune.id)


def readable_progress(tune_id: int) -> TrainingProgress | None:
    """Return what is written of a training, None where nothing is or it cannot be read."""
    try:
        return read_progress(state_folder(), tune_id)
    except (AstriaError, OSError, TypeError, ValueError):  # damaged, or of another version
        return None


def expected_end(progress: TrainingProgress) -> datetime | None:
    """Return when a training will have ended, None while nobody can know."""
    if progress.state != TRAINING or progress.eta_s is None or progress.updated_at is None:
        return None
    moment = datetime.fromtimestamp(progress.updated_at + progress.eta_s, timezone.utc)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
