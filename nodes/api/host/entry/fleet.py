"""What the API's ComfyUI and the dispatcher of a fleet tell each other: docs/fleet.md."""

from __future__ import annotations

import json
import time
from typing import Any

import folder_paths

from ....host.state import state_folder
from ....net.fleet_files import FOLDERS_FILE, STATUS_FILE
from ....net.problems import ApiError
from ....net.settings import ApiSettings
from ....net.writing import atomic_write
from ....tunes.host.trained import FOLDERS


def tell_fleet(is_fleet: bool) -> None:
    """Note the folders of pictures, and of models that come with requests or of trainings, for a
    dispatcher; without a fleet nothing, and no dispatcher starts.
    """
    path = state_folder() / FOLDERS_FILE
    if not is_fleet:
        path.unlink(missing_ok=True)
        return
    folders = {
        "input": folder_paths.get_input_directory(),
        "output": folder_paths.get_output_directory(),
        "temp": folder_paths.get_temp_directory(),
        **{name: folder_paths.get_folder_paths(name)[0] for name in FOLDERS.values()},
    }
    atomic_write(path, json.dumps(folders).encode())


def fleet_status(settings: ApiSettings) -> dict[str, Any]:
    """Return what the dispatcher last told of itself and of its workers.

    Raises: ApiError, 404, where there is no fleet, or no dispatcher has run yet.
    """
    path = state_folder() / STATUS_FILE
    if not settings.fleet or not path.is_file():
        raise ApiError(
            "no fleet runs here" if not settings.fleet else "the dispatcher has not run yet",
            code="not-found",
            hint="fleet = yes in api.ini, then `python dev.py fleet dispatch`: docs/fleet.md.",
            status=404,
        )
    return json.loads(path.read_text(encoding="utf-8"))


def shown_fleet(settings: ApiSettings) -> dict[str, Any]:
    """Return under `fleet` what `fleet_status` does, with `age_s`, how long ago it was told.

    None where there is no fleet, nothing where no dispatcher has run yet.
    """
    if not settings.fleet:
        return {"fleet": None}
    if not (state_folder() / STATUS_FILE).is_file():
        return {"fleet": {}}
    told = fleet_status(settings)
    return {"fleet": {**told, "age_s": round(time.time() - told["updated_at"], 1)}}
