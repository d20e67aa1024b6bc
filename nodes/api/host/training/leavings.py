"""What trainings leave on the disk, and how it goes with their tunes."""

from __future__ import annotations

import re
from pathlib import Path

import folder_paths

from ....host.state import state_folder
from ....training.progress import FOLDER, forget_training
from ....tunes.tune import Tune
from .. import state
from .waiting import trained_name

_TUNE_FOLDER = re.compile(r"[1-9][0-9]{0,15}")
FOLDERS = {"lora": "loras", "checkpoint": "checkpoints"}


def trained_file(tune: Tune) -> Path | None:
    """Return the file that a tune was trained to, None for a file of another origin."""
    if tune.file != trained_name(tune.id) or tune.model_type not in FOLDERS:
        return None
    root = Path(folder_paths.get_folder_paths(FOLDERS[tune.model_type])[0])
    return root / trained_name(tune.id)


def forget_trained(tune: Tune) -> None:
    """Remove the file that a tune was trained to, and all that its training left.

    Before the tune itself: a file of a tune that is gone nobody would look for.
    """
    file = trained_file(tune)
    if file is not None:
        file.unlink(missing_ok=True)
    forget_training(state_folder(), tune.id)


def sweep_trainings() -> None:
    """Remove what trainings left whose tunes are gone: of a crash, or of a run that ended late."""
    folder = state_folder() / FOLDER
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if _TUNE_FOLDER.fullmatch(path.name) and state.tunes().get(int(path.name)) is None:
            forget_training(state_folder(), int(path.name))
