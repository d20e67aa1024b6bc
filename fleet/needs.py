"""What a workflow reads beside the models that every machine has, to be brought to its worker."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from ..nodes.tunes.state import TRAINED_FOLDER, tunes_in
from .runs import ModelFile, PushedTune, Run

_LOADERS = ("LoadImage", "LoadImageMask")
_PHOTOS = ("AstriaIdentity", "AstriaTunePhotos")
_ANNOTATED = re.compile(r"(.+) \[(input|output|temp)\]")
# Inputs that name files of these model folders, some of which came with requests or of trainings.
MODEL_FOLDERS = {"lora_name": "loras", "ckpt_name": "checkpoints"}


def needed(
    run_id: str,
    workflow: Mapping[str, Any],
    folders: Mapping[str, Path],
    state_folder: Path,
    bring: Collection[str] = (),
) -> Run:
    """Return the run of a workflow with the pictures and photo sets that its nodes name.

    `folders` are those of pictures and models by ComfyUI's names of them; the model files in
    `bring` come with their contents. Raises: OSError where one is gone.
    """
    files = {}
    for name in _inputs(workflow, _LOADERS, "image"):
        found = _ANNOTATED.fullmatch(name)
        folder, below = (found[2], found[1]) if found else ("input", name)
        files[folder, below] = (folders[folder] / below).read_bytes()
    tunes = [_pushed(name, state_folder) for name in _inputs(workflow, _PHOTOS, "tune")]
    return Run(
        run_id,
        workflow,
        files,
        tuple(one for one in tunes if one is not None),
        _models(workflow, folders, bring),
    )


def _inputs(workflow: Mapping[str, Any], classes: Collection[str], name: str) -> list[str]:
    found = {
        node["inputs"].get(name) for node in workflow.values() if node["class_type"] in classes
    }
    return sorted(one for one in found if isinstance(one, str) and one)


def _models(
    workflow: Mapping[str, Any], folders: Mapping[str, Path], bring: Collection[str]
) -> dict[str, ModelFile]:
    """Return the model files that came with requests or of trainings, by folder and name."""
    found = {}
    for node in workflow.values():
        for key, folder in MODEL_FOLDERS.items():
            name = node["inputs"].get(key)
            if not isinstance(name, str) or not name.startswith(f"{TRAINED_FOLDER}/"):
                continue
            path = folders[folder] / name if folder in folders else None
            if path is None or not path.is_file():
                continue  # it lies elsewhere, on the workers perhaps: ComfyUI has to say
            about = path.stat()
            content = path.read_bytes() if f"{folder}/{name}" in bring else None
            found[f"{folder}/{name}"] = ModelFile(about.st_size, about.st_mtime, content)
    return found


def _pushed(name: str, state_folder: Path) -> PushedTune | None:
    """Return a stored photo set by its id or title; None where its node has to say that it is
    gone.
    """
    store = tunes_in(state_folder)
    if store is None:
        return None
    tune = store.get(int(name)) if name.isdecimal() else store.find_by_title(name)
    if tune is None:
        return None
    photos = tuple(path.read_bytes() for path in store.photo_paths(tune.id))
    return PushedTune(tune.id, tune.title, photos)


def gone_tunes(state_folder: Path, ids: Collection[int]) -> tuple[int, ...]:
    """Return those of these tunes that are not there any more."""
    store = tunes_in(state_folder)
    return tuple(id for id in ids if store is None or store.get(id) is None)


def gone_models(state_folder: Path, names: Collection[str]) -> tuple[str, ...]:
    """Return those of these model files that no tune names any more."""
    if not names:
        return ()
    store = tunes_in(state_folder)
    named = frozenset() if store is None else store.files()
    return tuple(one for one in names if one.partition("/")[2] not in named)
