"""What a workflow reads beside models, to be brought to the worker that runs it."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from ..nodes.tunes.state import tunes_in
from .runs import PushedTune, Run

_LOADERS = ("LoadImage", "LoadImageMask")
_ANNOTATED = re.compile(r"(.+) \[(input|output|temp)\]")


def needed(
    run_id: str, workflow: Mapping[str, Any], folders: Mapping[str, Path], state_folder: Path
) -> Run:
    """Return the run of a workflow with the pictures and photo sets that its nodes name.

    `folders` are those of pictures by ComfyUI's names of them. Raises: OSError where one is gone.
    """
    files = {}
    for name in _inputs(workflow, _LOADERS, "image"):
        found = _ANNOTATED.fullmatch(name)
        folder, below = (found[2], found[1]) if found else ("input", name)
        files[folder, below] = (folders[folder] / below).read_bytes()
    tunes = [_pushed(name, state_folder) for name in _inputs(workflow, ("AstriaIdentity",), "tune")]
    return Run(run_id, workflow, files, tuple(one for one in tunes if one is not None))


def _inputs(workflow: Mapping[str, Any], classes: Collection[str], name: str) -> list[str]:
    found = {
        node["inputs"].get(name) for node in workflow.values() if node["class_type"] in classes
    }
    return sorted(one for one in found if isinstance(one, str) and one)


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
