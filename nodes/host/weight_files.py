"""Weight files, read by the host's own reader: nothing in a file is run."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from typing import Any

import comfy.utils
from safetensors import SafetensorError

# What the readers of safetensors and of pickles raise for files that are cut off, hold something
# else, or are not there.
_UNREADABLE = (
    OSError,
    RuntimeError,
    ValueError,
    EOFError,
    TypeError,
    pickle.UnpicklingError,
    SafetensorError,
)


class UnreadableWeights(Exception):
    """A file that cannot be read as weights; the message is the reason, one line."""


def read_weights(path: str) -> tuple[Any, Mapping[str, str] | None]:
    """Return the file's contents, as a rule tensors by name, and the metadata of a safetensors
    file.

    Raises: UnreadableWeights.
    """
    try:
        return comfy.utils.load_torch_file(path, safe_load=True, return_metadata=True)
    except _UNREADABLE as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise UnreadableWeights(lines[0] if lines else type(error).__name__) from error
