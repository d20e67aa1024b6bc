"""What the training of a tune leaves on the disk, and how it goes with the tune."""

from __future__ import annotations

from pathlib import Path

import folder_paths

from ...host.state import state_folder
from ..state import forget_training, trained_name
from ..tune import Tune

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
