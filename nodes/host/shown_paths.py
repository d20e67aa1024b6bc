"""Texts for strangers: folders of this machine by what they are to ComfyUI."""

from __future__ import annotations

import functools
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import folder_paths

from .state import STATE_NAME, state_folder


def without_folders(value: Any) -> Any:
    """Return a text in which this machine's folders are named by what they are, e.g.
    `models/loras/anna.safetensors` for a path; in lists and objects, every text.
    """
    if isinstance(value, dict):
        return {key: without_folders(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(without_folders, value))
    if not isinstance(value, str) or ("/" not in value and "\\" not in value):
        return value
    for folder, name in _spelled(tuple(_folders())):
        if folder in value:
            value = re.sub(rf"(?<![\w.~/\\-]){re.escape(folder)}(?![\w-])", name, value)
    return value


@functools.lru_cache(maxsize=4)
def _spelled(folders: tuple[tuple[str, str], ...]) -> list[tuple[str, str]]:
    """Return the folders in every form in which an error may spell them, with their names, those
    inside others first.
    """
    found = {
        spelled: name
        for folder, name in reversed(folders)
        for path in (Path(folder), Path(folder).resolve())
        if len(path.parts) > 1
        for spelled in (str(path), path.as_posix(), repr(str(path))[1:-1])
    }
    return sorted(found.items(), key=lambda one: -len(one[0]))


def _folders() -> Iterator[tuple[str, str]]:
    output = Path(folder_paths.get_output_directory())
    for kind, (roots, _) in list(folder_paths.folder_names_and_paths.items()):
        name = kind if kind == "custom_nodes" else f"models/{kind}"
        for root in roots:
            is_saved = Path(root).is_relative_to(output)  # by ComfyUI's nodes that save models
            yield root, f"output/{Path(root).name}" if is_saved else name
    yield folder_paths.models_dir, "models"
    yield folder_paths.get_input_directory(), "input"
    yield folder_paths.get_output_directory(), "output"
    yield folder_paths.get_temp_directory(), "temp"
    yield folder_paths.get_user_directory(), "user"
    yield str(state_folder()), f"user/__{STATE_NAME}"
    yield folder_paths.base_path, "ComfyUI"
    yield str(Path(folder_paths.__file__).parent), "ComfyUI"
    yield str(Path(__file__).parents[2]), "this pack"
    yield sys.prefix, "Python"
    yield tempfile.gettempdir(), "temp"
    yield str(Path.home()), "~"
