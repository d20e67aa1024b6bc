"""What a training tells of itself, and the agreement that it needs."""

from __future__ import annotations

from pathlib import Path

import pytest
from comfyui_astria.nodes.training.errors import TrainingError
from comfyui_astria.nodes.training.progress import (
    FAILED,
    TRAINING,
    TrainingProgress,
    change_progress,
    has_agreed,
    read_progress,
    record_agreement,
    require_agreement,
    write_progress,
)
from comfyui_astria.nodes.tunes.state import forget_training, training_folder


def test_progress_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert read_progress(tmp_path, 7) is None
    told = TrainingProgress(
        7, TRAINING, step=20, steps=300, losses=((10, 0.5), (20, 0.25)), samples=("a.jpg",)
    )
    write_progress(tmp_path, told)
    assert read_progress(tmp_path, 7) == told
    change_progress(tmp_path, 7, state=FAILED, user_error="too large", code="training-memory")
    changed = read_progress(tmp_path, 7)
    assert (changed.state, changed.step, changed.code) == (FAILED, 20, "training-memory")
    assert [path.name for path in training_folder(tmp_path, 7).iterdir()] == ["progress.json"]
    forget_training(tmp_path, 7)
    assert read_progress(tmp_path, 7) is None
    assert not training_folder(tmp_path, 7).exists()


def test_progress_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    write_progress(tmp_path, TrainingProgress(7, TRAINING))
    (training_folder(tmp_path, 7) / "progress.json").write_text("{")
    with pytest.raises(TrainingError, match="tune 7"):
        read_progress(tmp_path, 7)


def test_agreement_is_asked_once(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no minors") as refused:
        require_agreement(tmp_path, False, "node", "2026-01-01")
    assert refused.value.code == "training-agreement"
    require_agreement(tmp_path, True, "node", "2026-01-01")
    assert has_agreed(tmp_path)
    require_agreement(tmp_path, False, "node", "2026-01-02")


def test_what_was_confirmed_by_means_that_were_taken_back_does_not_count(tmp_path: Path) -> None:
    require_agreement(tmp_path, True, "settings", "now")
    assert has_agreed(tmp_path)
    assert not has_agreed(tmp_path, besides="settings")
    record_agreement(tmp_path, {"at": "now", "by": "the owner"})
    assert has_agreed(tmp_path, besides="settings")
