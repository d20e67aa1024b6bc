"""Texts for strangers, without the folders of the machine."""

from __future__ import annotations

import os
from pathlib import Path

from comfyui_astria.tests.regions.comfy_inprocess import load


def test_folders_are_named_by_what_they_are_and_names_below_them_stay() -> None:
    without_folders = load("comfyui_astria.nodes.host.shown_paths").without_folders
    folders = load("folder_paths")
    models = folders.get_folder_paths("checkpoints")[0]
    for folder, name, shown in (
        (models, "sub/a.safetensors", "models/checkpoints"),
        (str(Path(folders.get_output_directory(), "loras")), "a.safetensors", "output/loras"),
        (folders.get_input_directory(), "me.png", "input"),
        (folders.get_user_directory(), "default/1.png", "user"),
        (str(Path.home()), "elsewhere/b.pt", "~"),
    ):
        said = without_folders(f"The file '{folder}{os.sep}{name}' cannot be read.")
        assert said == f"The file '{shown}{os.sep}{name}' cannot be read."
    told = ("1/2 of a face, in /nowhere/at/all",)
    assert without_folders(told) == told
