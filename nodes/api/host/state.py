"""The API's settings, its stores, and the folders of files that came with requests."""

from __future__ import annotations

import functools
import re
import sqlite3
from pathlib import Path

import folder_paths

from ...host.state import STATE_NAME, state_folder
from ...net.files import INPUT_FOLDER
from ...net.settings import SETTINGS_FILE, ApiSettings, load
from ...training.asked import TrainingStore
from ...tunes.packs import PackStore
from ...tunes.prompts import PromptStore
from ...tunes.schema import kept_open
from ...tunes.store import DATABASE_FILE, TuneStore
from ..pictures.mock import FILE_PREFIX

# Answers reach strangers too: they name no folder of this machine.
SHOWN_SETTINGS_FILE = f"{SETTINGS_FILE} (in __{STATE_NAME} of ComfyUI's user folder)"
_HASHED = rf"({FILE_PREFIX})?[0-9a-f]{{64}}"
_OURS = re.compile(rf"{_HASHED}\.(jpg|png|webp)|\.{_HASHED}\..*\.partial")


def settings() -> ApiSettings:
    """Return the settings as api.ini has them now."""
    return load(settings_file(), SHOWN_SETTINGS_FILE)


def settings_file() -> Path:
    return state_folder() / SETTINGS_FILE


def tunes() -> TuneStore:
    return _tunes(state_folder())


def prompts() -> PromptStore:
    return _prompts(state_folder())


def packs() -> PackStore:
    return _packs(state_folder())


def trainings() -> TrainingStore:
    return _trainings(state_folder())


@functools.cache
def _trainings(folder: Path) -> TrainingStore:
    return TrainingStore(folder)


@functools.cache
def _tunes(folder: Path) -> TuneStore:
    return TuneStore(folder)


@functools.cache
def _prompts(folder: Path) -> PromptStore:
    store = PromptStore(folder)
    _kept_open.append(kept_open(folder / DATABASE_FILE))
    return store


_kept_open: list[sqlite3.Connection] = []


def close() -> None:
    """Let go of the database, when the host ends."""
    while _kept_open:
        _kept_open.pop().close()


@functools.cache
def _packs(folder: Path) -> PackStore:
    return PackStore(folder)


def spool_folder() -> Path:
    """Return where model files lie while they arrive."""
    return state_folder() / "uploads"


def claim_file() -> Path:
    """Return the file that the one ComfyUI holds that takes up what was left in this folder."""
    return state_folder() / "api.lock"


def input_folder() -> Path:
    """Return where the pictures of requests lie.

    Below ComfyUI's input folder, for its Load Image node.
    """
    return Path(folder_paths.get_input_directory()) / INPUT_FOLDER


def sweep() -> None:
    """Remove what a crash left.

    Model files that did not arrive whole, and input pictures that no prompt names.
    """
    for path in spool_folder().glob("*.partial"):
        path.unlink(missing_ok=True)
    sweep_inputs()


def sweep_inputs() -> None:
    """Remove the input pictures that no prompt names.

    Call while no request is between writing and storing.
    """
    used = prompts().inputs_in_use()
    for path in input_folder().glob("*"):
        if _OURS.fullmatch(path.name) and f"{INPUT_FOLDER}/{path.name}" not in used:
            path.unlink(missing_ok=True)
