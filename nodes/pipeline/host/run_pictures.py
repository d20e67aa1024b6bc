"""Pictures that prompts give by address or as base64: stored as files, once a queued run."""

from __future__ import annotations

from pathlib import Path

import folder_paths
from comfy_execution.utils import get_executing_context

from ...host.state import state_folder
from ...net.fetching import Fetching
from ...net.pictures import PictureStore
from ...net.settings import SETTINGS_FILE
from ...prompt import ImageRef

# Of the run now executed: its id and a picture -> its file.
_had: dict[tuple[str, ImageRef], str] = {}


class RunPictures(PictureStore):
    """A store that has each picture once in a run.

    Astria Generate asks before its models load, and again when it plans.
    """

    def file_of(self, picture: ImageRef, fetching: Fetching) -> str:
        context = get_executing_context()
        key = (context.prompt_id if context else "", picture)
        if key not in _had:
            for old in [one for one in _had if one[0] != key[0]]:
                del _had[old]
            _had[key] = super().file_of(picture, fetching)
        return _had[key]


def run_pictures() -> RunPictures:
    """Return the store of this ComfyUI."""
    return RunPictures(Path(folder_paths.get_input_directory()), state_folder() / SETTINGS_FILE)
