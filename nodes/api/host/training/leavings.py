"""What trainings left on the disk whose tunes are gone."""

from __future__ import annotations

import re

from ....host.state import state_folder
from ....tunes.state import TRAINING_FOLDER, forget_training
from .. import state

_TUNE_FOLDER = re.compile(r"[1-9][0-9]{0,15}")


def sweep_trainings() -> None:
    """Remove what trainings left whose tunes are gone: of a crash, or of a run that ended late."""
    folder = state_folder() / TRAINING_FOLDER
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if _TUNE_FOLDER.fullmatch(path.name) and state.tunes().get(int(path.name)) is None:
            forget_training(state_folder(), int(path.name))
