"""What a run says, without the folders of the machine that it ran on."""

from __future__ import annotations

import os
from pathlib import Path

from comfyui_astria.tests.regions.comfy_inprocess import load


def test_folders_go_and_the_names_below_them_stay() -> None:
    state, folders = load("comfyui_astria.nodes.api.host.state"), load("folder_paths")
    models = folders.get_folder_paths("checkpoints")[0]
    for folder, name in (
        (models, "sub/a.safetensors"),
        (folders.get_input_directory(), "me.png"),
        (folders.get_user_directory(), "default/1.png"),
        (str(Path.home()), "elsewhere/b.pt"),
    ):
        said = state.without_folders(f"The file '{folder}{os.sep}{name}' cannot be read.")
        assert said == f"The file '{name}' cannot be read."
    assert state.without_folders("1/2 of a face, in /nowhere/at/all") == (
        "1/2 of a face, in /nowhere/at/all"
    )
