"""Trainings as the sidebar shows them, stops them and has them go on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...api.host import state
from ...api.host.training.asking import AGREED_BY
from ...api.host.training.telling import progress_of
from ...host.shown_paths import without_folders
from ...host.state import state_folder
from ...training.asked import Training
from ...training.presets import PRESETS
from ...training.progress import (
    PREPARING,
    SAMPLES,
    TRAINING,
    TrainingProgress,
    has_agreed,
    record_agreement,
)
from ...tunes.bindings import KNOWN_BASES
from ...tunes.state import bindings_in, training_folder
from ...tunes.tune import Tune, TuneError, iso, now

AGREEMENT = (
    "The person on the photos, or whoever may speak for them, agreed to being trained, and is no"
    " minor."
)
_STATES = {"queued": "waiting", "running": PREPARING, "failed": "failed"}


def offer() -> dict[str, Any]:
    """Return what a new training can be of: bases with their presets, the default one first, and
    the sentence to confirm, empty where that was done.
    """
    bindings = bindings_in(state_folder())
    usable = {id: base for id, base in bindings.bases.items() if base.family in _branches()}
    first = [id for id in usable if id == bindings.default_base]
    return {
        "bases": [
            {
                "id": id,
                "title": KNOWN_BASES[id].title if id in KNOWN_BASES else "",
                "presets": [
                    one.name for one in PRESETS.values() if one.branch == usable[id].family
                ],
            }
            for id in dict.fromkeys((*first, *usable))
            if id.isdecimal()
        ],
        "agreement": "" if has_agreed(state_folder(), AGREED_BY) else AGREEMENT,
    }


def _branches() -> set[str]:
    return {one.branch for one in PRESETS.values()}


def agree() -> None:
    """Keep that the owner confirmed it in the sidebar."""
    if not has_agreed(state_folder(), AGREED_BY):
        record_agreement(state_folder(), {"at": iso(now()), "by": "the sidebar"})


def training_row(tune: Tune) -> dict[str, Any] | None:
    """Return what the sidebar shows of a tune's training, None for one that was never asked for."""
    training = None if tune.is_mock else state.trainings().get(tune.id)
    progress = progress_of(tune)
    if training is None and progress is None:
        return None
    shown = progress or TrainingProgress(tune.id, PREPARING)
    told = shown.state if training is None else _STATES.get(training.status, shown.state)
    if told == PREPARING and shown.state in (TRAINING, "saving"):
        told = shown.state
    return {
        "state": told,
        "step": shown.step,
        "steps": shown.steps,
        "eta_s": shown.eta_s if told == TRAINING else None,
        "likeness": shown.likeness[-1][1] if shown.likeness else None,
        "sample": _sample_address(tune, shown),
        "notes": [without_folders(one) for one in shown.notes],
        "error": _error(tune, training),
        "can_stop": training is not None and training.is_open,
        "can_go_on": training is not None and training.status == "failed",
    }


def _error(tune: Tune, training: Training | None) -> str:
    if training is None or training.status != "failed" or tune.user_error:
        return tune.user_error or ""
    now_there = state.tunes().get(tune.id)  # it ended since the tune was looked up
    return (now_there.user_error if now_there else None) or ""


def _sample_address(tune: Tune, progress: TrainingProgress) -> str:
    """Return the route of the newest sample, another for each, empty without one."""
    if not progress.samples:
        return ""
    return f"/astria/editor/tunes/{tune.id}/sample?name={progress.samples[-1]}"


def newest_sample(tune_id: int) -> bytes:
    """Return the newest picture that a training drew, a JPEG. Raises: TuneError without one."""
    tune = state.tunes().get(tune_id)
    progress = None if tune is None else progress_of(tune)
    for name in reversed(progress.samples if progress else ()):
        path = training_folder(state_folder(), tune_id) / SAMPLES / Path(name).name
        if path.is_file():
            return path.read_bytes()
    raise TuneError(f"Tune {tune_id} has no sample.", code="tune-sample")
