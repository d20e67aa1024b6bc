"""The finished pictures of prompts, marked as made by a trained model where the owner wants it."""

from __future__ import annotations

import logging
from pathlib import Path

import folder_paths

from ....errors import AstriaError
from ....net.writing import atomic_write
from ....tunes.prompts import Prompt
from ...pictures.provenance import marked
from .. import state

_log = logging.getLogger(__name__)


def mark_pictures(prompt: Prompt) -> list[str]:
    """Write the mark into the files of a prompt that is done; return what is to be said.

    Not into placeholders, which no model made.
    """
    if not _is_wanted() or any(name.startswith("mock.") for name in prompt.workflow):
        return []
    said = []
    for image in prompt.images:
        try:
            root = Path(folder_paths.get_directory_by_type(image["type"]) or "")
            path = root / image["subfolder"] / image["filename"]
            before = path.read_bytes()
            if (after := marked(before)) != before:
                atomic_write(path, after)
        except (OSError, AstriaError) as error:
            why = error.message if isinstance(error, AstriaError) else type(error).__name__
            said.append(f"{image['filename']} could not be marked as made by a model: {why}.")
    return said


def _is_wanted() -> bool:
    try:
        return state.settings().mark_pictures
    except AstriaError as error:  # a slip in the settings: the mark is the rule
        _log.warning("Pictures are marked as made by a model: %s", error.message)
        return True
